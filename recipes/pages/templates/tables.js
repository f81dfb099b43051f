for (const table of document.querySelectorAll("table.sort")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells], rows = [...body.rows];
  const order = new Intl.Collator(undefined, {numeric: true});
  const value = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
  heads.forEach((head, column) => {
    if (!head.textContent.trim()) return;
    const button = document.createElement("button"), isNumber = head.classList.contains("number");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const was = head.getAttribute("aria-sort");
      const down = was ? was === "ascending" : isNumber;
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const keyed = rows.map(row => [value(row, column), row]);
      const compare = isNumber ? (a, b) => a - b : order.compare;
      keyed.sort(([a], [b]) => (a === "") - (b === "") || (a === "" ? 0 : (down ? -1 : 1) * compare(a, b)));
      body.append(...keyed.map(([, row]) => row));
    });
  });
  if (rows.length < 8) continue;
  const line = document.createElement("div"), field = document.createElement("input");
  const count = document.createElement("span");
  line.className = "filter";
  field.type = "search";
  field.placeholder = "filter";
  field.setAttribute("aria-label", "filter the table");
  line.append(field, count);
  (table.closest(".wide, .tall") ?? table).before(line);
  const texts = rows.map(row => row.textContent.toLowerCase());
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/);
    let shown = 0;
    rows.forEach((row, place) => {
      row.hidden = !words.every(word => texts[place].includes(word));
      shown += !row.hidden;
    });
    count.textContent = shown < rows.length ? `${shown} of ${rows.length}` : "";
  });
}

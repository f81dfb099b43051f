"""HTML pages about a run, and about several side by side: no scripts, and nothing loaded from elsewhere."""

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pml_suprank.recipes.engine.text_evaluation import DIRECTIONS
from pml_suprank.recipes.levels import level_title
from pml_suprank.recipes.pages.data_notes import about_data, different_tests
from pml_suprank.recipes.pages.figures import bar_chart, curves, loss_curve
from pml_suprank.recipes.pages.html_page import before_after_table, page, picture, tile
from pml_suprank.recipes.pages.run_folder import RunFolder, RunFolderError
from pml_suprank.recipes.pages.sheets import legend, render_sheets, sheet_style

__all__ = ["metric_titles", "render_comparison", "render_run"]

_TITLES = {
    "hierarchical_average_precision": "H-AP",
    "ndcg": "NDCG",
    "asi": "ASI",
    "mean_average_precision": "AP",
    "mean_average_precision_at_r": "AP@R",
    "precision_at_1": "P@1",
}
_STYLE = """
.best { color: var(--ours); font-weight: 650; }
.wide { overflow-x: auto; }
td.number { text-align: right; } td.text { text-align: left; white-space: normal; overflow-wrap: anywhere; }
"""


def metric_titles(names: Sequence[str], level_names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Metric to its title and the level it is of ("" for all levels), in the order of the levels.

    Args:
        names: as evaluations have them, such as ``recall_at_5_level0``.
        level_names: finest first; may be shorter.
    """
    found: dict[str, tuple[str, str]] = {}
    places = {}
    for name in names:
        match = re.fullmatch(r"(.+)_level(\d+)", name)
        base, level = (match[1], int(match[2])) if match else (name, -1)
        way = next((prefix for prefix in DIRECTIONS if base.startswith(prefix)), "")
        base = base.removeprefix(way)
        title = _TITLES.get(base) or base.replace("recall_at_", "R@").replace("_", " ")
        title += f", {DIRECTIONS[way]}" if way else ""
        found[name] = (title, "" if level < 0 else level_title(level_names, level))
        first = list(_TITLES).index(base) if base in _TITLES else len(_TITLES)
        depth = re.search(r"(\d+)$", base)
        places[name] = (level, ["", *DIRECTIONS].index(way), first, int(depth[1]) if depth else 0)
    return {name: found[name] for name in sorted(found, key=places.__getitem__)}


def render_run(run: RunFolder) -> str:
    """The page of one run."""
    before, after = run.metrics["before"], run.metrics["after"]
    levels = _level_names(run)
    titles = metric_titles(list(after), levels)
    main = [name for name in titles if not titles[name][1]]
    settings = run.settings
    loss = settings.get("loss.name") or settings.get("loss", "")
    tiles = "".join(tile(titles[name][0], before[name], after[name]) for name in main[:3])
    table: dict[str, dict[str, str]] = {}
    for name, (title, level) in titles.items():
        table.setdefault(level, {})[name] = title
    body = [f'<div class="tiles">{tiles}</div>', "<h2>Held-out images, before and after</h2>"]
    body.append(before_after_table(before, after, table))
    body += about_data(run)
    if run.sheets is not None:
        rows = {"before": run.sheets["before"], "after": run.sheets["after"]}
        body += [
            "<h2>What is retrieved</h2>",
            "<p>Held-out images, one at random of each node of the coarsest level (of twelve at most), and the ten "
            "closest of all others. Frames and dots show how many levels of the hierarchy a result shares with the "
            "query.</p>",
            legend([level_title(levels, level) for level in range(len(levels))]),
            render_sheets(run.sheets, rows),
        ]
    steps = len(run.history)
    epochs = max(1, int(run.history[-1].get("epoch", 1))) if steps else 1
    if steps:
        curve = loss_curve([row["loss"] for row in run.history], max(1, steps // epochs), str(loss))
        body += ["<h2>Training</h2>", picture(curve, "Training loss by epoch")]
    if len(run.evaluations) > 1:
        lines = {titles[name][0]: _by_epoch(run, name) for name in main}
        body.append(picture(curves(lines, "epoch", "held-out images"), "Metrics by epoch"))
    if run.metrics.get("left_out"):
        body += ["<h2>Left out of the data</h2>", _left_out(run.metrics["left_out"])]
    body += ["<h2>Settings</h2>", _definitions(run.settings | run.metrics.get("setup", {}))]
    body.append(_credits(run.metrics.get("credits", {})))
    queries = run.metrics.get("queries")
    lead = f"{queries:,} queries that were not trained on" if queries else "held-out queries"
    lead += f"; {run.metrics.get('iterations', steps):,} steps of training"
    seconds = round(run.metrics.get("training_seconds", 0))
    lead += f" in {seconds // 60} min {seconds % 60:02d} s" if seconds else ""
    return _page(f"{loss}: {run.name}", html.escape(lead), body, len(levels))


def render_comparison(runs: Sequence[RunFolder]) -> str:
    """Several runs side by side: metrics, curves, and the settings that differ.

    Raises:
        RunFolderError: the runs have no metric in common, or two have one name.
    """
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        names = [str(run.path) for run in runs]
    differences = different_tests(runs, names)
    shared = [
        key for key in runs[0].metrics["after"] if all(key in r.metrics["after"] for r in runs)
    ]
    if not shared:
        raise RunFolderError("runs: wanted runs with a metric in common, got none")
    levels = max((_level_names(run) for run in runs), key=len)
    titles = metric_titles(shared, levels)
    main = [name for name in titles if not titles[name][1]] or list(titles)[:1]
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    rows, group = [], ""
    for key, (title, level) in titles.items():
        if level != group:
            group = level
            rows.append(
                f'<tr class="part"><td colspan="{len(runs) + 1}">same {html.escape(level)}</td></tr>'
            )
        values = [run.metrics["after"][key] for run in runs]
        crowned = None if differences else max(values)
        cells = "".join(
            f'<td class="number{" best" if value == crowned else ""}">{value:.3f}</td>'
            for value in values
        )
        rows.append(f"<tr><td>{html.escape(title)}</td>{cells}</tr>")
    bars = []
    if not differences:
        values_of = {
            name: [run.metrics["after"][main[0]]] for name, run in zip(names, runs, strict=True)
        }
        best = max(values_of, key=lambda name: values_of[name][0])
        bars = [picture(bar_chart(values_of, {best}, titles[main[0]][0]), "Bars")]
    body = [
        "<h2>Held-out images, after training</h2>",
        *differences,
        _wide(head, rows),
        *bars,
        "<h2>Training</h2>",
    ]
    by_epoch = {name: _means(run.history) for name, run in zip(names, runs, strict=True)}
    unit = "epoch" if all("epoch" in run.history[0] for run in runs if run.history) else "iteration"
    body.append(picture(curves(by_epoch, unit, "mean loss"), "Loss"))
    if all(len(run.evaluations) > 1 for run in runs):
        lines = {name: _by_epoch(run, main[0]) for name, run in zip(names, runs, strict=True)}
        body.append(picture(curves(lines, "epoch", titles[main[0]][0]), "Metric by epoch"))
    body += ["<h2>Settings that differ</h2>", _differences(runs, head)]
    return _page(
        "Comparison of runs", f"{len(runs)} runs: {html.escape(', '.join(names))}", body, 0
    )


def _credits(credit: Mapping[str, str]) -> str:
    """Who made the images that the page shows."""
    if not credit:
        return ""
    texts = "; ".join(f"{name}: {text}" for name, text in credit.items())
    return f"<footer>Images shown on this page: {html.escape(texts)}. Passed on under the same licences.</footer>"


def _level_names(run: RunFolder) -> list[str]:
    """Finest first; none for a run that does not say."""
    return list(run.metrics.get("level_names", ()))


def _page(title: str, lead: str, body: Sequence[str], levels: int) -> str:
    head = f'<h1>{html.escape(title)}</h1>\n<p class="lead">{lead}</p>\n'
    return page(title, head + "\n".join(body), sheet_style(levels) + _STYLE)


def _by_epoch(run: RunFolder, metric: str) -> tuple[list[float], list[float]]:
    """Epochs of the evaluations, and the metric at each."""
    rows = run.evaluations
    return [row["epoch"] for row in rows], [row[metric] for row in rows]


def _means(history: Sequence[Mapping[str, float]]) -> tuple[list[float], list[float]]:
    """Epochs, or iterations where there are none, and the mean loss of each."""
    groups: dict[float, list[float]] = {}
    for row in history:
        groups.setdefault(row.get("epoch", row.get("iteration", 0.0)), []).append(row["loss"])
    return list(groups), [sum(group) / len(group) for group in groups.values()]


def _differences(runs: Sequence[RunFolder], head: str) -> str:
    keys = list(dict.fromkeys(key for run in runs for key in run.settings))
    rows = []
    for key in keys:
        values = [run.settings.get(key) for run in runs]
        if any(value != values[0] for value in values):
            cells = "".join(
                f'<td class="text">{html.escape(_text(value))}</td>' for value in values
            )
            rows.append(f"<tr><td>{html.escape(key)}</td>{cells}</tr>")
    if not rows:
        return "<p>None.</p>"
    return _wide(head, rows)


def _left_out(rows: Sequence[Mapping[str, Any]]) -> str:
    """What lay beside the images and was not read: how much, why, and the first of each."""
    lines = (
        f'<tr><td class="number">{int(row["count"]):,}</td><td class="text">{html.escape(str(row["reason"]))}</td>'
        f'<td class="text">{html.escape(", ".join(map(str, row["examples"])))}</td></tr>'
        for row in rows
    )
    head = "<thead><tr><th>files or folders</th><th>reason</th><th>such as</th></tr></thead>"
    return f'<div class="wide"><table>{head}<tbody>{"".join(lines)}</tbody></table></div>'


def _wide(head: str, rows: Sequence[str]) -> str:
    table = f"<thead><tr><th></th>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f'<div class="wide"><table>{table}</table></div>'


def _definitions(settings: Mapping[str, Any]) -> str:
    items = (
        f"<dt>{html.escape(name)}</dt><dd>{html.escape(_text(value))}</dd>"
        for name, value in settings.items()
        if value not in (None, "", {}, [])
    )
    return f"<dl>{''.join(items)}</dl>"


def _text(value: Any) -> str:
    return "–" if value in (None, "", {}) else str(value)

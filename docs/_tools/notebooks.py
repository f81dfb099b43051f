"""Make the notebooks of ``examples/`` from their sources, with the outputs of a run.

    python docs/_tools/notebooks.py                  # all
    python docs/_tools/notebooks.py swap_a_loss      # some

A source is Python with cells after ``# %%`` and text after ``# %% [markdown]``, which editors run cell by cell. Each
runs in an empty folder of its own. Progress bars are left out of what is saved.
"""

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py"))
_CELL = re.compile(r"^# %%( \[markdown\])?\n", re.MULTILINE)
_BAR = re.compile(r"\d+%\|")


def from_source(text: str) -> Any:
    """The notebook of a source, without outputs.

    Raises:
        ValueError: the source does not start with a cell.
    """
    first, *parts = _CELL.split(text)
    if first.strip() or not parts:
        raise ValueError(f"text: wanted a cell after '# %%' first, got {first[:60]!r}")
    cells = []
    for number, (kind, body) in enumerate(zip(parts[::2], parts[1::2], strict=True)):
        if kind:
            content = re.sub(r"^# ?", "", body.strip(), flags=re.MULTILINE)
            cell = nbformat.v4.new_markdown_cell(content)
        else:
            cell = nbformat.v4.new_code_cell(body.strip())
        cell["id"] = f"cell-{number}"
        cells.append(cell)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def run(notebook: Any, folder: Path) -> Any:
    """Run a notebook in a folder; the same notebook, with outputs.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell fails.
    """
    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=900, record_timing=False, resources=resources)
    quiet = {
        "PYTHONWARNINGS": "ignore:IProgress not found"
    }  # tqdm's, who would rather have widgets
    client.execute(env=os.environ | quiet)
    notebook["metadata"] = {"kernelspec": notebook["metadata"]["kernelspec"]}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = [output for output in cell["outputs"] if not _is_progress(output)]
    return notebook


def _is_progress(output: Any) -> bool:
    """Whether an output holds progress bars alone; those beside other text are taken out of it."""
    if output.get("name") != "stderr":
        return False
    lines = [line for line in re.split(r"[\r\n]+", output["text"]) if not _BAR.search(line)]
    output["text"] = "".join(f"{line}\n" for line in lines if line.strip())
    return not output["text"]


def make(name: str) -> Any:
    """The notebook of an example, run in an empty folder."""
    source = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        return run(from_source(source), Path(folder))


def main(names: list[str]) -> None:
    """Make and save notebooks."""
    for name in names or NAMES:
        nbformat.write(make(name), EXAMPLES / f"{name}.ipynb")


if __name__ == "__main__":
    main(sys.argv[1:])

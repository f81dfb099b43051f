"""The notebooks: made from their sources, run here, and saved with outputs that anybody may read."""

import importlib.util
import re
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="needs the extra examples")
pytest.importorskip("nbclient", reason="needs the extra examples")
pytest.importorskip("ipykernel", reason="needs the extra examples")
pytest.importorskip("timm", reason="needs the extra examples")

ROOT = Path(__file__).parents[1]
SPEC = importlib.util.spec_from_file_location("notebooks", ROOT / "docs/_tools/notebooks.py")
notebooks = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(notebooks)
PLACES = re.compile(r"/(?:home|root|tmp|work|usr|opt|Users|var)/|[A-Z]:\\\\|site-packages")


def saved(name):
    return nbformat.read(notebooks.EXAMPLES / f"{name}.ipynb", nbformat.NO_CONVERT)


def sources(notebook):
    return [(cell["cell_type"], cell["source"]) for cell in notebook["cells"]]


def texts(notebook):
    """What the code cells print, on either stream."""
    outputs = [o for cell in notebook["cells"] for o in cell.get("outputs", ())]
    assert {o["output_type"] for o in outputs} <= {"stream", "display_data"}  # no errors
    return {
        stream: "".join(o["text"] for o in outputs if o.get("name") == stream)
        for stream in ("stdout", "stderr")
    }


def decimals(text):
    return [float(number) for number in re.findall(r"\d+\.\d+", text)]


def flaws(text):
    """What should not be in the output of a notebook."""
    return [*PLACES.findall(text), *re.findall(r"warn\w*|error|traceback", text, re.IGNORECASE)]


def test_there_are_notebooks():
    assert len(notebooks.NAMES) >= 3
    assert sorted(path.stem for path in notebooks.EXAMPLES.glob("*.ipynb")) == notebooks.NAMES


@pytest.mark.parametrize("name", notebooks.NAMES)
def test_a_notebook_is_its_source(name):
    source = (notebooks.EXAMPLES / f"{name}.py").read_text()
    assert sources(saved(name)) == sources(notebooks.from_source(source)), "run: make examples"
    nbformat.validate(saved(name))


@pytest.mark.parametrize("name", notebooks.NAMES)
def test_outputs_are_there_and_show_nothing_of_a_machine(name):
    notebook = saved(name)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    printed = texts(notebook)
    assert len(decimals(printed["stdout"])) > 5
    assert flaws(printed["stdout"] + printed["stderr"]) == []
    pictures = [o for cell in code for o in cell["outputs"] if o["output_type"] == "display_data"]
    assert pictures
    assert all("image/png" in picture["data"] for picture in pictures)


def test_flaws_are_seen():
    assert flaws("TqdmWarning: in /root/x") == ["/root/", "Warning"]
    assert flaws("device: cpu") == []


@pytest.mark.slow
@pytest.mark.parametrize("name", notebooks.NAMES)
def test_a_notebook_runs_and_finds_what_is_saved(name):
    then, now = texts(saved(name)), texts(notebooks.make(name))
    assert flaws(now["stdout"] + now["stderr"]) == []
    assert decimals(now["stdout"]) == pytest.approx(decimals(then["stdout"]), abs=0.1)


def test_cells_of_a_source():
    found = notebooks.from_source("# %% [markdown]\n# # Title\n#\n# Text.\n\n# %%\nprint(1)\n")
    assert sources(found) == [("markdown", "# Title\n\nText."), ("code", "print(1)")]
    with pytest.raises(ValueError, match="wanted a cell"):
        notebooks.from_source("import torch\n# %%\n1\n")

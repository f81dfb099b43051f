"""The documentation: it builds without a warning, and leaves nothing public out."""

import importlib
import importlib.util
import inspect
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("timm", reason="needs the recipes extra")
pytest.importorskip("matplotlib", reason="needs the recipes extra")
import torch

import pml_suprank
from pml_suprank import integrations
from pml_suprank.metrics.catalogue import JUDGED_METRICS, METRICS
from pml_suprank.recipes.__main__ import RECIPES

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES_OF = {
    "pml_suprank.losses": ["losses.md", "memories.md"],
    "pml_suprank.miners": ["miners.md"],
    "pml_suprank.samplers": ["samplers.md"],
    "pml_suprank.metrics": ["metrics.md"],
    "pml_suprank.relevance": ["relevance.md"],
    "pml_suprank.functional": ["functional.md"],
    "pml_suprank.testers": ["accuracy_calculator.md"],
}
REFERENCES = [*PAGES_OF, "pml_suprank", "pml_suprank.hierarchy", "pml_suprank.whitening"]


def tool(name):
    """A module of docs/_tools."""
    spec = importlib.util.spec_from_file_location(name, DOCS / "_tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def text_of(*pages):
    return "\n".join((DOCS / page).read_text() for page in pages)


def missing(names, text):
    return [name for name in names if not re.search(rf"\b{re.escape(name)}\b", text)]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "WARNING" not in run.stderr
    return folder


@pytest.mark.parametrize("module", PAGES_OF)
def test_public_names_are_on_their_page(module):
    public = importlib.import_module(module).__all__
    assert missing(public, text_of(*PAGES_OF[module])) == []


@pytest.mark.parametrize("module", REFERENCES)
def test_reference_lists_the_public_names(module):
    found = importlib.import_module(module)
    public = [name for name in found.__all__ if not inspect.ismodule(getattr(found, name))]
    page = DOCS / "reference" / f"{module.rpartition('.')[2]}.md"
    listed = re.findall(r"^::: (\S+)$", page.read_text(), re.MULTILINE)
    assert len(set(listed)) == len(listed)
    wanted = {f"{module}.{name}" for name in public}
    if module != "pml_suprank":  # what the package itself has is on its page alone
        wanted -= {f"{module}.{name}" for name in pml_suprank.__all__}
    assert wanted <= set(listed)
    for name in listed:
        home, _, last = name.rpartition(".")
        assert hasattr(importlib.import_module(home), last), name


def test_every_module_of_the_package_has_a_reference():
    modules = {name for name in pml_suprank.__all__ if inspect.ismodule(getattr(pml_suprank, name))}
    assert modules == {name.rpartition(".")[2] for name in PAGES_OF}


def test_integrations_and_their_names_are_on_their_page():
    text = text_of("integrations.md")
    for module in pkgutil.iter_modules(integrations.__path__, "pml_suprank.integrations."):
        public = importlib.import_module(module.name).__all__
        assert missing([module.name.rpartition(".")[2], *public], text) == []


def test_all_metrics_are_defined_on_their_page():
    wanted = [name.removesuffix("_at_k") for name in (*METRICS, *JUDGED_METRICS)]
    text = text_of("metrics.md")
    assert [name for name in wanted if name not in text] == []


def test_all_commands_are_on_their_page():
    table = re.findall(r"^\| `(\S+)` \|", text_of("commands.md"), re.MULTILINE)
    assert sorted(table) == sorted(RECIPES)


def test_tables_of_published_settings_are_those_of_the_code():
    page = text_of("presets.md")
    tables = tool("preset_tables")
    assert tables.with_tables(page) == page, "run: python docs/_tools/preset_tables.py"
    assert (
        tables.with_tables(page.replace("| 1.44 |", "| 1.45 |", 1)) == page
    )  # and it would be seen


def test_pictures_show_what_the_page_says():
    figures = tool("surrogate_figures")
    ends = {}
    for name in figures.LOSSES:
        path = figures.descent(name)
        ends[name] = tuple(round(value, 2) for value in figures.metrics_of(path[-1]))
        assert figures.metrics_of(path[0]) == pytest.approx((5 / 12, 0.4841), abs=1e-4)
    assert ends.pop("SmoothAPLoss") == (0.42, 0.48)
    assert ends.pop("SupHAPLoss") == (1.0, 1.0)
    assert set(ends.values()) == {(1.0, 0.86)}
    assert len(figures.draw_comparators().axes) == 2
    assert len(figures.draw_descents().axes) == 2 * len(figures.LOSSES)


def test_the_picture_of_two_batches_shows_what_the_page_says():
    figures = tool("batches_figure")
    parts = figures.BATCHES.values()
    assert [figures.mean_ap(part) for part in parts] == [1.0, 1.0, 0.5]
    assert figures.ranks(figures.BATCHES["the whole set"]) == [0, 2, 4, 6, 1, 3, 5, 7]
    assert [axes.get_title(loc="left") for axes in figures.draw().axes][
        -1
    ] == "the whole set: AP 0.5"


def test_gradients_of_the_pictures_are_those_of_differences():
    figures = tool("surrogate_figures")
    scores = torch.tensor(figures.SCORES, dtype=torch.float64)
    for name in figures.RANK_LOSSES:  # the means of the others jump as hinges begin and end
        slope = figures.gradient(name, scores)
        for item in range(len(scores)):
            step = torch.zeros_like(scores)
            step[item] = 1e-7
            ahead, behind = (figures.loss_of_scores(name, scores + sign * step) for sign in (1, -1))
            assert slope[item].item() == pytest.approx(((ahead - behind) / 2e-7).item(), abs=1e-4)


def test_site_builds_without_a_warning(site):
    for page in ("index.html", "reference/losses.html", "benchmarks/results/rank_losses.html"):
        assert (site / page).exists(), page


def test_formulas_are_mathml(site):
    pages = list(site.rglob("*.html"))
    text = "".join(page.read_text() for page in pages)
    assert text.count("<math") > 20
    assert "arithmatex" not in text
    formulas = re.findall(r"<math.*?</math>", text, re.DOTALL)
    assert [found for found in formulas if re.search(r"\\[a-zA-Z]|\\[{}]", found)] == []


def test_pages_need_no_network(site):
    for page in site.rglob("*.html"):
        loaded = re.findall(
            r"<(?:script|img|link|iframe)[^>]*(?:src|href)=\"?(https?:[^\" >]*)", page.read_text()
        )
        assert loaded == [], page.name


def test_docstrings_come_out_as_markdown(site):
    text = "".join(page.read_text() for page in (site / "reference").glob("*.html"))
    assert not re.search(r":(class|func|meth|mod|math|data):|\.\. math", text)


def test_docstring_markup():
    pytest.importorskip("griffe", reason="the extra docs is not installed")
    markdown = tool("docstring_markup").markdown
    assert (
        markdown("A :class:`~pml_suprank.losses.SupAPLoss`, :math:`x^2`::")
        == "A `SupAPLoss`, $x^2$:"
    )
    assert markdown(".. math:: a\n    + b\n\nMore.") == "$$\na + b\n$$\n\nMore."
    assert markdown("Example:\n    >>> 1\n    1\n") == "Examples:\n    >>> 1\n    1"
    assert markdown("Shapes:\n    (B, D),\n    (B,).\n\nArgs:\n    x: 1.\n") == (
        "**Shapes:**\n\n(B, D),\n(B,).\n\nArgs:\n    x: 1."
    )
    assert markdown("See ``docs/from_pml.md``.") == 'See <a href="../from_pml.html">From pml</a>.'
    assert markdown("arXiv 2207.04873.") == "[arXiv 2207.04873](https://arxiv.org/abs/2207.04873)."
    assert markdown(":class:`~pml_suprank.losses.SupAPLoss`", "pml_suprank.miners") == (
        '<autoref identifier="pml_suprank.losses.SupAPLoss" optional><code>SupAPLoss</code></autoref>'
    )


def test_names_and_pages_in_docstrings_are_links(site):
    text = (site / "reference" / "losses.html").read_text()
    assert "autoref " not in text
    assert re.search(r'href="?#pml_suprank\.losses\.SupHAPLoss', text)
    pages = set(re.findall(r'href="?\.\./([\w.]+html)', text))
    assert "leaderboard.html" in pages
    assert [page for page in pages if not (site / page).exists()] == []


def test_optional_pages_may_be_missing(tmp_path):
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    hooks = tool("site_hooks")
    (tmp_path / "index.md").touch()
    nav = [{"Start": "index.md"}, {"Results": [{"Leaderboard": "leaderboard.md"}]}]
    assert hooks._present(nav, tmp_path) == [{"Start": "index.md"}]
    (tmp_path / "leaderboard.md").touch()
    assert hooks._present(nav, tmp_path) == nav
    assert hooks._present([{"Lost": "lost.md"}], tmp_path) == [{"Lost": "lost.md"}]

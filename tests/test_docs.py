"""Every example in a docstring and every code block of the Markdown pages runs."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import pml_suprank

ROOT = Path(__file__).parents[1]
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
MODULES = sorted(
    module.name for module in pkgutil.walk_packages(pml_suprank.__path__, "pml_suprank.")
)
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page, language):
    return [code for name, code in BLOCK.findall(page.read_text()) if name == language]


@pytest.mark.parametrize("name", MODULES)
def test_doctests(name):
    if name.endswith("__main__"):
        pytest.skip("a script")
    result = doctest.testmod(importlib.import_module(name), optionflags=OPTIONS)
    assert result.failed == 0


def test_there_are_doctests():
    finder = doctest.DocTestFinder()
    modules = [importlib.import_module(name) for name in MODULES if not name.endswith("__main__")]
    examples = [test.examples for module in modules for test in finder.find(module)]
    assert sum(map(len, examples)) > 50


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_run_top_to_bottom(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__page__"}
    for number, code in enumerate(blocks(page, "python")):
        exec(compile(code, f"{page.name}[{number}]", "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_shell_blocks_name_what_exists(page):
    makefile = (ROOT / "Makefile").read_text()
    for code in blocks(page, "bash"):
        for line in code.splitlines():
            words = line.split("#")[0].split()
            if words[:1] == ["make"]:
                assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE), line
            if "-m" in words and words[words.index("-m") + 1].startswith("pml_suprank"):
                importlib.import_module(words[words.index("-m") + 1])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not target.startswith(("http:", "https:")):
            assert (page.parent / target).exists(), target


def test_readme_has_code_to_run():
    assert len(blocks(ROOT / "README.md", "python")) >= 5

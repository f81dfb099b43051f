"""Every example in a docstring and every code block of the Markdown pages runs."""

import argparse
import contextlib
import doctest
import importlib
import pkgutil
import re
import shlex

import pytest

pytest.importorskip("timm", reason="needs the recipes extra")
pytest.importorskip("matplotlib", reason="needs the recipes extra")

import pml_suprank
from pml_suprank.recipes import __main__ as suprank
from pml_suprank.recipes.command_line.runs import SettingsParser
from tests.pages import ROOT, blocks, run_python, shown_outputs

OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
MODULES = sorted(
    module.name for module in pkgutil.walk_packages(pml_suprank.__path__, "pml_suprank.")
)
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "studies/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


class Parsed(Exception):
    """A command line was parsed; nothing has run."""


def command_lines(page):
    """Commands of the bash blocks, and of the text blocks after a prompt, split as a shell does."""
    found = [line for code in blocks(page, "bash") for line in joined(code)]
    shown = [line for code in blocks(page, "text") for line in joined(code)]
    found += [line[2:] for line in shown if line.startswith("$ ")]
    return [words for line in found if (words := shlex.split(line, comments=True))]


def joined(code):
    return code.replace("\\\n", " ").splitlines()


@pytest.fixture
def parse_only(monkeypatch):
    """Recipes stop once their command line is parsed; finetune once its settings are read."""

    def stopping(parse):
        def parse_args(self, args=None, namespace=None):
            parse(self, args, namespace)
            raise Parsed

        return parse_args

    def parse_words(words):
        if words[0] == "finetune":
            whole_run = importlib.import_module("pml_suprank.recipes.engine.whole_run")
            monkeypatch.setattr(whole_run, "check_settings", lambda *_: None)
            assert suprank.main([*words, "--check"]) == 0
            return
        with monkeypatch.context() as patched:
            for parser in (argparse.ArgumentParser, SettingsParser):
                patched.setattr(parser, "parse_args", stopping(parser.parse_args))
            with pytest.raises(Parsed):
                suprank.main(words)

    return parse_words


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


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_python_blocks_run_top_to_bottom(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_python(page)


@pytest.mark.parametrize(
    ("code", "right"),
    [
        ("print(1 + 1, 'a')  # 2 a", True),
        ("print(\n    1,\n)  # 1", True),
        ("for _ in range(2):\n    print(1)  # 1", True),
        ("print(1 + 1)", True),
        ("print(1 + 1)  # 3", False),
        ("print(1 + 1)  # two", False),
        ("if False:\n    print(1)  # 1", False),
    ],
)
def test_shown_output_is_compared(code, right, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"```python\n{code}\n```\n")
    with contextlib.nullcontext() if right else pytest.raises(AssertionError, match="shows"):
        run_python(page)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_name_what_exists(page, parse_only):
    makefile = (ROOT / "Makefile").read_text()
    for words in command_lines(page):
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE), words
        if words[0] == "suprank":
            parse_only(words[1:])
        if "-m" in words and words[words.index("-m") + 1].startswith("pml_suprank"):
            importlib.import_module(words[words.index("-m") + 1])


@pytest.mark.parametrize("name", suprank.RECIPES)
def test_commands_in_the_text_of_a_recipe(name, parse_only):
    text = importlib.import_module(f"pml_suprank.recipes.commands.{name.replace('-', '_')}").__doc__
    for line in re.findall(r"^ +suprank (.*)$", text, re.MULTILINE):
        parse_only(shlex.split(line))


def test_a_wrong_command_is_noticed(parse_only):
    for wrong in ("report --no-such-option", "finetune --output x --training.epoch 3", "nothing"):
        with pytest.raises((SystemExit, AssertionError, pytest.fail.Exception)):
            parse_only(wrong.split())


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith(("http:", "https:")):
            assert (page.parent / target).exists(), target


def test_readme_is_short_and_shows_what_its_code_prints():
    readme = ROOT / "README.md"
    lines = readme.read_text().splitlines()
    assert len(lines) <= 120
    assert [line for line in lines if len(line) > 120] == []
    assert any(shown_outputs(code) for code in blocks(readme, "python"))

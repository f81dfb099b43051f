"""Who imports whom, and what importing the package costs."""

import ast
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import pml_suprank

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pml_suprank"
LAYERS = [
    "checks",
    "deprecated",
    "missing",
    "hierarchy",
    "relevance",
    "whitening",
    "samplers",
    "functional",
    "pml_version",
    "pml",
    "metrics",
    "decomposability",
    "losses",
    "miners",
    "accuracy_calculator",
    "testers",
]
NEW_MODULES = """
import sys
import numpy, torch, pytorch_metric_learning.losses
before = {{name.partition(".")[0] for name in sys.modules}}
import {module}
after = {{name.partition(".")[0] for name in sys.modules}}
print(" ".join(sorted(after - before - set(sys.stdlib_module_names))))
"""


def new_modules(module):
    """Return the top-level packages that importing a module loads beyond torch, PML and NumPy."""
    result = subprocess.run(
        [sys.executable, "-c", NEW_MODULES.format(module=module)],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(result.stdout.split())


def test_importing_the_core_loads_torch_pml_and_numpy_only():
    assert new_modules("pml_suprank") == {"pml_suprank"}
    parts = ("functional", "losses", "metrics", "miners", "relevance", "samplers")
    assert new_modules(", ".join(f"pml_suprank.{part}" for part in parts)) == {"pml_suprank"}


def test_testers_are_loaded_when_asked_for():
    code = "import pml_suprank, sys; assert 'faiss' not in sys.modules; pml_suprank.testers"
    code += "; pml_suprank.AccuracyCalculator; assert 'testers' in dir(pml_suprank)"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        pml_suprank.nothing  # noqa: B018


def test_the_check_above_can_fail():
    assert "timm" in new_modules("pml_suprank.integrations.timm_backbones")


def imported_names(tree, package):
    """Yield the dotted names that a module imports, within functions too.

    Args:
        tree: of the module.
        package: names of the package that the module is in.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) + 1 - node.level]) if node.level else []
            names = [*base, *(node.module.split(".") if node.module else [])]
            yield from ([*names, alias.name] for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".") for alias in node.names)


def imported_layers(path):
    """Yield the layers of the library that a file imports."""
    package = path.relative_to(ROOT).parent.parts
    for target in imported_names(ast.parse(path.read_text()), package):
        if target[0] == "pml_suprank" and len(target) > 1:
            yield target[1]


FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_from_layers_above_its_own(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    allowed = LAYERS[: LAYERS.index(own) + 1]
    assert set(imported_layers(path)) <= set(allowed)


def imports_of(sources):
    """Return which modules each imports, of those given.

    ``from package import name`` imports the module of that name, or else the package. What is imported for the type
    checker alone counts too, but in a package's ``__init__``, whose names are loaded when asked for.

    Args:
        sources: the text of each module by its dotted name, of a package under "name.__init__".
    """
    modules = {name.removesuffix(".__init__") for name in sources}
    found = {}
    for name, text in sources.items():
        *package, last = name.split(".")
        tree = ast.parse(text)
        if last == "__init__":
            tree.body = [node for node in tree.body if not isinstance(node, ast.If)]
        targets = {".".join(target) for target in imported_names(tree, package)}
        targets = {t if t in modules else t.rpartition(".")[0] for t in targets}
        own = name.removesuffix(".__init__")
        found[own] = (targets & modules) - {own}
    return found


def circle_in(sources):
    """Return modules each of which imports the next, the last of which is the first; none where there is no circle."""
    try:
        TopologicalSorter(imports_of(sources)).prepare()
    except CycleError as error:
        return error.args[1][::-1]
    return []


def test_no_circle_of_imports():
    folders = {"": PACKAGE, ".integrations": ROOT / "integrations", ".recipes": ROOT / "recipes"}
    sources = {
        ".".join(("pml_suprank" + name, *path.relative_to(folder).with_suffix("").parts)): (
            path.read_text()
        )
        for name, folder in folders.items()
        for path in folder.rglob("*.py")
    }
    assert len(sources) > 100
    circle = circle_in(sources)
    assert not circle, " -> ".join(circle)


@pytest.mark.parametrize(
    "text",
    [
        "import p.b",
        "from p import b",
        "from p.b import name",
        "from .b import name",
        "from . import b",
        "def f():\n    from p.b import name",
        "if TYPE_CHECKING:\n    from p.b import Name",
    ],
)
def test_a_circle_is_found(text):
    assert circle_in({"p.a": text, "p.b": "import torch"}) == []
    circle = circle_in({"p.a": text, "p.b": "from p.c import x", "p.c": "from p import a"})
    assert sorted(circle[1:]) == ["p.a", "p.b", "p.c"]
    assert circle_in({"p.a": text, "p.b": "from p import x", "p.__init__": "from p.a import x"})


def test_every_layer_exists():
    found = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES}
    assert found == set(LAYERS)


def test_the_library_does_not_know_its_recipes():
    for path in [*PACKAGE.rglob("*.py"), *(ROOT / "integrations").rglob("*.py")]:
        assert "recipes" not in set(imported_layers(path))


def imports_studies(path):
    """Whether a file imports what is not installed."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names = [node.module]
        else:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if "studies" in {name.partition(".")[0] for name in names}:
            return True
    return False


def test_only_the_tests_of_the_studies_and_the_site_know_the_studies():
    assert imports_studies(ROOT / "studies" / "compare.py")
    assert imports_studies(ROOT / "docs" / "_tools" / "leaderboard_tables.py")
    own = (ROOT / "tests" / "studies",)
    folders = ("pml_suprank", "integrations", "recipes", "benchmarks", "tests")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert [p for p in paths if imports_studies(p) and not set(own) & set(p.parents)] == []


def test_what_only_studies_need_is_no_extra():
    extras = (ROOT / "pyproject.toml").read_text()
    lines = (ROOT / "studies" / "requirements.txt").read_text().splitlines()
    needed = [re.match(r"[\w-]+", line)[0] for line in lines if not line.startswith("#")]
    assert len(needed) == len(set(needed)) > 80
    assert [name for name in needed if name in extras] == []


def test_every_package_is_in_the_wheel():
    folders = {"": PACKAGE, "integrations": ROOT / "integrations", "recipes": ROOT / "recipes"}
    found = {
        ".".join(("pml_suprank", *filter(None, (name, *path.parent.relative_to(folder).parts))))
        for name, folder in folders.items()
        for path in folder.rglob("__init__.py")
    }
    listed = re.search(
        r"^packages = \[(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.M | re.S
    )
    assert found == set(re.findall(r'"([\w.]+)"', listed[1]))

"""Who imports whom, and what importing the package costs."""

import ast
import re
import subprocess
import sys
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


def imported_layers(path):
    """Yield the layers of the library that a file imports."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = list(parts[: len(parts) - node.level]) if node.level else []
            names = [*base, *(node.module.split(".") if node.module else [])]
            targets = [[*names, alias.name] for alias in node.names]
        elif isinstance(node, ast.Import):
            targets = [alias.name.split(".") for alias in node.names]
        else:
            continue
        for target in targets:
            if target[0] == "pml_suprank" and len(target) > 1:
                yield target[1]


FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_from_layers_above_its_own(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    allowed = LAYERS[: LAYERS.index(own) + 1]
    assert set(imported_layers(path)) <= set(allowed)


def test_every_layer_exists():
    found = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES}
    assert found == set(LAYERS)


def test_the_library_does_not_know_its_recipes():
    for path in [*PACKAGE.rglob("*.py"), *(ROOT / "integrations").rglob("*.py")]:
        assert "recipes" not in set(imported_layers(path))


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

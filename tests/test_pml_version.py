"""What works without PyTorch Metric Learning, or beside a version of it that this library does not know."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import pytorch_metric_learning

import pml_suprank
from pml_suprank import losses, miners, samplers, testers
from pml_suprank.pml_version import PML_VERSIONS

ROOT = Path(__file__).parents[1]
WITHOUT_PML = "import sys; sys.modules['pytorch_metric_learning'] = None\n"
PARTS = ("functional", "hierarchy", "metrics", "relevance", "samplers", "decomposability_gap")


def run(code, *, path=None):
    """Run code in a new process, with a folder in front of all others."""
    first = "" if path is None else f"import sys; sys.path.insert(0, {str(path)!r})\n"
    command = [sys.executable, "-c", first + code]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("part", PARTS)
def test_labels_samplers_functions_and_metrics_need_no_pml(part):
    result = run(f"{WITHOUT_PML}import pml_suprank\npml_suprank.{part}")
    assert result.returncode == 0, result.stderr


def test_an_evaluation_needs_no_pml():
    code = (
        f"{WITHOUT_PML}import torch\nfrom pml_suprank import metrics\n"
        "found = metrics.evaluate(torch.eye(4), torch.tensor([0, 0, 1, 1]))\n"
        "print(len(found))"
    )
    result = run(code)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("part", ["losses", "miners", "testers", "AccuracyCalculator"])
@pytest.mark.parametrize("version", ["3.0.0", "3.1.2rc1", "2.5.0"])
def test_another_version_of_pml_is_an_import_error_that_names_both(tmp_path, part, version):
    package = tmp_path / "pytorch_metric_learning"
    package.mkdir()
    (package / "__init__.py").write_text("")  # without the modules that version 3 removed
    metadata = tmp_path / f"pytorch_metric_learning-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: pytorch-metric-learning\nVersion: {version}\n"
    )
    result = run(f"import pml_suprank\npml_suprank.{part}", path=tmp_path)
    error = result.stderr.strip().splitlines()[-1]
    assert error.startswith(
        f"ImportError: pml-suprank {pml_suprank.__version__} wants "
        f"pytorch-metric-learning {PML_VERSIONS}, found {version}."
    )
    assert f'pip install "pytorch-metric-learning{PML_VERSIONS}"' in error


def test_the_versions_are_those_that_are_installed_and_declared():
    assert f'"pytorch-metric-learning{PML_VERSIONS}"' in (ROOT / "pyproject.toml").read_text()
    assert re.match(r"2\.", pytorch_metric_learning.__version__)


def test_the_page_has_the_lower_bounds_that_are_declared():
    project = (ROOT / "pyproject.toml").read_text()
    page = (ROOT / "docs/pml_versions.md").read_text()
    rows = re.findall(r"^\| [^|]+ \| (\S*) *\| (\S+) \| (\d[^|]*) \|$", page, re.MULTILINE)
    shown = {package.strip("`") or "python": lowest for package, lowest, _ in rows}
    declared = {
        package: re.search(rf'"{re.escape(package)}>=([\d.]+)', project)[1]
        for package in ("torch", "pytorch-metric-learning", "timm", "open-clip-torch")
    }
    declared["python"] = re.search(r'requires-python = ">=([\d.]+)', project)[1]
    assert shown == declared


def test_pml_is_imported_in_one_place():
    folders = (ROOT / "pml_suprank", ROOT / "recipes", ROOT / "integrations")
    importing = set()
    for path in (path for folder in folders for path in folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.partition(".")[0] == "pytorch_metric_learning" for name in names):
                importing.add(path.relative_to(ROOT).as_posix())
    assert importing == {"pml_suprank/pml.py"}


def test_every_name_that_is_taken_from_pml_is_on_the_page():
    page = (ROOT / "docs/pml_versions.md").read_text()
    tree = ast.parse((ROOT / "pml_suprank/pml.py").read_text())
    taken = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module.startswith("pytorch_metric_learning")
        for alias in node.names
    }
    assert len(taken) > 20
    assert [name for name in sorted(taken) if f"`{name}`" not in page] == []


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (losses, "TripletMarginLoss"),
        (miners, "TripletMarginMiner"),
        (samplers, "MPerClassSampler"),
        (testers, "GlobalTwoStreamEmbeddingSpaceTester"),
    ],
)
def test_a_class_of_pml_is_not_here_and_the_error_says_where_it_is(module, name):
    theirs = module.__name__.replace("pml_suprank", "pytorch_metric_learning")
    with pytest.raises(AttributeError, match=re.escape(f"`from {theirs} import {name}`")):
        getattr(module, name)
    assert not hasattr(module, name)
    with pytest.raises(AttributeError) as caught:
        module.Nothing  # noqa: B018
    assert str(caught.value) == f"module {module.__name__!r} has no attribute 'Nothing'"
    with pytest.raises(ImportError, match=re.escape(f"`from {theirs} import {name}`")):
        exec(f"from {module.__name__} import {name}")
    with pytest.raises(ImportError, match="cannot import name 'Nothing'"):
        exec(f"from {module.__name__} import Nothing")


def test_a_module_of_pml_is_not_here_and_the_error_says_where_it_is():
    with pytest.raises(AttributeError, match="`from pytorch_metric_learning import distances`"):
        pml_suprank.distances  # noqa: B018
    with pytest.raises(ImportError, match="`from pytorch_metric_learning import distances`"):
        from pml_suprank import distances  # noqa: F401

"""The wheel, in an environment of its own without extras."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow

USE_A_LOSS = """
import torch
from pml_suprank import Hierarchy, losses

tree = Hierarchy.from_paths(["animal/dog", "animal/cat", "plant/oak"])
loss = losses.SupHAPLoss(hierarchy=tree)(torch.randn(12, 4), torch.arange(12) % 3)
print("loss", torch.isfinite(loss).item())
"""
NO_EXTRAS = """
import importlib
for name in ("integrations.timm_backbones", "recipes.commands.quickstart"):
    try:
        importlib.import_module("pml_suprank." + name)
    except ImportError as error:
        print(name, "|", error)
    else:
        print(name, "| imported")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT], check=True)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_one_package_and_all_of_it(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"pml_suprank"}
    folders = {"": "pml_suprank", "integrations/": "integrations", "recipes/": "recipes"}
    for inside, outside in folders.items():
        for path in (ROOT / outside).rglob("*.py"):
            assert f"pml_suprank/{inside}{path.relative_to(ROOT / outside)}" in names
    assert "pml_suprank/py.typed" in names
    for path in (ROOT / "recipes/pages/templates").iterdir():
        assert f"pml_suprank/recipes/pages/templates/{path.name}" in names
    assert not any("/tests/" in name or "/test_" in name for name in names)


@pytest.fixture(scope="module")
def clean_python(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", wheel], check=True)
    yield python
    subprocess.run([sys.executable, "-c", f"import shutil; shutil.rmtree({str(folder)!r})"])


def run(python, code, folder):
    result = subprocess.run(
        [python, "-W", "ignore", "-c", code], cwd=folder, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_a_loss_works_from_another_folder(clean_python, tmp_path):
    assert run(clean_python, USE_A_LOSS, tmp_path).split() == ["loss", "True"]


def test_optional_parts_say_which_extra_they_need(clean_python, tmp_path):
    lines = run(clean_python, NO_EXTRAS, tmp_path).splitlines()
    assert len(lines) == 2
    assert 'pip install "pml-suprank[timm]"' in lines[0]
    assert 'pip install "pml-suprank[' in lines[1]

"""What is published: the wheel, in an environment of its own without extras, the sdist, and what is said about both."""

import datetime
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from email.parser import Parser
from importlib.metadata import distribution
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import pml_suprank

if sys.version_info >= (3, 11):
    import tomllib
else:  # pytest brings it there
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NO_BOUNDS = ("lint", "test", "dev")  # extras that nobody installs but with a clone

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
import sys
for name in ("integrations.timm_backbones",):
    try:
        importlib.import_module("pml_suprank." + name)
    except ImportError as error:
        print(name, "|", error)
    else:
        print(name, "| imported")
from pml_suprank.recipes.__main__ import main
sys.stderr = sys.stdout
main(["quickstart", "--output", "never"])
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with the sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--outdir", folder, ROOT], check=True)
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    (path,) = built.glob("*.whl")
    return path


def test_an_index_would_take_both(built):
    pytest.importorskip("twine", reason="needs the extra test")
    files = sorted(built.iterdir())
    assert [path.suffix for path in files] == [".whl", ".gz"]
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *files], check=True)


def test_the_sdist_holds_what_the_wheel_is_built_from(built):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as file:
        names = {name.partition("/")[2].partition("/")[0] for name in file.getnames()} - {""}
    said = {"CHANGELOG.md", "CITATION.cff", "LICENSE", "README.md"}
    made = {"MANIFEST.in", "PKG-INFO", "pml_suprank.egg-info", "pyproject.toml", "setup.cfg"}
    assert names == said | made | {"integrations", "pml_suprank", "recipes"}
    assert path.stat().st_size < 2**20


def test_one_version_everywhere():
    version = PROJECT["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    newest = re.search(r"^## (\d\S*) - (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert pml_suprank.__version__ == citation["version"] == newest[1] == version
    assert citation["date-released"] == datetime.date.fromisoformat(newest[2])
    assert f"pml-suprank {version} wants" in (ROOT / "docs/pml_versions.md").read_text()


def test_the_paper_is_cited_as_in_the_readme():
    paper = yaml.safe_load((ROOT / "CITATION.cff").read_text())["preferred-citation"]
    kind, _, number = paper["identifiers"][0]["value"].partition(":")
    assert (kind, number) == ("arXiv", "2309.08250")
    first = paper["authors"][0]["family-names"]
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert f"{first} et al., *{paper['title']}*" in readme
    assert f"https://arxiv.org/abs/{number}" in readme


def test_pictures_of_the_readme_say_what_they_show():
    """An index has no pictures of a relative path, and shows the text in place of them."""
    assert all(
        text.strip() for text in re.findall(r"!\[(.*?)\]\(", (ROOT / "README.md").read_text())
    )


def lowest_versions(project):
    """What ``tests/oldest.txt`` has to hold: every dependency at its lower bound.

    Raises:
        AssertionError: a dependency has none.
    """
    extras = project["optional-dependencies"].items()
    lines = [*project["dependencies"]]
    lines += [line for extra, needed in extras if extra not in NO_BOUNDS for line in needed]
    found = set()
    for requirement in map(Requirement, lines):
        if requirement.name != project["name"]:
            bounds = [part.version for part in requirement.specifier if part.operator == ">="]
            assert len(bounds) == 1, f"{requirement}: wanted a lower bound"
            found.add(f"{requirement.name}=={bounds[0]}")
    return sorted(found)


def test_the_oldest_versions_are_the_lower_bounds():
    lines = (ROOT / "tests/oldest.txt").read_text().splitlines()
    assert sorted(line for line in lines if not line.startswith("#")) == lowest_versions(PROJECT)


def test_a_dependency_without_a_lower_bound_is_noticed():
    with pytest.raises(AssertionError, match="faiss-cpu: wanted a lower bound"):
        lowest_versions(PROJECT | {"dependencies": ["faiss-cpu"]})


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


def needed(wheel):
    """The distributions that installing the wheel brings, itself left out, by what their metadata say."""
    (name,) = (n for n in zipfile.ZipFile(wheel).namelist() if n.endswith(".dist-info/METADATA"))
    metadata = Parser().parsestr(zipfile.ZipFile(wheel).read(name).decode())
    wanted, found = [(line, "") for line in metadata.get_all("Requires-Dist")], {}
    while wanted:
        line, extra = wanted.pop()
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is not None and not marker.evaluate({"extra": extra}):
            continue
        for part in ("", *requirement.extras):
            if (requirement.name, part) not in found:
                found[requirement.name, part] = distribution(requirement.name)
                wanted += [(line, part) for line in found[requirement.name, part].requires or []]
    return {item.metadata["Name"]: item for item in found.values()}.values()


@pytest.fixture(scope="module")
def clean_python(wheel, tmp_path_factory):
    """Python with the wheel and what it needs; the latter are links to what is installed here, not copies."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=False)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    where = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.run(where, capture_output=True, text=True, check=True).stdout.strip())
    zipfile.ZipFile(wheel).extractall(site)
    for item in needed(wheel):
        for top in {file.parts[0] for file in item.files or ()} - {".."}:
            link = site / top
            if not link.exists():
                link.symlink_to(item.locate_file(top))
    return python


def run(python, code, folder):
    result = subprocess.run(
        [python, "-W", "ignore", "-c", code], cwd=folder, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_nothing_else_is_there(clean_python, tmp_path):
    code = "import importlib.util; print(*(importlib.util.find_spec(n) is None for n in ('timm', 'PIL', 'torch')))"
    assert run(clean_python, code, tmp_path).split() == ["True", "True", "False"]


def test_a_loss_works_from_another_folder(clean_python, tmp_path):
    assert run(clean_python, USE_A_LOSS, tmp_path).split() == ["loss", "True"]


def test_optional_parts_say_which_extra_they_need(clean_python, tmp_path):
    lines = run(clean_python, NO_EXTRAS, tmp_path).splitlines()
    assert len(lines) == 2
    assert 'pip install "pml-suprank[timm]"' in lines[0]
    assert lines[1].startswith("suprank quickstart: ")
    assert 'pip install "pml-suprank[' in lines[1]

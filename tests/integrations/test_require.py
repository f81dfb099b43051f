"""What a user sees when an optional library is missing."""

import importlib
import subprocess
import sys

import pytest

from pml_suprank.integrations import package_folder, require


@pytest.fixture
def without_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if timm were not installed: None in sys.modules makes its import fail."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "timm"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.delitem(sys.modules, "pml_suprank.integrations.timm_backbones", raising=False)


@pytest.mark.usefixtures("without_timm")
def test_missing_library_names_the_extra() -> None:
    with pytest.raises(
        ImportError, match=r'timm is not installed; run: pip install "pml-suprank\[timm\]"'
    ):
        importlib.import_module("pml_suprank.integrations.timm_backbones")


def test_missing_submodule_of_an_installed_library_counts_as_missing_library() -> None:
    with pytest.raises(ImportError, match=r"pml-suprank\[timm\]"):
        require("torch.no_such_part", extra="timm")


def test_an_error_inside_the_library_is_not_hidden(tmp_path, monkeypatch) -> None:
    (tmp_path / "half_installed.py").write_text("import something_it_needs\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="something_it_needs"):
        require("half_installed", extra="timm")


def test_package_folder() -> None:
    assert (package_folder("torch", extra="timm") / "nn").is_dir()
    with pytest.raises(ImportError, match=r'no_such is not .*"pml-suprank\[quickstart\]"'):
        package_folder("no_such", extra="quickstart")


def test_unknown_integration_is_an_ordinary_import_error() -> None:
    with pytest.raises(ImportError, match="cannot import name 'no_such_integration'"):
        from pml_suprank.integrations import no_such_integration  # noqa: F401


def test_the_core_imports_no_optional_library() -> None:
    code = (
        "import sys, pml_suprank, pml_suprank.integrations\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(loaded & {'timm', 'matplotlib', 'open_clip', 'faiss', 'networkx'}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

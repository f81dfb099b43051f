from pathlib import Path

import pytest

from pml_suprank.recipes.data.registry import LOADERS, load
from tests.recipes.data.trees import picture


def test_load_by_name(tmp_path: Path) -> None:
    picture(tmp_path / "train/dog/a.png")
    assert len(load("folder", tmp_path, "train", return_index=True)[0]) == 3
    assert load("folder", tmp_path).hierarchy.num_levels == 2  # its own default: no split
    with pytest.raises(ValueError, match="name: wanted one of 'folder', 'table', .*, got 'sopp'"):
        load("sopp", tmp_path)


PACKAGED = {"emoji"}  # drawn from pip packages, into any folder


@pytest.mark.parametrize("name", [name for name in LOADERS if name not in PACKAGED])
def test_a_missing_root_is_named(name: str, tmp_path: Path) -> None:
    options = {"levels": ["a"]} if name == "table" else {}
    with pytest.raises(FileNotFoundError, match=r"root: wanted the folder .*, got '.*nothing'"):
        load(name, tmp_path / "nothing", **options)

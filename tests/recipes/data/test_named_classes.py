"""Flat class folders and tables in the groups of a hierarchy file, found by the names of the classes."""

import logging
from pathlib import Path

import pytest

from pml_suprank.hierarchy import HierarchyError
from pml_suprank.recipes.data.folder import load_folder
from pml_suprank.recipes.data.named_classes import find_places
from pml_suprank.recipes.data.table import load_table
from pml_suprank.recipes.engine.run_paths import resolved
from pml_suprank.recipes.engine.settings import DataSettings, Settings
from tests.recipes.data.trees import names, picture, write

ROWS = ["7,barn owl,bird,animal", "3,husky,dog,animal", "5,12,oak,plant", "9,,,(no group) moss"]
LEVELS = ("class", "kind", "realm")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "h.csv", "\n".join(["class_id,class,kind,realm", *ROWS]) + "\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("Barn_owl", "husky", "12", "moss"):
        for index in range(2):
            picture(tmp_path / "photos/all" / name / f"{index}.png")
    return tmp_path / "photos"


def test_class_folders(folder: Path, file: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = load_folder(folder / "all", hierarchy=file)
    assert data.hierarchy.level_names == LEVELS
    assert data.hierarchy.class_names == (
        "plant/oak/12",
        "animal/bird/barn owl",
        "animal/dog/husky",
        "(no group) moss",
    )
    assert [path.parent.name for path in data.paths[::2]] == ["12", "Barn_owl", "husky", "moss"]
    assert [names(data, i)[2] for i in (0, 2, 4)] == ["plant", "animal", "animal"]
    assert not caplog.records


def test_class_ids(tmp_path: Path, file: Path) -> None:
    for name in ("7", "3"):
        picture(tmp_path / "ids" / name / "0.png")
    data = load_folder(tmp_path / "ids", hierarchy=file)
    assert data.hierarchy.class_names == ("animal/dog/husky", "animal/bird/barn owl")
    # a name comes before an id of the same digits
    assert find_places(file, ["12", "husky"]).chains["12"] == ("plant", "oak", "12")
    with pytest.raises(HierarchyError, match="got none for 1: '7'"):
        find_places(file, ["7", "husky"])  # names and ids are not mixed


def test_a_split_has_some_of_the_classes(folder: Path, file: Path, caplog) -> None:
    picture(folder / "train/husky/0.png")
    with caplog.at_level(logging.WARNING):
        data = load_folder(folder, "train", hierarchy=file)
        assert data.hierarchy.class_names == ("animal/dog/husky",)
        assert not caplog.records
        load_folder(folder / "train", hierarchy=file)
    assert "3 of 4 classes have no image: 'barn owl', '12', 'moss'" in caplog.text


def test_short_branches_alone(file: Path) -> None:
    assert find_places(file, ["moss"]) == ({"moss": ("(no group) moss",)}, ("realm",))


def test_a_table(folder: Path, file: Path) -> None:
    rows = [f"all/{name}/0.png,{name},note" for name in ("Barn_owl", "husky")]
    write(folder / "images.csv", "\n".join(["path,label,text", *rows]) + "\n")
    data = load_table(folder, levels=["label"], hierarchy=file, caption_column="text")
    assert data.hierarchy.level_names == LEVELS
    assert names(data, 0) == ("barn owl", "bird", "animal")
    assert data.captions == ("note", "note")
    with pytest.raises(ValueError, match=r"levels: wanted one column with hierarchy, .* got"):
        load_table(folder, levels=["label", "text"], hierarchy=file)


def test_all_that_is_wrong_is_told_with_the_nearest_names(folder: Path, file: Path) -> None:
    (folder / "all/husky").rename(folder / "all/huskie")
    (folder / "all/moss").rename(folder / "all/qqq")
    with pytest.raises(HierarchyError) as error:
        load_folder(folder / "all", hierarchy=file)
    assert str(error.value) == (
        f"{file}: wanted one row for each of the 4 classes of the images, got none for 2: 'huskie' (nearest: 'husky'), "
        "'qqq'; rows without images: 'husky', 'moss'"
    )


def test_names_that_are_not_one(tmp_path: Path, file: Path) -> None:
    with pytest.raises(HierarchyError, match="one label for each class, got 'husky' and 'Husky'"):
        find_places(file, ["husky", "Husky"])
    twice = write(tmp_path / "twice.csv", "class,kind\nmouse,animal\nmouse,device\n")
    with pytest.raises(HierarchyError, match=r"got none for 1: 'mouse' \(twice in the file\)"):
        find_places(twice, ["mouse"])


def test_other_errors(folder: Path, file: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="hierarchy: wanted a CSV file, got '.*nothing'"):
        load_folder(folder / "all", hierarchy=tmp_path / "nothing")
    with pytest.raises(HierarchyError, match="hierarchy: wanted the path of a CSV file, got 3"):
        load_folder(folder / "all", hierarchy=3)  # type: ignore[arg-type]
    classes = write(
        tmp_path / "classes.csv", "class_id,name,kind,source,confidence\n1,a,b,name,1\n"
    )
    with pytest.raises(HierarchyError, match=r"as in the hierarchy.csv .* got \['source', 'conf"):
        load_folder(folder / "all", hierarchy=classes)
    with pytest.raises(ValueError, match="level_names: wanted none with hierarchy"):
        load_folder(folder / "all", hierarchy=file, level_names=LEVELS)
    with pytest.raises(HierarchyError, match="wanted class folders directly below .*, got 'all/12"):
        load_folder(folder, hierarchy=file)


def test_the_path_is_kept_whole_in_a_run() -> None:
    settings = Settings(data=DataSettings(options={"hierarchy": "work/h.csv"}))
    assert resolved(settings, "/home/me").data.options["hierarchy"] == "/home/me/work/h.csv"

import json
from pathlib import Path

import pytest

from pml_suprank.recipes.data.inaturalist import RANKS, load_inaturalist
from tests.recipes.data.trees import names, picture, write

BASE = ["Animalia", "Chordata"]
CATEGORIES = [
    ["7", "Aves", *BASE, "Aves", "Anseriformes", "Anatidae", "Anas"],
    ["12", "Aves", *BASE, "Aves", "Anseriformes", "Anatidae", "Anas"],
    ["30", "Mammalia", *BASE, "Mammalia", "Carnivora", "Felidae", "Felis"],
    ["41", "Plantae", "Plantae", "Tracheophyta", "Liliopsida", "Poales", "Poaceae", ""],
]
TRAIN, TEST = ["7", "30"], ["12", "41"]
FOLDER = {row[0]: row[1] for row in CATEGORIES}


def path_of(species: str, index: int) -> str:
    return f"train_val2018/{FOLDER[species]}/{species}/{index:032x}.jpg"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for split, species in (("train", TRAIN), ("test", TEST)):
        paths = [path_of(one, index) for one in species for index in range(2)]
        text = "\n".join(paths) + "\n"
        write(tmp_path / f"Inat_dataset_splits/Inaturalist_{split}_set1.txt", text)
        for path in paths:
            picture(tmp_path / path)
    categories = [
        {"id": int(number), "name": f"s{number}", "supercategory": group}
        | dict(zip(RANKS, ranks, strict=True))
        for number, group, *ranks in CATEGORIES
    ]
    for name, index in (("train2018", 0), ("val2018", 1)):
        images = [{"id": int(one), "file_name": path_of(one, index)} for one in FOLDER]
        content = {"images": images, "annotations": [], "categories": categories}
        write(tmp_path / f"{name}.json", json.dumps(content))
    return tmp_path


def test_base(root: Path) -> None:
    train, test = load_inaturalist(root), load_inaturalist(root, "test")
    assert train.hierarchy.level_names == ("species", "super_category")
    assert [names(train, i) for i in (0, 2)] == [("7", "Aves"), ("30", "Mammalia")]
    assert [names(test, i) for i in (0, 2)] == [("12", "Aves"), ("41", "Plantae")]
    assert not set(train.hierarchy.node_names(0)) & set(test.hierarchy.node_names(0))
    both = load_inaturalist(root, "all")
    assert both.paths == train.paths + test.paths
    assert both.labels[:, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert both.labels[:, 1].tolist() == [0, 0, 1, 1, 0, 0, 2, 2]
    assert train[0][0].size == (6, 4)


def test_full(root: Path) -> None:
    data = load_inaturalist(root, "all", levels="full")
    assert data.hierarchy.level_names == ("species", *reversed(RANKS))
    felis = ("30", "Felis", "Felidae", "Carnivora", "Mammalia", "Chordata", "Animalia")
    assert names(data, 2) == felis
    assert names(data, 6)[1] == "(no genus)"
    shared = data.hierarchy.common_levels(data.labels[[0]], data.labels[[0, 2, 4, 6]])
    assert shared.tolist() == [[7, 2, 6, 0]]
    (root / "train2018.json").rename(root / "old.json")
    assert load_inaturalist(root, "all", levels="full").hierarchy == data.hierarchy  # val2018


def test_splits_of_the_competition(root: Path) -> None:
    train, valid = (load_inaturalist(root, split) for split in ("train2018", "val2018"))
    assert not set(train.paths) & set(valid.paths)
    assert train.hierarchy == valid.hierarchy
    assert train.hierarchy.num_classes == 4


def test_errors(root: Path) -> None:
    with pytest.raises(ValueError, match="levels: wanted one of 'base', 'full', got 'all'"):
        load_inaturalist(root, levels="all")
    content = json.loads((root / "train2018.json").read_text())
    write(root / "categories.json", json.dumps(content["categories"][1:]))
    with pytest.raises(ValueError, match=r"wanted the category of every species, not of \['7'\]"):
        load_inaturalist(root, levels="full")
    del content["categories"][0]["genus"]
    write(root / "categories.json", json.dumps(content["categories"]))
    with pytest.raises(ValueError, match=r"got some without \['genus'\]"):
        load_inaturalist(root, levels="full")
    write(root / "train2018.json", "{")
    with pytest.raises(ValueError, match=r"train2018.json: wanted JSON, got"):
        load_inaturalist(root, "train2018")
    write(root / "val2018.json", "{}")
    with pytest.raises(ValueError, match=r"val2018.json: wanted a list of images, got none"):
        load_inaturalist(root, "val2018")
    lists = root / "Inat_dataset_splits"
    write(lists / "Inaturalist_train_set1.txt", "a/b.jpg\n")
    with pytest.raises(ValueError, match=r"wanted paths .*, got 'a/b.jpg'"):
        load_inaturalist(root)
    (lists / "Inaturalist_test_set1.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"wanted '.*Inaturalist_test_set1.txt', got no"):
        load_inaturalist(root, "test")

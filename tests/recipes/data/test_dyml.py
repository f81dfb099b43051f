from pathlib import Path

import pytest

from pml_suprank.recipes.data.dyml import load_dyml
from tests.recipes.data.trees import names, picture, write

LABELS = "fname, coarse_id, middle_id, fine_id"
TRAIN = ["0.jpg, 0, 4, 17", "1.jpg, 0, 4, 17", "2.jpg, 0, 5, 3", "3.jpg, 2, 9, 8"]


def lay_out(root: Path, glue: str) -> Path:
    """A data set with the test sets of all three; ``glue`` is between header and first row."""
    write(root / "train/label.csv", LABELS + glue + "\n".join(TRAIN) + "\n")
    write(root / "mini-bmk_all_in_one/label.csv", LABELS + glue + "0.jpg, 0, 1, 90\n")
    picture(root / "mini-bmk_all_in_one/imgs/0.jpg")
    for index in range(4):
        picture(root / f"train/imgs/{index}.jpg")
    for number, level in enumerate(("fine", "middle", "coarse")):
        for role, labels in (("query", [11, number]), ("gallery", [number, 11, 2, 30])):
            rows = [f"{index}.jpg, {label}" for index, label in enumerate(labels)]
            text = "fname, labels" + glue + "\n".join(rows) + "\n"
            write(root / f"bmk_{level}/{role}.csv", text)
            for index in range(len(labels)):
                picture(root / f"bmk_{level}/{role}/{index}.jpg")
    return root


@pytest.fixture(params=["", "\n"], ids=["as published", "with a line break"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return lay_out(tmp_path / "dyml_animal", request.param)


def test_train(root: Path) -> None:
    data = load_dyml(root)
    assert data.hierarchy.level_names == ("fine", "middle", "coarse")
    assert [names(data, i) for i in range(4)] == [
        *[("17", "4", "0")] * 2,
        ("3", "5", "0"),
        ("8", "9", "2"),
    ]
    assert data.labels.tolist() == [[0, 0, 0], [0, 0, 0], [1, 1, 0], [2, 2, 1]]
    assert data.paths[0] == root / "train/imgs/0.jpg"
    assert data[3][0].size == (6, 4)


@pytest.mark.parametrize("level", ["fine", "middle", "coarse"])
def test_query_and_gallery(root: Path, level: str) -> None:
    query, gallery = (load_dyml(root, f"{role}_{level}") for role in ("query", "gallery"))
    assert query.hierarchy == gallery.hierarchy
    assert query.hierarchy.level_names == (level,)
    assert (len(query), len(gallery)) == (2, 4)
    assert int(query.labels[0]) == int(gallery.labels[1])
    assert int(query.labels[1]) == int(gallery.labels[0])
    assert names(query, 0) == ("11",)
    assert not set(query.paths) & set(gallery.paths)


def test_products(root: Path) -> None:
    data = load_dyml(root, "test")
    assert names(data, 0) == ("90", "1", "0")
    assert data.paths == (root / "mini-bmk_all_in_one/imgs/0.jpg",)


def test_errors(root: Path) -> None:
    with pytest.raises(ValueError, match="split: wanted one of 'train', 'test', 'query_fine', "):
        load_dyml(root, "query")
    write(root / "train/label.csv", LABELS + "0.jpg, 1, 2\n")
    with pytest.raises(
        ValueError, match="label.csv: wanted 4 cells in every line, got '0.jpg, 1, 2"
    ):
        load_dyml(root)
    write(root / "train/label.csv", "0.jpg, 1, 2, 3\n")
    with pytest.raises(ValueError, match="wanted a header that starts with 'fname', got '0.jpg, 1"):
        load_dyml(root)
    (root / "bmk_fine/gallery.csv").unlink()
    for split in ("query_fine", "gallery_fine"):
        with pytest.raises(FileNotFoundError, match=r"root: wanted '.*bmk_fine/gallery.csv', got"):
            load_dyml(root, split)

from pathlib import Path

import pandas
import pytest

from pml_suprank.hierarchy import Hierarchy, HierarchyError
from pml_suprank.recipes.data.folder import load_folder
from pml_suprank.recipes.data.table import load_table
from tests.recipes.data.trees import names, picture, write

LEVELS = ("species", "kind")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split in ("train", "test"):
        for name in ("animal/dog/husky", "animal/dog/pug", "animal/cat", "plant/oak"):
            for index in range(2):
                picture(tmp_path / split / name / f"{index}.PNG")
    write(tmp_path / "train/animal/cat/notes.txt", "no image")
    write(tmp_path / "train/animal/cat/.hidden.png", "no image")
    return tmp_path


def test_folder(folder: Path) -> None:
    data = load_folder(folder, "train", level_names=("breed", "species", "kingdom"))
    assert data.hierarchy == Hierarchy.from_folder(
        folder / "train", level_names=("breed", "species", "kingdom")
    )
    assert len(data) == 8
    assert list(data.paths) == sorted(data.paths)
    assert names(data, 2) == ("husky", "dog", "animal")
    assert names(data, 0) == ("cat", "cat", "animal")  # a short branch
    assert data.paths[2] == folder / "train/animal/dog/husky/0.PNG"
    assert len(data[2]) == 2
    assert load_folder(folder / "test", return_index=True)[7][2] == 7


def test_folder_errors(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"root: wanted '.*/valid', got no such file"):
        load_folder(folder, "valid")
    with pytest.raises(FileNotFoundError, match=r"root: wanted the folder .*, got '.*nothing'"):
        load_folder(folder / "nothing")
    picture(folder / "train/plant/stray.png")
    with pytest.raises(HierarchyError, match="stray.png"):
        load_folder(folder, "train")


ROWS = [
    ("a.png", "husky", "dog", "train"),
    ("b.png", "pug", "dog", "train"),
    ("c.png", "husky", "dog", "test"),
    ("d.png", "", "oak", "train"),
    ("e.png", "husky", "cat", "train"),
]


@pytest.fixture(params=["images.csv", "images.tsv", "images.parquet"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> dict:
    for row in ROWS:
        picture(tmp_path / "images" / row[0])
    rows = [("images/" + row[0], *row[1:]) for row in ROWS]
    frame = pandas.DataFrame(rows, columns=["path", "species", "kind", "split"])
    file = tmp_path / request.param
    if file.suffix == ".parquet":
        pytest.importorskip("pyarrow", reason="does not load", exc_type=ImportError)
        frame.replace("", None).to_parquet(file)
        return {"root": tmp_path, "table": file.name}
    delimiter = "\t" if file.suffix == ".tsv" else ","
    frame.to_csv(file, index=False, sep=delimiter)
    return {"root": tmp_path, "table": file.name, "delimiter": delimiter}


def test_table(table: dict) -> None:
    data = load_table(**table, levels=LEVELS)
    assert [path.name for path in data.paths] == [row[0] for row in ROWS]
    assert data.hierarchy.level_names == LEVELS
    assert data.hierarchy.num_classes == 4  # husky the dog, pug, oak, husky the cat
    assert [names(data, i) for i in (0, 3)] == [("husky", "dog"), ("oak", "oak")]
    assert data.labels.tolist() == [[0, 0], [1, 0], [0, 0], [2, 1], [3, 2]]
    train = load_table(**table, split="train", levels=LEVELS)
    assert [path.name for path in train.paths] == ["a.png", "b.png", "d.png", "e.png"]
    assert len(load_table(**table, split="test", levels=["kind"])[0][1]) == 1


def test_a_column_of_captions(table: dict) -> None:
    data = load_table(**table, levels=LEVELS, split="train", caption_column="kind")
    assert data.captions == tuple(row[2] for row in ROWS if row[3] == "train")
    assert load_table(**table, levels=LEVELS).captions is None


def test_table_errors(table: dict) -> None:
    root = table["root"]
    with pytest.raises(ValueError, match=r"images\..*: wanted the columns \['genus'\], got \["):
        load_table(**table, levels=["species", "genus"])
    with pytest.raises(ValueError, match="wanted at least one image of the split, got none"):
        load_table(**table, split="valid", levels=LEVELS)
    with pytest.raises(ValueError, match="levels: wanted at least one column"):
        load_table(**table, levels=[])
    with pytest.raises(ValueError, match="row 4: wanted a path and empty cells at the finest"):
        load_table(**table, levels=["kind", "species"])
    with pytest.raises(FileNotFoundError, match=r"root: wanted '.*/other.csv', got no such file"):
        load_table(root, table="other.csv", levels=LEVELS)
    (root / "images/a.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"wanted the images that it lists, got .*a\.png"):
        load_table(**table, levels=LEVELS)


def test_numbers_of_a_parquet_table_are_names(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="does not load", exc_type=ImportError)
    picture(tmp_path / "a.png")
    frame = pandas.DataFrame({"path": ["a.png"] * 3, "fine": [7, None, 12], "coarse": [1, 2, 3]})
    frame.to_parquet(tmp_path / "t.parquet")
    data = load_table(tmp_path, table="t.parquet", levels=["fine", "coarse"])
    assert [names(data, i) for i in range(3)] == [("7", "1"), ("2", "2"), ("12", "3")]
    frame.assign(fine=0.5).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(ValueError, match="wanted text or whole numbers in 'fine', got 0.5"):
        load_table(tmp_path, table="t.parquet", levels=["fine", "coarse"])


def test_a_short_row_is_named(tmp_path: Path) -> None:
    write(tmp_path / "images.csv", "path,species,kind\na.png,pug,dog\nb.png,pug\n")
    with pytest.raises(ValueError, match=r"images.csv, line 3: wanted 3 cells, got 2"):
        load_table(tmp_path, levels=LEVELS)

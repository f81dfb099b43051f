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
    frame.to_csv(file, index=False, sep="\t" if file.suffix == ".tsv" else ",")
    return {"root": tmp_path, "table": file.name}


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
    with pytest.raises(
        ValueError, match="got none of 'valid' in 'split', which has 'train', 'test'"
    ):
        load_table(**table, split="valid", levels=LEVELS)
    with pytest.raises(ValueError, match="levels: wanted at least one column"):
        load_table(**table, levels=[])
    row = "row 4" if table["table"].endswith("parquet") else "line 5"
    with pytest.raises(ValueError, match=rf"images\..*, {row}: wanted empty cells at the finest"):
        load_table(**table, levels=["kind", "species"])
    with pytest.raises(ValueError, match=r"nearest to 'kinds': 'kind'"):
        load_table(**table, levels=["kinds"])
    with pytest.raises(ValueError, match=r"levels: wanted different columns"):
        load_table(**table, levels=["kind", "kind"])
    with pytest.raises(FileNotFoundError, match=r"root: wanted '.*/other.csv', got no such file"):
        load_table(root, table="other.csv", levels=LEVELS)
    (root / "images/b.png").unlink()
    (root / "images/e.png").unlink()
    row = "row 2" if table["table"].endswith("parquet") else "line 3"
    with pytest.raises(
        FileNotFoundError, match=rf"got no file for 2 of 5: '.*b\.png' \({row}\), '.*e\.png'"
    ):
        load_table(**table, levels=LEVELS)
    assert len(load_table(**table, levels=LEVELS, split="test")) == 1


def test_numbers_of_a_parquet_table_are_names(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="does not load", exc_type=ImportError)
    for name in "abc":
        picture(tmp_path / f"{name}.png")
    frame = pandas.DataFrame(
        {"path": ["a.png", "b.png", "c.png"], "fine": [7, None, 12], "coarse": [1, 2, 3]}
    )
    frame.to_parquet(tmp_path / "t.parquet")
    data = load_table(tmp_path, table="t.parquet", levels=["fine", "coarse"])
    assert [names(data, i) for i in range(3)] == [("7", "1"), ("2", "2"), ("12", "3")]
    frame.assign(fine=0.5).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(ValueError, match="row 1: wanted text or whole numbers in 'fine', got 0.5"):
        load_table(tmp_path, table="t.parquet", levels=["fine", "coarse"])


def test_a_short_row_is_named(tmp_path: Path) -> None:
    write(tmp_path / "images.csv", "path,species,kind\na.png,pug,dog\nb.png,pug\n")
    with pytest.raises(ValueError, match=r"images.csv, line 3: wanted 3 cells, got 2"):
        load_table(tmp_path, levels=LEVELS)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "latin-1"])
def test_delimiters_and_encodings(tmp_path: Path, delimiter: str, encoding: str) -> None:
    picture(tmp_path / "größe.png")
    picture(tmp_path / "b.png")
    rows = [("path", "Größe", "Gruppe"), ("größe.png", "groß", "Maß"), ("b.png", "klein", "Maß")]
    text = "\n".join(delimiter.join(row) for row in rows) + "\n"
    (tmp_path / "images.csv").write_bytes(text.encode(encoding))
    data = load_table(tmp_path, levels=["Größe", "Gruppe"])
    assert [names(data, i) for i in (0, 1)] == [("groß", "Maß"), ("klein", "Maß")]
    assert data.paths[0].name == "größe.png"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,species,kind\na.png,pug,dog\nb.png,pug,dog,\n", "line 3: wanted 3 cells, got 4"),
        ("path,species,kind\na.png,pug,\n", r"line 2: wanted empty cells at the finest.*'pug', ''"),
        ("path,species,kind\na.png,,\n", "line 2: wanted empty cells at the finest levels only"),
        ("path,species,kind\n,pug,dog\n", "line 2: wanted a path in 'path', got an empty cell"),
        (
            "path;species;kinds\na.png;pug;dog\n",
            "separated by semicolons; nearest to 'kind': 'kinds'",
        ),
        (
            "path,species,kind,kind\na.png,pug,dog,x\n",
            r"wanted each column once, got \['kind'\] twice",
        ),
        ('path,species,kind\na.png,pug,"dog\n', "line 2: wanted CSV, got unexpected end of data"),
        ("path,species,kind\n", "wanted at least one image of the split, got none"),
        ("", r"images.csv: wanted the columns \['path', 'species', 'kind'\], got \[\]"),
        (
            "path,species,kind\na.png,dog,husky\nb.png,dog,pug\n",
            "got 'dog' of 'species' under 'husky', 'pug' of 'kind'.* Are the levels reversed",
        ),
    ],
)
def test_what_is_wrong_with_a_table(tmp_path: Path, text: str, message: str) -> None:
    for name in ("a.png", "b.png"):
        picture(tmp_path / name)
    write(tmp_path / "images.csv", text)
    with pytest.raises(ValueError, match=message) as caught:
        load_table(tmp_path, levels=LEVELS)
    assert "images.csv" in str(caught.value)


def test_names_that_repeat_below_every_parent(tmp_path: Path) -> None:
    rows = [f"{hand}{side}.png,{side},{hand}" for hand in "abc" for side in ("left", "right")]
    for row in rows:
        picture(tmp_path / row.partition(",")[0])
    write(tmp_path / "images.csv", "\n".join(["path,species,kind", *rows]))
    with pytest.raises(ValueError, match="'left' of 'species' under 'a', 'b', 'c' of 'kind'"):
        load_table(tmp_path, levels=LEVELS)
    assert load_table(tmp_path, levels=LEVELS, repeated_names=True).hierarchy.num_classes == 6


def test_files_that_are_listed_twice(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in "abc":
        picture(tmp_path / f"{name}.png")
    rows = ["path,species", "a.png,pug", "b.png,husky", "./a.png,pug", "c.png,pug"]
    write(tmp_path / "images.csv", "\n".join(rows))
    for policy in ("warn", "refuse"):
        with pytest.raises(ValueError, match=r"got 1 twice, 0 of .*a.png' in line 2 and line 4"):
            load_table(tmp_path, levels=["species"], duplicates=policy)
    once = load_table(tmp_path, levels=["species"], duplicates="drop")
    assert [path.name for path in once.paths] == ["a.png", "b.png", "c.png"]
    assert "1 rows left out, of 1 images that are listed twice" in caplog.text
    write(tmp_path / "images.csv", "\n".join([*rows, "b.png,beagle"]))
    with pytest.raises(ValueError, match=r"got 2 twice, 1 of them in two classes, such as .*b.png"):
        load_table(tmp_path, levels=["species"])
    once = load_table(tmp_path, levels=["species"], duplicates="drop")
    assert [path.name for path in once.paths] == ["a.png", "c.png"]
    with pytest.raises(ValueError, match="duplicates: wanted one of warn, drop, refuse, got 'no'"):
        load_table(tmp_path, levels=["species"], duplicates="no")


def test_a_name_with_a_slash_stays_one_name(tmp_path: Path) -> None:
    for name in "ab":
        picture(tmp_path / f"{name}.png")
    write(tmp_path / "images.csv", "path,band,genre\na.png,AC/DC,rock\nb.png,DC,rock/AC\n")
    data = load_table(tmp_path, levels=["band", "genre"])
    assert data.hierarchy.class_names == (r"rock/AC\/DC", r"rock\/AC/DC")
    assert names(data, 0) == ("AC/DC", "rock")


def test_empty_lines_before_the_header(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    for start in ("\n", "\n  \r\n", "\nsep=,\n"):
        write(tmp_path / "images.csv", f"{start}path,species,kind\na.png,pug,dog\n")
        assert names(load_table(tmp_path, levels=LEVELS), 0) == ("pug", "dog")
    write(tmp_path / "images.csv", "\n\npath,species,kind\na.png,pug\n")
    with pytest.raises(ValueError, match=r"images.csv, line 4: wanted 3 cells"):
        load_table(tmp_path, levels=LEVELS)


def test_paths_that_were_written_on_windows(tmp_path: Path) -> None:
    picture(tmp_path / "dogs/a.png")
    picture(tmp_path / "dogs\\b.png")  # a name with a backslash is possible elsewhere
    rows = "dogs\\a.png,pug,dog\ndogs\\b.png,pug,dog\n"
    write(tmp_path / "images.csv", f"path,species,kind\n{rows}")
    data = load_table(tmp_path, levels=LEVELS)
    assert [path.name for path in data.paths] == ["a.png", "dogs\\b.png"]


def test_a_class_in_an_error_is_written_as_in_class_names(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    write(tmp_path / "images.csv", "path,band,genre\na.png,AC/DC,rock\na.png,AC/DC,rock\n")
    with pytest.raises(ValueError, match=r"'rock/AC\\\\/DC'"):
        load_table(tmp_path, levels=["band", "genre"])


def test_a_folder_may_end_with_a_backslash(tmp_path: Path) -> None:
    picture(tmp_path / "a\\/b/1.png")
    picture(tmp_path / "a/c/1.png")
    data = load_folder(tmp_path)
    assert [names(data, i) for i in (0, 1)] == [("c", "a"), ("b", "a\\")]

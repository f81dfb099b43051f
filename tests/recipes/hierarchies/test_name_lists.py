"""Names that come as a list, without class ids."""

import csv
from pathlib import Path

import pytest
from PIL import Image

from pml_suprank import Hierarchy
from pml_suprank.recipes.commands.build_hierarchy import main
from pml_suprank.recipes.hierarchies.names import spoken
from pml_suprank.recipes.hierarchies.proposal import parse_levels

NAMES = ["red fox", "gray fox", "oak tree", "elm tree"]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("list.txt", "red fox\ngray_fox\n\noak tree\nelm  tree\n"),
        ("list.csv", "red fox\ngray fox\noak tree\nelm tree"),
        ("list.csv", "name\nred fox\ngray fox\n\noak tree\nelm tree\n"),
        ("list.txt", '\ufeffname\n"red fox"\ngray fox\noak tree\nelm tree\n'),
        ("list", "\nred fox\r\ngray fox\r\noak tree\r\nelm tree\r\n"),
    ],
)
def test_a_list_is_numbered(tmp_path: Path, file: str, text: str, capsys) -> None:
    (tmp_path / file).write_text(text, encoding="utf-8", newline="")
    work = tmp_path / "work"
    words = ["names", str(work), str(tmp_path / file)]
    assert main(words) == 0
    told = "4 classes, 4 distinct names, 0 classes without one"
    assert capsys.readouterr().out == (
        f"{told}; a list from 'red fox' to 'elm tree', numbered from 0\n"
    )
    rows = [f"{number},{name}\n" for number, name in enumerate(NAMES)]
    assert (work / "names.csv").read_text() == "class_id,name\n" + "".join(rows)
    assert main(words) == 0
    assert capsys.readouterr().out == f"nothing to do: {told}\n"


def test_names_may_hold_commas(tmp_path: Path) -> None:
    """In a text file, and in quotes in a CSV file."""
    for file, quote in (("a.txt", ""), ("a.csv", '"')):
        text = "".join(f"{quote}{name}, wild{quote}\n" for name in NAMES)
        (tmp_path / file).write_text(text)
        assert main(["names", str(tmp_path / file[-3:]), str(tmp_path / file)]) == 0
        rows = (tmp_path / file[-3:] / "names.csv").read_text().splitlines()
        assert rows[1:] == [f'{number},"{name}, wild"' for number, name in enumerate(NAMES)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fox\noak\n\nfox\n", "line 4: wanted each name once in a list without class ids, got 'fox' again, of line 1"),
        ("class_id\n1\n2\n", "wanted the columns ['name'], got ['class_id']"),
        ("a,b\n1,2\n", "wanted the columns ['class_id', 'name'], got ['a', 'b']"),
        ("name\n", "wanted a class with a name in 'name', got none"),
    ],
)  # fmt: skip
def test_what_is_no_list(tmp_path: Path, text: str, message: str, capsys) -> None:
    (tmp_path / "list.csv").write_text(text)
    assert main(["names", str(tmp_path / "work"), str(tmp_path / "list.csv")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "work").exists()


def test_what_is_no_text(tmp_path: Path, capsys) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "list.png")
    for source, message in (("list.png", "wanted "), ("", "wanted a CSV file, got a folder")):
        assert main(["names", str(tmp_path / "work"), str(tmp_path / source)]) == 2
        assert f"{tmp_path / source}" in (told := capsys.readouterr().err)
        assert message in told
        assert not (tmp_path / "work").exists()


def test_landmark_files_on_request(tmp_path: Path, capsys) -> None:
    (tmp_path / "list.txt").write_text("\n".join(NAMES))
    work = tmp_path / "work"
    levels = ["--levels", "kind=3", "realm=2", "--encoder", "bag-of-words"]
    for step in (["names", str(work), str(tmp_path / "list.txt")], ["propose", str(work), *levels],
                 ["review", str(work)], ["write", str(work)]):  # fmt: skip
        assert main(step) == 0
    assert not (work / "label_to_hierarchical.csv").exists()
    tree = Hierarchy.from_csv(work / "hierarchy.csv", class_id_column="class_id")
    assert tree.node_names(0) == tuple(NAMES)
    assert main(["write", str(work), "--landmarks"]) == 0
    assert (work / "label_to_hierarchical.csv").read_text().count("\n") == 5
    assert main(["write", str(work)]) == 0
    assert not (work / "label_to_hierarchical.csv").exists()  # of the earlier run
    levels = ["--levels", "kind=3", "--encoder", "bag-of-words"]
    assert main(["propose", str(work), *levels]) == main(["review", str(work)]) == 0
    assert main(["write", str(work), "--landmarks"]) == 2
    assert "landmarks: wanted two levels at least" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("fire truck", "fire truck"),
        ("Fire_Truck", "fire truck"),
        ("fire-truck", "fire truck"),
        ("FireTruck", "fire truck"),
        ("HTTPServer", "http server"),
        ("TV", "tv"),
        ("001.Black_footed Albatross", "black footed albatross"),
        ("07 oak", "oak"),
        ("3 - oak", "oak"),
        ("Boeing 737", "boeing 737"),
        ("101 Dalmatians", "101 dalmatians"),
        ("737-800", "737 800"),
        ("42", "42"),
        ("lion's tooth", "lion's tooth"),
        ("été", "été"),
        ("!", "!"),
    ],
)
def test_names_as_they_are_spoken(name: str, said: str) -> None:
    assert spoken(name) == said


def test_numbers_of_groups() -> None:
    assert parse_levels(["kind=9", "realm=3"]) == {"kind": 9, "realm": 3}
    assert parse_levels(["kind=9", "realm=2-4", "all=auto"]) == {
        "kind": 9,
        "realm": range(2, 5),
        "all": None,
    }
    for text in ("kind=5-4", "kind=0", "kind=-3", "kind=Auto", "kind=2-", "=auto"):
        with pytest.raises(ValueError, match="levels: wanted name=number of groups, got"):
            parse_levels([text])


def test_propose_chooses(tmp_path: Path, capsys) -> None:
    names = [f"{word} {number}" for number in range(6) for word in ("fox", "oak", "car", "hat")]
    (tmp_path / "list.txt").write_text("\n".join(names))
    work = tmp_path / "work"
    assert main(["names", str(work), str(tmp_path / "list.txt")]) == 0
    words = ["propose", str(work), "--encoder", "bag-of-words", "--levels"]
    assert main([*words, "kind=auto"]) == 0
    assert "24 names in 4 of 'kind'" in capsys.readouterr().out
    assert main([*words, "kind=auto"]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert main([*words, "kind=5-8", "--variance", "0.9", "--linkage", "average"]) == 0
    assert "nothing to do" not in capsys.readouterr().out
    with (work / "review.csv").open(newline="") as file:
        head, *cells = csv.reader(file)
    assert head == ["name", "classes", "kind", "doubt", "nearest"]
    assert len({row[2] for row in cells}) >= 5
    assert cells == sorted(cells, key=lambda row: (row[2], -float(row[3]), row[0]))

"""The steps of build-hierarchy, from files to files."""

import csv
import json
from pathlib import Path

import pandas as pd
import pytest

from pml_suprank import Hierarchy
from pml_suprank.recipes.commands.build_hierarchy import main
from pml_suprank.recipes.data.layout import read_table
from pml_suprank.recipes.files import write_csv
from pml_suprank.recipes.hierarchies.work_folder import WorkFolder, digest
from tests.recipes.hierarchies.worlds import KINDS, World
from tests.recipes.hostile import Page

LEVELS = ["kind=4", "kingdom=2"]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "world")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"


def run(step: str, work: Path, *options: object) -> int:
    return main([step, str(work), *map(str, options)])


def steps(world: World, work: Path, last: str = "write") -> None:
    commands = {
        "names": (world.classes,),
        "propose": ("--levels", *LEVELS, "--encoder", world.text),
        "review": (),
        "classify": (
            *(world.images, "--root", world.root, "--encoder", world.pictures),
            *("--against", "images", "--rule", "knn"),
        ),
        "vote": (),
        "write": ("--landmarks",),
    }
    for step, options in commands.items():
        assert run(step, work, *options) == 0
        if step == last:
            return


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def edit(path: Path, changes: dict[str, dict[str, str]], key: str = "name") -> None:
    table = rows(path)
    write_csv(path, [row | changes.get(row[key], {}) for row in table])


def fails(capsys: pytest.CaptureFixture, step: str, work: Path, *options: object) -> str:
    assert run(step, work, *options) == 2
    return capsys.readouterr().err


def test_all_steps(world: World, work: Path, capsys: pytest.CaptureFixture) -> None:
    steps(world, work)
    told = capsys.readouterr().out
    assert "13 classes, 8 distinct names, 3 classes without one" in told
    assert (
        "5 images of 2 classes without a name; cannot be read: 0; classes without an image: 1"
        in told
    )
    assert "1 classes accepted, 1 for review, 1 without images" in told
    assert "10 by its name, 1 by the vote of its images, 2 have none" in told
    tree = Hierarchy.from_csv(work / "hierarchy.csv", class_id_column="class_id")
    assert tree.level_names == ("class", "kind", "kingdom")
    assert [len(tree.node_names(level)) for level in range(3)] == [11, 4, 2]
    own = {int(c): KINDS.get(n, ("", "")) for c, n in world.names.items()}
    own |= {8: ("dog", "animal"), 9: ("oak", "plant"), 11: ("oak", "plant")}
    for one in tree.class_ids.tolist():
        for other in tree.class_ids.tolist():
            same = (
                3
                if one == other
                else sum(a == b for a, b in zip(own[one], own[other], strict=True))
            )
            assert int(tree.common_levels([one], [other])) == same
    assert set(tree.node_names(1)) == {"dog", "cat", "rose", "oak"}  # one word tells each
    landmarks = rows(work / "label_to_hierarchical.csv")
    columns = ["landmark_id", "supercategory", "hierarchical_label", "natural_or_human_made"]
    table = dict((c, rest) for c, *rest in read_table(work / "label_to_hierarchical.csv", columns))
    assert table["0"][:2] == ["dog husky", "dog"]
    assert table["13"] == ["", "", ""]
    assert list(landmarks[0])[1] == "category"
    found = {row["class_id"]: row for row in rows(work / "classes.csv")}
    assert (found["11"]["source"], found["11"]["confidence"]) == ("images", "1.0")
    assert (found["12"]["source"], found["12"]["kind"]) == ("none", "")
    report = json.loads((work / "report.json").read_text())
    assert report["sources"] == {"name": 10, "images": 1, "person": 0, "none": 2}
    for page in ("review.html", "uncertain.html", "report.html"):
        text = (work / page).read_text()
        assert text.startswith("<!DOCTYPE html>")
        Page(text)  # well formed, and no script but ours


def test_a_person_decides(world: World, work: Path, capsys: pytest.CaptureFixture) -> None:
    steps(world, work, "vote")
    sheet = work / "uncertain.csv"
    assert {r["class_id"]: r["status"] for r in rows(sheet)} == {"12": "review", "13": "no images"}
    edit(sheet, {"12": {"decision": "dog"}}, "class_id")
    assert run("write", work) == 0
    found = {row["class_id"]: row for row in rows(work / "classes.csv")}
    assert (found["12"]["source"], found["12"]["kind"]) == ("person", "dog")
    assert run("vote", work, "--min-images", 4) == 0  # all three go back; the decision stays
    assert {r["class_id"]: r["decision"] for r in rows(sheet)} == {"11": "", "12": "dog", "13": ""}
    edit(sheet, {"13": {"decision": "horse"}}, "class_id")
    assert "wanted decisions for known classes and groups" in fails(capsys, "write", work)
    with sheet.open("a") as file:
        file.write("12,,,,,,,cat\n")
    assert "wanted one decision for class '12', got 'dog' and 'cat'" in fails(capsys, "write", work)


def test_review(world: World, work: Path, capsys: pytest.CaptureFixture) -> None:
    steps(world, work, "propose")
    sheet = work / "review.csv"
    kingdom = {row["kind"]: row["kingdom"] for row in rows(sheet)}
    edit(
        sheet,
        {
            "dog pug": {"kind": "oak"},  # the coarser cell follows
            "rose tea": {"kind": "flower"},
            "rose damask": {"kind": "flower"},  # renamed
            "cat tabby": {"kind": "", "kingdom": ""},  # dropped
        },
    )
    assert run("review", work) == 0
    told = capsys.readouterr().out
    assert "7 names in 4 of 'kind', 2 of 'kingdom'; 1 names dropped" in told
    assert "moved: 'dog pug' from kind 'dog' to 'oak'" in told
    assert f"moved: 'dog pug' from kingdom {kingdom['dog']!r} to {kingdom['oak']!r}" in told
    assert "renamed: kind 'rose' is 'flower'" in told
    assert "dropped: 'cat tabby'" in told
    groups = {row["name"]: (row["kind"], row["kingdom"]) for row in rows(work / "groups.csv")}
    assert groups["dog pug"] == ("oak", kingdom["oak"])
    assert groups["cat tabby"] == ("", "")
    files = [work / "groups.csv", work / "changes.csv"]
    before = [digest(file) for file in files]
    assert run("review", work) == 0
    assert capsys.readouterr().out == told.rpartition("review.csv\n")[2]
    assert [digest(file) for file in files] == before
    assert len(rows(work / "changes.csv")) == 6
    # the classes of a dropped name count as nameless
    assert run("write", work) == 0
    assert {r["class_id"]: r["source"] for r in rows(work / "classes.csv")}["2"] == "none"


def test_merging_a_group(world: World, work: Path, capsys: pytest.CaptureFixture) -> None:
    steps(world, work, "propose")
    edit(work / "review.csv", {"cat tabby": {"kind": "dog"}, "cat manx": {"kind": "dog"}})
    assert run("review", work) == 0
    assert "merged: kind 'cat' is 'dog'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dog pug": {"kingdom": ""}}, "wanted a group of 'dog pug' at all levels, or at none"),
        ({"dog pug": {"name": "dog"}}, "wanted a name of the proposal, got 'dog'"),
        ({"dog pug": {"name": "dog husky", "kind": "cat"}}, "wanted 'dog husky' in one group, got"),
        ({"dog pug": {"name": "dog husky"}}, "wanted a row for 'dog pug', got none"),
        ({"dog pug": {"kingdom": "pets"}}, "wanted the kind 'dog' in one kingdom, got "),
    ],
)
def test_conflicts(world: World, work: Path, capsys, change: dict, message: str) -> None:
    steps(world, work, "propose")
    edit(work / "review.csv", change)
    error = fails(capsys, "review", work)
    assert message in error
    assert "conflicts" in error
    assert not (work / "groups.csv").exists()


def test_all_conflicts_are_told_at_once(world: World, work: Path, capsys) -> None:
    steps(world, work, "propose")
    edit(work / "review.csv", {"dog pug": {"kingdom": ""}, "oak red": {"name": "elm"}})
    assert "review.csv: 3 conflicts" in fails(capsys, "review", work)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,kind\nx,y\n", r"wanted the columns ['kingdom'], got ['name', 'kind']"),
        ("name,kind,kingdom\nx,y\n", "line 2: wanted 3 cells, got 2"),
        ('name,kind,kingdom\n"x,y,z\n', "wanted CSV, got"),
        ("name,kind,kind,kingdom\n", "wanted each column once, got ['kind'] twice"),
        ("", "wanted the columns"),
    ],
)
def test_malformed_review(world: World, work: Path, capsys, text: str, message: str) -> None:
    steps(world, work, "propose")
    (work / "review.csv").write_text(text)
    assert message in fails(capsys, "review", work)
    (work / "review.csv").write_bytes(b"name,kind,kingdom\n\xff\xfe,a,b\n")
    assert "wanted a row for" in fails(capsys, "review", work)  # read as Latin-1
    (work / "review.csv").unlink()
    assert "wanted a CSV file, got no such file" in fails(capsys, "review", work)


def test_edits_are_not_overwritten(world: World, work: Path, capsys) -> None:
    steps(world, work, "propose")
    edit(work / "review.csv", {"dog pug": {"kind": "cat"}})
    edited = digest(work / "review.csv")
    other = ("--levels", "kind=3", "--encoder", world.text)
    assert "holds edits; pass --overwrite" in fails(capsys, "propose", work, *other)
    assert digest(work / "review.csv") == edited
    assert run("propose", work, "--levels", *LEVELS, "--encoder", world.text) == 0  # the same
    assert digest(work / "review.csv") == edited
    assert run("propose", work, *other, "--overwrite") == 0
    assert digest(work / "review.csv") == digest(work / "proposal.csv")


def test_steps_know_what_they_were_made_from(world: World, work: Path, capsys) -> None:
    assert "wanted the files of the step 'propose'; run it first" in fails(capsys, "review", work)
    steps(world, work)
    edit(work / "review.csv", {"dog pug": {"kind": "cat"}})
    error = fails(capsys, "write", work)
    assert "review.csv: changed since the step 'review'; run that step again" in error
    assert run("review", work) == 0
    assert "groups.csv: changed since the step 'vote'" in fails(capsys, "write", work)
    (work / "names.csv").unlink()
    options = ("--levels", "kind=3", "--encoder", world.text)
    assert "names.csv: is gone since the step 'names'" in fails(capsys, "propose", work, *options)
    (work / "steps.json").write_text("[")
    assert "wanted the record of the steps" in fails(capsys, "review", work)


@pytest.mark.parametrize("seed", range(12))
def test_interrupted_anywhere(
    world: World, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """The write of one file fails; the same commands again give the same files as an unbroken run."""
    steps(world, tmp_path / "unbroken")
    from pml_suprank.integrations import whole_files

    real, count = whole_files.os.replace, 0

    def replace(source: object, target: object) -> None:
        nonlocal count
        count += 1
        if count == seed + 1:
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(whole_files.os, "replace", replace)
    for _ in range(2):
        try:
            steps(world, work)
        except AssertionError:  # the exit status 130
            continue
    assert count > seed
    names = {p.name for p in (tmp_path / "unbroken").iterdir()}
    assert {p.name for p in work.iterdir()} == names
    for name in names:
        assert digest(work / name) == digest(tmp_path / "unbroken" / name), name


def test_done_steps_are_not_done_again(world: World, work: Path, monkeypatch, capsys) -> None:
    steps(world, work)
    from pml_suprank.recipes.hierarchies import classify, proposal

    def never(*_: object, **__: object) -> None:
        raise AssertionError("done again")

    monkeypatch.setattr(proposal, "encode_names", never)
    monkeypatch.setattr(classify, "stored_features", never)
    steps(world, work)
    with pytest.raises(AssertionError, match="done again"):
        run("propose", work, "--levels", "kind=3", "--encoder", world.text, "--overwrite")


def test_given_labels(world: World, work: Path, tmp_path: Path, capsys) -> None:
    steps(world, work, "vote")
    given = tmp_path / "given.csv"
    table = [
        {"class_id": c, "kind": KINDS[n][0], "realm": KINDS[n][1]}
        for c, n in world.names.items()
        if n in KINDS
    ]
    write_csv(given, [*table, {"class_id": "11", "kind": "oak", "realm": "plant"}])
    assert run("write", work, "--given", given) == 0
    report = json.loads((work / "report.json").read_text())["agreement"]
    assert [(r["level"], r["given"], r["classes"], r["count"], r["AMI"]) for r in report] == [
        ("kind", "kind", "all", 9, 1.0),
        ("kind", "kind", "images", 1, 1.0),
        ("kind", "kind", "name", 8, 1.0),
        ("kingdom", "realm", "all", 9, 1.0),
        ("kingdom", "realm", "images", 1, 1.0),
        ("kingdom", "realm", "name", 8, 1.0),
    ]
    write_csv(given, [*table, table[0] | {"kind": "cat"}])
    assert "wanted one set of labels for class '0'" in fails(
        capsys, "write", work, "--given", given
    )
    holes = [row | {"realm": ""} if row["class_id"] in ("2", "5") else row for row in table]
    write_csv(given, [*holes, {"class_id": "12", "kind": "", "realm": ""}])
    capsys.readouterr()
    assert run("write", work, "--given", given) == 0
    line = "left out: 3 classes with an empty cell in the given labels, such as '2'\n"
    assert line in capsys.readouterr().out
    report = json.loads((work / "report.json").read_text())
    assert report["agreement"][0]["count"] == 6
    assert list(report["left_out"].values()) == [["2", "5", "12"]]
    write_csv(given, [{"class_id": "2", "kind": ""}])
    assert "wanted a class with a label at every level, got none of 1" in fails(
        capsys, "write", work, "--given", given
    )
    write_csv(given, [{"class_id": "99", "kind": "x"}])
    assert "wanted a class of the hierarchy, got none" in fails(
        capsys, "write", work, "--given", given
    )


def test_queries(world: World, work: Path, tmp_path: Path, capsys) -> None:
    steps(world, work, "vote")
    solution, index = tmp_path / "solution.csv", tmp_path / "index.csv"
    write_csv(
        solution,
        [
            {"id": "q0", "images": "a b"},  # both dogs
            {"id": "q1", "images": "a c"},  # a dog and a cat
            {"id": "q2", "images": "None"},
            {"id": "q3", "images": "d"},  # class 13 has no group
            {"id": "q4", "images": "a z"},
            {"id": "q5", "images": "d a"},
        ],
    )
    pairs = {"a": "0", "b": "1", "c": "2", "d": "13"}
    write_csv(index, [{"id": i, "landmark_id": c} for i, c in pairs.items()])
    assert run("write", work, "--queries", solution, "--gallery", index) == 0
    found = {row["id"]: (row["class_id"], row["kind"]) for row in rows(work / "queries.csv")}
    assert found == {"q0": ("0", "dog"), "q5": ("0", "dog")}
    report = json.loads((work / "report.json").read_text())["queries"]
    assert report == {
        "kept": 2,
        "dropped": {
            "no group": 1,
            "no relevant image": 1,
            "relevant image not in the gallery": 1,
            "relevant images in several groups": 1,
        },
    }
    assert "wanted both queries and gallery" in fails(capsys, "write", work, "--queries", solution)


def test_unclassified_as_branches_of_their_own(world: World, work: Path) -> None:
    steps(world, work, "vote")
    assert run("write", work, "--unclassified", "keep") == 0
    tree = Hierarchy.from_csv(work / "hierarchy.csv", class_id_column="class_id")
    assert len(tree) == 13
    assert tree.common_levels([12], [0, 11, 13, 12]).tolist() == [[0, 0, 0, 3]]


def test_text_class_ids(tmp_path: Path, work: Path, world: World) -> None:
    table = tmp_path / "classes.csv"
    write_csv(table, [{"id": f"c{i}", "kind": name} for i, name in enumerate(KINDS)])
    assert run("names", work, table, "--class-column", "id", "--name-column", "kind") == 0
    assert run("propose", work, "--levels", "group=4", "--encoder", world.text) == 0
    assert run("review", work) == run("write", work) == 0
    tree = Hierarchy.from_csv(work / "hierarchy.csv")
    assert tree.node_names(0) == tuple(f"c{i}" for i in range(8))
    assert not (work / "label_to_hierarchical.csv").exists()  # that layout has two levels above


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("class_id,name\n1,a\n1,b\n", "line 3: wanted one name for class '1', got 'a' and 'b'"),
        ("class_id,name\n,a\n", "line 2: wanted a class id in 'class_id', got an empty cell"),
        ("class_id,name\n1,\n", "wanted a class with a name in 'name', got none"),
        ("class_id,title\n1,a\n", "wanted the columns ['name'], got ['class_id', 'title']"),
    ],
)
def test_wrong_names(tmp_path: Path, work: Path, capsys, content: str, message: str) -> None:
    (tmp_path / "classes.csv").write_text(content)
    assert message in fails(capsys, "names", work, tmp_path / "classes.csv")
    assert not work.exists()


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        (["kind=9"], "levels: wanted at most 8 groups, the number of names, got"),
        (["kind=2", "kingdom=4"], "levels: wanted finest first, with fewer groups each"),
        (["kind"], "levels: wanted name=number of groups, got 'kind'"),
        (["name=3"], "levels: wanted other names than"),
    ],
)
def test_wrong_levels(world: World, work: Path, capsys, levels: list, message: str) -> None:
    steps(world, work, "names")
    assert message in fails(capsys, "propose", work, "--levels", *levels, "--encoder", world.text)


def test_unknown_encoder(world: World, work: Path, capsys) -> None:
    steps(world, work, "names")
    error = fails(capsys, "propose", work, "--levels", *LEVELS, "--encoder", "word2vec")
    assert "encoder: wanted one of open_clip:NAME:WEIGHTS, run:FOLDER, sentences" in error
    assert not (work / "proposal.csv").exists()
    steps(world, work, "review")
    error = fails(capsys, "classify", work, world.images, "--encoder", "sentences")
    assert "wanted open_clip:NAME:WEIGHTS or run:FOLDER for images and names" in error


def test_wrong_images(world: World, work: Path, tmp_path: Path, capsys) -> None:
    steps(world, work, "review")
    table = tmp_path / "list.csv"
    options = (table, "--encoder", world.pictures, "--against", "images")
    for text, message in {
        "path,class_id\na.png,77\n": "wanted classes of names.csv, got 1 others: ['77']",
        "path,class_id\na.png,1\na.png,2\n": "line 3: wanted every image in one class, got 'a.png'",
        "path,class_id\n,1\n": "line 2: wanted a class and its images, got an empty cell",
        "path,class_id\n": "wanted an image, got none",
        "file,class_id\n": "wanted the columns path and class_id, or landmark_id and images",
        "path,class_id\n0-0.png,0\n": "wanted images of classes without a name, got none",
        "path,class_id\nb.png,11\n": "wanted embeddings of the listed images, got none of them",
    }.items():
        table.write_text(text)
        assert message in fails(capsys, "classify", work, *options)
    error = fails(capsys, "classify", work, world.images, "--encoder", world.pictures)
    assert "against: wanted 'images' with a file of embeddings, got 'text'" in error


def test_predictions_are_a_plain_table(world: World, work: Path) -> None:
    steps(world, work, "classify")
    table = pd.read_parquet(work / "predictions.parquet")
    assert list(table.columns) == ["path", "class_id", "name", "group", "score"]
    assert table["group"].tolist() == ["oak", "oak", "oak", "dog", "rose"]
    assert WorkFolder(work).record_of("classify")["settings"]["rule"] == "knn"

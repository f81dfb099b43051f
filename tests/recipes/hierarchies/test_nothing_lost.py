"""What a person or an earlier step has made is never lost, and nothing old is taken for new."""

import json
from pathlib import Path

import pytest
from PIL import Image

from pml_suprank.recipes.files import write_csv
from pml_suprank.recipes.hierarchies.encoders import files_of
from pml_suprank.recipes.hierarchies.image_features import image_features
from pml_suprank.recipes.hierarchies.work_folder import WorkFolder
from tests.recipes.hierarchies.test_encoders import clip  # noqa: F401
from tests.recipes.hierarchies.test_steps import LEVELS, edit, rows, run, steps
from tests.recipes.hierarchies.worlds import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "world")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"


def test_only_files_of_the_steps_are_removed(tmp_path: Path) -> None:
    work = WorkFolder(tmp_path)
    source = tmp_path / "names.csv"
    source.write_text("class_id,name\n1,a\n")
    own = [".env.template", ".eslintrc.prettier", "deep/.names.csv.a1b2c3d4", ".a.b.settings"]
    left = [".review.csv.a1b2c3d4", ".steps.json.x_y_z_0_", "image_features/.00003.npz.abcdefgh"]
    for name in own + left:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    work.record("names", {}, [source], [source])
    assert [name for name in own if not (tmp_path / name).exists()] == []
    assert [name for name in left if (tmp_path / name).exists()] == []


def test_later_steps_know_that_the_first_was_done_again(world: World, work: Path, capsys) -> None:
    steps(world, work)
    table = [row | ({"name": "cat red"} if row["class_id"] == "12" else {})
             for row in rows(world.classes)]  # fmt: skip
    write_csv(world.classes, table)
    assert run("names", work, world.classes) == 0
    for step in (["write"], ["vote"], ["classify", world.images, "--encoder", world.pictures,
                                       "--against", "images"]):  # fmt: skip
        assert run(step[0], work, *step[1:]) == 2
        assert "run that step again" in capsys.readouterr().err


def test_vote_knows_that_the_list_of_images_changed(world: World, work: Path, capsys) -> None:
    steps(world, work)
    write_csv(world.images, rows(world.images)[:-1])
    assert run("write", work) == 2
    assert "changed since the step 'classify'" in capsys.readouterr().err


def test_a_decision_stays_where_the_vote_is_accepted(world: World, work: Path) -> None:
    steps(world, work, "vote")
    assert run("vote", work, "--min-images", 9) == 0
    group = next(r["dog"] for r in [{"dog": g["kind"]} for g in rows(work / "groups.csv")])
    edit(work / "uncertain.csv", {"11": {"decision": group}}, key="class_id")
    assert run("vote", work, "--min-images", 1) == 0  # accepts 11
    assert run("write", work) == 0
    found = {row["class_id"]: row for row in rows(work / "classes.csv")}["11"]
    assert (found["kind"], found["source"]) == (group, "person")


def test_a_decision_for_a_class_that_has_a_name_now(world: World, work: Path, capsys) -> None:
    """The group of the name stands, the decision is named, and stays for the day when the name goes again."""
    steps(world, work, "vote")
    for class_id, group in (("12", "dog"), ("13", "oak")):
        edit(work / "uncertain.csv", {class_id: {"decision": group}}, key="class_id")
    assert run("write", work) == 0
    assert "left out" not in capsys.readouterr().out
    unnamed = rows(world.classes)
    for names in ({"12": "cat manx", "13": "oak_red"}, {}):
        write_csv(
            world.classes, [r | {"name": names.get(r["class_id"], r["name"])} for r in unnamed]
        )
        steps(world, work)
        told = capsys.readouterr().out
        line = "left out: 1 decisions for classes that have the group of their name, such as '12'\n"
        assert (line in told) == bool(names)  # that of 13 is the group of its name
        found = {
            row["class_id"]: (row["kind"], row["source"]) for row in rows(work / "classes.csv")
        }
        assert found["12"] == (("cat", "name") if names else ("dog", "person"))
        assert found["13"] == ("oak", "name" if names else "person")
        report = json.loads((work / "report.json").read_text())["left_out"]
        assert list(report.values()) == ([["12"]] if names else [])
        assert ("Left out" in (work / "report.html").read_text()) == bool(names)


def test_a_decision_for_a_class_that_is_gone(world: World, work: Path, capsys) -> None:
    """It is kept, named and without effect, and counts again on the day when the class is back."""
    steps(world, work, "vote")
    sheet = work / "uncertain.csv"
    edit(sheet, {"13": {"decision": "oak"}}, key="class_id")
    table = rows(world.classes)
    for _ in range(2):  # what the first made, the second keeps
        write_csv(world.classes, [row for row in table if row["class_id"] != "13"])
        steps(world, work)
        assert run("vote", work, "--min-images", 2) == 0
        kept = {row["class_id"]: (row["status"], row["decision"]) for row in rows(sheet)}
        assert kept["13"] == ("unknown", "oak")
        assert "left out: 1 decisions for classes that are not in names.csv, such as '13'" in (
            capsys.readouterr().out
        )
        assert "13" not in {row["class_id"] for row in rows(work / "classes.csv")}
        with sheet.open("a") as file:
            file.write("99,,,,,,,oak\n")  # written by hand
        assert run("write", work) == 2
        assert "known classes and groups of groups.csv, got 1 others: [('99'" in (
            capsys.readouterr().err
        )
        write_csv(sheet, [row for row in rows(sheet) if row["class_id"] != "99"])
    write_csv(world.classes, table)
    steps(world, work)
    assert "left out" not in capsys.readouterr().out
    found = {row["class_id"]: row for row in rows(work / "classes.csv")}["13"]
    assert (found["kind"], found["source"]) == ("oak", "person")


def test_overwrite_replaces_edits_of_the_same_proposal(world: World, work: Path) -> None:
    steps(world, work, "propose")
    before = (work / "review.csv").read_bytes()
    edit(work / "review.csv", {"dog pug": {"kind": "mine"}})
    assert run("propose", work, "--levels", *LEVELS, "--encoder", world.text, "--overwrite") == 0
    assert (work / "review.csv").read_bytes() == before


@pytest.mark.parametrize("name", ["source", "confidence", "id", "class_id ", " doubt"])
def test_levels_are_not_called_as_other_columns(world: World, work: Path, capsys, name) -> None:
    steps(world, work, "names")
    assert run("propose", work, "--levels", f"{name}=4", "--encoder", world.text) == 2
    assert "levels: wanted other names than" in capsys.readouterr().err


def test_queries_of_an_earlier_run_do_not_stay(world: World, work: Path, tmp_path: Path) -> None:
    steps(world, work)
    queries, gallery = tmp_path / "queries.csv", tmp_path / "gallery.csv"
    write_csv(queries, [{"id": "q", "images": "a"}])
    write_csv(gallery, [{"id": "a", "class_id": "0"}])
    assert run("write", work, "--queries", queries, "--gallery", gallery) == 0
    assert len(rows(work / "queries.csv")) == 1
    assert run("write", work) == 0
    assert not (work / "queries.csv").exists()


@pytest.mark.parametrize("side", ["queries", "gallery"])
def test_rows_that_contradict(world: World, work: Path, tmp_path: Path, capsys, side) -> None:
    steps(world, work)
    queries, gallery = tmp_path / "queries.csv", tmp_path / "gallery.csv"
    write_csv(queries, [{"id": "q", "images": "a"}])
    write_csv(gallery, [{"id": "a", "class_id": "0"}, {"id": "b", "class_id": "4"}])
    with (queries if side == "queries" else gallery).open("a") as file:
        file.write("q,b\n" if side == "queries" else "a,4\n")
    assert run("write", work, "--queries", queries, "--gallery", gallery) == 2
    assert "wanted each id once" in capsys.readouterr().err


def test_short_landmark_image_ids(world: World, work: Path, tmp_path: Path, capsys) -> None:
    steps(world, work, "review")
    listed = tmp_path / "train_clean.csv"
    write_csv(listed, [{"landmark_id": "11", "images": "abcd ab"}])
    assert run("classify", work, listed, "--encoder", world.pictures, "--against", "images") == 2
    assert "wanted ids of 3 characters at least, got 'ab'" in capsys.readouterr().err


def test_images_that_can_be_read_now(clip: str, tmp_path: Path) -> None:  # noqa: F811
    from pml_suprank.recipes.hierarchies.encoders import clip_encoder

    encoder, root = clip_encoder(clip), tmp_path / "images"
    root.mkdir()
    Image.new("RGB", (40, 40), "red").save(root / "a.png")
    names = ["a.png", "b.png"]
    _, whole = image_features(encoder, names, root, tmp_path / "cache", "", progress=False)
    assert whole.tolist() == [True, False]
    Image.new("RGB", (40, 40), "blue").save(root / "b.png")
    values, whole = image_features(encoder, names, root, tmp_path / "cache", "", progress=False)
    assert whole.tolist() == [True, True]
    fresh, _ = image_features(encoder, names, root, tmp_path / "other", "", progress=False)
    assert bool((values == fresh).all())


def test_classify_reads_images_that_came_later(clip: str, world: World, work: Path, capsys) -> None:  # noqa: F811
    steps(world, work, "review")
    late = world.root / "11-0.png"
    content = late.read_bytes()
    late.unlink()
    options = (world.images, "--root", world.root, "--encoder", clip)
    assert run("classify", work, *options) == 0
    assert "cannot be read: 1" in capsys.readouterr().out
    late.write_bytes(content)
    assert run("classify", work, *options) == 0
    assert "cannot be read: 0" in capsys.readouterr().out


def test_weights_in_files_decide_too(tmp_path: Path) -> None:
    weights = tmp_path / "tower.pt"
    weights.touch()
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").touch()
    assert files_of(f"open_clip:ViT-B-32:{weights}") == [weights]
    assert files_of(f"sentences:{model}") == [model / "config.json"]
    assert files_of("open_clip:ViT-B-32:hub:tag") == files_of("sentences") == []

"""A run is used from any folder, and says where it looked for images that have moved."""

import json
import os
import shutil
from pathlib import Path

import pytest
import yaml

pytest.importorskip("accelerate", reason="needs the recipes extra")
pytest.importorskip("faiss", reason="needs the recipes extra")

from pml_suprank.recipes.__main__ import main as suprank
from pml_suprank.recipes.embedding_set import EmbeddingSet
from pml_suprank.recipes.engine.encoder import read_settings
from pml_suprank.recipes.engine.parsing import parse_settings
from pml_suprank.recipes.engine.run_paths import below, placed, resolved, split_root
from tests.recipes.data.trees import picture
from tests.recipes.engine.tiny_runs import content

PICTURE = "data:image/jpeg;base64,"


@pytest.fixture(scope="module")
def made(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``photos`` and the run ``runs/first`` on them, made with relative paths."""
    home = tmp_path_factory.mktemp("home")
    shutil.copytree(photos, home / "photos")
    (home / "photos/animal/.hidden").touch()
    settings = content(Path("photos"), training={"epochs": 1})
    (home / "first.yaml").write_text(yaml.safe_dump(settings))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert suprank(["finetune", "--config", "first.yaml", "--output", "runs/first"]) == 0
    return home


@pytest.fixture
def home(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy, with the paths of the copy, seen from another folder."""
    copy = tmp_path / "home"
    shutil.copytree(made, copy)
    for path in (copy / "runs/first/config.yaml", copy / "runs/first/embeddings.npz"):
        if path.suffix == ".npz":
            found = EmbeddingSet.load(path)
            assert found.root == str(made / "photos")
            found.at_root(copy / "photos").save(path)
        else:
            path.write_text(path.read_text().replace(str(made), str(copy)))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    return copy


def metrics(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


def test_paths_are_recorded_absolute_and_images_below_the_root(home: Path) -> None:
    assert read_settings(home / "runs/first").data.root == str(home / "photos")
    found = EmbeddingSet.load(home / "runs/first/embeddings.npz")
    assert all((home / "photos" / path).is_file() for path in found.paths or ())
    assert found.lost(range(len(found))) == ""


def test_what_was_left_out_is_on_the_page(home: Path) -> None:
    (row,) = metrics(home / "runs/first")["left_out"]
    assert row == {"reason": "hidden", "count": 1, "examples": ["animal/.hidden"]}
    page = (home / "runs/first/report.html").read_text()
    assert "Left out of the data" in page
    assert "animal/.hidden" in page


def test_a_run_is_evaluated_from_any_folder(home: Path, tmp_path: Path) -> None:
    assert suprank(["evaluate", str(home / "runs/first"), "--output", str(tmp_path / "a")]) == 0
    file = home / "runs/first/embeddings.npz"
    assert suprank(["evaluate", str(file), "--output", str(tmp_path / "b")]) == 0
    name = "hierarchical_average_precision"
    one, other = (metrics(tmp_path / part)[name]["mean"] for part in "ab")
    assert one == pytest.approx(other, abs=1e-4)
    for part in "ab":
        page = (tmp_path / part / "worst.html").read_text()
        assert "not found" not in page
        assert page.count(PICTURE) > 20
    assert suprank(["report", str(home / "runs/first"), "--output", str(tmp_path / "c.html")]) == 0


def test_relative_paths_of_a_settings_file_start_from_the_run(home: Path, tmp_path: Path) -> None:
    path = home / "runs/first/config.yaml"
    settings = yaml.safe_load(path.read_text())
    settings["data"]["root"] = "../../photos"
    path.write_text(yaml.safe_dump(settings))
    assert read_settings(home / "runs/first").data.root == str(home / "photos")
    shutil.move(home, tmp_path / "moved")  # both together
    run = str(tmp_path / "moved/runs/first")
    assert suprank(["evaluate", run, "--output", str(tmp_path / "a")]) == 0


def test_moved_images_of_a_run_are_said(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, moved = str(home / "runs/first"), tmp_path / "moved"
    shutil.move(home / "photos", moved)
    assert suprank(["evaluate", run]) == 2
    shown = capsys.readouterr().err
    assert f"not found at '{home / 'photos'}'; pass --data.root" in shown
    words = ["evaluate", run, "--data.root", str(moved), "--output", str(tmp_path / "a")]
    assert suprank(words) == 0
    assert (tmp_path / "a/worst.html").read_text().count(PICTURE) > 20


def test_moved_images_of_embeddings_are_said(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, moved = str(home / "runs/first/embeddings.npz"), tmp_path / "moved"
    shutil.move(home / "photos", moved)
    index, page = str(tmp_path / "index"), tmp_path / "page.html"
    assert suprank(["search", "build", file, "--output", index]) == 0
    search = ["search", "query", index, "--embedding", file, "--output"]
    for words, output in (
        (["evaluate", file, "--output", str(tmp_path / "a")], tmp_path / "a/worst.html"),
        ([*search, str(page)], page),
    ):
        assert suprank(words) == 0
        told = capsys.readouterr().err
        assert "images to show not found, the first at '" + str(home / "photos") in told
        assert "pass --data.root with the folder where they are" in told
        assert "pass --data.root with the folder" in output.read_text()
        assert suprank([*words, "--data.root", str(moved)]) == 0
        assert "not found" not in capsys.readouterr().err + output.read_text()
        assert output.read_text().count(PICTURE) > 20


def test_a_run_with_moved_images_goes_on(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, moved = home / "runs/first", tmp_path / "moved"
    before = metrics(run)
    again = ["finetune", "--output", str(run), "--resume"]
    assert suprank(again) == 0
    shutil.move(home / "photos", moved)
    capsys.readouterr()
    assert suprank(again) == 2
    assert f"not found at '{home / 'photos'}'; pass --data.root" in capsys.readouterr().err
    assert suprank([*again, "--data.root", str(moved)]) == 0
    assert read_settings(run).data.root == str(moved)
    assert metrics(run)["after"] == before["after"]
    assert suprank(again) == 0
    settings = content(moved, training={"epochs": 1})
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(settings))
    assert suprank([*again, "--config", str(tmp_path / "a.yaml")]) == 0
    assert suprank([*again, "--config", str(tmp_path / "a.yaml"), "--training.seed", "1"]) == 2
    assert "got training.seed 1 in place of 0" in capsys.readouterr().err
    del settings["data"]["root"]
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(settings))
    assert suprank([*again, "--config", str(tmp_path / "a.yaml")]) == 0
    assert read_settings(run).data.root == str(moved)


def test_paths_of_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "w.pt").touch()
    words = ["--data.root", "photos", "--data.name", "cub", "--data.options.taxonomy", "t.csv"]
    for weights, wanted in (
        ("w.pt", str(tmp_path / "w.pt")),
        ("run:runs/a", f"run:{tmp_path / 'runs/a'}"),
        ("hub:tag", "hub:tag"),
        ("packaged", "packaged"),
    ):
        found = resolved(parse_settings([*words, "--model.weights", weights]), tmp_path)
        assert found.model.weights == wanted
        assert found.data.root == str(tmp_path / "photos")
        assert found.data.options == {"taxonomy": str(tmp_path / "t.csv")}
        assert resolved(found, "/other") == found
    assert resolved(parse_settings(["--data.name", "emoji"])).data.root is None
    assert split_root(["--a", "1", "--data.root", "x", "--data.root=y"]) == ("y", ["--a", "1"])
    assert split_root(["--a"]) == (None, ["--a"])
    monkeypatch.chdir(tmp_path)
    assert below("w.pt", ".") == "w.pt"
    assert below("w.pt", "/other") == str(tmp_path / "w.pt")
    assert below("grinning (Twemoji)", ".") == "grinning (Twemoji)"
    assert placed(["w.pt"], ".") == (("w.pt",), str(tmp_path))
    assert placed(["grinning (Twemoji)"], ".") == (("grinning (Twemoji)",), "")
    assert placed([], None) == ((), "")


def test_names_that_are_no_utf8_are_trained_searched_and_shown(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, odd = home / "photos", os.fsdecode(b"caf\xe9")
    try:
        for number in range(4):
            picture(photos / "tool" / odd / f"{odd}{number}.png", number)
    except OSError:
        pytest.skip("the file system takes UTF-8 alone")
    (home / "odd.yaml").write_text(yaml.safe_dump(content(photos, training={"epochs": 1})))
    run, index = str(tmp_path / "odd"), str(tmp_path / "index")
    assert suprank(["finetune", "--config", str(home / "odd.yaml"), "--output", run]) == 0
    assert suprank(["embed", run, str(photos), "--output", "all.npz"]) == 0
    assert suprank(["search", "build", "all.npz", "--output", index]) == 0
    words = ["search", "query", index, "--embedding", "all.npz", "--top", "3"]
    assert suprank([*words, "--output", "found.html"]) == 0
    assert "tool/caf\\udce9/caf\\udce90.png" in capsys.readouterr().out
    assert suprank(["evaluate", "all.npz", "--output", "evaluation"]) == 0
    assert PICTURE in Path("found.html").read_text()
    assert "caf\\udce9" in Path("evaluation/queries.csv").read_text()
    found = EmbeddingSet.load(Path("all.npz"))
    assert all(found.path(row) for row in range(len(found)))


def test_a_root_that_the_settings_cannot_hold_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["finetune", "--output", str(tmp_path / "run"), "--data.root", "caf\udce9", "--check"]
    assert suprank(words) == 2
    assert "data.root: wanted a folder whose path is UTF-8" in capsys.readouterr().err

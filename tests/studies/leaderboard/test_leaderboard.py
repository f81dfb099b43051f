"""A small leaderboard from the command line: files, resumption, processes, errors."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

pytest.importorskip("scipy", reason="needs the recipes extra")

from studies.leaderboard import __main__ as leaderboard
from studies.leaderboard import features as features_module
from studies.leaderboard import runs as runs_module
from studies.leaderboard.features import Source, extract, load_features, load_items
from studies.leaderboard.heads import Budget
from studies.leaderboard.runs import TUNING, Run, complete

LOSSES = ("suphap", "supcon", "proxy-anchor")


def arguments(output: Path, cache_dir: Path, *more: str) -> list[str]:
    return ["--output", str(output), "--cache-dir", str(cache_dir), "--data", "emoji", "--losses", *LOSSES,
            "--seeds", "0", "1", "--steps", "2", "--limit", "400", *more]  # fmt: skip


@pytest.fixture(scope="module")
def board(tmp_path_factory, cache_dir):
    output = tmp_path_factory.mktemp("leaderboard")
    assert leaderboard.main(arguments(output, cache_dir)) == 0
    return output


def test_files(board):
    found = json.loads((board / "leaderboard.json").read_text())["emoji"]
    assert found["levels"] == ["emoji", "subgroup", "group"]
    assert found["failures"] == {}
    for rows in found["standings"].values():
        assert {row["loss"] for row in rows} == set(LOSSES)
        assert all(len(row["values"]["h_ap"]) == 2 for row in rows)
    text = (board / "leaderboard.md").read_text()
    assert "### emoji, tuned for H-AP" in text
    assert "### emoji, tuned for AP of the finest level" in text
    assert all(
        (board / name).read_bytes().startswith(b"\x89PNG") for name in ("h_ap.png", "ap.png")
    )
    tuned = list((board / "runs" / "emoji").glob("*/val-*.json"))
    assert len(tuned) == 6 * len(LOSSES)


def test_a_second_call_trains_nothing_and_writes_the_same(board, cache_dir, monkeypatch):
    before = {path: path.read_bytes() for path in board.rglob("*") if path.is_file()}

    def refuse(*arguments):
        raise AssertionError("trained again")

    monkeypatch.setattr(runs_module, "train_head", refuse)
    monkeypatch.setattr(features_module, "extract", refuse)
    assert leaderboard.main(arguments(board, cache_dir)) == 0
    assert {path: path.read_bytes() for path in before} == before


def test_a_damaged_run_is_done_again_and_equals_the_first(board, cache_dir):
    path = sorted((board / "runs" / "emoji" / "suphap").glob("test-*.json"))[0]
    before = json.loads(path.read_text())
    path.write_text('{"run":')
    assert leaderboard.main(arguments(board, cache_dir)) == 0
    assert json.loads(path.read_text())["metrics"] == before["metrics"]


@pytest.mark.slow
def test_processes_give_the_same_numbers(board, cache_dir, tmp_path):
    (tmp_path / "features").symlink_to(board / "features")
    source, budget = Source("emoji", limit=400), Budget(steps=2, group_sizes=(2, 8))
    runs = [Run(source, loss, 0, 1e-3, 0, TUNING, budget) for loss in LOSSES]
    shared = complete(runs, tmp_path, workers=2, cache_dir=cache_dir)
    for run, content in complete(runs, board, workers=1, cache_dir=cache_dir).items():
        assert content["metrics"] == pytest.approx(shared[run]["metrics"])


def test_features_are_computed_once_and_again_where_damaged(board, cache_dir, monkeypatch):
    folder = board / "features"
    source = Source("emoji", limit=400)
    known = load_features(source, "val", folder, cache_dir=cache_dir)
    assert known.views.shape[1:] == (1, 1280)
    (path,) = folder.iterdir()
    path.write_bytes(path.read_bytes()[:1000])
    again = load_features(source, "val", folder, cache_dir=cache_dir)
    assert torch.equal(again.views, known.views)


def test_a_split_is_rows_of_the_whole_whichever_seed_drew_it(board, cache_dir, monkeypatch):
    """Its features, the augmented ones too, are what the trunk makes of the images of the split themselves."""
    source = Source("emoji", limit=400, seed=3)
    direct = extract(load_items(source, "val", cache_dir), source, 2)

    def refuse(*arguments):
        raise AssertionError("computed again")

    monkeypatch.setattr(features_module, "extract", refuse)
    found = load_features(source, "val", board / "features", augmented=True, cache_dir=cache_dir)
    assert torch.allclose(found.views[:, :3], direct.float(), atol=0.02)
    assert not torch.allclose(found.views[:, 1], found.views[:, 2], atol=0.02)
    first = load_features(
        replace(source, seed=0), "val", board / "features", cache_dir=cache_dir
    ).hierarchy
    assert first.node_names(0) != found.hierarchy.node_names(0)


def test_features_are_standardised_by_the_training_split(board, cache_dir):
    source = Source("emoji", limit=400)
    fit, val = (
        load_features(source, split, board / "features", cache_dir=cache_dir)
        for split in ("fit", "val")
    )
    clean = val.standardised(fit).views[:, 0] * fit.views[:, 0].std(0).clamp(min=1e-3)
    assert torch.allclose(clean + fit.views[:, 0].mean(0), val.views[:, 0], atol=1e-4)
    assert fit.standardised(fit).views[:, 0].mean(0).abs().max() < 1e-4


def test_a_loss_that_refuses_the_batches_is_reported(board, cache_dir, monkeypatch):
    def refuse(*arguments):
        raise ValueError("wanted balanced batches")

    monkeypatch.setattr(runs_module, "train_head", refuse)
    run = Run(
        Source("emoji", limit=400),
        "supcon",
        0,
        1e-3,
        7,
        TUNING,
        Budget(steps=2, group_sizes=(2, 8)),
    )
    found = complete([run], board, cache_dir=cache_dir)[run]
    assert found["error"] == "wanted balanced batches"
    assert "metrics" not in found


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--losses", "nothing"], "invalid choice: 'nothing'"),
        (["--data", "cub"], "invalid choice: 'cub'"),
        (["--workers", "0"], "wanted an integer >= 1, got '0'"),
        (["--seeds", "3"], "--seeds: wanted 2 or more, all different, got [3]"),
        (["--seeds", "3", "3"], "--seeds: wanted 2 or more, all different, got [3, 3]"),
        (
            ["--losses", "supcon", "--data", "emoji", "--limit", "8"],
            "emoji: wanted a loss that can be trained, got",
        ),
    ],
)
def test_errors_name_what_was_wanted(options, message, tmp_path, cache_dir, capsys):
    with pytest.raises(SystemExit) as raised:
        leaderboard.main(["--output", str(tmp_path), "--cache-dir", str(cache_dir), *options])
    assert raised.value.code == 2
    assert message in capsys.readouterr().err

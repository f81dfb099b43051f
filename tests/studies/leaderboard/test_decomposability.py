"""Memories, proxies and calibration: small runs."""

import json
from dataclasses import replace

import pytest
import torch

pytest.importorskip("scipy", reason="needs the recipes extra")

from pml_suprank import decomposability_gap, losses
from studies.leaderboard import decomposability, memory_arms
from studies.leaderboard.heads import Budget, new_head
from studies.leaderboard.memory_arms import (
    ARMS,
    LOG_ARMS,
    MemoryRun,
    _batches,
    _shuffled,
    run_arm,
)
from studies.leaderboard.memory_tables import Pivot, pivot
from studies.leaderboard.references import IDEALS, REMEDIES

from .worlds import features

RUN = MemoryRun("toy", "SupAP", "batch", 8, 0.5, 0, 6)


def test_the_arms_train_different_heads(tmp_path):
    train, test = features(), features(1)
    arms = [replace(RUN, arm=arm) for arm in ARMS + IDEALS]
    arms += [replace(RUN, loss="SupHAP", arm=arm) for arm in REMEDIES + LOG_ARMS]
    found = [run_arm(run, train, test, tmp_path)["metrics"]["h_ap"] for run in arms]
    assert len(set(found)) == len(arms)


def test_ideal_arms_rank_what_they_say(tmp_path, monkeypatch):
    train, seen = features(), []
    forward = losses.SupAPLoss.forward

    def watched(loss, embeddings, labels, **more):
        seen.append((embeddings, labels, more))
        return forward(loss, embeddings, labels, **more)

    monkeypatch.setattr(losses.SupAPLoss, "forward", watched)
    for arm, count, has_gradient in zip(IDEALS, (8, 32, 32), (False, False, True), strict=True):
        run_arm(replace(RUN, arm=arm, steps=2), train, features(1), tmp_path)
        batches = _batches(train, RUN)
        for embeddings, labels, more in seen:
            rows = next(batches)
            own = more["self_indices"]
            assert len(more["ref_emb"]) == count
            assert more["ref_emb"].requires_grad == has_gradient
            assert torch.equal(more["ref_emb"][own], embeddings)  # of the present weights
            assert torch.equal(more["ref_labels"][own], labels)
            assert torch.equal(labels, train.labels[rows, 0])
            assert torch.equal(own, rows if count == 32 else torch.arange(8))
        seen.clear()


def test_another_constant_is_another_file(tmp_path, monkeypatch):
    run_arm(RUN, features(), features(1), tmp_path)
    assert memory_arms.read_arm(RUN, tmp_path) is not None
    monkeypatch.setattr(memory_arms, "TAU", 0.5)
    assert memory_arms.read_arm(RUN, tmp_path) is None


@pytest.mark.parametrize(
    ("loss", "metric"),
    [("SupAP", "mean_average_precision"), ("SupHAP", "hierarchical_average_precision")],
)
def test_the_gap_is_that_of_the_library(tmp_path, loss, metric):
    train, test = features(), features(1)
    run = replace(RUN, loss=loss, lr=0.0)  # the head stays as it was drawn
    found = run_arm(run, train, test, tmp_path)["gap_test"]
    head, batches = new_head(test, Budget(), 0), _shuffled(32, 8, 0)
    with torch.no_grad():
        embeddings = head(test.views[:, 0])
    one_pass = [next(batches) for _ in range(4)]
    assert sorted(torch.cat(one_pass).tolist()) == list(range(32))
    wanted = decomposability_gap(embeddings, test.labels, one_pass, metric)
    assert found["gap"] == pytest.approx(wanted.gap)
    assert found["without_positives"] == wanted.num_left_out / 32


def test_a_filled_memory_ranks_the_whole_set_from_the_first_step(tmp_path, monkeypatch):
    sizes = []
    forward = losses.DatasetMemory.forward

    def watched(memory, *arguments, **more):
        sizes.append(memory.num_filled)
        return forward(memory, *arguments, **more)

    monkeypatch.setattr(losses.DatasetMemory, "forward", watched)
    for arm, first in (("whole memory", 32), ("whole memory, empty at first", 0)):
        run_arm(replace(RUN, arm=arm), features(), features(1), tmp_path)
        assert sizes[0] == first
        sizes.clear()


def test_hierarchical_batches_are_those_of_the_sampler(tmp_path):
    train, run = features(), replace(RUN, group_sizes=(2, 2))
    rows = torch.as_tensor(next(_batches(train, run)))
    counts = train.labels[rows, 0].unique(return_counts=True)[1]
    assert len(rows) == 8
    assert counts.tolist() == [2] * 4
    found = run_arm(run, train, features(1), tmp_path)
    plain = run_arm(RUN, train, features(1), tmp_path)
    assert found["metrics"] != plain["metrics"]
    assert found["gap_train"]["without_positives"] == 0
    assert plain["gap_train"]["without_positives"] > 0


def test_each_row_takes_the_learning_rate_of_the_best_validation():
    runs = [replace(RUN, arm="batch"), replace(RUN, arm="proxies")]
    best = {
        "batch": decomposability.LEARNING_RATES[1],
        "proxies": decomposability.LEARNING_RATES[2],
    }

    def one(run):
        assert run.splits == ("fit", "val")
        return {"metrics": {"h_ap": -abs(run.lr - best[run.arm])}}

    tuned = decomposability._tuned(runs, one, 1)
    assert {run.arm: run.lr for run in tuned} == best
    assert all(run.splits == ("train", "test") for run in tuned)


@pytest.mark.parametrize("change", [{"arm": "none"}, {"loss": "SupHAP", "arm": "calibration"}])
def test_unknown_arms_are_named(tmp_path, change):
    with pytest.raises(ValueError, match="arm: wanted one of"):
        run_arm(replace(RUN, **change), features(), features(1), tmp_path)


def test_unknown_losses_are_named(tmp_path):
    with pytest.raises(ValueError, match="loss: wanted one of SupAP, SupHAP, got 'AP'"):
        run_arm(replace(RUN, loss="AP"), features(), features(1), tmp_path)


def test_a_small_study_goes_on_where_it_stopped(tmp_path, cache_dir):
    arguments = ["--output", str(tmp_path), "--features", str(tmp_path / "features"), "--cache-dir", str(cache_dir),
                 "--steps", "1", "--limit", "600", "--seeds", "0", "--data", "emoji",
                 "--parts", "means", "batches"]  # fmt: skip
    assert decomposability.main(arguments) == 0
    rows = 2 * len(ARMS) - 1 + 10
    assert (tmp_path / "decomposability.md").read_text().count("\n") == 2 + rows
    assert len(json.loads((tmp_path / "decomposability.json").read_text())) == rows
    assert (tmp_path / "decomposability.png").read_bytes().startswith(b"\x89PNG")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("decomposability/**/*.json")}
    assert len(before) == rows * 4  # three learning rates, then a seed
    assert decomposability.main(arguments) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before


def content(h_ap, gap, **run):
    """A run as the study writes it."""
    known = {"data": "emoji", "loss": "SupAP", "arm": "batch", "memory": 0.0, "batch_size": 32,
             "group_sizes": None, "steps": 150, "lr": 0.001}  # fmt: skip
    return {"run": known | run, "metrics": {"h_ap": h_ap}, "gap_train": {"gap": gap}}


def test_a_small_table_has_the_means_of_its_rows():
    found = [content(0.1, 0.5), content(0.2, 0.3), content(0.9, 0.9, group_sizes=[2, 2])]
    found += [content(0.3, 0.25, arm="proxies")]
    lines = {arm: {"arm": arm, "is_hierarchical": False} for arm in ("batch", "proxies")}
    chosen = Pivot(lines, {"SupAP": {"loss": "SupAP"}, "SupHAP": {"loss": "SupHAP"}})
    assert pivot(found, chosen).splitlines() == [
        "| | SupAP | SupHAP |",
        "|---|---|---|",
        "| batch | 0.150 / 0.40 |  |",
        "| proxies | 0.300 / 0.25 |  |",
    ]


def test_a_cell_of_two_rows_is_refused():
    found = [content(0.1, 0.5), content(0.2, 0.3, group_sizes=[2, 2])]
    with pytest.raises(ValueError, match="fields: wanted those of one row, got 2 for"):
        pivot(found, Pivot({"batch": {"arm": "batch"}}, {"SupAP": {"loss": "SupAP"}}))

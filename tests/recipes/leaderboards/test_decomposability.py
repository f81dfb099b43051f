"""Memories, proxies and calibration on shuffled batches: small runs."""

import json
from dataclasses import replace

import pytest
import torch

pytest.importorskip("scipy", reason="needs the recipes extra")

from pml_suprank import decomposability_gap
from pml_suprank.recipes import decomposability
from pml_suprank.recipes.leaderboards.heads import Budget, new_head
from pml_suprank.recipes.leaderboards.memory_arms import ARMS, MemoryRun, _shuffled, run_arm

from .worlds import features

RUN = MemoryRun("toy", "SupAP", "batch", 8, 0.5, 0, 6)


def test_the_arms_train_different_heads(tmp_path):
    train, test = features(), features(1)
    found = [
        run_arm(replace(RUN, arm=arm), train, test, tmp_path)["metrics"]["h_ap"] for arm in ARMS
    ]
    assert len(set(found)) == len(ARMS)


@pytest.mark.parametrize(
    ("loss", "metric"),
    [("SupAP", "average_precision"), ("SupHAP", "hierarchical_average_precision")],
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


@pytest.mark.parametrize("change", [{"arm": "none"}, {"loss": "SupHAP", "arm": "calibration"}])
def test_unknown_arms_are_named(tmp_path, change):
    with pytest.raises(ValueError, match="arm: wanted one of"):
        run_arm(replace(RUN, **change), features(), features(1), tmp_path)


def test_unknown_losses_are_named(tmp_path):
    with pytest.raises(ValueError, match="loss: wanted one of SupAP, SupHAP, got 'AP'"):
        run_arm(replace(RUN, loss="AP"), features(), features(1), tmp_path)


def test_a_small_study_goes_on_where_it_stopped(tmp_path, cache_dir):
    arguments = ["--output", str(tmp_path), "--features", str(tmp_path / "features"), "--cache-dir", str(cache_dir),
                 "--steps", "1", "--limit", "400", "--seeds", "0", "--no-sweeps"]  # fmt: skip
    assert decomposability.main(arguments) == 0
    assert (tmp_path / "decomposability.md").read_text().count("\n") == 2 + 2 * len(ARMS) - 1
    assert len(json.loads((tmp_path / "decomposability.json").read_text())) == 2 * len(ARMS) - 1
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("decomposability/**/*.json")}
    assert before
    assert decomposability.main(arguments) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before

"""A small ablation."""

import json

import pytest

pytest.importorskip("scipy", reason="needs the recipes extra")

from studies.leaderboard import ablation
from studies.leaderboard.ablations import ABLATIONS, ARMS
from studies.leaderboard.entrants import ENTRANTS, Problem

from .worlds import features


def value_of(changed, loss, arm):
    """What the arm says it changes, as the loss has it."""
    rank_loss = getattr(loss, "rank_loss", loss)
    if changed == "groups of a batch":
        return str(arm.group_sizes)
    if changed == "second loss":
        second = getattr(loss, "decomposability_loss", None)
        return {
            "NoneType": "none",
            "CalibrationLoss": "calibration",
            "ProxyClusterLoss": "proxies",
        }[type(second).__name__]
    if changed == "mixup":
        return "no" if loss.mixup is None else "yes"
    if changed == "decay":
        return f"{loss.decay:g}"
    if changed == "weight of the proxies":
        return loss.weight
    if changed == "temperature of the proxies":
        return loss.decomposability_loss.temperature
    return rank_loss.tau if changed == "tau" else rank_loss.relevance.alpha


def test_each_arm_is_a_loss_of_its_own():
    assert len(set(ARMS)) == len(ARMS)
    train = features()
    problem = Problem(train.hierarchy, 12)
    for arm in ARMS:
        entrant = {**ENTRANTS, **ABLATIONS}[arm.entrant]
        loss = entrant.build(problem, entrant.settings[arm.setting])
        found = value_of(arm.part.partition(", ")[2], loss, arm)
        assert found == (arm.title if isinstance(found, str) else float(arm.title))


def test_a_small_ablation(tmp_path, cache_dir, capsys):
    arguments = ["--output", str(tmp_path), "--cache-dir", str(cache_dir), "--data", "emoji", "--steps", "1",
                 "--limit", "400", "--seeds", "0"]  # fmt: skip
    assert ablation.main(arguments) == 0
    table = (tmp_path / "ablation.md").read_text()
    assert table.count("\n") == 2 + len(ARMS)
    content = json.loads((tmp_path / "ablation.json").read_text())
    assert [row["value"] for row in content["emoji"]] == [arm.title for arm in ARMS]
    assert all(len(row["values"]["h_ap"]) == 1 for row in content["emoji"])
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("runs/**/*.json")}
    assert ablation.main(arguments) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before

"""A small ablation, and runs that train the whole network."""

import json

import pytest
import torch

pytest.importorskip("scipy", reason="needs the recipes extra")

from pml_suprank.recipes import ablation, leaderboard
from pml_suprank.recipes.leaderboards.ablations import ABLATIONS, ARMS
from pml_suprank.recipes.leaderboards.entrants import ENTRANTS, Problem
from pml_suprank.recipes.leaderboards.features import load_items
from pml_suprank.recipes.leaderboards.fine_tuning import FullBudget, embed, fine_tune

from .worlds import features


def value_of(changed, loss, arm):
    """What the arm says it changes, as the loss has it."""
    rank_loss = getattr(loss, "rank_loss", loss)
    if changed == "groups of a batch":
        return str(arm.group_sizes)
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
        shown = float(arm.title) if arm.group_sizes is None else str(arm.group_sizes)
        assert value_of(arm.part.partition(", ")[2], loss, arm) == shown


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


@pytest.mark.slow
def test_the_whole_network_is_trained_and_repeats_itself(cache_dir):
    items = load_items("emoji", "fit", 400, cache_dir)
    budget = FullBudget(steps=2, batch_size=16, embedding_size=8, group_sizes=(2, 2))
    entrant = ENTRANTS["happier"]
    first, _ = fine_tune(items, entrant, entrant.settings[0], 1e-3, 0, budget, 32)
    again, _ = fine_tune(items, entrant, entrant.settings[0], 1e-3, 0, budget, 32)
    still, _ = fine_tune(items, entrant, entrant.settings[0], 0.0, 0, budget, 32)
    weights = [
        torch.cat([p.flatten() for p in network[0].parameters()])
        for network in (first, again, still)
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    found = embed(first, items, 32)
    assert found.views.shape == (len(items), 1, 8)
    assert not found.views.requires_grad


@pytest.mark.slow
def test_the_leaderboard_trains_whole_networks_where_asked(tmp_path, cache_dir):
    arguments = ["--output", str(tmp_path), "--cache-dir", str(cache_dir), "--data", "emoji", "--losses", "supcon",
                 "suphap", "--seeds", "0", "1", "--steps", "1", "--limit", "400", "--full", "suphap", "--full-seeds",
                 "0"]  # fmt: skip
    assert leaderboard.main(arguments) == 0
    board = json.loads((tmp_path / "leaderboard.json").read_text())["emoji"]
    assert [row["loss"] for row in board["full"]] == ["suphap"]
    assert "### emoji, the whole network" in (tmp_path / "leaderboard.md").read_text()

"""Runs that train the whole network: a head on the frozen features first, then everything."""

import json

import pytest
import torch

pytest.importorskip("scipy", reason="needs the recipes extra")

from pml_suprank.recipes import whole_network
from pml_suprank.recipes.leaderboards import runs as runs_module
from pml_suprank.recipes.leaderboards.entrants import ENTRANTS
from pml_suprank.recipes.leaderboards.features import load_features, load_items
from pml_suprank.recipes.leaderboards.fine_tuning import FullBudget, embed, fine_tune
from pml_suprank.recipes.leaderboards.heads import measure, on_raw_features, train_head

from .worlds import features

SIZE = 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("whole-network")


@pytest.fixture(scope="module")
def known(folder, cache_dir):
    return load_features(
        "emoji", "fit", folder, views=2, image_size=SIZE, limit=400, cache_dir=cache_dir
    )


@pytest.fixture(scope="module")
def items(cache_dir):
    return load_items("emoji", "fit", 400, cache_dir)


def test_a_head_gives_the_same_embeddings_on_raw_features():
    train = features()
    standardised = train.standardised(train)
    head, _, _ = train_head(
        standardised, ENTRANTS["suphap"], {"tau": 0.1, "alpha": 1.0}, 1e-2, 0,
        FullBudget(probe_steps=3, probe_batch_size=16, embedding_size=6, group_sizes=(2, 2)).probe(),
    )  # fmt: skip
    raw = on_raw_features(head, train)
    assert torch.allclose(raw(train.views), head(standardised.views), atol=1e-5)
    assert not torch.allclose(raw(train.views), head(train.views), atol=1e-2)


@pytest.mark.slow
def test_training_repeats_itself_and_moves_the_trunk(items, known):
    budget = FullBudget(2, 16, embedding_size=8, group_sizes=(2, 2), probe_steps=2)
    entrant = ENTRANTS["happier"]

    def trained(lr):
        return fine_tune(items, known, entrant, entrant.settings[0], lr, 0, budget, SIZE)[0]

    first, again, still = trained(1e-3), trained(1e-3), trained(0.0)
    weights = [
        torch.cat([p.detach().flatten() for p in network[0].parameters()])
        for network in (first, again, still)
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    found = embed(first, items, SIZE)
    assert found.views.shape == (len(items), 1, 8)
    assert not found.views.requires_grad


@pytest.mark.slow
def test_it_starts_where_the_head_on_frozen_features_ended(items, known):
    budget = FullBudget(1, 16, embedding_size=8, group_sizes=(2, 2), probe_steps=20)
    entrant = ENTRANTS["happier"]
    network, _ = fine_tune(items, known, entrant, entrant.settings[0], 0.0, 0, budget, SIZE)
    standardised = known.standardised(known)
    head, _, _ = train_head(
        standardised, entrant, entrant.settings[0], budget.probe_lr, 0, budget.probe()
    )
    expected = measure(head, standardised)["h_ap"]
    assert measure(None, embed(network, items, SIZE))["h_ap"] == pytest.approx(expected, abs=2e-3)
    untrained = FullBudget(1, 16, embedding_size=8, group_sizes=(2, 2), probe_steps=0)
    network, _ = fine_tune(items, known, entrant, entrant.settings[0], 0.0, 0, untrained, SIZE)
    assert measure(None, embed(network, items, SIZE))["h_ap"] < expected - 0.01


@pytest.mark.slow
def test_the_command_tunes_and_repeats_nothing(tmp_path, cache_dir, capsys, monkeypatch):
    arguments = ["--output", str(tmp_path), "--cache-dir", str(cache_dir), "--data", "emoji", "--losses", "suphap",
                 "--seeds", "0", "1", "--steps", "1", "--limit", "400"]  # fmt: skip
    assert whole_network.main(arguments) == 0
    board = json.loads((tmp_path / "whole_network.json").read_text())["emoji"]
    assert [row["loss"] for row in board["standings"]] == ["suphap"]
    assert len(board["standings"][0]["values"]["h_ap"]) == 2
    assert "### emoji" in (tmp_path / "whole_network.md").read_text()
    assert (tmp_path / "whole_network.png").read_bytes().startswith(b"\x89PNG")
    tuned = [json.loads(path.read_text()) for path in tmp_path.rglob("val-*.json")]
    assert len(tuned) == 6
    best = max(tuned, key=lambda content: content["metrics"]["h_ap"])
    assert board["standings"][0]["options"] == best["run"]["options"]
    assert board["standings"][0]["lr"] == best["run"]["lr"]

    def refuse(*arguments):
        raise AssertionError("trained again")

    monkeypatch.setattr(runs_module, "fine_tune", refuse)
    assert whole_network.main(arguments) == 0


def test_a_loss_that_cannot_be_trained_is_an_error(tmp_path, cache_dir, capsys):
    with pytest.raises(SystemExit) as raised:
        whole_network.main(["--output", str(tmp_path), "--cache-dir", str(cache_dir), "--data", "emoji", "--losses",
                            "supcon", "--limit", "8", "--steps", "1"])  # fmt: skip
    assert raised.value.code == 2
    assert "emoji: wanted a loss that can be trained, got" in capsys.readouterr().err

"""Runs that train the whole network: a head on the frozen features first, then everything."""

import json
from dataclasses import replace

import pytest
import torch

pytest.importorskip("scipy", reason="needs the recipes extra")

from pml_suprank.integrations.timm_backbones import build_models
from studies.leaderboard import features as features_module
from studies.leaderboard import runs as runs_module
from studies.leaderboard import whole_network
from studies.leaderboard.entrants import ENTRANTS
from studies.leaderboard.features import BACKBONE, Source, load_features, load_views
from studies.leaderboard.fine_tuning import (
    FullBudget,
    embed,
    fine_tune,
    least_deviation,
)
from studies.leaderboard.heads import measure, on_raw_features, train_head

from .worlds import features

SOURCE = Source("emoji", views=2, image_size=32, limit=400)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("whole-network")


@pytest.fixture(scope="module")
def known(folder, cache_dir):
    return load_features(SOURCE, "fit", folder, augmented=True, cache_dir=cache_dir)


@pytest.fixture(scope="module")
def images(folder, cache_dir):
    return load_views(SOURCE, "fit", folder, augmented=True, cache_dir=cache_dir)


def test_the_images_are_those_of_the_features(images, known, folder, cache_dir, monkeypatch):
    trunk = build_models(BACKBONE, 1, weights="packaged", channels_last=True)["trunk"].eval()
    with torch.no_grad():
        found = trunk(images.views[:4].flatten(0, 1).float()).unflatten(0, (4, 3))
    assert torch.allclose(found, known.views[:4], atol=0.05)
    assert not torch.allclose(found[:, 0], found[:, 1], atol=0.05)
    monkeypatch.setattr(
        features_module, "_columns", None
    )  # the second time they come from the file
    again = load_views(SOURCE, "fit", folder, augmented=True, cache_dir=cache_dir)
    assert torch.equal(again.views, images.views)


def test_a_head_gives_the_same_embeddings_on_raw_features():
    train = features()
    standardised = train.standardised(train)
    head, _, _ = train_head(
        standardised, ENTRANTS["suphap"], {"tau": 0.1, "alpha": 1.0}, 1e-2, 0,
        FullBudget(probe_steps=3, probe_batch_size=16, embedding_size=6, group_sizes=(2, 2)).probe(),
    )  # fmt: skip
    raw = on_raw_features(head, train, 1e-3)
    assert torch.allclose(raw(train.views), head(standardised.views), atol=1e-5)
    assert not torch.allclose(raw(train.views), head(train.views), atol=1e-2)


def test_constant_features_have_no_large_weights():
    train = features()
    train.views[..., 0] = 1.0
    head = torch.nn.Linear(12, 6)
    assert on_raw_features(head, train, 1e-3).weight[:, 0].norm() > 100
    assert on_raw_features(head, train, least_deviation(train)).weight.norm(dim=0).max() < 10


@pytest.mark.slow
def test_training_repeats_itself_and_moves_trunk_and_proxies(images, known):
    budget = FullBudget(2, 16, embedding_size=8, group_sizes=(2, 2), probe_steps=2)
    built = []

    def build(problem, options):
        built.append(ENTRANTS["happier"].build(problem, options))
        return built[-1]

    entrant = replace(ENTRANTS["happier"], build=build)

    def trained(lr):
        return fine_tune(images, known, entrant, entrant.settings[0], lr, 0, budget)[0]

    first, again, still = trained(1e-3), trained(1e-3), trained(0.0)
    weights = [
        torch.cat([p.detach().flatten() for p in network[0].parameters()])
        for network in (first, again, still)
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert len(built) == 3  # one loss for both stages, whose proxies go on from the first
    proxies = [loss.decomposability_loss.W.detach() for loss in built]
    assert torch.equal(proxies[0], proxies[1])
    assert (proxies[0] - proxies[2]).abs().max() > 1e-4
    found = embed(first, images)
    assert found.views.shape == (len(images.labels), 1, 8)
    assert not found.views.requires_grad


@pytest.mark.slow
def test_it_starts_where_the_head_on_frozen_features_ended(images, known):
    budget = FullBudget(1, 16, embedding_size=8, group_sizes=(2, 2), probe_steps=20)
    entrant = ENTRANTS["happier"]
    network, _ = fine_tune(images, known, entrant, entrant.settings[0], 0.0, 0, budget)
    standardised = known.standardised(known, least_deviation(known))
    head, _, _ = train_head(
        standardised, entrant, entrant.settings[0], budget.probe_lr, 0, budget.probe()
    )
    expected = measure(head, standardised)["h_ap"]
    assert measure(None, embed(network, images))["h_ap"] == pytest.approx(expected, abs=2e-3)
    untrained = FullBudget(1, 16, embedding_size=8, group_sizes=(2, 2), probe_steps=0)
    network, _ = fine_tune(images, known, entrant, entrant.settings[0], 0.0, 0, untrained)
    assert measure(None, embed(network, images))["h_ap"] < expected - 0.01


@pytest.mark.slow
def test_the_command_tunes_and_repeats_nothing(tmp_path, cache_dir, capsys, monkeypatch):
    arguments = ["--output", str(tmp_path), "--cache-dir", str(cache_dir), "--data", "emoji", "--losses", "suphap",
                 "--seeds", "0", "1", "--steps", "1", "--limit", "400"]  # fmt: skip
    assert whole_network.main(arguments) == 0
    board = json.loads((tmp_path / "whole_network.json").read_text())["emoji"]
    assert [row["loss"] for row in board["standings"]["h_ap"]] == ["suphap"]
    assert len(board["standings"]["h_ap"][0]["values"]["h_ap"]) == 2
    assert "### emoji, tuned for H-AP" in (tmp_path / "whole_network.md").read_text()
    assert (tmp_path / "whole_network.png").read_bytes().startswith(b"\x89PNG")
    tuned = [json.loads(path.read_text()) for path in tmp_path.rglob("val-*.json")]
    assert len(tuned) == 6
    best = max(tuned, key=lambda content: content["metrics"]["h_ap"])
    assert board["standings"]["h_ap"][0]["options"] == best["run"]["options"]
    assert board["standings"]["h_ap"][0]["lr"] == best["run"]["lr"]

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

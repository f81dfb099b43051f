"""Every loss of the leaderboard trains, on the labels it asks for, and repeats itself."""

import pytest
import torch

pytest.importorskip("scipy", reason="needs the recipes extra")

from pml_suprank import metrics
from studies.leaderboard.entrants import ENTRANTS, LevelSum, Problem
from studies.leaderboard.heads import Budget, measure, train_head

from .worlds import features

BUDGET = Budget(steps=4, batch_size=16, embedding_size=6, group_sizes=(2, 2))
WANTED = {  # what PML and this library have for class labels
    "contrastive", "triplet", "triplet-hierarchical", "multi-similarity", "circle", "ntxent", "supcon", "fastap",
    "pml-smoothap", "proxy-anchor", "proxynca", "softtriple", "arcface", "softmax", "csl", "supcon-levels",
    "multi-similarity-levels", "suphap", "happier", "supndcg", "supap", "roadmap", "suprecall",
}  # fmt: skip


def test_all_are_there_with_equal_budgets_of_tuning():
    assert set(ENTRANTS) >= WANTED
    assert {len(entrant.settings) for entrant in ENTRANTS.values()} == {3}
    assert len({entrant.title for entrant in ENTRANTS.values()}) == len(ENTRANTS)
    for entrant in ENTRANTS.values():
        assert len({str(sorted(options.items())) for options in entrant.settings}) == 3


@pytest.mark.parametrize("name", ENTRANTS)
def test_each_setting_moves_the_head_and_repeats_itself(name):
    train, entrant = features(), ENTRANTS[name]
    heads = []
    for options in entrant.settings:
        first, _, _ = train_head(train, entrant, options, 1e-2, 0, BUDGET)
        again, _, _ = train_head(train, entrant, options, 1e-2, 0, BUDGET)
        assert torch.equal(first.weight, again.weight)
        assert first.weight.isfinite().all()
        heads.append(first.weight)
    still, _, _ = train_head(train, entrant, entrant.settings[0], 1e-2, 0, Budget(0, 16, 6, (2, 2)))
    assert not torch.equal(heads[0], still.weight)
    assert not torch.equal(heads[0], heads[1]) or not torch.equal(heads[0], heads[2])


def test_losses_start_from_the_same_head_and_see_the_same_batches():
    """Proxies draw random numbers; what comes after them does not move."""
    train, seen = features(), {}
    for name in ("supcon", "proxy-anchor", "suphap"):
        start, _, _ = train_head(train, ENTRANTS[name], ENTRANTS[name].settings[0], 1e-2, 3,
                              Budget(0, 16, 6, (2, 2)))  # fmt: skip
        seen[name] = start.weight
    assert torch.equal(seen["supcon"], seen["proxy-anchor"])
    assert torch.equal(seen["supcon"], seen["suphap"])


def test_training_helps_what_is_measured():
    train, test = features(), features(views=1)
    untrained, _, _ = train_head(train, ENTRANTS["suphap"], ENTRANTS["suphap"].settings[0], 1e-2, 0,
                              Budget(0, 16, 6, (2, 2)))  # fmt: skip
    trained, _, seconds = train_head(
        train, ENTRANTS["suphap"], ENTRANTS["suphap"].settings[0], 1e-2, 0,
        Budget(60, 16, 6, (2, 2)),
    )  # fmt: skip
    assert measure(trained, test)["h_ap"] > measure(untrained, test)["h_ap"] + 0.05
    assert seconds > 0


def test_measures_are_those_of_the_library():
    test = features(views=2)
    found = measure(None, test)
    expected = metrics.evaluate(test.views[:, 0], test.labels, k=(1,)).mean()
    assert found["h_ap"] == expected["hierarchical_average_precision"]
    assert found["ap_1"] == expected["mean_average_precision_level1"]
    assert found["r1_0"] == expected["recall_at_1_level0"]
    assert set(found) == {
        "h_ap",
        "ndcg",
        "asi",
        *(f"{m}_{c}" for m in ("ap", "r1") for c in range(3)),
    }


def test_a_sum_over_levels_is_the_weighted_sum():
    train = features()
    points, labels = train.views[:, 0], train.labels
    loss = ENTRANTS["supcon"].build(Problem(train.hierarchy, 12), {"temperature": 0.1})
    found = LevelSum(loss, 0.5)(points, labels)
    expected = (
        loss(points, labels[:, 0]) + loss(points, labels[:, 1]) / 2 + loss(points, labels[:, 2]) / 4
    )
    assert torch.allclose(found, expected)

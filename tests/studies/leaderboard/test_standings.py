"""Choice of configurations, significance, tables."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from studies.leaderboard.features import Source
from studies.leaderboard.kinds import best_of_kinds
from studies.leaderboard.runs import Run, configurations
from studies.leaderboard.significance import holm, leaders, paired_p_value
from studies.leaderboard.standings import Standing, choose, failures, standings
from studies.leaderboard.tables import markdown, plain

NUMBERS = st.floats(0, 1, allow_nan=False, width=32)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=8))
def test_the_p_value_is_that_of_the_formula(pairs):
    one, other = zip(*pairs, strict=True)
    differences = [a - b for a, b in pairs]
    count, mean = len(pairs), math.fsum(differences) / len(pairs)
    deviation = math.sqrt(math.fsum((d - mean) ** 2 for d in differences) / (count - 1))
    found = paired_p_value(one, other)
    assert 0 <= found <= 1
    assert found == pytest.approx(paired_p_value(other, one))
    if deviation > 1e-6:
        t = mean / (deviation / math.sqrt(count))
        assert found == pytest.approx(2 * stats.t.sf(abs(t), count - 1), rel=1e-3, abs=1e-9)


def test_equal_differences():
    assert paired_p_value([0.5, 0.6], [0.5, 0.6]) == 1
    assert paired_p_value([0.5, 0.75], [0.25, 0.5]) == 0
    with pytest.raises(ValueError, match="wanted at least 2 pairs, got 1 and 1"):
        paired_p_value([0.5], [0.4])


def test_leaders_are_the_best_and_what_cannot_be_told_from_it():
    values = {
        "best": (0.50, 0.52, 0.51, 0.53),
        "as good": (0.52, 0.50, 0.52, 0.50),
        "a little worse every time": (0.495, 0.514, 0.505, 0.525),
    }
    assert leaders(values) == ("best", {"best", "as good"})


def test_holm_by_hand():
    """Four tests: .01 counts four times, .02 three, .03 twice and at least as much as the one before it, .5 once."""
    found = holm({"c": 0.03, "a": 0.01, "d": 0.5, "b": 0.02})
    assert list(found) == ["c", "a", "d", "b"]
    assert found == pytest.approx({"a": 0.04, "b": 0.06, "c": 0.06, "d": 0.5})
    assert holm({"one": 0.7, "other": 0.6}) == {"one": 1, "other": 1}
    assert holm({}) == {}


def test_one_more_loss_needs_a_smaller_p_value():
    """What is told from the best alone is not told from it among many."""
    values = {"best": (0.5, 0.51, 0.52, 0.53), "below": (0.49, 0.507, 0.505, 0.518)}
    assert paired_p_value(*values.values()) == pytest.approx(0.03, abs=0.02)
    assert leaders(values) == ("best", {"best"})
    many = values | {f"{n}": (0.49, 0.51, 0.5, 0.52) for n in range(9)}
    assert "below" in leaders(many)[1]


SOURCE = Source("emoji")


def run(loss, setting, lr, seed, splits):
    return Run(SOURCE, loss, setting, lr, seed, splits)


def result(**metrics):
    base = {"h_ap": 0.1, "ndcg": 0.1, "asi": 0.1, "ap_0": 0.1, "r1_0": 0.1}
    return {"metrics": base | metrics, "seconds": 1.0}


def test_a_configuration_is_chosen_by_the_criterion():
    tuning = {
        run("supcon", 0, 1e-3, 0, ("fit", "val")): result(h_ap=0.3, ap_0=0.1),
        run("supcon", 1, 3e-3, 0, ("fit", "val")): result(h_ap=0.2, ap_0=0.4),
        run("suphap", 2, 1e-3, 0, ("fit", "val")): result(h_ap=0.2),
        run("fastap", 0, 1e-3, 0, ("fit", "val")): {"error": "wanted other batches"},
    }
    assert choose(tuning, "h_ap") == {"supcon": (0, 1e-3), "suphap": (2, 1e-3)}
    assert choose(tuning, "ap_0")["supcon"] == (1, 3e-3)
    assert failures(tuning) == {"fastap": "wanted other batches"}


def test_standings_and_tables():
    final = {
        run("supcon", 0, 1e-3, seed, ("train", "test")): result(h_ap=0.30 + 0.01 * seed, ap_0=0.4)
        for seed in (2, 0, 1)
    } | {
        run("suphap", 2, 1e-3, seed, ("train", "test")): result(h_ap=0.40 + 0.02 * seed, ap_0=0.2)
        for seed in (0, 1, 2)
    }
    final[run("supcon", 1, 1e-3, 0, ("train", "test"))] = result(h_ap=0.9)  # of the other criterion
    rows = standings(final, {"supcon": (0, 1e-3), "suphap": (2, 1e-3)})
    assert rows[0].values["h_ap"] == pytest.approx((0.30, 0.31, 0.32))
    assert rows[1].deviation("h_ap") == pytest.approx(0.02)
    assert rows[1].options == {"tau": 0.1, "alpha": 2.0}
    lines = markdown(rows, ["emoji"], {k: 0.05 for k in rows[0].values}).splitlines()
    assert lines[2].startswith("| **SupHAP** | rank, all levels | **0.420 ± 0.020** |")
    assert lines[3].startswith("| SupCon | pairs | 0.310 ± 0.010 |")
    assert "0.100 ± 0.000\\*" in lines[3] or "0.100 ± 0.000\\*" in lines[2]  # equal NDCG
    assert lines[4].startswith("| frozen features | | 0.050 |")
    assert plain(rows)[0]["mean"]["h_ap"] == 0.31


def test_every_entrant_has_six_configurations():
    assert len(configurations("suphap")) == len(set(configurations("suphap"))) == 6


def test_a_run_of_other_settings_is_another_file(tmp_path):
    one = run("supcon", 0, 1e-3, 0, ("fit", "val"))
    others = [
        run("supcon", 0, 1e-3, 1, ("fit", "val")),
        run("supcon", 1, 1e-3, 0, ("fit", "val")),
        run("supcon", 0, 1e-3, 0, ("train", "test")),
        Run(Source("emoji", seed=1), "supcon", 0, 1e-3, 0, ("fit", "val")),
        Run(Source("emoji", "tf_efficientnet_lite2"), "supcon", 0, 1e-3, 0, ("fit", "val")),
        Run(Source("emoji", limit=8), "supcon", 0, 1e-3, 0, ("fit", "val")),
    ]
    assert len({item.path(tmp_path) for item in [one, *others]}) == 7


def test_the_short_table_has_the_best_loss_of_each_kind():
    boards = {
        data: [Standing(loss, {}, 0.001, {"h_ap": h_ap}, 1.0) for loss, h_ap in rows.items()]
        for data, rows in {
            "one": {"happier": (0.4, 0.6), "suphap": (0.4, 0.4), "supcon": (0.3, 0.2)},
            "two": {"supcon": (0.7, 0.7), "suphap": (0.1, 0.3)},
        }.items()
    }
    assert best_of_kinds(boards, "h_ap").splitlines() == [
        "| kind | one | two |",
        "|---|---|---|",
        "| rank, all levels | HAPPIER **0.500** | SupHAP 0.200 |",
        "| rank, one level |  |  |",
        "| pairs | SupCon 0.250 | SupCon **0.700** |",
        "| proxies |  |  |",
        "| several levels |  |  |",
    ]

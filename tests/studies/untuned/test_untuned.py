"""Small collections: how they are drawn, what is trained on them, and the tables."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("scipy", reason="needs the recipes extra")

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pml_suprank import Hierarchy, losses
from pml_suprank.functional import HardRank
from pml_suprank.relevance import PopulationRelevance, level_relevance
from studies.leaderboard.entrants import Problem
from studies.untuned import __main__ as untuned
from studies.untuned import collections as drawing
from studies.untuned.arms import ARMS, COMPARED, LevelProxies, item_powers
from studies.untuned.collections import LEAST, MOST_CHILDREN, UNEVEN, Size, collect, draw_rows
from studies.untuned.tables import gains, values

from ..leaderboard.worlds import features


def labels_of(sizes: list[int], children: int = 8) -> torch.Tensor:
    """So many images of each class; so many classes of a parent."""
    fine = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    return torch.stack([fine, fine // children], dim=1)


def drawn(labels: torch.Tensor, size: Size, seed: int = 0) -> list[list[int]]:
    return [rows.tolist() for rows in draw_rows(labels, size, np.random.default_rng(seed))]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=30, max_size=60), st.integers(0, 9))
def test_classes_are_relatives_of_uneven_size(sizes: list[int], seed: int) -> None:
    assume(max(sizes) >= LEAST)
    labels, size = labels_of(sizes), Size(12, 120, 32)
    rows = drawn(labels, size, seed)
    assert rows == drawn(labels, size, seed)
    flat = [row for own in rows for row in own]
    assert len(set(flat)) == len(flat)
    classes = [set(labels[own, 0].tolist()) for own in rows]
    assert all(len(own) == 1 for own in classes)
    assert len(set().union(*classes)) == len(rows) <= size.classes
    known = [label for label, count in enumerate(sizes) if count >= LEAST]
    if len(known) > size.classes:
        parents = Counter(int(labels[own[0], 1]) for own in rows)
        assert max(parents.values()) <= MOST_CHILDREN
    assert all(len(own) >= min(LEAST, sizes[int(labels[own[0], 0])]) for own in rows)


def test_sizes_rise_geometrically_where_there_are_more_classes() -> None:
    found = sorted(len(own) for own in drawn(labels_of([200] * 40), Size(20, 400, 32)))
    assert len(found) == 20
    assert sum(found) == pytest.approx(400, rel=0.05)
    assert found[-1] / found[0] == pytest.approx(UNEVEN, rel=0.15)


def test_all_classes_keep_their_share_where_there_are_no_more() -> None:
    sizes = [100, 60, 40]
    found = [len(own) for own in drawn(labels_of(sizes, children=2), Size(5, 100, 32))]
    assert found == [50, 30, 20]
    assert drawn(labels_of(sizes), Size(5, 100, 32), 1) != drawn(labels_of(sizes), Size(5, 100, 32))


def test_an_only_child_comes_after_those_with_siblings() -> None:
    fine = torch.arange(10).repeat_interleave(8)
    parent = torch.tensor([0, 1, 1, 1, 2, 3, 3, 3, 4, 5]).repeat_interleave(
        8
    )  # 0, 2, 4, 5: one child
    for seed in range(5):
        rows = drawn(torch.stack([fine, parent], 1), Size(6, 60, 32), seed)
        assert {int(parent[own[0]]) for own in rows} == {1, 3}


def precisions(scores: torch.Tensor, common: torch.Tensor, relevance: torch.Tensor) -> list:
    """(own relevance, precision) of each positive of one query, one by one."""
    found = []
    for item in range(len(scores)):
        if common[item] > 0:
            above = [j for j in range(len(scores)) if scores[j] > scores[item]]
            own = relevance[common[item]]
            gained = own + sum(torch.minimum(own, relevance[common[j]]) for j in above)
            found.append((own, gained / own / (1 + len(above))))
    return found


@pytest.mark.parametrize("power", [1.0, 0.5, 0.1])
def test_powers_bound_h_ap_from_above(power: float) -> None:
    torch.manual_seed(0)
    scores, common = torch.rand(5, 12), torch.randint(0, 3, (5, 12))
    common[:, 0] = 2
    alpha = PopulationRelevance(1.5)
    relevance = level_relevance(alpha, common, 2)
    metric = item_powers(power)
    found = metric(scores, common, relevance, surrogate=HardRank(), backend="dense")
    for query in range(5):
        parts = precisions(scores[query], common[query], relevance.table[query])
        whole = sum(relevance for relevance, _ in parts)
        lost = sum(r * (1 - p**power) / power for r, p in parts) / whole
        h_ap = sum(r * p for r, p in parts) / whole
        assert float(1 - found[query]) == pytest.approx(float(lost), abs=1e-6)
        assert float(lost) >= float(1 - h_ap) - 1e-6


def test_powers_of_one_train_h_ap() -> None:
    torch.manual_seed(0)
    tree = Hierarchy.from_paths(["a/b", "a/c", "d/e"])
    points, labels = torch.randn(12, 4, requires_grad=True), torch.arange(12) % 3
    relevance = PopulationRelevance(1.5)
    wanted = losses.SupHAPLoss(relevance=relevance, hierarchy=tree, tau=0.1)(points, labels)
    found = {
        power: losses.SupRankLoss(
            losses.Objective(item_powers(power), relevance), tau=0.1, hierarchy=tree
        )(points, labels)
        for power in (1.0, 0.5, 0.2)
    }
    assert float(found[1.0]) == pytest.approx(float(wanted), abs=1e-6)
    assert found[1.0] < found[0.5] < found[0.2]
    (gradient,) = torch.autograd.grad(found[0.2], points)
    assert gradient.isfinite().all()
    assert gradient.norm() > 0


def test_proxies_of_all_levels_are_the_mean_of_one_loss_a_level() -> None:
    world = features()
    both = LevelProxies(Problem(world.hierarchy, 6), 0.1)
    points = torch.randn(len(world.labels), 6)
    single = [part(points, world.labels) for part in both.parts]
    assert len(single) == 3
    assert float(both(points, world.labels)) == pytest.approx(float(sum(single) / 3))


@pytest.mark.parametrize("arm", ARMS)
def test_every_loss_builds_and_has_a_gradient(arm: str) -> None:
    world = features()
    entrant, options = ARMS[arm][1]
    loss_fn = entrant.build(Problem(world.hierarchy, 6), options)
    points = torch.randn(len(world.labels), 6, requires_grad=True)
    loss = loss_fn(points, world.labels if entrant.all_levels else world.labels[:, 0])
    loss.backward()
    assert loss.isfinite()
    assert points.grad is not None
    assert points.grad.norm() > 0


def board(data: str, means: dict[str, float], spread: float = 0.001) -> dict:
    """Every metric of a loss is its mean, give or take the same on each seed."""
    rows = {
        arm: {m: [mean + spread * k * (place + 1) for k in (-1, 0, 1)] for m in ("h_ap", "ap_0", "r1_0")}
        for place, (arm, mean) in enumerate(means.items())
    }  # fmt: skip
    return {"run": {"data": data, "size": "small"}, "steps": 1, "seeds": [0, 1, 2], "values": rows}


def cells(table: str, first: str) -> list[str]:
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()]
    (row,) = [row for row in rows if row[0] == ARMS[first][0]]
    return row[1:]


def test_the_best_of_a_column_is_bold_and_the_mean_is_over_all() -> None:
    boards = {
        "a": board("a", {"happier": 0.5, "supcon": 0.4}),
        "b": board("b", {"happier": 0.2, "supcon": 0.3}),
    }
    table = values(boards, "h_ap")
    assert cells(table, "happier") == ["**0.500 ± 0.001**", "0.200 ± 0.001", "0.350"]
    assert cells(table, "supcon") == ["0.400 ± 0.002", "**0.300 ± 0.002**", "0.350"]


def test_a_star_says_not_told_from_nothing() -> None:
    boards = {
        "a": board("a", {"happier": 0.5, "supcon": 0.4}),
        "b": board("b", {"happier": 0.5, "supcon": 0.4999}),
    }
    line = gains(boards, ["supcon"]).splitlines()[2]
    assert line.startswith(f"| {ARMS['supcon'][0]} | H-AP | +0.100 | +0.000\\* | +0.050")


@pytest.fixture(scope="module")
def tiny() -> Size:
    return Size(6, 48, 16)


def test_both_sides_have_the_classes_and_no_image_twice(
    tiny: Size, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []

    def spy(items: object, source: object, views: int) -> np.ndarray:
        seen.append([str(path) for path in items.paths])  # type: ignore[attr-defined]
        return np.zeros((len(seen[-1]), max(views, 1), 1))

    monkeypatch.setattr(drawing, "view_columns", spy)
    train, test = collect("emoji", tiny, 0, cache_dir)
    assert set(train.labels[:, 0].tolist()) == set(test.labels[:, 0].tolist()) == set(range(6))
    assert train.hierarchy is test.hierarchy
    assert len(seen[0]) == len(train.labels)
    assert len(seen[1]) == len(test.labels)
    assert not set(seen[0]) & set(seen[1])
    assert 0 <= len(seen[0]) - len(seen[1]) <= 6


def test_a_tiny_study(
    tiny: Size, tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(untuned.SIZES, "small", tiny)
    arguments = ["--output", str(tmp_path), "--cache-dir", str(cache_dir), "--data", "emoji",
                 "--arms", "happier", *COMPARED[:1], "--seeds", "0", "3", "--epochs", "1"]  # fmt: skip
    assert untuned.main(arguments) == 0
    content = (tmp_path / "untuned.json").read_bytes()
    (found,) = json.loads(content).values()
    assert found["seeds"] == [0, 3]
    assert list(found["values"]) == ["happier", COMPARED[0]]
    assert all(0 < value < 1 for row in found["values"].values() for value in row["h_ap"])
    assert len(list((tmp_path / "runs").rglob("*.json"))) == 4
    assert "untuned-small-gain" in (tmp_path / "untuned.md").read_text()
    monkeypatch.setattr(untuned, "train_network", None)  # a second call trains nothing
    assert untuned.main(arguments) == 0
    assert (tmp_path / "untuned.json").read_bytes() == content


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--data", "birds"], "invalid choice: 'birds'"), (["--seeds", "3"], "--seeds: wanted 2 or more")],
)  # fmt: skip
def test_errors_name_what_was_wanted(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        untuned.main(["--output", str(tmp_path), *options])
    assert message in capsys.readouterr().err

import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pml_suprank.recipes.hierarchies.rules import clip_rule, knn_rule, vote


def slow(image: list[float], names: list[list[float]], groups: list[int], rule: str):
    """Both rules, one image at a time, from their words."""

    def cosine(a: list[float], b: list[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)

    cosines = [cosine(image, name) for name in names]
    best = max(range(len(names)), key=lambda i: cosines[i])
    if rule == "clip":
        weights = [math.exp(100 * c) for c in cosines]
        return best, groups[best], weights[best] / sum(weights)
    near = sorted(range(len(names)), key=lambda i: -cosines[i])[:5]
    sums: Counter = Counter()
    for i in near:
        sums[groups[i]] += math.exp(100 * cosines[i])
    group = max(sorted(sums), key=lambda g: sums[g])
    return best, group, sums[group] / sum(sums.values())


@pytest.mark.parametrize("count", [1, 3, 5, 30])
@pytest.mark.parametrize("rule", ["clip", "knn"])
def test_rules_against_loops(rule: str, count: int) -> None:
    generator = torch.Generator().manual_seed(count)
    images = torch.randn(50, 4, generator=generator, dtype=torch.float64)
    names = torch.randn(count, 4, generator=generator, dtype=torch.float64)
    groups = torch.randint(0, 4, (count,), generator=generator)
    found = {"clip": clip_rule, "knn": knn_rule}[rule](images, names, groups)
    for i, image in enumerate(images.tolist()):
        name, group, score = slow(image, names.tolist(), groups.tolist(), rule)
        assert (int(found.name[i]), int(found.group[i])) == (name, group)
        assert float(found.score[i]) == pytest.approx(score, rel=1e-9)


def test_the_rules_can_differ() -> None:
    """One name is nearest, but two others of one group together weigh more."""
    names = torch.tensor([[1.0, 0.0], [1.0, 0.02], [1.0, -0.02], [0.0, 1.0]])
    groups = torch.tensor([0, 1, 1, 2])
    image = torch.tensor([[1.0, 0.0]])
    assert clip_rule(image, names, groups).group.tolist() == [0]
    assert knn_rule(image, names, groups).group.tolist() == [1]


def test_half_precision_and_zeros_stay_finite() -> None:
    images = torch.zeros(2, 3, dtype=torch.float16)
    images[0, 0] = 1
    for rule in (clip_rule, knn_rule):
        found = rule(images, torch.eye(3), torch.arange(3))
        assert found.group[0] == 0
        assert bool(found.score.isfinite().all())


def slow_vote(rows: list, classes: int):
    found = []
    for owner in range(classes):
        votes = [(group, score) for c, group, score in rows if c == owner]
        counts = Counter(group for group, _ in votes)
        sums = {g: round(sum(s for group, s in votes if group == g), 9) for g in counts}
        order = sorted(counts, key=lambda g: (-counts[g], -sums[g], g))
        found.append((order, counts))
    return found


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 3), st.sampled_from([0.25, 0.5, 1.0])),
        max_size=40,
    )
)
def test_vote_against_loops(rows: list) -> None:
    columns = [np.array([row[i] for row in rows]) for i in range(3)]
    found = vote(columns[0].astype(int), columns[1].astype(int), columns[2].astype(float), 5)
    for owner, (order, counts) in enumerate(slow_vote(rows, 5)):
        assert found.images[owner] == sum(counts.values())
        assert found.group[owner] == (order[0] if order else -1)
        assert found.runner_up[owner] == (order[1] if len(order) > 1 else -1)
        assert found.votes[owner] == (counts[order[0]] if order else 0)
        tied = len(order) > 1 and counts[order[0]] == counts[order[1]]
        assert bool(found.is_tied[owner]) == tied
        assert found.confidence[owner] == pytest.approx(
            counts[order[0]] / sum(counts.values()) if order else 0
        )


def test_the_order_of_images_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    classes, groups = rng.integers(0, 20, 500), rng.integers(0, 4, 500)
    scores = rng.random(500)
    order = rng.permutation(500)
    one = vote(classes, groups, scores, 20)
    other = vote(classes[order], groups[order], scores[order], 20)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)

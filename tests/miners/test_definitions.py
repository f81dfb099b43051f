"""The miners against enumeration, over random trees, shapes, references, distances and ties."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pml_suprank import Hierarchy, miners
from pml_suprank.miners import triplets as triplets_module
from pml_suprank.miners.hierarchical_pair_miner import _per_level
from tests.miners.problems import DISTANCES, as_set, points, tree_labels
from tests.reference import miners as brute

problems = given(
    size=st.integers(1, 12),
    num_refs=st.none() | st.integers(1, 14),
    num_levels=st.integers(1, 5),
    branches=st.integers(1, 4),
    rare=st.booleans(),
    ties=st.booleans(),
    double=st.booleans(),
    distance=st.sampled_from(sorted(DISTANCES)),
    seed=st.integers(0, 2**31),
    data=st.data(),
)


class Problem:
    """A batch, perhaps with references of which some may be the batch's own copies."""

    def __init__(self, size, num_refs, num_levels, branches, rare, ties, double, distance, seed):
        generator = torch.Generator().manual_seed(seed)
        total = size + (num_refs or 0)
        dtype = torch.float64 if double else torch.float32
        rows = tree_labels(total, num_levels, branches, generator, rare)
        embeddings = points(total, generator, ties, dtype)
        self.num_levels = num_levels
        self.distance = DISTANCES[distance]()
        self.inverted = self.distance.is_inverted
        self.batch = (embeddings[:size], rows[:size])
        self.refs = self.batch
        self.own = list(range(size))
        self.arguments = self.batch
        if num_refs:
            self.refs = (embeddings[size:].clone(), rows[size:].clone())
            own = torch.randint(-1, num_refs, (size,), generator=generator)
            inside = (own >= 0).nonzero().flatten()
            for column, mine in zip(self.refs, self.batch, strict=True):
                column[own[inside]] = mine[inside]
            self.own = [
                slot if slot >= 0 and torch.equal(self.refs[0][slot], self.batch[0][i]) else -1
                for i, slot in enumerate(own.tolist())
            ]
            self.arguments = (*self.batch, *self.refs, torch.tensor(self.own))
        mat = self.distance(self.batch[0], self.refs[0] if num_refs else None)
        self.mat = mat.numpy()
        self.common = brute.shared(self.batch[1].tolist(), self.refs[1].tolist())


def margins_of(data, count):
    values = data.draw(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=1))
    if data.draw(st.booleans()):
        values = data.draw(
            st.lists(st.sampled_from([0.0, 0.25, 0.5, 2.0]), min_size=count, max_size=count)
        )
        return values, values
    return values[0], values * count


@problems
@settings(max_examples=300, deadline=None)
def test_triplets(data, **shape):
    problem = Problem(**shape)
    kind = data.draw(st.sampled_from(triplets_module.TYPES))
    per_anchor = data.draw(st.none() | st.integers(1, 30))
    margins, per_level = margins_of(data, problem.num_levels)
    one_role = data.draw(st.booleans())
    miner = miners.HierarchicalTripletMiner(
        margins, kind, per_anchor, one_role=one_role, distance=problem.distance
    )
    got = miner(*problem.arguments)
    expected = brute.triplets(
        problem.mat,
        problem.common,
        problem.own,
        per_level,
        kind,
        problem.inverted,
        per_anchor,
        one_role,
    )
    assert list(zip(*(column.tolist() for column in got), strict=True)) == expected


@problems
@settings(max_examples=200, deadline=None)
def test_margin_pairs(data, **shape):
    problem = Problem(**shape)
    start, end = (1.0, 0.0) if problem.inverted else (0.0, 1.5)
    pos, neg = _per_level(start, end, problem.num_levels)
    margins = (start, end)
    if data.draw(st.booleans()):
        gaps = data.draw(
            st.lists(
                st.sampled_from([0.0, 0.25, 0.5]), min_size=2 * len(pos), max_size=2 * len(pos)
            )
        )
        steps = [sum(gaps[: i + 1]) for i in range(len(gaps))]
        steps = [1 - step for step in steps] if problem.inverted else steps
        pos, neg = margins = steps[::2], steps[1::2]
    miner = miners.HierarchicalPairMiner(*margins, distance=problem.distance)
    a1, p, a2, n = miner(*problem.arguments)
    expected = brute.margin_pairs(
        problem.mat, problem.common, problem.own, pos, neg, problem.inverted
    )
    assert (as_set((a1, p)), as_set((a2, n))) == expected


@problems
@settings(max_examples=200, deadline=None)
def test_overtaken_pairs(data, **shape):
    problem = Problem(**shape)
    epsilon = data.draw(st.sampled_from([0.0, 0.1, 0.5]))
    miner = miners.HierarchicalMultiSimilarityMiner(epsilon, distance=problem.distance)
    a1, p, a2, n = miner(*problem.arguments)
    expected = brute.overtaken_pairs(
        problem.mat, problem.common, problem.own, problem.num_levels, epsilon, problem.inverted
    )
    assert (as_set((a1, p)), as_set((a2, n))) == expected


@pytest.mark.parametrize("block", [1, 7, 64, 1000])
@pytest.mark.parametrize("per_anchor", [None, 1, 5, 1000])
@pytest.mark.parametrize("ties", [False, True])
def test_the_size_of_blocks_changes_nothing(block, per_anchor, ties, monkeypatch):
    generator = torch.Generator().manual_seed(3)
    rows = tree_labels(24, 3, 2, generator)
    distances = torch.cdist(*[points(24, generator, ties)] * 2)
    levels = (rows[:, None] == rows).sum(2)
    levels.fill_diagonal_(-1)
    for kind in triplets_module.TYPES:
        rule = triplets_module.gap_rule(kind, torch.tensor([0.0, 0.3, 0.2, 0.1]))
        results = []
        for size in (block, 10**9):
            if per_anchor is None:
                blocks = triplets_module.all_triplets(distances, levels, rule, size)
            else:
                blocks = triplets_module.nearest_first_triplets(
                    distances, levels, rule, per_anchor, size
                )
            blocks = list(blocks)
            results.append([torch.cat(column) for column in zip(*blocks, strict=True)])
        assert all(map(torch.equal, *results))
        assert len(results[0][0]) > 0


def test_what_a_cap_keeps():
    """One anchor at 0, with positives at 5 and 6, cousins at 3 and 4 and strangers at 1 and 2."""
    points_ = torch.tensor([[0.0], [5.0], [6.0], [3.0], [4.0], [1.0], [2.0]])
    rows = torch.tensor([[0, 0], [0, 0], [0, 0], [1, 0], [2, 0], [3, 1], [4, 1]])
    distance = DISTANCES["plain"]()
    orders = {}
    for cap in range(1, 13):
        miner = miners.HierarchicalTripletMiner(
            0.0, per_anchor=cap, one_role=False, distance=distance
        )
        a, p, n = miner(points_[:1], rows[:1], points_, rows, torch.tensor([0]))
        assert len(a) == min(cap, 12)
        orders[cap] = as_set((p, n))
    added = [set(orders[cap]) - set(orders.get(cap - 1, [])) for cap in orders]
    # gaps in squares: cousins first, by violation; then strangers, whose positives may be cousins too
    assert [next(iter(pair)) for pair in added] == [
        (2, 3),  # 36 - 9
        (2, 4),  # 36 - 16
        (1, 3),  # 25 - 9
        (1, 4),  # 25 - 16
        (2, 5),  # 36 - 1
        (2, 6),  # 36 - 4
        (1, 5),  # 25 - 1
        (1, 6),  # 25 - 4
        (4, 5),  # 16 - 1
        (4, 6),  # 16 - 4
        (3, 5),  # 9 - 1
        (3, 6),  # 9 - 4
    ]


def test_an_item_keeps_the_role_of_its_largest_violation():
    """One anchor at 0, with a positive at 4, cousins at 2 and 3.5 and a stranger at 3."""
    points_ = torch.tensor([[0.0], [4.0], [2.0], [3.5], [3.0]])
    rows = torch.tensor([[0, 0], [0, 0], [1, 0], [2, 0], [3, 1]])
    distance = DISTANCES["plain"]()
    distance.power = 1
    miners_ = [
        miners.HierarchicalTripletMiner(2.0, one_role=one_role, distance=distance)
        for one_role in (False, True)
    ]
    both, one = (
        as_set(miner(points_[:1], rows[:1], points_, rows, torch.tensor([0]))[1:])
        for miner in miners_
    )
    # as a negative the cousin at 3.5 violates by 2.5, as a positive by 2.5; the one at 2 by 4 and by 1
    assert both == [(1, 2), (1, 3), (1, 4), (2, 4), (3, 4)]
    assert one == [(1, 2), (1, 4), (3, 4)]
    epsilon = miners.HierarchicalMultiSimilarityMiner(2.0, distance=distance)
    _, p, _, n = epsilon(points_[:1], rows[:1], points_, rows, torch.tensor([0]))
    assert p.tolist() == [1, 3]
    assert n.tolist() == [2, 4]


def test_equal_violations_go_by_index():
    points_, rows = torch.ones(6, 2), torch.tensor([0, 0, 0, 1, 1, 1])[:, None]
    miner = miners.HierarchicalTripletMiner(per_anchor=4)
    a, p, n = miner(points_, rows)
    assert as_set((p[a == 4], n[a == 4])) == [(3, 0), (3, 1), (3, 2), (5, 0)]


@pytest.mark.parametrize(
    "build",
    [
        lambda **o: miners.HierarchicalTripletMiner(**o),
        lambda **o: miners.HierarchicalTripletMiner(per_anchor=3, **o),
        lambda **o: miners.HierarchicalPairMiner(0.1, 1.0, **o),
        lambda **o: miners.HierarchicalMultiSimilarityMiner(**o),
    ],
)
def test_label_forms_agree_and_a_level_is_its_column(build):
    generator = torch.Generator().manual_seed(0)
    rows, embeddings = tree_labels(20, 3, 2, generator), points(20, generator)
    tree = Hierarchy.from_labels(rows)
    expected = as_sets(build()(embeddings, rows))
    assert as_sets(build(hierarchy=tree)(embeddings, rows[:, 0])) == expected
    assert as_sets(build(hierarchy=tree)(embeddings, tree.expand(rows[:, 0]))) == expected
    for level in range(3):
        column = as_sets(build()(embeddings, rows[:, level]))
        assert as_sets(build(level=level)(embeddings, rows)) == column
        assert as_sets(build(level=level, hierarchy=tree)(embeddings, rows[:, 0])) == column
        assert column != expected


def as_sets(output):
    if len(output) == 3:
        return as_set(output)
    return as_set(output[:2]), as_set(output[2:])


@pytest.mark.parametrize("copy", [lambda e: e, lambda e: e.detach(), lambda e: e.view_as(e)])
def test_references_that_are_the_batch_hold_no_own_positive(copy):
    generator = torch.Generator().manual_seed(0)
    rows, embeddings = tree_labels(20, 2, 2, generator), points(20, generator).requires_grad_()
    for build in (
        lambda: miners.HierarchicalTripletMiner(type_of_triplets="easy"),
        lambda: miners.HierarchicalTripletMiner(10.0, per_anchor=20),
        lambda: miners.HierarchicalPairMiner(0.0, 1.0),
        lambda: miners.HierarchicalMultiSimilarityMiner(),
    ):
        output = build()(embeddings, rows, copy(embeddings), rows.clone())
        assert len(output[0]) > 0
        assert (output[0] != output[1]).all()
        assert as_sets(output) == as_sets(build()(embeddings, rows))


def test_a_part_of_the_batch_is_not_the_batch():
    generator = torch.Generator().manual_seed(0)
    rows, embeddings = tree_labels(20, 2, 2, generator), points(20, generator)
    miner = miners.HierarchicalPairMiner(0.0, 1.0)
    first = miner(embeddings, rows, embeddings[:5], rows[:5])
    copied = miner(embeddings, rows, embeddings[:5].clone(), rows[:5])
    assert as_sets(first) == as_sets(copied)


@pytest.mark.parametrize("rows", [[[0], [0], [0]], [[0], [1], [2]], [[0]]])
def test_nothing_to_mine_is_empty(rows):
    embeddings = torch.eye(3)[: len(rows)]
    for miner in (
        miners.HierarchicalTripletMiner(),
        miners.HierarchicalTripletMiner(per_anchor=2),
        miners.HierarchicalMultiSimilarityMiner(),
        miners.HierarchicalPairMiner(2.0, 0.0),
    ):
        for column in miner(embeddings, torch.tensor(rows)):
            assert column.dtype == torch.long
            assert len(column) == 0


def test_half_precision_is_mined_in_float32():
    generator = torch.Generator().manual_seed(0)
    rows, embeddings = tree_labels(20, 2, 2, generator), points(20, generator).half()
    for miner in (miners.HierarchicalTripletMiner(), miners.HierarchicalMultiSimilarityMiner()):
        expected = as_sets(miner(embeddings.float(), rows))
        assert as_sets(miner(embeddings, rows)) == expected
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert as_sets(miner(embeddings.float(), rows)) == expected

"""The metrics against loops over items, and against numbers worked out by hand."""

import doctest
import importlib

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pml_suprank.metrics import definitions
from pml_suprank.metrics.ranked_lists import RankedLists
from pml_suprank.relevance import ExponentialGain, PopulationRelevance, WeightedRelevance
from tests.reference import metrics as reference


@st.composite
def rankings(draw, max_levels=6, max_items=24):
    """(L, rows of levels of equal length)."""
    levels = draw(st.integers(1, max_levels))
    length = draw(st.integers(1, max_items))
    row = st.lists(st.integers(0, levels), min_size=length, max_size=length)
    return levels, draw(st.lists(row, min_size=1, max_size=4))


def assert_values(result, wanted):
    values, valid = result
    assert values.dtype == torch.float64
    assert valid.tolist() == [each is not None for each in wanted]
    torch.testing.assert_close(
        values,
        torch.tensor([each or 0.0 for each in wanted], dtype=torch.float64),
        rtol=1e-12,
        atol=1e-14,
    )


@settings(deadline=None)
@given(rankings(), st.integers(1, 30))
def test_binary_metrics(case, k):
    levels, rows = case
    lists = RankedLists.from_sorted(torch.tensor(rows), levels)
    for column in range(levels):
        binary = [reference.hits(row, levels, column) for row in rows]
        for name, options in [
            ("average_precision", {}),
            ("average_precision", {"k": k}),
            ("average_precision_at_k", {"k": k}),
            ("mean_average_precision_at_r", {}),
            ("mean_reciprocal_rank", {}),
            ("precision_at_k", {"k": k}),
            ("r_precision", {}),
            ("recall_at_k", {"k": k}),
        ]:
            function = getattr(reference, name)
            result = getattr(definitions, name)(lists, level=column, **options)
            assert_values(result, [function(row, **options) for row in binary])


@settings(deadline=None)
@given(rankings(), st.integers(1, 30))
def test_hierarchical_metrics(case, k):
    levels, rows = case
    lists = RankedLists.from_sorted(torch.tensor(rows), levels)
    assert_values(definitions.asi(lists), [reference.asi(row) for row in rows])
    assert_values(definitions.ndcg(lists), [reference.ndcg(row) for row in rows])
    assert_values(definitions.ndcg(lists, k), [reference.ndcg(row, k) for row in rows])


@settings(deadline=None)
@given(rankings(), st.sampled_from([0.3, 1.0, 2.0]), st.randoms(use_true_random=False))
def test_hap(case, alpha, random):
    levels, rows = case
    lists = RankedLists.from_sorted(torch.tensor(rows), levels)

    def check(table, relevances):
        result = definitions.hierarchical_average_precision(lists, table)
        assert_values(result, [reference.hierarchical_average_precision(r) for r in relevances])
        assert bool((result[0] <= 1 + 1e-12).all())

    check(
        PopulationRelevance(alpha)(lists.counts),
        [reference.population_relevance(row, levels, alpha) for row in rows],
    )
    weights = [0.1 + random.random() for _ in range(levels)]
    check(
        WeightedRelevance(by_level=weights[::-1])(lists.counts),
        [reference.weighted_relevance(row, weights) for row in rows],
    )
    check(ExponentialGain()(lists.counts), [[2.0**x - 1 for x in row] for row in rows])
    # Any table at all, equal relevances and zeros included.
    steps = [0.0, *(random.choice([0.0, 0.25, 0.5, 1.0]) for _ in range(levels))]
    table = torch.tensor([steps] * len(rows))
    check(table, [[steps[x] for x in row] for row in rows])


@settings(deadline=None)
@given(rankings(max_levels=1))
def test_hap_of_binary_relevance_is_ap(case):
    _, rows = case
    lists = RankedLists.from_sorted(torch.tensor(rows), 1)
    hap, valid = definitions.hierarchical_average_precision(
        lists, PopulationRelevance()(lists.counts)
    )
    ap, ap_valid = definitions.average_precision(lists)
    assert torch.equal(valid, ap_valid)
    torch.testing.assert_close(hap, ap, rtol=1e-12, atol=0)


@settings(deadline=None)
@given(rankings())
def test_weighted_hap_is_the_weighted_mean_of_aps(case):
    levels, rows = case
    lists = RankedLists.from_sorted(torch.tensor(rows), levels)
    weights = [1.0 + x for x in range(levels)]
    hap, _ = definitions.hierarchical_average_precision(
        lists, WeightedRelevance(by_level=weights[::-1])(lists.counts)
    )
    complete = (lists.num_at_least(levels) > 0).nonzero().flatten()
    mean = sum(
        w * definitions.average_precision(lists, levels - 1 - x)[0] for x, w in enumerate(weights)
    ) / sum(weights)
    torch.testing.assert_close(hap[complete], mean[complete], rtol=1e-12, atol=0)


@settings(deadline=None)
@given(rankings())
def test_perfect_ranking_gives_one(case):
    levels, rows = case
    lists = RankedLists.from_sorted(torch.tensor(rows).sort(1, descending=True).values, levels)
    results = [
        definitions.ndcg(lists),
        definitions.ndcg(lists, k=3),
        definitions.asi(lists),
        definitions.hierarchical_average_precision(lists, ExponentialGain()(lists.counts)),
    ]
    for column in range(levels):
        results += [
            definitions.average_precision(lists, column),
            definitions.mean_average_precision_at_r(lists, column),
            definitions.average_precision_at_k(lists, 2, column),
            definitions.r_precision(lists, column),
            definitions.recall_at_k(lists, 1, column),
            definitions.mean_reciprocal_rank(lists, column),
        ]
    for values, valid in results:
        torch.testing.assert_close(values, valid.double(), rtol=1e-12, atol=0)


def test_tied_relevances_are_not_counted_twice():
    """Three items, r = 1/2 on both levels: the authors' code gives 2 to the perfect ranking."""
    lists = RankedLists.from_sorted(torch.tensor([[2, 2, 1]]), 2)
    table = PopulationRelevance()(lists.counts)
    assert table.tolist() == [[0.0, 0.5, 0.5]]
    assert definitions.hierarchical_average_precision(lists, table)[0].tolist() == [1.0]


def test_three_items_by_hand():
    lists = RankedLists.from_sorted(torch.tensor([[1, 0, 2]]), 2)
    table = torch.tensor([[0.0, 0.5, 1.0]])
    # Rank 1: 0.5. Rank 3: (min(1, 0.5) + 1) / 3 = 0.5. Sum of relevances 1.5.
    assert definitions.hierarchical_average_precision(lists, table)[0].item() == pytest.approx(
        2 / 3
    )
    # Gains 1, 0, 3 at discounts 1, 0.63, 0.5; ideal 3, 1, 0.
    ideal = 3 + 0.6309297535714575
    assert definitions.ndcg(lists)[0].item() == pytest.approx(2.5 / ideal)
    assert definitions.ndcg(lists, k=1)[0].item() == pytest.approx(1 / 3)
    # Sets: depth 1 {1} and {2}: 0; depth 2 {1, 0} and {2, 1}: 1 of 2.
    assert definitions.asi(lists)[0].item() == 0.25
    assert definitions.average_precision(lists, 0)[0].item() == pytest.approx(1 / 3)
    assert definitions.average_precision(lists, 1)[0].item() == pytest.approx(5 / 6)


def test_missing_items_are_skipped():
    lists = RankedLists.from_sorted(torch.tensor([[-1, 0, -1, 1, -1], [1, 0, 0, 0, -1]]), 1)
    assert lists.rank.tolist() == [2, 1]
    assert lists.counts.tolist() == [[1, 1], [3, 1]]


def test_empty_lists():
    lists = RankedLists.from_sorted(torch.tensor([[-1]]), 1)
    for function in (definitions.ndcg, definitions.asi, definitions.average_precision):
        assert_values(function(lists), [None])
    assert_values(definitions.precision_at_k(lists, 3), [None])
    table = PopulationRelevance()(lists.counts)
    assert_values(definitions.hierarchical_average_precision(lists, table), [None])


def test_a_list_that_ends_before_the_gallery():
    """Populations are the gallery's; only what the list reaches adds anything."""
    lists = RankedLists.from_sorted(torch.tensor([[2, 0, 1]]), 2, counts=torch.tensor([[5, 2, 3]]))
    assert lists.at_least(2).rank.tolist() == [1]
    assert lists.at_least(2).counts.tolist() == [1]
    assert lists.of_level(1).counts.tolist() == [1]
    assert definitions.average_precision(lists, level=0)[0].tolist() == [1 / 3]
    assert definitions.average_precision(lists, level=1)[0].tolist() == [(1 + 2 / 3) / 5]


MODULES = [
    "catalogue",
    "definitions",
    "evaluation",
    "neighbours",
    "ranked_lists",
    "result",
    "single",
    "ranking.keys",
    "ranking.levels",
    "ranking.precise",
    "ranking.scores",
    "ranking.workers",
]


@pytest.mark.parametrize("module", MODULES)
def test_examples(module):
    results = doctest.testmod(importlib.import_module(f"pml_suprank.metrics.{module}"))
    assert results.failed == 0
    assert results.attempted > 0

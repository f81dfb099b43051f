"""An objective of ``functional`` without a surrogate is the metric of its name, to 1e-12, whatever ties."""

import pytest
import torch

from pml_suprank import Hierarchy, functional, metrics
from pml_suprank.accuracy_calculator import AccuracyCalculator
from pml_suprank.functional._backends import BACKENDS
from pml_suprank.functional.steps import hard_places
from pml_suprank.metrics import definitions
from pml_suprank.metrics.catalogue import METRICS, RENAMED
from pml_suprank.metrics.ranked_lists import RankedLists
from pml_suprank.metrics.ranking.levels import sorted_levels
from pml_suprank.relevance import (
    ExponentialGain,
    LevelRelevance,
    PopulationRelevance,
    WeightedRelevance,
    item_relevance,
    level_counts,
    relevance_table,
)

QUERIES, ITEMS, LEVELS = 7, 40, 3
TREE = Hierarchy.from_paths(["dog/husky", "dog/poodle", "plant/rose"])
DEPTHS = (1, 2, 5, 100)
RELEVANCE = {"population": PopulationRelevance(), "alpha": PopulationRelevance(alpha=0.3)}
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-6, torch.float16: 1e-6, torch.bfloat16: 1e-6}
CPU_BACKENDS = ["auto", *(name for name in BACKENDS if name != "fused")]


def of_levels(relevance, common, mask):
    """A relevance as the functions of ``functional`` take it, by level."""
    counts = level_counts(common, LEVELS, mask)
    return LevelRelevance(relevance_table(relevance, counts), counts)


def objectives(scores, common, mask, relevance, **options):
    """Every objective that bears the name of a metric: full name of the metric -> (B,)."""
    by_item = item_relevance(relevance, common, LEVELS, mask)
    gains = 2.0**common - 1
    hap, ndcg = functional.hierarchical_average_precision, functional.ndcg
    yield "hierarchical_average_precision", hap(scores, common, by_item, mask, **options)
    by_level = of_levels(relevance, common, mask)
    yield "hierarchical_average_precision", hap(scores, common, by_level, mask, **options)
    yield "ndcg", ndcg(scores, common, gains, mask, **options)
    yield "ndcg", ndcg(scores, common, of_levels(ExponentialGain(), common, mask), mask, **options)
    for level in range(LEVELS):
        positive = common >= LEVELS - level
        name = f"mean_average_precision_level{level}"
        yield name, functional.average_precision(scores, positive, mask, **options)
        yield name, functional.blackbox_average_precision(scores, positive, mask, margin=0.0)
        for k in DEPTHS:
            name = f"recall_at_{k}_level{level}"
            yield name, functional.recall_at_k(scores, positive, mask, k=k, **options)


def definition(name, lists, relevance):
    """(values, valid) of a metric."""
    if name == "hierarchical_average_precision":
        table = relevance_table(relevance, lists.counts)
        return definitions.hierarchical_average_precision(lists, table)
    if name == "ndcg":
        return definitions.ndcg(lists)
    family, _, level = name.rpartition("_level")
    if family == "mean_average_precision":
        return definitions.average_precision(lists, int(level))
    return definitions.recall_at_k(lists, int(family.removeprefix("recall_at_")), int(level))


def problem(seed, dtype=torch.float64):
    """Scores with many ties, labels of a tree, the first query without positives, some queries among the items."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(-3, 4, (QUERIES, ITEMS), generator=generator).to(dtype) / 4
    fine = torch.randint(0, 12, (ITEMS,), generator=generator)
    labels = torch.stack([fine, 20 + fine // 3, 40 + fine // 6], 1)
    self_indices = torch.randperm(ITEMS, generator=generator)[:QUERIES]
    query_labels = labels[self_indices].clone()
    self_indices[::3] = -1
    query_labels[0] = torch.tensor([99, 98, 97])
    common = (query_labels[:, None] == labels).sum(2)
    return scores, query_labels, labels, common, self_indices


def assert_is(values, name, expected, valid, dtype):
    expected = torch.where(valid, expected, 0.0)
    difference = (values.double() - expected).abs().max()
    assert difference <= TOLERANCE[dtype], f"{name}: {values} is not {expected}"


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("relevance", RELEVANCE)
@pytest.mark.parametrize("backend", CPU_BACKENDS)
def test_an_objective_is_the_metric_of_its_name(backend, relevance, dtype):
    relevance = RELEVANCE[relevance]
    for seed in range(3):
        scores, query_labels, labels, common, self_indices = problem(seed, dtype)
        result = metrics.evaluate(
            torch.eye(QUERIES, dtype=dtype),  # its products with the columns are the scores
            query_labels,
            scores.T,
            labels,
            k=DEPTHS,
            relevance=relevance,
            similarity="dot",
            self_indices=self_indices,
        )
        mask = torch.arange(ITEMS) != self_indices[:, None]
        for name, values in objectives(scores, common, mask, relevance, backend=backend):
            assert not bool(result[name].valid.all())
            assert bool(result[name].valid.any())
            assert_is(values, name, result[name].values, result[name].valid, dtype)


@pytest.mark.parametrize("backend", CPU_BACKENDS)
def test_an_objective_with_a_mask_is_the_metric_without_those_items(backend):
    relevance = WeightedRelevance(by_level=[0.5, 0.3, 0.2])
    for seed in range(3):
        scores, _, _, common, _ = problem(seed)
        mask = torch.rand(scores.shape) < 0.6
        mask[1] = False
        ranked, _ = sorted_levels(scores.clone(), common.masked_fill(~mask, -1), None)
        lists = RankedLists.from_sorted(ranked, LEVELS)
        judged = metrics.evaluate_judged(
            torch.eye(QUERIES, dtype=torch.float64),
            scores.T,
            relevant=[(row == LEVELS).logical_and(m).nonzero().flatten() for row, m in zip(common, mask, strict=True)],
            ignored=[(~m).nonzero().flatten() for m in mask],
            k=DEPTHS,
            similarity="dot",
        )  # fmt: skip
        for name, values in objectives(scores, common, mask, relevance, backend=backend):
            assert_is(values, name, *definition(name, lists, relevance), torch.float64)
            found = judged._results.get(name.removesuffix("_level0"))
            if found is not None and name.endswith("_level0"):
                assert_is(values, name, found.values, found.valid, torch.float64)


def test_no_objective_with_the_name_of_a_metric_is_missing_above():
    scores, _, _, common, _ = problem(0)
    found = {name for name, _ in objectives(scores, common, None, PopulationRelevance())}
    families = {name.split("_level")[0].replace("at_100", "at_k") for name in found}
    named = {
        RENAMED.get(name, name) for name in functional.__all__
    }  # of one query there is no mean
    assert set(METRICS) & named <= families


def test_the_example_of_the_documentation():
    """Two positives tie with a stranger: it comes first, and they follow one after the other."""
    scores, positive = torch.zeros(1, 3), torch.tensor([[True, False, True]])
    ap = (1 / 2 + 2 / 3) / 2
    assert functional.average_precision(scores, positive).item() == pytest.approx(ap)
    assert functional.recall_at_k(scores, positive, k=1).item() == 0
    assert functional.recall_at_k(scores, positive, k=2).item() == 1


def test_less_relevant_items_come_first_among_equal_scores():
    scores = torch.tensor([[0.5, 0.5, 0.5, 0.5, 0.9]])
    levels, relevance = torch.tensor([[2, 1, 2, 2, 0]]), torch.tensor([[0.7, 0.9, 0.2, 0.7, 0.0]])
    assert hard_places(scores, levels).tolist() == [[2, 1, 3, 4, 0]]
    assert hard_places(scores, levels, relevance).tolist() == [[3, 1, 2, 4, 0]]
    # in NDCG the gains of the items decide
    got = functional.ndcg(scores, levels, relevance)
    assert got < functional.ndcg(scores - 1e-3 * torch.tensor([[0, 0, 1, 0, 0]]), levels, relevance)


def test_recall_at_k_with_a_surrogate_has_another_name():
    scores, _, _, common, _ = problem(0)
    options = {"surrogate": functional.SupRank(), "k": (1, 4), "temperature": 0.5}
    with pytest.warns(DeprecationWarning, match="recall_surrogate"):
        old = functional.recall_at_k(scores, common > 0, **options)
    torch.testing.assert_close(old, functional.recall_surrogate(scores, common > 0, **options))


def test_old_names_work_and_say_the_new_one():
    points, labels = torch.eye(4), torch.tensor([0, 0, 1, 1])
    new = metrics.evaluate(points, labels, points, labels, self_indices=torch.arange(4))
    with pytest.warns(DeprecationWarning, match="self_indices"):
        old = metrics.evaluate(points, labels, points, labels, query_indices=torch.arange(4))
    assert old.mean() == new.mean()
    for name in ("average_precision", "average_precision_at_3", "average_precision_at_3_level0"):
        with pytest.warns(DeprecationWarning, match=f"write 'mean_{name}'") as warned:
            result = metrics.evaluate(points, labels, metrics=name)
        assert list(result) == [f"mean_{name.removesuffix('_level0')}_level0"]
        assert warned[0].filename == __file__
        with pytest.warns(DeprecationWarning, match=f"write 'mean_{name}'") as warned:
            assert result[name] is result[f"mean_{name}"]
        assert warned[0].filename == __file__
    with pytest.warns(DeprecationWarning, match="mean_average_precision"):
        assert metrics.average_precision is metrics.mean_average_precision


def test_the_names_of_the_calculator_are_names_of_evaluate():
    calculator = AccuracyCalculator(
        exclude=("NMI", "AMI"), hierarchy=TREE, device=torch.device("cpu")
    )
    found = calculator.get_accuracy(torch.eye(6), torch.arange(6) % 3)
    result = metrics.evaluate(
        torch.eye(6), torch.arange(6) % 3, hierarchy=TREE, metrics=list(found)
    )
    for name, value in found.items():
        assert result[name].mean() == value

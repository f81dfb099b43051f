"""Evaluation in the kernels against the CPU path, on a GPU or under Triton's interpreter; elsewhere not collected."""

import itertools

import pytest
import torch

from pml_suprank import metrics
from pml_suprank.accuracy_calculator import AccuracyCalculator
from pml_suprank.metrics.ranked_lists import RankedLists
from pml_suprank.metrics.ranking import fused, streaming
from pml_suprank.relevance import ExponentialGain, PopulationRelevance, WeightedRelevance

HAS_GPU = torch.cuda.is_available()
pytestmark = pytest.mark.gpu
DEVICE = "cuda" if HAS_GPU else "cpu"


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    """So that a row has several, and the interpreter few numbers."""
    monkeypatch.setattr(fused, "PACKED_ITEMS", 32)
    monkeypatch.setattr(fused, "READ_ITEMS", 16)


@pytest.fixture(autouse=True)
def passes(monkeypatch):
    """Takes the packed path off; gives the rankings that the kernels made."""
    made = []
    original = fused.FusedRanker.__call__

    def spy(self, block, space=None):
        for lists in original(self, block, space):
            made.append(lists)
            yield lists

    monkeypatch.setattr(fused.FusedRanker, "__call__", spy)
    return made


def compare(query, labels, gallery=None, gallery_labels=None, **options):
    """Every metric, query by query; returns the values."""
    arguments = query, labels, gallery, gallery_labels
    here = metrics.evaluate(*arguments, **options)
    there = [None if each is None else each.to(DEVICE) for each in arguments]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streaming.Task, "packable", False)
        got = metrics.evaluate(*there, **options)
    assert list(got) == list(here)
    for name, wanted in here.items():
        assert got[name].values.device.type == "cpu"
        assert torch.equal(got[name].valid, wanted.valid), name
        assert got[name].values.numpy() == pytest.approx(wanted.values.numpy(), 1e-12, 1e-15), name
    return got


def tree(number, levels):
    """Labels of an uneven tree, with classes of one item and of many."""
    fine = (torch.rand(number) ** 2 * number).long()
    return torch.stack([fine // 2**level for level in range(levels)], 1)


def grid(number, reach=2, dim=4):
    """Integers, whose products are exact; few of them where ``reach`` is small, so that they tie."""
    return torch.randint(-reach, reach + 1, (number, dim)).float()


@pytest.mark.parametrize("levels", range(1, 8))
@pytest.mark.parametrize("reach", [2, 500])
def test_every_depth_of_tree(levels, reach, passes):
    """Queries that are in their gallery: tied scores, and scores that all differ."""
    gallery, labels = grid(37, reach), tree(37, levels)
    options = {"k": (1, 3, 100), "similarity": "dot", "ref_includes_query": True}
    compare(gallery[:4], labels[:4], gallery, labels, **options)
    assert isinstance(passes[0], fused.FusedLists)


def test_queries_against_each_other(passes):
    compare(grid(18), tree(18, 3), k=(1, 5, 17), similarity="dot")
    assert passes


@pytest.mark.parametrize("levels", [1, 3, 7])
def test_other_galleries(levels, passes):
    labels = tree(48, levels)
    points = grid(48)
    compare(points[:5], labels[:5], points[5:], labels[5:], k=(1, 40), similarity="euclidean")
    places = torch.tensor([-1, 7, 42, -1, 0])
    options = {"self_indices": places, "k": (2,), "similarity": "dot"}
    compare(points[5 + places], labels[5 + places], points[5:], labels[5:], **options)
    assert len(passes) == 2


@pytest.mark.parametrize(
    "relevance",
    [PopulationRelevance(0.5), PopulationRelevance(3), WeightedRelevance(by_level=[0.8, 0, 0.2]), ExponentialGain(),
     lambda counts: torch.tensor([0.0, 1.0, 0.25, 1.0]).expand(counts.shape)],
)  # fmt: skip
def test_any_relevance(relevance, passes):
    name = "hierarchical_average_precision"
    compare(grid(14), tree(14, 3), metrics=name, relevance=relevance, similarity="dot")
    assert passes


@pytest.mark.parametrize(("queries", "items"), [(1, 1), (1, 17), (3, 1), (2, 16), (2, 33)])
def test_odd_sizes(queries, items, passes):
    compare(
        grid(queries), tree(queries, 2), grid(items), tree(items, 2), k=(1, 5), similarity="dot"
    )
    assert passes


def test_one_item_and_nothing_else(passes):
    found = compare(grid(1), tree(1, 2), similarity="dot")
    assert not any(result.num_valid for result in found.values())
    assert passes


def test_the_worst_order(passes):
    """The less related, the better the rank: ASI counts items on from one block of a row to the next."""
    fine = torch.tensor([1] * 24 + [0] * 16 + [2] * 8)
    labels = torch.stack([fine, fine // 2], 1)
    gallery = -torch.arange(48.0)[:, None]
    found = compare(torch.ones(1, 1), labels[24:25], gallery, labels, k=(20,), similarity="dot")
    assert found["recall_at_20_level1"].mean() == 1
    assert found["recall_at_20_level0"].mean() == 0
    assert passes


def test_queries_without_positives(passes):
    labels = torch.arange(12)[:, None]
    compare(grid(12), labels, grid(20), torch.arange(20)[:, None] % 6 + 3, similarity="dot")
    assert 0 < passes[0].num_at_least(1).count_nonzero() < 12


def test_scores_that_32_bits_do_not_hold(passes):
    """Numbers around 0 that differ, beside large ones: keys of 64 bits, in two halves."""
    query = torch.tensor([[1.0, 2.0**-50], [1.0, -(2.0**-50)], [3.0, 2.0**-52]])
    gallery = torch.tensor(
        [[float(a), float(b)] for a, b in itertools.product((0, 0, 0, 9), (-3, 1, 2))]
    )
    labels = torch.stack([torch.arange(12) // 2**level for level in range(7)], 1)
    compare(query, labels[:3], gallery, labels, similarity="dot")
    assert {lists._keys.dtype for lists in passes} == {torch.int64}
    assert len(passes) == 2


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_scores_that_float32_does_not_tell(similarity, passes):
    points = torch.randn(20, 8) + 1000
    labels = torch.arange(20) % 6
    compare(points, labels, similarity=similarity, metrics=("mean_average_precision", "asi"))
    assert passes


def test_blocks_and_memory(monkeypatch, passes):
    points, labels = grid(21), tree(21, 3)
    compare(points, labels, similarity="dot", block_size=4, metrics="ndcg_at_2")
    assert len(passes) == 6
    compare(points, labels, similarity="dot", max_memory=40 * 10**3, metrics="asi")
    monkeypatch.setattr(streaming.Task, "packable", False)
    least = 21 * streaming.BYTES_PER_PAIR
    with pytest.raises(ValueError, match=f"max_memory: wanted at least {least}"):
        metrics.evaluate(points.to(DEVICE), labels, similarity="dot", max_memory=least - 1)


def test_the_calculator(passes):
    points, labels = grid(12), tree(12, 1)[:, 0]
    for k in (None, 3, "max_bin_count"):
        options = {"exclude": ("AMI", "NMI"), "k": k, "similarity": "dot"}
        wanted = AccuracyCalculator(device="cpu", **options).get_accuracy(points, labels)
        assert not passes
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(streaming.Task, "packable", False)
            got = AccuracyCalculator(device=DEVICE, **options).get_accuracy(points, labels)
        assert got == pytest.approx(wanted, rel=1e-12)
        assert passes
        passes.clear()


def test_a_metric_of_ones_own_reads_the_same_lists(passes):
    points, labels = grid(12).to(DEVICE), tree(12, 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streaming.Task, "packable", False)
        metrics.evaluate(points, labels, metrics="asi", similarity="dot")
    (lists,) = passes
    whole = RankedLists(lists.hits, lists.common_levels, lists.counts)
    assert len(whole.rank) == int(lists.num_at_least(1).sum())
    for threshold, k in itertools.product((1, 2, 3), (None, 4)):
        assert torch.equal(whole.first(threshold), lists.first(threshold))
        assert torch.equal(whole.num_found(threshold, k), lists.num_found(threshold, k))
        torch.testing.assert_close(
            whole.discount_sum(threshold, k), lists.discount_sum(threshold, k), rtol=1e-12, atol=0
        )


def test_the_same_twice(passes):
    points, labels = torch.randn(9, 5).to(DEVICE), tree(9, 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streaming.Task, "packable", False)
        first, second = (metrics.evaluate(points, labels) for _ in range(2))
    assert all(torch.equal(first[name].values, second[name].values) for name in first)
    assert len(passes) == 2


def test_more_levels_than_the_keys_hold(passes):
    compare(grid(20), tree(20, 8), similarity="dot")
    assert not passes

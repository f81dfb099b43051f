"""Keys of score and level: they rank as the scores do, whatever the scores, and however they are sorted."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pml_suprank import metrics
from pml_suprank.metrics.ranking import keys, packed, streaming
from tests.metrics.test_evaluate import assert_equal_results, tree_labels
from tests.reference import metrics as reference


def values_of(query, labels, gallery, gallery_labels, scores, depths=(1, 5)):
    """Every metric by the loops, on given scores (Q, N)."""
    levels = labels.shape[1]
    rows = []
    for row, label in zip(scores, labels, strict=True):
        shared = [reference.common(label, other) for other in gallery_labels]
        ranked = reference.ranking(row, shared)
        relevance = reference.population_relevance(ranked, levels)
        rows.append(reference.all_metrics(ranked, levels, depths, relevance))
    return rows


def assert_as_loops(query, labels, gallery, gallery_labels, scores):
    result = metrics.evaluate(query, labels, gallery, gallery_labels, k=(1, 5), similarity="dot")
    wanted = values_of(query, labels, gallery, gallery_labels, scores)
    for name, ours in result.items():
        np.testing.assert_allclose(
            ours.values,
            [each[name] or 0.0 for each in wanted],
            rtol=1e-12,
            atol=1e-14,
            err_msg=name,
        )


@pytest.fixture(params=["radix", "sort"])
def way(request, monkeypatch):
    monkeypatch.setattr(keys, "radix_is_faster", lambda dtype: request.param == "radix")


FLOATS = st.floats(
    width=32, allow_nan=False, allow_infinity=False, min_value=-(2.0**60), max_value=2.0**60
)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        FLOATS | st.sampled_from([0.0, -0.0, 1e-30, -1e-30, 2e-30, 1e-45]), min_size=2, max_size=30
    ),
    st.integers(1, 7),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
def test_any_scores_rank_exactly(scores, levels, seed, radix):
    """With one dimension and the query 1.0 the gallery is its scores: tiny, huge, signed zeros, ties."""
    labels = torch.tensor(tree_labels(np.random.default_rng(seed), len(scores) + 1, levels, 2))
    gallery = torch.tensor(scores, dtype=torch.float32)[:, None]
    query = torch.ones(1, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys, "radix_is_faster", lambda dtype: radix)
        assert_as_loops(query, labels[:1], gallery, labels[1:], gallery.T.double())


def test_scores_too_close_to_zero_for_32_bits_take_64(monkeypatch, way):
    """Two scores of 1e-30 and 2e-30 beside scores of 1: exponents that 32 bits cannot all hold."""
    seen = []
    original = packed.PackedRanker._pack

    def spy(self, block, space, wide):
        held = original(self, block, space, wide)
        seen.append((wide, held))
        return held

    monkeypatch.setattr(packed.PackedRanker, "_pack", spy)
    gallery = torch.tensor([[1.0], [2e-30], [1e-30], [-1.0], [0.0]])
    labels = torch.tensor([[0, 0], [1, 0], [2, 1], [3, 0], [4, 1]])
    query, of_query = torch.ones(3, 1), torch.tensor([[1, 0], [2, 1], [7, 7]])
    assert_as_loops(query, of_query, gallery, labels, gallery.T.double().repeat(3, 1))
    assert seen == [(False, False), (True, True), (True, True)]  # half of the queries at a time
    seen.clear()
    metrics.evaluate(query, of_query, gallery[[0, 1, 3]], labels[[0, 1, 3]], similarity="dot")
    assert seen == [(False, True)]  # one score near zero collides with nothing
    seen.clear()
    zeros = torch.tensor([[1.0], [0.0], [-0.0]])
    metrics.evaluate(query, of_query, zeros, labels[:3], similarity="dot")
    assert seen == [(False, True)]  # the zeros are one number


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_both_sorts_agree(dtype, monkeypatch):
    rng = np.random.default_rng(0)
    info = np.iinfo(dtype)
    rows = rng.integers(info.min, info.max, (5, 4001), dtype=dtype, endpoint=True)
    rows[1] = rng.integers(-3, 4, 4001)
    rows[2, :2] = info.min, info.max
    wanted = np.sort(rows, axis=1) & 7
    for radix in (True, False):
        monkeypatch.setattr(keys, "radix_is_faster", lambda _, radix=radix: radix)
        levels = np.empty(rows.shape, np.uint8)
        keys.sorted_levels_of_keys(rows.copy(), 3, levels)
        assert np.array_equal(levels, wanted)


def test_the_faster_sort_is_measured_once():
    keys.radix_is_faster.cache_clear()
    assert keys.radix_is_faster("int32") in (True, False)
    keys.radix_is_faster("int32")
    assert keys.radix_is_faster.cache_info().hits == 1


@pytest.mark.parametrize("own", [True, False])
def test_agrees_with_the_sort_that_keeps_the_order(own, monkeypatch, way):
    """The two executions of one definition, on more items than a product or a part of hits holds."""
    monkeypatch.setattr(packed, "HITS", 500)
    generator = torch.Generator().manual_seed(1)
    points = torch.randint(-16, 17, (2500, 64), generator=generator) / 16
    labels = torch.tensor(tree_labels(np.random.default_rng(1), 2500, 4, 3))
    arguments = (points[:40], labels[:40], points, labels)
    options = {"similarity": "dot", "k": (1, 10), "ref_includes_query": own}
    here = metrics.evaluate(*arguments, **options)
    monkeypatch.setattr(streaming.Task, "packable", False)
    assert_equal_results(here, metrics.evaluate(*arguments, **options))


def test_copies_in_the_gallery_tie(way):
    """A product alone gives equal rows scores that differ in the last bit, at different places."""
    generator = torch.Generator().manual_seed(2)
    one = torch.randn(40, 128, generator=generator)
    copy = torch.randint(40, (2003,), generator=generator)
    labels = torch.tensor(tree_labels(np.random.default_rng(2), 2003, 3, 4))
    query = torch.randn(20, 128, generator=generator)
    scores = (query.double() @ one.double().T)[:, copy]
    arguments = (query, labels[:20], one[copy], labels)
    result = metrics.evaluate(*arguments, similarity="dot", block_size=3)
    for index, (row, label) in enumerate(zip(scores, labels[:20], strict=True)):
        shared = (labels == label).sum(1).tolist()
        ranked = reference.ranking(row.tolist(), shared)
        for column in range(3):
            wanted = reference.average_precision(reference.hits(ranked, 3, column))
            ours = result[f"mean_average_precision_level{column}"].values[index]
            assert float(ours) == pytest.approx(wanted, rel=1e-12)


def test_more_levels_than_the_keys_have_room_for():
    labels = torch.arange(12)[:, None] // 2 ** torch.arange(18)
    labels += 100 * torch.arange(18)
    points = torch.randint(-4, 5, (12, 3)).float()
    result = metrics.evaluate(points, labels, similarity="dot", metrics="ndcg")
    rows = [
        reference.ranking(
            points.double() @ one, [reference.common(label, other) for other in labels], own
        )
        for own, (one, label) in enumerate(zip(points.double(), labels, strict=True))
    ]
    np.testing.assert_allclose(result["ndcg"].values, [reference.ndcg(row) for row in rows])

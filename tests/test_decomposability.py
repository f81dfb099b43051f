"""The gap against loops over items, and what must not change it."""

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import BatchSampler, SequentialSampler

from pml_suprank import Hierarchy, decomposability_gap
from pml_suprank.relevance import WeightedRelevance
from tests.reference import metrics as reference

METRICS = {
    "mean_average_precision": "mean_average_precision_level1",
    "recall_at_k": "recall_at_3_level1",
    "hierarchical_average_precision": "hierarchical_average_precision",
    "ndcg": "ndcg",
    "ndcg_at_k": "ndcg_at_3",
    "asi": "asi",
}
OPTIONS = {"level": 1, "k": 3, "similarity": "dot"}


def mean_of(points, labels, items, name):
    """Mean of a metric over the items, each against the others, and the number of those without positives."""
    values = []
    for query in items:
        others = [item for item in items if item != query]
        scores = [float(points[query].double() @ points[other].double()) for other in others]
        levels = [reference.common(labels[query], labels[other]) for other in others]
        ranked = reference.ranking(scores, levels)
        relevance = reference.population_relevance(ranked, labels.shape[1])
        values.append(reference.all_metrics(ranked, labels.shape[1], (3,), relevance)[name])
    kept = [value for value in values if value is not None]
    return (np.mean(kept) if kept else None), len(values) - len(kept)


def assert_close(values, expected):
    """Equal up to rounding, None where None is expected."""
    assert [value is None for value in values] == [value is None for value in expected]
    kept = [value for value in expected if value is not None]
    assert [value for value in values if value is not None] == pytest.approx(kept, rel=1e-12)


@st.composite
def problems(draw):
    """Points whose products are exact, labels of two levels, and batches of any sizes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(3, 20))
    points = torch.tensor(rng.integers(-4, 5, (count, 3)) / 4, dtype=torch.float32)
    fine = rng.integers(0, 4, count)
    fine[:2] = 0
    order = rng.permutation(np.arange(2, count))
    cuts = np.sort(rng.integers(0, count - 1, draw(st.integers(0, 3))))
    batches = [[0, 1], *(part.tolist() for part in np.split(order, cuts) if len(part))]
    return points, torch.tensor(np.stack([fine, fine // 2], 1)), batches


@settings(deadline=None, max_examples=40)
@given(problems(), st.sampled_from(sorted(METRICS)))
def test_against_loops(problem, metric):
    points, labels, batches = problem
    got = decomposability_gap(points, labels, batches, metric, **OPTIONS)
    expected = [mean_of(points, labels, items, METRICS[metric]) for items in batches]
    whole, left_out = mean_of(points, labels, range(len(points)), METRICS[metric])
    assert got.metric == METRICS[metric]
    assert_close(got.per_batch, [value for value, _ in expected])
    assert got.whole == pytest.approx(whole, rel=1e-12)
    kept = [value for value, _ in expected if value is not None]
    assert got.gap == pytest.approx(np.mean(kept) - whole, rel=1e-12, abs=1e-12)
    assert got.num_left_out == sum(missing for _, missing in expected)
    assert got.num_left_out_whole == left_out


@settings(deadline=None, max_examples=40)
@given(problems(), st.sampled_from(sorted(METRICS)))
def test_one_batch_that_holds_everything_has_no_gap(problem, metric):
    points, labels, _ = problem
    got = decomposability_gap(points, labels, [torch.randperm(len(points))], metric, **OPTIONS)
    assert got.gap == 0
    assert got.num_left_out == got.num_left_out_whole


@settings(deadline=None, max_examples=40)
@given(problems(), st.sampled_from(sorted(METRICS)), st.randoms(use_true_random=False))
def test_the_order_of_batches_and_of_their_items_changes_nothing(problem, metric, random):
    points, labels, batches = problem
    before = decomposability_gap(points, labels, batches, metric, **OPTIONS)
    order = random.sample(range(len(batches)), len(batches))
    shuffled = [random.sample(batches[n], len(batches[n])) for n in order]
    after = decomposability_gap(points, labels, shuffled, metric, **OPTIONS)
    assert_close(after.per_batch, [before.per_batch[n] for n in order])
    assert after.gap == pytest.approx(before.gap, rel=1e-12, abs=1e-12)
    assert (after.whole, after.num_left_out) == (before.whole, before.num_left_out)


@pytest.fixture
def points():
    return torch.randn(24, 4)


LABELS = torch.arange(24) % 6
BATCHES = [list(range(12)), list(range(12, 24))]


def test_any_form_of_batches_is_taken(points):
    expected = decomposability_gap(points, LABELS, BATCHES)
    sampler = BatchSampler(SequentialSampler(LABELS), batch_size=12, drop_last=False)
    repeated = [[*BATCHES[0], 3, 3], BATCHES[1]]
    for batches in (sampler, torch.arange(24).view(2, 12), map(np.array, BATCHES), repeated):
        assert decomposability_gap(points, LABELS, batches) == expected
    assert decomposability_gap(points.numpy(), LABELS.numpy(), BATCHES) == expected


def test_a_hierarchy_and_a_relevance_are_used(points):
    tree = Hierarchy.from_labels([[0, 0], [1, 0], [2, 0], [3, 1], [4, 1], [5, 1]])
    by_tree = decomposability_gap(points, LABELS, BATCHES, hierarchy=tree)
    by_rows = decomposability_gap(points, tree.expand(LABELS), BATCHES)
    assert by_tree == by_rows
    relevance = WeightedRelevance(by_level=[0.1, 0.9])
    other = decomposability_gap(points, LABELS, BATCHES, hierarchy=tree, relevance=relevance)
    assert other.whole != by_tree.whole
    assert other.per_batch != by_tree.per_batch


def test_batches_without_positives_do_not_count(points):
    got = decomposability_gap(points, LABELS, [[0, 1, 2], [5], BATCHES[0]], "recall_at_k", k=11)
    assert got.per_batch == (None, None, 1.0)
    assert (got.batch_average, got.num_left_out) == (1.0, 4)


def test_the_result_is_frozen(points):
    result = decomposability_gap(points, LABELS, BATCHES)
    with pytest.raises(AttributeError):
        result.whole = 1.0


def test_plot(points, tmp_path):
    result = decomposability_gap(points, LABELS, [[0, 1], *BATCHES], "mean_average_precision")
    axes = result.plot(tmp_path / "gap.png").axes[0]
    drawn = axes.lines[0].get_xydata()
    assert drawn.tolist() == [[2, result.per_batch[1]], [3, result.per_batch[2]]]
    assert [line.get_ydata()[0] for line in axes.lines[1:]] == [result.batch_average, result.whole]
    assert f"{result.gap:+.3f}" in axes.get_title(loc="left")
    assert (tmp_path / "gap.png").read_bytes().startswith(b"\x89PNG")
    result.plot()


def test_plot_names_the_extra(points, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "pml-suprank\[recipes\]"'):
        decomposability_gap(points, LABELS, BATCHES).plot()


def test_progress_bars(points, capsys):
    decomposability_gap(points, LABELS, BATCHES, progress=True)
    assert "2/2" in capsys.readouterr().err
    decomposability_gap(points, LABELS, BATCHES)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"embeddings": torch.zeros(24)}, "embeddings: wanted"),
        ({"embeddings": torch.full((24, 4), float("nan"))}, "embeddings: wanted finite"),
        ({"labels": LABELS[:5]}, "labels: wanted 24 rows, got 5"),
        ({"labels": LABELS + 0.5}, "labels: wanted integers"),
        ({"metric": "accuracy"}, "metric: wanted one of .*'ndcg'.*got 'accuracy'"),
        ({"level": 1}, "level: wanted an integer >= 0 below 1, got 1"),
        ({"k": 0}, "k: wanted .* got"),
        ({"similarity": "taxi"}, "similarity: wanted one of"),
        ({"batches": 5}, "batches: wanted an iterable of indices, got int"),
        ({"batches": []}, "batches: wanted a query with a positive .* none in 0 batches"),
        ({"batches": [[0, 1]]}, "batches: wanted a query with a positive .* none in 1 batches"),
        ({"batches": [[0, 6], []]}, "batches: wanted a non-empty 1-D list .* for batch 1"),
        ({"batches": range(24)}, "batches: wanted a non-empty 1-D list .*got int for batch 0"),
        ({"batches": [LABELS > 2]}, "batches: wanted a non-empty 1-D list"),
        ({"batches": [[0.0, 6.0]]}, "batches: wanted a non-empty 1-D list"),
        ({"batches": ["first"]}, "batches: wanted a non-empty 1-D list .*got str"),
        ({"batches": [[0, 24]]}, r"batches: wanted indices in 0\.\.23, got 0\.\.24 in batch 0"),
        ({"batches": [[-1, 6]]}, r"batches: wanted indices in 0\.\.23, got -1\.\.6 in batch 0"),
    ],
)
def test_bad_input(points, arguments, message):
    inputs = {"embeddings": points, "labels": LABELS, "batches": BATCHES} | arguments
    with pytest.raises(ValueError, match=message):
        decomposability_gap(**inputs)

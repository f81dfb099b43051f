"""Embeddings far from the origin, close together, tiny or huge: rankings are those of exact scores."""

import itertools

import numpy as np
import pytest
import torch
from pytorch_metric_learning.utils import accuracy_calculator as pml

from pml_suprank import metrics
from pml_suprank.accuracy_calculator import AccuracyCalculator
from pml_suprank.decomposability import decomposability_gap
from pml_suprank.metrics import neighbours
from pml_suprank.metrics.ranking import levels, scores, streaming
from pml_suprank.metrics.ranking.precise import PreciseScorer, products_are_exact
from tests.metrics.test_evaluate import assert_equal_results

SIMILARITIES = ("euclidean", "cosine", "dot")
LABELS = torch.stack([torch.arange(300) % 20, torch.arange(300) % 4], 1)


def ordinary(count=300, dim=24):
    generator = torch.Generator().manual_seed(3)
    centres = torch.randn(20, dim, generator=generator)
    return centres[torch.arange(count) % 20] / 2 + torch.randn(count, dim, generator=generator)


def unit(points):
    return torch.nn.functional.normalize(points, dim=1)


HARD = {
    "offset": lambda: ordinary() + 1000,
    "offset in one dimension": lambda: ordinary() + 1e5 * torch.eye(24)[0],
    "collapsed": lambda: unit(unit(ordinary()[:1]) + 1e-3 * ordinary()),
    "collapsed to a few units in the last place": lambda: unit(ordinary()[:1]) + 1e-6 * ordinary(),
    "two clusters far from each other": lambda: ordinary() + 1000.0 * LABELS[:, 1:].fmod(2),
    "tiny": lambda: ordinary() * 1e-25,
    "huge": lambda: ordinary() * 1e17,
    "short and long": lambda: ordinary() * 10 ** torch.linspace(-4, 4, 300)[:, None],
}
"""Where float32 products do not tell the ranks, or barely do."""


def exact_scores(points, similarity):
    """(N, N) in extended precision, by differences, whose digits no common offset takes."""
    rows = points.double().numpy().astype(np.longdouble)
    if similarity == "dot":
        return rows @ rows.T
    if similarity == "cosine":
        rows = rows / np.sqrt((rows**2).sum(1, keepdims=True))
    return np.stack([-((rows - row) ** 2).sum(1) for row in rows])


def exact_ap(points, similarity, level=0):
    """AP of every query by loops over exact scores."""
    values = []
    for query, row in enumerate(exact_scores(points, similarity)):
        order = [item for item in np.argsort(-row, kind="stable") if item != query]
        same = (LABELS[order, level] == LABELS[query, level]).numpy()
        ranks = np.flatnonzero(same) + 1
        values.append((np.arange(1, len(ranks) + 1) / ranks).mean())
    return np.array(values)


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("kind", HARD)
class TestHard:
    def test_evaluate(self, kind, similarity):
        points = HARD[kind]()
        result = metrics.evaluate(points, LABELS, similarity=similarity)
        for level in (0, 1):
            found = result[f"mean_average_precision_level{level}"].values
            wanted = exact_ap(points, similarity, level)
            # float32 alone is off by up to .1 in the mean
            assert abs(found.numpy().mean() - wanted.mean()) < 2e-5
            np.testing.assert_allclose(found, wanted, atol=5e-3)

    def test_in_float64(self, kind, similarity):
        points = HARD[kind]()
        found = metrics.mean_average_precision(points.double(), LABELS, similarity=similarity)
        np.testing.assert_allclose(found.values, exact_ap(points, similarity), atol=1e-4)

    def test_calculator(self, kind, similarity):
        points = HARD[kind]()
        wanted = exact_ap(points, similarity).mean()
        name = "mean_average_precision"
        options = {"include": (name,), "device": torch.device("cpu")}
        plain = AccuracyCalculator(similarity=similarity, **options)
        compared = AccuracyCalculator(
            similarity=similarity, label_comparison_fn=lambda x, y: x == y, **options
        )
        by_neighbours = AccuracyCalculator(knn_func=neighbours.ExactKNN(similarity), **options)
        for calculator in (plain, compared, by_neighbours):
            found = calculator.get_accuracy(points, LABELS[:, 0])[name]
            assert abs(found - wanted) < 2e-5

    def test_judged(self, kind, similarity):
        points = HARD[kind]()
        same = LABELS[:, 0][:, None] == LABELS[:, 0]
        relevant = [
            [item for item in row.nonzero().flatten().tolist() if item != query]
            for query, row in enumerate(same)
        ]
        found = metrics.evaluate_judged(
            points,
            points,
            relevant,
            [[query] for query in range(len(points))],
            metrics="mean_average_precision",
            similarity=similarity,
        )["mean_average_precision"]
        wanted = exact_ap(points, similarity)
        assert abs(found.mean() - wanted.mean()) < 2e-5
        np.testing.assert_allclose(found.values, wanted, atol=5e-3)

    def test_decomposability(self, kind, similarity):
        points = HARD[kind]()
        result = decomposability_gap(
            points, LABELS, [range(150)], "mean_average_precision", similarity=similarity
        )
        assert abs(result.whole - exact_ap(points, similarity).mean()) < 2e-5


@pytest.mark.parametrize("shift", [1e2, 1e4, 1e6, 1e8])
def test_the_origin_does_not_matter(shift):
    """A shift that float64 embeddings hold changes no Euclidean ranking."""
    points = (ordinary().double() * 2**16).round() / 2**16
    plain = metrics.evaluate(points, LABELS, similarity="euclidean")
    moved = metrics.evaluate(points + shift, LABELS, similarity="euclidean")
    assert_equal_results(plain, moved)


def test_as_pml_by_differences():
    """PML's calculator on distances without cancellation."""
    points = ordinary() + 1000

    def search(query, k, reference, ref_includes_query):
        distances = torch.cdist(
            query.double(), reference.double(), compute_mode="donot_use_mm_for_euclid_dist"
        )
        distances.fill_diagonal_(torch.inf)
        nearest = distances.topk(k, largest=False)
        return nearest.values, nearest.indices

    options = {
        "include": ("mean_average_precision", "precision_at_1"),
        "device": torch.device("cpu"),
    }
    theirs = pml.AccuracyCalculator(k=None, knn_func=search, **options)
    wanted = theirs.get_accuracy(points, LABELS[:, 0])
    found = AccuracyCalculator(**options).get_accuracy(points, LABELS[:, 0])
    assert found == pytest.approx(wanted, abs=1e-6)


class TestWhatIsRankedAgain:
    @pytest.fixture
    def plans(self, monkeypatch):
        """Numbers of queries of each pass."""
        seen = []
        original = streaming._measured

        def spy(plan, *rest):
            seen.append(len(plan.order))
            return original(plan, *rest)

        monkeypatch.setattr(streaming, "_measured", spy)
        return seen

    @pytest.mark.parametrize("similarity", SIMILARITIES)
    def test_hardly_any_ordinary_query(self, plans, similarity):
        metrics.evaluate(unit(ordinary()), LABELS, similarity=similarity)
        assert sum(plans) < 1.05 * 300

    @pytest.mark.parametrize("similarity", ["euclidean", "dot"])
    def test_nothing_where_products_are_exact(self, plans, similarity):
        """Ties of embeddings on a grid are ties."""
        points = torch.randint(-3, 4, (300, 4)).float()
        metrics.evaluate(points, LABELS, similarity=similarity)
        assert plans == [300]

    def test_some_or_all(self, plans):
        near = ordinary()
        near[:4] = near[0] + 1e-7 * torch.randn(4, 24)
        metrics.evaluate(near, LABELS, similarity="euclidean")
        assert plans[0] == 300
        assert 4 <= plans[1] < 75
        metrics.evaluate(near + 1000, LABELS, similarity="euclidean")
        assert plans[2:] == [300, 300]

    def test_same_levels_need_no_order(self, plans):
        collapsed = torch.eye(24)[LABELS[:, 0]] + 1e-8 * torch.randn(300, 24)
        metrics.mean_average_precision(
            collapsed + 0.01 * torch.randn(20, 24)[LABELS[:, 0]], LABELS[:, 0]
        )
        assert sum(plans) < 1.05 * 300

    def test_blocks_threads_and_progress(self, capsys):
        points = HARD["offset"]()
        options = {"similarity": "euclidean"}
        whole = metrics.evaluate(points, LABELS, **options)
        for how in ({"block_size": 7}, {"max_memory": 2**25}, {"progress": True}):
            assert_equal_results(whole, metrics.evaluate(points, LABELS, **options, **how))
        assert "ranking in float64" in capsys.readouterr().err

    def test_the_query_stays_out(self):
        points = HARD["collapsed"]()
        args = (points[:50], LABELS[:50], points, LABELS)
        alone = metrics.evaluate(points, LABELS)
        first = metrics.evaluate(*args, ref_includes_query=True)
        order = torch.randperm(300, generator=torch.Generator().manual_seed(0))
        moved = metrics.evaluate(
            points[:50],
            LABELS[:50],
            points[order],
            LABELS[order],
            self_indices=order.argsort()[:50],
        )
        assert_equal_results(first, moved)
        for name in first:
            torch.testing.assert_close(first[name].values, alone[name].values[:50])


class TestPreciseScorer:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("offset", [0, 1000])
    @pytest.mark.parametrize("similarity", SIMILARITIES)
    def test_copies_tie_exactly(self, dtype, offset, similarity):
        one = torch.randn(40, 128, dtype=dtype) + offset
        places = torch.randint(40, (1003,))
        gallery = one[places]
        if similarity == "cosine":  # powers of two change no direction
            gallery = gallery * 2.0 ** torch.randint(-3, 4, (1003, 1))
        found = PreciseScorer(gallery, similarity)(one[:9] + 1)
        for row in range(40):
            same = found[:, places == row]
            assert bool((same == same[:, :1]).all())

    @pytest.mark.parametrize("similarity", ["euclidean", "dot"])
    def test_ties_on_a_grid_stay_far_from_the_origin(self, similarity):
        points = torch.randint(-3, 4, (200, 5)).float()
        plain = PreciseScorer(points, similarity)(points[:20])
        moved = PreciseScorer(points + 4096, similarity)(points[:20] + 4096 * (similarity != "dot"))
        ties = plain[:, :, None] == plain[:, None]
        if similarity == "euclidean":
            assert torch.equal(moved[:, :, None] == moved[:, None], ties)
        else:
            assert torch.equal(moved, PreciseScorer(points + 4096, "dot")(points[:20]))

    def test_cosines_of_integers_tie(self):
        gallery = torch.tensor([[1.0, 2, 3], [3, 2, 1], [2, 3, 1], [12, 4, 8]])
        assert len(PreciseScorer(gallery, "cosine")(torch.ones(1, 3)).unique()) == 1

    def test_order(self):
        points, order = HARD["offset"](), torch.randperm(300)
        found = PreciseScorer(points, "euclidean", order)(points[:5])
        wanted = PreciseScorer(points[order], "euclidean")(points[:5])
        torch.testing.assert_close(found, wanted)

    def test_overflow_is_an_error(self):
        with pytest.raises(ValueError, match="wanted products below"):
            metrics.evaluate(ordinary().double() * 1e160, LABELS, similarity="dot")


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("kind", ["offset", "collapsed"])
def test_neighbours_and_their_distances(kind, similarity):
    points = HARD[kind]()
    values, indices = neighbours.ExactKNN(similarity)(points, 5, points, True)
    exact = exact_scores(points, similarity).copy()
    np.fill_diagonal(exact, -np.inf)
    order = np.argsort(-exact, axis=1)[:, :5]
    assert np.array_equal(indices, order)
    wanted = np.take_along_axis(exact, order, 1)
    if similarity == "euclidean":
        wanted = -wanted
    elif similarity == "cosine":
        wanted = 1 + wanted / 2
    assert values.dtype == torch.float32
    np.testing.assert_allclose(values, wanted.astype(np.float64), rtol=1e-6)


def test_products_are_exact():
    grid = torch.randint(-16, 17, (40, 64)) / 16
    assert products_are_exact(grid, grid, "dot")
    assert products_are_exact(grid, grid, "euclidean")
    assert not products_are_exact(grid, grid, "cosine")
    assert not products_are_exact(grid, grid / 3, "dot")
    assert not products_are_exact(grid + 2**20, grid, "dot")


def test_boundaries_cover_every_place():
    for length in (1, 2, 3, 17, 1000):
        places = levels.boundaries(length)
        assert places[0] == 0
        assert places[-1] == length - 1
        assert all(
            after - before <= max(1, before // 8) for before, after in itertools.pairwise(places)
        )


def test_full_precision_is_given_back():
    """Lightning and others allow TF32 and bfloat16 products; rankings are none of them."""
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        points = ordinary()
        with scores.full_precision():
            assert torch.get_float32_matmul_precision() == "highest" or (
                torch.backends.cuda.matmul.fp32_precision == "ieee"
            )
        medium = metrics.evaluate(points, LABELS)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert_equal_results(medium, metrics.evaluate(points, LABELS), rtol=0)

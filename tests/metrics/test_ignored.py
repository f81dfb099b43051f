"""``ignore_index``: samples with that label are neither queries nor items, as if they had not been passed."""

import pytest
import torch

from pml_suprank import AccuracyCalculator, Hierarchy, metrics
from pml_suprank.decomposability import decomposability_gap
from pml_suprank.hierarchy import HierarchyError
from pml_suprank.metrics.neighbours import ExactKNN

TREE = Hierarchy.from_paths(["dog/husky", "dog/poodle", "cat/tabby", "plant/rose"])
IGNORED = -1


def problem(form, seed=0):
    """Embeddings, labels of some form with some to ignore, options, and places of the others."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(60, 5, generator=generator)
    classes = torch.randint(4, (60,), generator=generator)
    classes[torch.rand(60, generator=generator) < 0.3] = IGNORED
    kept = (classes != IGNORED).nonzero().flatten()
    # What embeddings are ignored does not matter.
    points[classes == IGNORED] = torch.nan
    if form == "hierarchy":
        return points, classes, {"hierarchy": TREE}, kept
    if form == "1-D":
        return points, classes, {}, kept
    rows = torch.full((60, 2), 5)
    rows[:, 0] = IGNORED
    rows[kept] = TREE.expand(classes[kept])
    # Ignored rows need not fit into the tree.
    rows[classes == IGNORED, 1] = torch.arange(60 - len(kept))
    return points, rows, {}, kept


FORMS = ("1-D", "2-D", "hierarchy")


def assert_as_dropped(found, wanted, kept, length):
    """Values of all queries equal those without the ignored ones, at their places."""
    for name, result in found.items():
        assert len(result.values) == len(result.valid) == length
        torch.testing.assert_close(result.values[kept], wanted[name].values, rtol=0, atol=0)
        assert torch.equal(result.valid[kept], wanted[name].valid)
        rest = torch.ones(length, dtype=torch.bool)
        rest[kept] = False
        assert not bool(result.valid[rest].any())
        assert not bool(result.values[rest].any())
        assert result.mean() == wanted[name].mean()
        assert result.num_left_out == wanted[name].num_left_out + int(rest.sum())


@pytest.mark.parametrize("form", FORMS)
class TestAsDropped:
    def test_against_themselves(self, form):
        points, labels, options, kept = problem(form)
        found = metrics.evaluate(points, labels, ignore_index=IGNORED, k=(1, 3), **options)
        wanted = metrics.evaluate(points[kept], labels[kept], k=(1, 3), **options)
        assert_as_dropped(found, wanted, kept, 60)

    def test_against_a_gallery(self, form):
        points, labels, options, kept = problem(form)
        others, other_labels, _, other_kept = problem(form, seed=1)
        found = metrics.evaluate(
            points, labels, others, other_labels, ignore_index=IGNORED, **options
        )
        wanted = metrics.evaluate(
            points[kept], labels[kept], others[other_kept], other_labels[other_kept], **options
        )
        assert_as_dropped(found, wanted, kept, 60)

    def test_queries_in_the_gallery(self, form):
        points, labels, options, kept = problem(form)
        wanted = metrics.evaluate(points[kept], labels[kept], **options)
        queries, first = kept[kept < 20], kept[kept < 20].numel()
        args = (points[:20], labels[:20], points, labels)
        found = metrics.evaluate(*args, ref_includes_query=True, ignore_index=IGNORED, **options)
        order = torch.randperm(60, generator=torch.Generator().manual_seed(2))
        moved = metrics.evaluate(
            points[:20],
            labels[:20],
            points[order],
            labels[order],
            self_indices=order.argsort()[:20],
            ignore_index=IGNORED,
            **options,
        )
        for name, result in wanted.items():
            for each in (found, moved):
                torch.testing.assert_close(each[name].values[queries], result.values[:first])
                assert each[name].num_left_out >= 20 - first

    def test_calculator(self, form):
        points, labels, options, kept = problem(form)
        options |= {"exclude": ("AMI", "NMI"), "device": torch.device("cpu")}
        for more in (
            {},
            {"return_per_class": True},
            {"avg_of_avgs": True},
            {"knn_func": ExactKNN()},
        ):
            found = AccuracyCalculator(ignore_index=IGNORED, **options, **more)
            wanted = AccuracyCalculator(**options, **more)
            alone = wanted.get_accuracy(points[kept], labels[kept])
            assert found.get_accuracy(points, labels) == alone
            assert found.get_accuracy(points, labels, points, labels, True) == alone
            assert found.get_accuracy(points, labels, points.clone(), labels.clone(), True) == alone

    def test_decomposability(self, form):
        points, labels, options, kept = problem(form)
        batches = [
            range(20),
            range(20, 60),
            (labels.reshape(60, -1)[:, 0] == IGNORED).nonzero().flatten(),
        ]
        found = decomposability_gap(points, labels, batches, ignore_index=IGNORED, **options)
        place = torch.full((60,), -1)
        place[kept] = torch.arange(len(kept))
        dropped = [place[list(batch)] for batch in batches[:2]]
        wanted = decomposability_gap(
            points[kept], labels[kept], [batch[batch >= 0] for batch in dropped], **options
        )
        assert found.per_batch == (*wanted.per_batch, None)
        assert (found.whole, found.num_left_out) == (wanted.whole, wanted.num_left_out)

    def test_single_functions(self, form):
        points, labels, options, kept = problem(form)
        for function in (metrics.asi, metrics.ndcg, metrics.mean_average_precision):
            found = function(points, labels, ignore_index=IGNORED, **options)
            assert found.mean() == function(points[kept], labels[kept], **options).mean()


def test_comparison_function():
    points, labels, _, kept = problem("1-D")
    options = {"exclude": ("AMI", "NMI"), "device": torch.device("cpu")}
    options["label_comparison_fn"] = lambda x, y: (x - y).abs() <= 1
    found = AccuracyCalculator(ignore_index=IGNORED, **options).get_accuracy(points, labels)
    assert found == AccuracyCalculator(**options).get_accuracy(points[kept], labels[kept])


def test_without_it_such_a_label_is_a_class():
    points, labels = torch.randn(6, 3), torch.tensor([-1, -1, 0, 0, 1, 1])
    assert metrics.mean_average_precision(points, labels).num_left_out == 0
    with pytest.raises(HierarchyError, match="-1"):
        metrics.mean_average_precision(points, labels, hierarchy=TREE)


def test_errors():
    points, labels = torch.randn(4, 3), torch.full((4,), -1)
    with pytest.raises(
        ValueError, match="query_labels: wanted a sample that counts, got nothing but"
    ):
        metrics.evaluate(points, labels, ignore_index=-1)
    for wrong in (True, 1.5, "-1"):
        with pytest.raises(ValueError, match="ignore_index: wanted an integer, or None"):
            metrics.evaluate(points, labels, ignore_index=wrong)
        with pytest.raises(ValueError, match="ignore_index: wanted an integer, or None"):
            AccuracyCalculator(ignore_index=wrong)
    other = torch.tensor([-1, 0, 0, 1])
    with pytest.raises(ValueError, match="ref_includes_query: .* ignore among other queries"):
        metrics.evaluate(
            points,
            torch.tensor([0, 0, 0, 1]),
            points,
            other,
            ref_includes_query=True,
            ignore_index=-1,
        )
    with pytest.raises(ValueError, match="query: wanted finite"):
        metrics.evaluate(torch.full((4, 3), torch.nan), other, ignore_index=-1)


class TestOneHot:
    """Rows that are no tree are refused wherever labels enter, also by metrics of one level."""

    points, labels = torch.randn(12, 3), torch.nn.functional.one_hot(torch.arange(12) % 4)

    @pytest.mark.parametrize(
        "call",
        [
            lambda x, y: metrics.evaluate(x, y),
            lambda x, y: metrics.evaluate(x, y, x, y, ref_includes_query=True),
            lambda x, y: metrics.mean_average_precision(x, y, level=0),
            lambda x, y: metrics.recall_at_k(x, y, k=1, level=0),
            lambda x, y: metrics.asi(x, y),
            lambda x, y: AccuracyCalculator(exclude=("AMI", "NMI"), device="cpu").get_accuracy(x, y),
            lambda x, y: AccuracyCalculator(
                include=("precision_at_1",), knn_func=ExactKNN(), device="cpu"
            ).get_accuracy(x, y),
            lambda x, y: decomposability_gap(x, y, [range(6)], "mean_average_precision"),
        ],
    )  # fmt: skip
    def test_refused(self, call):
        with pytest.raises(HierarchyError, match=r"labels: wanted a tree.* look one-hot"):
            call(self.points, self.labels)

    def test_gallery_that_is_no_tree_with_the_queries(self):
        query, gallery = torch.tensor([[0, 0], [1, 1]]), torch.tensor([[0, 1], [2, 2]])
        with pytest.raises(HierarchyError, match="wanted a tree"):
            metrics.evaluate(self.points[:2], query, self.points[:2], gallery)

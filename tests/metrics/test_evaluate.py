"""From embeddings and labels to values: against loops over items on the same scores."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pml_suprank import metrics
from pml_suprank.hierarchy import Hierarchy, HierarchyError
from pml_suprank.metrics.ranking.scores import Scorer, equal_rows
from pml_suprank.relevance import ExponentialGain, PopulationRelevance
from tests.reference import metrics as reference

DEPTHS = (1, 3, 7)


def tree_labels(rng, count, levels, branching):
    """Random labels of a tree, uneven classes; ids unique in their column."""
    columns = [rng.integers(0, branching, count)]
    for _ in range(levels - 1):
        columns.append(columns[-1] * branching + rng.integers(0, branching, count))
    return np.stack(columns[::-1], 1)


@st.composite
def problems(draw):
    """Embeddings whose products are exact in float32, with ties and duplicates; labels of a tree."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    queries, items = draw(st.integers(1, 12)), draw(st.integers(1, 25))
    levels, branching = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    dim, grain = draw(st.integers(1, 6)), draw(st.sampled_from([1, 2, 8]))
    count = queries + items
    embeddings = rng.integers(-grain, grain + 1, (count, dim)) / grain
    if draw(st.booleans()):
        embeddings[rng.integers(0, count, count // 2)] = embeddings[0]
    labels = tree_labels(rng, count, levels, branching)
    own = draw(st.sampled_from(["self", "first", "indices", "none"]))
    return torch.tensor(embeddings, dtype=torch.float32), torch.tensor(labels), queries, own


def arguments(embeddings, labels, queries, own):
    """Arguments of evaluate, and gallery scores, levels and own index for each query."""
    query, query_labels = embeddings[:queries], labels[:queries]
    if own == "self":
        args, options = (query, query_labels), {}
        gallery, gallery_labels, index = query, query_labels, range(queries)
    elif own == "none":
        gallery, gallery_labels = embeddings[queries:], labels[queries:]
        args, options = (query, query_labels, gallery, gallery_labels), {}
        index = [None] * queries
    elif own == "first":
        gallery, gallery_labels, index = embeddings, labels, range(queries)
        args = (query, query_labels, gallery, gallery_labels)
        options = {"ref_includes_query": True}
    else:
        gallery, gallery_labels = embeddings.flip(0), labels.flip(0)
        index = [len(embeddings) - 1 - i if i % 3 else None for i in range(queries)]
        args = (query, query_labels, gallery, gallery_labels)
        options = {"self_indices": torch.tensor([-1 if i is None else i for i in index])}
    lists = []
    for i in range(queries):
        scores = gallery.double().numpy() @ query[i].double().numpy()
        levels = [reference.common(query_labels[i], row) for row in gallery_labels]
        lists.append(reference.ranking(scores, levels, index[i]))
    return args, options, lists


def assert_equal_results(one, other, rtol=1e-12):
    assert list(one) == list(other)
    for name in one:
        assert torch.equal(one[name].valid, other[name].valid), name
        torch.testing.assert_close(
            one[name].values,
            other[name].values,
            rtol=rtol,
            atol=1e-14,
            msg=lambda m, n=name: f"{n}: {m}",
        )


@settings(deadline=None)
@given(problems())
def test_every_metric_against_loops(problem):
    args, options, lists = arguments(*problem)
    levels = problem[1].shape[1]
    result = metrics.evaluate(*args, k=DEPTHS, similarity="dot", **options)
    wanted = [
        reference.all_metrics(row, levels, DEPTHS, reference.population_relevance(row, levels))
        for row in lists
    ]
    assert set(result) == set(wanted[0])
    for name, ours in result.items():
        theirs = [each[name] for each in wanted]
        assert ours.valid.tolist() == [each is not None for each in theirs], name
        np.testing.assert_allclose(
            ours.values, [each or 0.0 for each in theirs], rtol=1e-12, atol=1e-14, err_msg=name
        )
        kept = [each for each in theirs if each is not None]
        assert ours.mean() == pytest.approx(np.mean(kept) if kept else 0.0)
        assert ours.num_left_out == len(theirs) - len(kept)


@settings(deadline=None, max_examples=30)
@given(problems(), st.integers(1, 14))
def test_block_size_changes_nothing(problem, block_size):
    args, options, _ = arguments(*problem)
    whole = metrics.evaluate(*args, similarity="dot", **options)
    blocked = metrics.evaluate(*args, similarity="dot", block_size=block_size, **options)
    assert_equal_results(whole, blocked, rtol=0)


@settings(deadline=None, max_examples=30)
@given(problems(), st.randoms(use_true_random=False))
def test_order_of_the_gallery_changes_nothing(problem, random):
    embeddings, labels, queries, _ = problem
    order = list(range(len(embeddings)))
    random.shuffle(order)
    place = torch.tensor(order).argsort()[:queries]
    args = (embeddings[:queries], labels[:queries])
    plain = metrics.evaluate(*args, embeddings, labels, ref_includes_query=True, similarity="dot")
    moved = metrics.evaluate(
        *args, embeddings[order], labels[order], self_indices=place, similarity="dot"
    )
    assert_equal_results(plain, moved)


@settings(deadline=None, max_examples=30)
@given(problems())
def test_label_forms_agree(problem):
    embeddings, labels, *_ = problem
    tree = Hierarchy.from_labels(labels)
    rows = metrics.evaluate(embeddings, labels)
    ids = metrics.evaluate(embeddings, labels[:, 0], hierarchy=tree)
    assert_equal_results(rows, ids, rtol=0)
    exact = {"similarity": "dot"}  # of halves: equal scores are equal in every call
    flat = metrics.evaluate(embeddings, labels[:, 0], metrics="mean_average_precision", **exact)
    finest = metrics.evaluate(embeddings, labels, metrics="mean_average_precision_level0", **exact)
    assert_equal_results(flat, finest, rtol=0)


class TestScores:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
    def test_copies_tie_exactly(self, dtype, similarity):
        """A matrix product alone gives equal rows scores that differ in the last bit."""
        one = torch.randn(40, 128, dtype=dtype)
        gallery = one[torch.randint(40, (1003,))]
        scores = Scorer(gallery, similarity)(torch.randn(64, 128, dtype=dtype))
        for row in one:
            same = (gallery == row).all(1)
            assert bool((scores[:, same] == scores[:, same][:, :1]).all())

    def test_equal_rows(self):
        rows = torch.randn(500, 3)[torch.randint(500, (2000,))]
        rows[::7] *= 0.0
        copies, originals = equal_rows(rows)
        first = {}
        wanted = {}
        for index, row in enumerate((rows + 0.0).tolist()):
            if tuple(row) in first:
                wanted[index] = first[tuple(row)]
            first.setdefault(tuple(row), index)
        assert dict(zip(copies.tolist(), originals.tolist(), strict=True)) == wanted

    def test_orders_agree_with_plain_distances(self):
        query, gallery = torch.randn(9, 16).double(), torch.randn(50, 16).double()
        euclidean = Scorer(gallery, "euclidean")(query).argsort(1, descending=True)
        assert torch.equal(euclidean, torch.cdist(query, gallery).argsort(1))
        cosine = Scorer(gallery, "cosine")(query)
        wanted = torch.cosine_similarity(query[:, None], gallery[None], dim=2)
        torch.testing.assert_close(cosine, wanted)

    def test_autocast_does_not_touch_the_scores(self):
        query = torch.randn(20, 32)
        labels = torch.arange(20) % 4
        plain = metrics.evaluate(query, labels)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert_equal_results(plain, metrics.evaluate(query, labels), rtol=0)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_half_precision_embeddings(self, dtype):
        query = torch.randn(20, 32).to(dtype)
        labels = torch.arange(20) % 4
        assert_equal_results(
            metrics.evaluate(query, labels), metrics.evaluate(query.float(), labels), rtol=0
        )

    def test_gradients_and_arrays_are_accepted(self):
        query = torch.randn(6, 4, requires_grad=True)
        labels = torch.tensor([0, 0, 1, 1, 2, 2])
        plain = metrics.evaluate(query, labels)
        assert not plain["ndcg"].values.requires_grad
        assert_equal_results(plain, metrics.evaluate(query.detach().numpy(), labels.numpy()))


class TestOrder:
    def test_ties_count_against_the_model(self):
        ones = torch.ones(1, 2)
        gallery = torch.ones(4, 2)
        labels = torch.tensor([[0, 0], [9, 9], [1, 0], [8, 8]])
        result = metrics.evaluate(ones, torch.tensor([[0, 0]]), gallery, labels)
        assert result["mean_reciprocal_rank_level0"].mean() == 0.25
        assert result["mean_reciprocal_rank_level1"].mean() == pytest.approx(1 / 3)

    def test_zero_and_minus_zero_tie(self):
        query = torch.tensor([[1.0, 0.0]])
        gallery = torch.tensor([[0.0, 1.0], [-0.0, -1.0]])
        for order in ([0, 1], [1, 0]):
            result = metrics.evaluate(
                query, torch.tensor([0]), gallery[order], torch.tensor([0, 1])[order]
            )
            assert result["mean_reciprocal_rank_level0"].mean() == 0.5

    def test_query_removed_by_identity(self):
        """A copy of the query stays, and so does an item that scores above the query itself."""
        query = torch.tensor([[1.0, 0.0], [1.0, 0.0], [3.0, 0.0]])
        result = metrics.evaluate(query, torch.tensor([0, 1, 0]), similarity="dot")
        assert result["mean_reciprocal_rank_level0"].values.tolist() == [1.0, 0.0, 0.5]
        assert result["mean_reciprocal_rank_level0"].valid.tolist() == [True, False, True]

    def test_no_gallery_item_is_dropped(self):
        query = torch.tensor([[1.0, 0.0]])
        gallery = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
        result = metrics.evaluate(query, torch.tensor([7]), gallery, torch.tensor([0, 1, 7]))
        assert result["mean_average_precision_level0"].mean() == pytest.approx(1 / 3)

    def test_relevance_sees_the_gallery_without_the_query(self):
        seen = []

        def relevance(counts):
            seen.append(counts)
            return ExponentialGain()(counts)

        labels = torch.tensor([[0, 0], [0, 0], [1, 0], [2, 1]])
        metrics.evaluate(
            torch.randn(4, 3), labels, metrics="hierarchical_average_precision", relevance=relevance
        )
        assert seen[0].tolist() == [[1, 1, 1], [1, 1, 1], [1, 2, 0], [3, 0, 0]]

    @pytest.mark.parametrize("offset", [2**24, 2**53])
    def test_large_ids_are_not_merged(self, offset):
        query = torch.eye(4)
        labels = offset + torch.arange(4)
        result = metrics.evaluate(query, labels)
        assert result["mean_average_precision_level0"].num_left_out == 4

    def test_nothing_relevant_is_never_nan(self):
        result = metrics.evaluate(torch.randn(3, 2), torch.tensor([0, 1, 2]), k=(1, 5))
        for each in result.values():
            assert each.num_left_out == 3
            assert each.mean() == 0.0
            assert not bool(each.values.isnan().any())

    def test_one_query_alone(self):
        result = metrics.evaluate(torch.randn(1, 2), torch.tensor([0]))
        assert set(result.num_left_out.values()) == {1}


class TestNames:
    embeddings, labels = torch.randn(8, 3), torch.tensor([[0, 0], [1, 0], [2, 1], [3, 1]] * 2)

    def names(self, chosen, k=(1,)):
        return list(metrics.evaluate(self.embeddings, self.labels, metrics=chosen, k=k))

    def test_families_depths_levels(self):
        assert self.names("recall_at_k", k=(1, 4)) == [
            "recall_at_1_level0",
            "recall_at_1_level1",
            "recall_at_4_level0",
            "recall_at_4_level1",
        ]
        assert self.names(["asi", "recall_at_2_level1", "ndcg_at_3"]) == [
            "asi",
            "recall_at_2_level1",
            "ndcg_at_3",
        ]
        assert self.names(["r_precision", "r_precision_level1"]) == [
            "r_precision_level0",
            "r_precision_level1",
        ]

    @pytest.mark.parametrize(
        "name", ["map", "ndcg_level0", "recall", "recall_at_k_at_1", "r_precision_at_3", 3, ""]
    )
    def test_unknown(self, name):
        with pytest.raises(ValueError, match=r"metrics: wanted names out of .* got"):
            self.names([name])

    def test_unknown_level_or_depth(self):
        with pytest.raises(ValueError, match=r"metrics: wanted levels 0\.\.1, got 'asi|r_prec"):
            self.names(["r_precision_level2"])
        with pytest.raises(ValueError, match="metrics: wanted one or more integers >= 1, got 0"):
            self.names(["recall_at_0"])
        with pytest.raises(ValueError, match=r"metrics: wanted names out of .* got none"):
            self.names([])

    def test_single_functions(self):
        args = (self.embeddings, self.labels)
        result = metrics.evaluate(*args, k=(3,))
        for function in (metrics.ndcg, metrics.asi, metrics.hierarchical_average_precision):
            assert torch.equal(function(*args).values, result[function.__name__].values)
        assert torch.equal(metrics.ndcg(*args, k=3).values, result["ndcg_at_3"].values)
        for level in (0, 1):
            for function in (
                metrics.mean_average_precision,
                metrics.mean_average_precision_at_r,
                metrics.mean_reciprocal_rank,
                metrics.r_precision,
            ):
                name = f"{function.__name__}_level{level}"
                assert torch.equal(function(*args, level=level).values, result[name].values)
            for function in (
                metrics.mean_average_precision_at_k,
                metrics.precision_at_k,
                metrics.recall_at_k,
            ):
                name = f"{function.__name__[:-1]}3_level{level}"
                assert torch.equal(function(*args, k=3, level=level).values, result[name].values)
        with pytest.raises(TypeError, match="metrics: this function computes one metric"):
            metrics.asi(*args, metrics=["ndcg"])

    def test_result(self):
        result = metrics.evaluate(*(self.embeddings, self.labels), metrics=["asi", "r_precision"])
        assert result.mean() == {name: each.mean() for name, each in result.items()}
        assert result.to_dict()["asi"] == {
            "mean": result["asi"].mean(),
            "num_valid": 8,
            "num_left_out": 0,
        }
        assert "asi: MetricResult(mean=" in repr(result)
        with pytest.raises(KeyError, match=r"'ndcg' is none of \['asi'"):
            result["ndcg"]

    def test_progress(self, capsys):
        metrics.evaluate(self.embeddings, self.labels, block_size=3, progress=True)
        assert "8/8" in capsys.readouterr().err


class TestErrors:
    query, labels = torch.randn(3, 2), torch.tensor([0, 0, 1])
    gallery, gallery_labels = torch.randn(5, 2), torch.tensor([0, 0, 1, 1, 2])

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"query": torch.full((3, 2), torch.nan)}, "query: wanted finite numbers, got NaN"),
            ({"gallery": torch.tensor([[0, torch.inf]] * 5)}, "gallery: wanted finite .* 5 rows"),
            ({"query": torch.ones(3, 2) * 1j}, r"query: wanted a floating .* got torch\.complex64"),
            ({"query": torch.full((3, 2), 2**53 + 2)}, r"query: wanted integers up to 2\*\*53"),
            ({"query_labels": torch.eye(3).long()}, "query_labels: .*a tree.* look one-hot"),
            ({"query": [[1.0, 2.0]] * 3}, "query: wanted a .* tensor, got list"),
            ({"query": torch.randn(3)}, r"query: wanted a floating tensor .* shape \(3,\)"),
            ({"query": torch.randn(0, 2)}, r"query: wanted a floating tensor .* shape \(0, 2\)"),
            ({"gallery": torch.randn(0, 2)}, r"gallery: wanted a floating tensor .* shape \(0, 2\)"),
            ({"gallery": torch.randn(5, 3)}, "gallery: wanted 2 dimensions as in query, got 3"),
            ({"query_labels": torch.tensor([0, 1])}, "query_labels: wanted 3 rows, got 2"),
            ({"gallery_labels": torch.tensor([0])}, "gallery_labels: wanted 5 rows, got 1"),
            ({"gallery_labels": None}, "gallery_labels: wanted the labels .* got None"),
            ({"gallery": None}, "gallery_labels: wanted None without a gallery"),
            ({"query_labels": torch.tensor([0.5, 1, 2])}, "query_labels: wanted integers"),
            ({"gallery_labels": torch.zeros(5, 2).long()}, "gallery_labels: wanted 1 columns"),
            ({"k": 0}, "k: wanted one or more integers >= 1, got 0"),
            ({"k": (1, -2)}, "k: wanted one or more integers >= 1"),
            ({"k": ()}, "k: wanted one or more integers >= 1"),
            ({"k": 1.5}, "k: wanted one or more integers >= 1"),
            ({"k": True}, "k: wanted one or more integers >= 1"),
            ({"similarity": "l2"}, "similarity: wanted one of .* got 'l2'"),
            ({"block_size": 0}, "block_size: wanted an integer >= 1 or None, got 0"),
            ({"block_size": 2.0}, "block_size: wanted an integer"),
            ({"ref_includes_query": True}, "ref_includes_query: .* got another embedding"),
            ({"query": torch.randn(9, 2), "query_labels": torch.zeros(9).long(),
              "ref_includes_query": True}, "got 9 queries and 5 items"),
            ({"self_indices": torch.tensor([0, 1])}, r"self_indices: wanted shape \(3,\)"),
            ({"self_indices": torch.tensor([0, 1, 5])}, r"self_indices: wanted -1\.\.4, got"),
            ({"self_indices": torch.tensor([0, 1, 4])}, "self_indices: .* other labels"),
            ({"self_indices": torch.tensor([0.0, 1, 2])}, "self_indices: wanted integers"),
            ({"self_indices": torch.tensor([0, 1, 2]), "ref_includes_query": True},
             "self_indices: wanted None with ref_includes_query"),
            ({"relevance": lambda counts: counts}, "relevance: wanted a floating table"),
            ({"query": torch.full((3, 2), 1e30), "similarity": "dot"}, None),
            ({"query": torch.full((3, 2), 1e30), "gallery": torch.full((5, 2), 1e30),
              "similarity": "dot"}, "query, gallery: wanted products below"),
        ],
    )  # fmt: skip
    def test_arguments(self, change, message):
        names = ("query", "gallery", "gallery_labels")
        arguments = {name: getattr(self, name) for name in names} | {"query_labels": self.labels}
        if message is None:
            metrics.evaluate(**(arguments | change))
            return
        with pytest.raises(ValueError, match=message):
            metrics.evaluate(**(arguments | change))

    def test_first_items_with_other_labels(self):
        with pytest.raises(
            ValueError, match="another embedding or label in 2 places, the first at 1"
        ):
            metrics.evaluate(
                self.query,
                self.labels,
                self.query,
                torch.tensor([0, 1, 2]),
                ref_includes_query=True,
            )

    def test_self_indices_need_a_gallery(self):
        with pytest.raises(ValueError, match="self_indices: wanted None without a gallery"):
            metrics.evaluate(self.query, self.labels, self_indices=torch.arange(3))

    def test_labels_that_are_no_tree(self):
        rows = torch.tensor([[0, 0], [1, 0], [0, 7]])
        with pytest.raises(HierarchyError, match="got 0 of column 0 under 0 and 7 of column 1"):
            metrics.evaluate(self.query, rows)

    def test_unknown_class(self):
        tree = Hierarchy.from_paths(["a/b", "a/c"])
        with pytest.raises(HierarchyError, match=r"query_labels: .* got 1 unknown: 5"):
            metrics.evaluate(self.query, torch.tensor([0, 1, 5]), hierarchy=tree)


def test_population_relevance_is_the_default():
    query, labels = torch.randn(12, 4), torch.tensor([[0, 0], [1, 0], [2, 1]] * 4)
    default = metrics.hierarchical_average_precision(query, labels)
    named = metrics.hierarchical_average_precision(
        query, labels, relevance=PopulationRelevance(1.0)
    )
    other = metrics.hierarchical_average_precision(
        query, labels, relevance=PopulationRelevance(4.0)
    )
    assert torch.equal(default.values, named.values)
    assert not torch.allclose(default.values, other.values)

"""The calculator against PML's own, level by level, and against the plain metrics."""

import copy
import logging
import math
import pickle
import sys

import numpy as np
import pytest
import torch
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.utils import accuracy_calculator as pml
from pytorch_metric_learning.utils.inference import CustomKNN, FaissKNN

from pml_suprank import metrics
from pml_suprank.accuracy_calculator import AccuracyCalculator
from pml_suprank.hierarchy import Hierarchy, HierarchyError
from pml_suprank.metrics import neighbours
from pml_suprank.relevance import WeightedRelevance

pytest.importorskip("faiss", reason="needs the faiss extra")

CPU = torch.device("cpu")
RANKED = (
    "mean_average_precision",
    "mean_average_precision_at_r",
    "mean_reciprocal_rank",
    "precision_at_1",
    "r_precision",
)
CLUSTERED = ("AMI", "NMI")
HIERARCHICAL = ("asi", "hierarchical_average_precision", "ndcg")
# PML forgets mean_reciprocal_rank in requires_knn: it has to come with another metric.
PMLS = dict(include=RANKED, device=CPU)


def data(seed=0, queries=60, references=90, classes=9):
    """Embeddings with some structure, and labels of three levels with uneven classes."""
    generator = torch.Generator().manual_seed(seed)
    count = queries + references
    fine = torch.randint(classes, (count,), generator=generator) ** 2 % 23
    labels = torch.stack([fine, fine // 4, fine // 12], 1)
    centres = torch.randn(24, 8, generator=generator)
    embeddings = centres[fine] + centres[fine // 4] + torch.randn(count, 8, generator=generator)
    return embeddings[:queries], labels[:queries], embeddings[queries:], labels[queries:]


def self_arguments(column=None):
    query, labels, *_ = data()
    return (query, labels if column is None else labels[:, column])


def disjoint_arguments(column=None):
    query, query_labels, reference, reference_labels = data(seed=1)
    if column is not None:
        query_labels, reference_labels = query_labels[:, column], reference_labels[:, column]
    return query, query_labels, reference, reference_labels


def included_arguments(column=None):
    query, query_labels, reference, reference_labels = disjoint_arguments(column)
    both = torch.cat([query, reference]), torch.cat([query_labels, reference_labels])
    return query, query_labels, *both, True


ARGUMENTS = {"self": self_arguments, "disjoint": disjoint_arguments, "included": included_arguments}


def assert_same(ours, theirs):
    assert set(theirs) <= set(ours)
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, rtol=1e-6, err_msg=name)


@pytest.fixture(autouse=True)
def _quiet():
    logging.getLogger("PML").setLevel(logging.ERROR)


@pytest.mark.parametrize("arguments", ARGUMENTS)
@pytest.mark.parametrize("k", [None, 1, 4, 25, "max_bin_count"])
@pytest.mark.parametrize("average", ["", "avg_of_avgs", "return_per_class"])
class TestParity:
    def options(self, average):
        return {average: True} if average else {}

    def test_one_level(self, arguments, k, average):
        args = ARGUMENTS[arguments](0)
        options = self.options(average)
        ours = AccuracyCalculator(k=k, include=RANKED, device=CPU, **options)
        theirs = pml.AccuracyCalculator(k=k, **PMLS, **options)
        assert_same(ours.get_accuracy(*args), theirs.get_accuracy(*args))

    def test_every_level(self, arguments, k, average):
        options = self.options(average)
        ours = AccuracyCalculator(k=k, include=RANKED, device=CPU, **options)
        found = ours.get_accuracy(*ARGUMENTS[arguments]())
        for column in range(3):
            theirs = pml.AccuracyCalculator(k=k, **PMLS, **options)
            end = f"_level{column}" if column else ""
            wanted = theirs.get_accuracy(*ARGUMENTS[arguments](column))
            assert_same(found, {name + end: value for name, value in wanted.items()})

    def test_with_a_neighbour_function(self, arguments, k, average, monkeypatch):
        args = ARGUMENTS[arguments](0)
        options = self.options(average)
        theirs = pml.AccuracyCalculator(
            k=k, knn_func=CustomKNN(CosineSimilarity()), **PMLS, **options
        ).get_accuracy(*args)
        for limit in (2**24, 200):
            monkeypatch.setattr(neighbours, "NEIGHBOURS_PER_CALL", limit)
            ours = AccuracyCalculator(
                k=k, knn_func=CustomKNN(CosineSimilarity()), include=RANKED, device=CPU, **options
            )
            assert_same(ours.get_accuracy(*args), theirs)

    def test_with_a_comparison(self, arguments, k, average):
        def close(one, other):
            return (one - other).abs() <= 1

        args = ARGUMENTS[arguments](0)
        options = self.options(average) | {"k": k, "label_comparison_fn": close}
        theirs = pml.AccuracyCalculator(**PMLS, **options)
        ours = AccuracyCalculator(include=RANKED, device=CPU, **options)
        assert_same(ours.get_accuracy(*args), theirs.get_accuracy(*args))


class TestOtherParity:
    @pytest.mark.parametrize("arguments", ARGUMENTS)
    def test_clusters_of_every_level(self, arguments):
        ours = AccuracyCalculator(include=CLUSTERED, device=CPU)
        found = ours.get_accuracy(*ARGUMENTS[arguments]())
        for column in range(3):
            theirs = pml.AccuracyCalculator(include=CLUSTERED, device=CPU)
            wanted = theirs.get_accuracy(*ARGUMENTS[arguments](column))
            end = f"_level{column}" if column else ""
            assert_same(found, {name + end: value for name, value in wanted.items()})
        assert len(found) == 6

    def test_all_metrics_at_once(self):
        args = self_arguments(0)
        ours = AccuracyCalculator(device=CPU).get_accuracy(*args)
        assert_same(ours, pml.AccuracyCalculator(device=CPU).get_accuracy(*args))
        assert set(ours) == {
            *CLUSTERED, *HIERARCHICAL, *RANKED, *(f"recall_at_{k}" for k in (1, 2, 4, 8)),
        }  # fmt: skip

    def test_labels_of_several_dimensions_with_a_comparison(self):
        def same_place(one, other):
            return ((one - other) ** 2).sum(-1) < 20

        args = disjoint_arguments()
        options = {"label_comparison_fn": same_place}
        ours = AccuracyCalculator(include=RANKED, device=CPU, **options).get_accuracy(*args)
        assert_same(ours, pml.AccuracyCalculator(**PMLS, **options).get_accuracy(*args))

    def test_float_labels_with_a_comparison(self):
        query, labels, reference, reference_labels = disjoint_arguments(0)
        args = query, labels * 0.25, reference, reference_labels * 0.25
        options = {"label_comparison_fn": lambda one, other: (one - other).abs() < 0.3}
        ours = AccuracyCalculator(include=RANKED, device=CPU, **options).get_accuracy(*args)
        assert_same(ours, pml.AccuracyCalculator(**PMLS, **options).get_accuracy(*args))

    def test_faiss_function(self):
        args = included_arguments(0)
        ours = AccuracyCalculator(include=RANKED, knn_func=FaissKNN(), device=CPU)
        assert_same(ours.get_accuracy(*args), pml.AccuracyCalculator(**PMLS).get_accuracy(*args))

    def test_numpy(self):
        args = [each.numpy() for each in disjoint_arguments(0)]
        ours = AccuracyCalculator(include=RANKED, device=CPU).get_accuracy(*args)
        assert_same(ours, pml.AccuracyCalculator(**PMLS).get_accuracy(*args))

    @pytest.mark.parametrize("options", [{}, {"avg_of_avgs": True}, {"return_per_class": True}])
    def test_nothing_relevant(self, options):
        args = torch.randn(4, 2), torch.arange(4)
        ours = AccuracyCalculator(include=RANKED, device=CPU, **options).get_accuracy(*args)
        theirs = pml.AccuracyCalculator(**PMLS, **options).get_accuracy(*args)
        assert_same(ours, theirs)
        assert np.isnan(ours["precision_at_1"]).all()

    def test_partly_lone_queries(self):
        query = torch.randn(7, 3)
        args = query, torch.tensor([0, 0, 1, 2, 2, 3, 0])
        for options in ({}, {"avg_of_avgs": True}, {"return_per_class": True}):
            ours = AccuracyCalculator(include=RANKED, device=CPU, **options).get_accuracy(*args)
            assert_same(ours, pml.AccuracyCalculator(**PMLS, **options).get_accuracy(*args))

    def test_metric_of_a_subclass(self):
        class WithP2:
            def calculate_precision_at_2(self, knn_labels, query_labels, **kwargs):
                return pml.precision_at_k(
                    knn_labels, query_labels[:, None], 2, False, False, self.label_comparison_fn
                )

            def requires_knn(self):
                return [*super().requires_knn(), "precision_at_2"]

        class Ours(WithP2, AccuracyCalculator):
            pass

        class Theirs(WithP2, pml.AccuracyCalculator):
            pass

        names = ("precision_at_2", "r_precision")
        for arguments in ARGUMENTS.values():
            theirs = Theirs(include=names, device=CPU).get_accuracy(*arguments(0))
            ours = Ours(include=names, device=CPU)
            assert_same(ours.get_accuracy(*arguments(0)), theirs)
            assert ours.get_curr_metrics() == ["precision_at_2", "r_precision"]
        found = Ours(include=names, device=CPU).get_accuracy(*self_arguments())
        theirs = Theirs(include=names, device=CPU).get_accuracy(*self_arguments(2))
        assert found["precision_at_2_level2"] == pytest.approx(theirs["precision_at_2"])

    def test_overridden_metric_is_called(self):
        class Ours(AccuracyCalculator):
            def calculate_precision_at_1(self, **kwargs):
                return "own"

            def calculate_ndcg(self, **kwargs):
                return "own"

        found = Ours(include=("precision_at_1", "ndcg", "asi"), device=CPU).get_accuracy(
            *self_arguments(0)
        )
        assert found["precision_at_1"] == found["ndcg"] == "own"
        assert 0 < found["asi"] < 1


class TestHierarchical:
    args = self_arguments()

    @pytest.mark.parametrize("arguments", ARGUMENTS)
    def test_values_are_those_of_the_plain_metrics(self, arguments):
        args = ARGUMENTS[arguments]()
        relevance = WeightedRelevance(by_level=[0.5, 0.3, 0.2])
        found = AccuracyCalculator(
            exclude=CLUSTERED,
            relevance=relevance,
            recall_at=(2, 5),
            similarity="cosine",
            device=CPU,
        ).get_accuracy(*args)
        options = {"ref_includes_query": True} if len(args) == 5 else {}
        plain = metrics.evaluate(*args[:4], relevance=relevance, k=(1, 2, 5), **options).mean()
        for name in HIERARCHICAL:
            assert found.pop(name) == plain[name]
        for name, value in found.items():
            name = name if "_level" in name else f"{name}_level0"
            assert value == plain[name]
        assert len(found) == 7 * 3

    def test_label_forms(self):
        query, labels = self.args
        tree = Hierarchy.from_labels(labels)
        rows = AccuracyCalculator(exclude=CLUSTERED, device=CPU).get_accuracy(query, labels)
        ids = AccuracyCalculator(exclude=CLUSTERED, hierarchy=tree, device=CPU)
        assert ids.get_accuracy(query, labels[:, 0]) == rows
        assert ids.get_accuracy(query, labels) == rows

    def test_with_a_neighbour_function(self):
        """Hierarchical metrics need all neighbours, whatever k cuts PML's metrics to."""
        names = (*HIERARCHICAL, "recall_at_8", "mean_average_precision")
        for arguments in ARGUMENTS.values():
            plain = AccuracyCalculator(include=names, k=3, device=CPU)
            custom = AccuracyCalculator(include=names, k=3, knn_func=FaissKNN(), device=CPU)
            assert_same(custom.get_accuracy(*arguments()), plain.get_accuracy(*arguments()))

    @pytest.mark.parametrize("options", [{"avg_of_avgs": True}, {"return_per_class": True}])
    def test_averages_of_classes(self, options):
        query, labels = self.args
        found = AccuracyCalculator(include=("ndcg",), device=CPU, **options).get_accuracy(
            query, labels
        )
        values = metrics.ndcg(query, labels, similarity="euclidean")
        wanted = [
            values.values[values.valid & (labels[:, 0] == label)].mean().item()
            for label in labels[values.valid, 0].unique()
        ]
        wanted = wanted if "return_per_class" in options else np.mean(wanted)
        np.testing.assert_allclose(found["ndcg"], wanted, rtol=1e-12)

    def test_blocks(self):
        one = AccuracyCalculator(exclude=CLUSTERED, device=CPU).get_accuracy(*self.args)
        other = AccuracyCalculator(exclude=CLUSTERED, block_size=7, device=CPU)
        assert_same(other.get_accuracy(*self.args), one)

    def test_lone_at_the_finest_level_only(self):
        query = torch.randn(4, 3)
        labels = torch.tensor([[0, 0], [1, 0], [2, 1], [3, 1]])
        found = AccuracyCalculator(exclude=CLUSTERED, device=CPU).get_accuracy(query, labels)
        assert math.isnan(found["precision_at_1"])
        for name in ("precision_at_1_level1", *HIERARCHICAL):
            assert 0 <= found[name] <= 1


@pytest.mark.parametrize("offset", [2**24, 2**53])
class TestLargeIds:
    """PML casts labels to float32."""

    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    query = torch.tensor([[0.0], [10], [20], [1], [11], [21]])

    def test_not_merged(self, offset):
        gallery = self.query[:3], offset + self.labels[:3]
        swapped = self.query[:3], offset + torch.tensor([1, 0, 2])
        ours = AccuracyCalculator(include=RANKED, device=CPU).get_accuracy(*gallery, *swapped)
        assert ours["r_precision"] == pytest.approx(1 / 3)
        theirs = pml.AccuracyCalculator(**PMLS).get_accuracy(*gallery, *swapped)
        assert theirs["r_precision"] == 1.0

    def test_as_small_ids(self, offset):
        exact = AccuracyCalculator(device=CPU).get_accuracy(self.query, offset + self.labels)
        assert exact == AccuracyCalculator(device=CPU).get_accuracy(self.query, self.labels)
        assert exact["precision_at_1"] == 1.0

    def test_not_merged_by_a_neighbour_function(self, offset):
        for function in (None, FaissKNN()):
            ours = AccuracyCalculator(include=("r_precision",), knn_func=function, device=CPU)
            gallery = self.query[:3], offset + self.labels[:3]
            wrong = self.query[:3], offset + (self.labels[:3] + 1) % 3
            assert ours.get_accuracy(*gallery, *gallery) == {"r_precision": 1.0}
            assert ours.get_accuracy(*gallery, *wrong) == {"r_precision": 0.0}

    def test_not_merged_by_a_comparison(self, offset):
        ours = AccuracyCalculator(
            include=("r_precision",), label_comparison_fn=lambda a, b: a == b, device=CPU
        )
        assert ours.get_accuracy(self.query, offset + self.labels) == {"r_precision": 1.0}

    def test_not_merged_in_clusters(self, offset):
        seen = []

        def clusters(x, count):
            seen.append(count)
            return torch.arange(len(x)) // count

        ours = AccuracyCalculator(include=("NMI",), kmeans_func=clusters, device=CPU)
        with_large = ours.get_accuracy(self.query, offset + self.labels)
        assert with_large == ours.get_accuracy(self.query, self.labels)
        assert seen == [3, 3]


def test_neighbour_function_that_misses_the_query(monkeypatch):
    """As PML: the last neighbour goes instead."""

    def function(query, k, reference, ref_includes_query=False):
        assert not ref_includes_query
        return None, torch.arange(1, k + 1).expand(len(query), k)

    monkeypatch.setattr(neighbours, "NEIGHBOURS_PER_CALL", 4)
    query = torch.randn(5, 2)
    found = list(neighbours.neighbour_blocks(function, query, query, 2, True))
    assert [block for block, _ in found] == [slice(0, 2), slice(2, 4), slice(4, 5)]
    rows = torch.cat([indices for _, indices in found]).tolist()
    assert rows == [[1, 2], [2, 3], [1, 3], [1, 2], [1, 2]]


class TestNames:
    tree = Hierarchy.from_labels(data()[1])

    def test_include_and_exclude(self):
        args = self_arguments()
        calculator = AccuracyCalculator(
            include=("precision_at_1", "ndcg", "recall_at_3_level2"),
            exclude=("precision_at_1_level1",),
            recall_at=3,
            device=CPU,
        )
        assert list(calculator.get_accuracy(*args)) == [
            "ndcg",
            "precision_at_1",
            "precision_at_1_level2",
            "recall_at_3_level2",
        ]
        assert list(calculator.get_accuracy(*args, include=["ndcg"])) == ["ndcg"]
        assert list(
            calculator.get_accuracy(*args, exclude=["precision_at_1_level0", "recall_at_3"])
        ) == ["ndcg", "precision_at_1_level2"]
        assert "asi" not in calculator.get_accuracy(*args, include=["asi", "ndcg"])

    def test_current_metrics_are_the_keys(self):
        calculator = AccuracyCalculator(exclude=CLUSTERED, hierarchy=self.tree, device=CPU)
        found = calculator.get_accuracy(*self_arguments(0))
        assert calculator.get_curr_metrics() == list(found)
        assert "precision_at_1_level2" in found

    def test_one_metric_alone(self):
        """PML fails here for mean_reciprocal_rank."""
        for name in (*RANKED, *HIERARCHICAL, "recall_at_1"):
            found = AccuracyCalculator(include=(name,), device=CPU).get_accuracy(*self_arguments(0))
            assert list(found) == [name]

    @pytest.mark.parametrize(
        "name", ["map", "ndcg_level1", "recall_at_0", "precision_at_1_levelx", "average_precision"]
    )
    def test_unknown(self, name):
        with pytest.raises(ValueError, match=rf"include: wanted names out of .* got '{name}'"):
            AccuracyCalculator(include=(name,), device=CPU)
        with pytest.raises(ValueError, match=rf"exclude: wanted names out of .* got '{name}'"):
            AccuracyCalculator(exclude=[name], device=CPU)
        with pytest.raises(ValueError, match=rf"include: wanted names out of .* got '{name}'"):
            AccuracyCalculator(device=CPU).get_accuracy(*self_arguments(0), include=[name])

    def test_a_depth_of_recall_in_include_is_enough(self):
        calculator = AccuracyCalculator(include=("recall_at_3",), device=CPU)
        assert list(calculator.get_accuracy(*self_arguments(0))) == ["recall_at_3"]

    def test_unknown_level(self):
        with pytest.raises(ValueError, match=r"include: wanted levels 0\.\.2, got 'r_precision_"):
            AccuracyCalculator(include=("r_precision_level3",), hierarchy=self.tree, device=CPU)

    def test_a_string_is_no_list(self):
        with pytest.raises(TypeError, match="include: wanted a tuple or list of names, got str"):
            AccuracyCalculator(include="ndcg", device=CPU)


class TestErrors:
    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"similarity": "l2"}, ValueError, "similarity: wanted one of"),
            ({"similarity": "dot", "knn_func": FaissKNN()}, ValueError, "similarity: wanted None"),
            ({"recall_at": 0}, ValueError, "recall_at: wanted one or more integers >= 1, got 0"),
            ({"recall_at": ()}, ValueError, "recall_at: wanted one or more integers >= 1"),
            ({"k": 0}, ValueError, "k must be an integer greater than 0"),
            ({"block_size": 0}, ValueError, "block_size: wanted"),
            ({"avg_of_avgs": True, "return_per_class": True}, ValueError, "mutually exclusive"),
            ({"hierarchy": Hierarchy.from_paths(["a"]), "label_comparison_fn": torch.eq,
              "exclude": CLUSTERED}, ValueError, "hierarchy: wanted None beside"),
            ({"label_comparison_fn": torch.ne}, NotImplementedError, "clustering"),
        ],
    )  # fmt: skip
    def test_constructor(self, options, error, message):
        with pytest.raises(error, match=message):
            AccuracyCalculator(device=CPU, **options)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"query": torch.full((3, 2), torch.nan)}, "query: wanted finite numbers, got NaN"),
            ({"reference": torch.randn(4, 3)}, "reference: wanted 2 dimensions"),
            ({"query_labels": torch.zeros(2).long()}, "query_labels: wanted 3 rows, got 2"),
            ({"reference_labels": torch.zeros(4) + 0.5}, "reference_labels: wanted integers"),
            ({"reference_labels": None}, "reference_labels: wanted the labels .* got None"),
            ({"reference": None}, "reference_labels: wanted None without reference"),
            ({"ref_includes_query": True}, "ref_includes_query: .* another embedding or label"),
            (
                {"query_labels": torch.tensor([[0, 0], [1, 0], [2, 1]])},
                "reference_labels: wanted rows",
            ),
        ],
    )
    def test_inputs(self, change, message):
        arguments = {
            "query": torch.randn(3, 2),
            "query_labels": torch.tensor([0, 0, 1]),
            "reference": torch.randn(4, 2),
            "reference_labels": torch.tensor([0, 0, 1, 2]),
        }
        with pytest.raises(ValueError, match=message):
            AccuracyCalculator(device=CPU).get_accuracy(**(arguments | change))

    def test_labels_that_are_no_tree(self):
        labels = torch.tensor([[0, 0], [0, 1]])
        with pytest.raises(HierarchyError, match="wanted a tree"):
            AccuracyCalculator(device=CPU).get_accuracy(torch.randn(2, 2), labels)

    @pytest.mark.parametrize("labels", [torch.tensor([0.0, torch.nan]), torch.zeros(3)])
    def test_labels_of_a_comparison(self, labels):
        ours = AccuracyCalculator(label_comparison_fn=torch.ne, exclude=CLUSTERED, device=CPU)
        with pytest.raises(ValueError, match="query_labels: wanted"):
            ours.get_accuracy(torch.randn(2, 2), labels)

    def test_comparison_of_a_wrong_shape(self):
        ours = AccuracyCalculator(
            label_comparison_fn=lambda a, b: (a == b).any(), exclude=CLUSTERED, device=CPU
        )
        with pytest.raises(ValueError, match=r"label_comparison_fn: wanted .* shape \(2, 2\)"):
            ours.get_accuracy(torch.randn(2, 2), torch.tensor([0, 0]))

    def test_without_faiss(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "faiss", None)
        args = self_arguments()
        with pytest.raises(ImportError, match="NMI and AMI need faiss"):
            AccuracyCalculator(device=CPU).get_accuracy(*args)
        found = AccuracyCalculator(exclude=CLUSTERED, device=CPU).get_accuracy(*args)
        assert 0 < found["ndcg"] < 1
        clusters = AccuracyCalculator(
            include=("NMI",), kmeans_func=lambda x, n: torch.arange(len(x)) % n, device=CPU
        )
        assert 0 <= clusters.get_accuracy(*args)["NMI"] <= 1


def test_copies_and_pickles():
    calculator = AccuracyCalculator(exclude=CLUSTERED, hierarchy=TestNames.tree, device=CPU)
    wanted = calculator.get_accuracy(*self_arguments(0))
    for other in (copy.deepcopy(calculator), pickle.loads(pickle.dumps(calculator))):
        assert other.get_accuracy(*self_arguments(0)) == wanted


class TestDirectCalls:
    """``calculate_<name>`` with PML's keyword set, as its own code and tests call them."""

    labels = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2, 2])

    def keywords(self, own=True):
        """What PML's get_accuracy hands to each method."""
        points = torch.randn(len(self.labels), 3, generator=torch.Generator().manual_seed(4))
        seen = {}

        class Spy(pml.AccuracyCalculator):
            def calculate_precision_at_1(self, **kwargs):
                seen.update(kwargs)
                return 0.0

        Spy(include=("precision_at_1",), device=torch.device(CPU)).get_accuracy(
            points, self.labels, points, self.labels, own
        )
        return points, seen

    @pytest.mark.parametrize("own", [True, False])
    @pytest.mark.parametrize("options", [{}, {"avg_of_avgs": True}, {"return_per_class": True}])
    def test_every_metric_as_get_accuracy_has_it(self, options, own):
        points, keywords = self.keywords(own)
        calculator = AccuracyCalculator(exclude=CLUSTERED, device=CPU, **options)
        wanted = calculator.get_accuracy(points, self.labels, points, self.labels, own)
        assert {"ndcg", "asi", "recall_at_2", "r_precision"} <= set(wanted)
        for name, value in wanted.items():
            found = getattr(calculator, f"calculate_{name}")(**keywords)
            assert found == pytest.approx(value, abs=1e-6), name
            without = {key: each for key, each in keywords.items() if key != "reference_labels"}
            assert getattr(calculator, f"calculate_{name}")(**without) == pytest.approx(found)

    def test_with_a_hierarchy(self):
        points, keywords = self.keywords()
        tree = Hierarchy.from_paths(["a/x", "a/y", "b/z"])
        calculator = AccuracyCalculator(exclude=CLUSTERED, device=CPU, hierarchy=tree)
        wanted = calculator.get_accuracy(points, self.labels)
        keywords |= {
            name: keywords[name].long()
            for name in ("query_labels", "knn_labels", "reference_labels")
        }
        for name in ("hierarchical_average_precision", "ndcg", "asi", "recall_at_2"):
            found = getattr(calculator, f"calculate_{name}")(**keywords)
            assert found == pytest.approx(wanted[name])
        rows = {key: tree.expand(keywords[key]) for key in ("query_labels", "reference_labels")}
        rows["knn_labels"] = tree.expand(keywords["knn_labels"].flatten()).view(10, 9, 2)
        plain = AccuracyCalculator(exclude=CLUSTERED, device=CPU)
        assert plain.calculate_asi(**(keywords | rows)) == pytest.approx(wanted["asi"])
        del keywords["reference_labels"]
        with pytest.raises(
            ValueError, match="reference_labels: wanted .* get_accuracy computes it"
        ):
            calculator.calculate_ndcg(**keywords)

    def test_no_query_that_counts_is_nan(self):
        keywords = self.keywords()[1]
        keywords["not_lone_query_mask"] = torch.zeros(10, dtype=torch.bool)
        assert np.isnan(AccuracyCalculator(device=CPU).calculate_asi(**keywords))
        with pytest.raises(ValueError, match="knn_labels: wanted labels of k neighbours"):
            AccuracyCalculator(device=CPU).calculate_asi(
                knn_labels=torch.zeros(3), query_labels=torch.zeros(3)
            )


@pytest.mark.parametrize("similarity", ["euclidean", "cosine", "dot"])
def test_exact_neighbours(similarity):
    query, reference = torch.randn(7, 4), torch.randn(30, 4)
    values, indices = neighbours.ExactKNN(similarity)(query, 5, reference)
    if similarity == "euclidean":
        distances, wanted = FaissKNN()(query, 5, reference)
        torch.testing.assert_close(values, distances, rtol=1e-4, atol=1e-4)
        assert torch.equal(indices, wanted)
    both = torch.cat([query, reference])
    _, indices = neighbours.ExactKNN(similarity)(query, 36, both, True)
    for row, found in enumerate(indices.tolist()):
        assert sorted([*found, row]) == list(range(37))


class TestAsWithPML:
    """What PML's calculator takes, ours takes, with the same result."""

    @pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.int16, torch.bool])
    def test_integer_embeddings(self, dtype):
        points = torch.tensor([[0, 1], [1, 1], [1, 0], [0, 0], [0, 1], [1, 0]]).to(dtype)
        points = points * 7 if dtype != torch.bool else points
        labels = torch.tensor([0, 0, 1, 1, 0, 1])
        options = {"include": ("r_precision", "precision_at_1"), "device": CPU}
        found = AccuracyCalculator(**options).get_accuracy(points, labels)
        assert found == AccuracyCalculator(**options).get_accuracy(points.float(), labels)
        assert found == AccuracyCalculator(**options).get_accuracy(points.numpy(), labels.numpy())
        ours = metrics.evaluate(points, labels, similarity="euclidean")
        assert ours["r_precision_level0"].mean() == found["r_precision"]

    def test_one_column_and_references(self):
        query, reference = torch.tensor([[0], [4]]), torch.tensor([[1], [2], [3], [9]])
        labels, others = torch.tensor([0, 1]), torch.tensor([0, 1, 1, 0])
        options = {"include": ("precision_at_1", "mean_average_precision"), "device": CPU}
        found = AccuracyCalculator(**options).get_accuracy(query, labels, reference, others)
        theirs = pml.AccuracyCalculator(k=None, **options)
        assert found == theirs.get_accuracy(query, labels, reference, others)

    def test_large_integers_stay_apart(self):
        points = 2**40 + torch.tensor([[0], [3], [1], [2]])
        found = AccuracyCalculator(include=("precision_at_1",), device=CPU).get_accuracy(
            points, torch.tensor([0, 1, 0, 1])
        )
        assert found["precision_at_1"] == 0.5

    @pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.int32, torch.uint8])
    def test_label_types(self, kind):
        points, labels = self_arguments(0)
        options = {"include": (*RANKED, "asi"), "device": CPU}
        wanted = AccuracyCalculator(**options).get_accuracy(points, labels)
        assert AccuracyCalculator(**options).get_accuracy(points, labels.to(kind)) == wanted
        assert AccuracyCalculator(**options).get_accuracy(points, labels.tolist()) == wanted
        assert AccuracyCalculator(**options).get_accuracy(points, labels.to(kind).numpy()) == wanted

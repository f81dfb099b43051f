"""The calculator inside PML's testers and hooks."""

import logging
import sqlite3

import pytest
import torch
from pytorch_metric_learning.testers import (
    GlobalEmbeddingSpaceTester,
    GlobalTwoStreamEmbeddingSpaceTester,
)
from pytorch_metric_learning.utils import accuracy_calculator as pml
from pytorch_metric_learning.utils import logging_presets

from pml_suprank import metrics
from pml_suprank.accuracy_calculator import AccuracyCalculator
from pml_suprank.hierarchy import Hierarchy, HierarchyError
from pml_suprank.testers import HierarchicalTester

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
OPTIONS = {"dataloader_num_workers": 0, "data_device": CPU, "batch_size": 16}


class Dataset(torch.utils.data.Dataset):
    """Vectors with labels of three levels, or with the finest only."""

    def __init__(self, seed, count=40, finest_only=False):
        generator = torch.Generator().manual_seed(seed)
        fine = torch.randint(8, (count,), generator=generator) + 100
        rows = torch.stack([fine, fine // 2, fine // 4], 1)
        self.rows = rows
        self.labels = fine if finest_only else rows
        centres = 3 * torch.nn.functional.one_hot(rows[:, 1] - 50, 6)
        self.vectors = torch.randn(count, 6, generator=generator) + centres

    def __len__(self):
        return len(self.vectors)

    def __getitem__(self, index):
        return self.vectors[index], self.labels[index]


@pytest.fixture(autouse=True)
def _quiet():
    logging.getLogger("PML").setLevel(logging.ERROR)


def calculator(**options):
    return AccuracyCalculator(**({"exclude": CLUSTERED, "device": CPU} | options))


def run(tester, splits=None, **options):
    datasets = {"train": Dataset(0, **options), "val": Dataset(1, **options)}
    return tester.test(datasets, 3, torch.nn.Identity(), splits_to_eval=splits)


SPLITS = [("val", ["train"]), ("train", ["train", "val"])]


@pytest.mark.parametrize("names", [RANKED, CLUSTERED], ids=["ranked", "clustered"])
@pytest.mark.parametrize("levels", ["all", [0, 2], 1])
@pytest.mark.parametrize("splits", [None, SPLITS], ids=["self", "references"])
def test_same_results_as_pmls_tester(levels, splits, names):
    """Every level in one pass gives what PML's tester finds level by level."""
    ours = run(
        HierarchicalTester(
            label_hierarchy_level=levels,
            accuracy_calculator=calculator(include=names, exclude=()),
            **OPTIONS,
        ),
        [(query, list(references)) for query, references in splits] if splits else None,
    )
    theirs = run(
        GlobalEmbeddingSpaceTester(
            label_hierarchy_level=levels,
            accuracy_calculator=pml.AccuracyCalculator(include=names, device=CPU),
            **OPTIONS,
        ),
        [(query, list(references)) for query, references in splits] if splits else None,
    )
    assert set(ours) == set(theirs)
    for split in theirs:
        assert set(ours[split]) == set(theirs[split])
        for name, value in theirs[split].items():
            assert ours[split][name] == pytest.approx(value, rel=1e-6), name


def test_hierarchical_metrics_have_no_level():
    found = run(HierarchicalTester(accuracy_calculator=calculator(), **OPTIONS))["val"]
    dataset = Dataset(1)
    vectors = torch.nn.functional.normalize(dataset.vectors)
    plain = metrics.evaluate(vectors, dataset.rows, similarity="euclidean", k=(1, 4)).mean()
    for name in HIERARCHICAL:
        assert found[name] == plain[name]
    assert found["recall_at_4_level1"] == plain["recall_at_4_level1"]
    assert found["mean_average_precision_level2"] == plain["mean_average_precision_level2"]
    assert found["AVERAGE_recall_at_4"] == pytest.approx(
        sum(found[f"recall_at_4_level{level}"] for level in range(3)) / 3
    )
    assert not any(f"AVERAGE_{name}" in found for name in HIERARCHICAL)


def test_finest_labels_with_a_hierarchy():
    rows = torch.cat([Dataset(0).rows, Dataset(1).rows])
    tree = Hierarchy.from_labels(rows)
    expanded = run(
        HierarchicalTester(accuracy_calculator=calculator(hierarchy=tree), **OPTIONS),
        finest_only=True,
    )
    assert expanded == run(HierarchicalTester(accuracy_calculator=calculator(), **OPTIONS))


def test_stock_tester_with_a_hierarchy():
    """The hierarchical metrics appear, each under PML's name of the one label column."""
    rows = torch.cat([Dataset(0).rows, Dataset(1).rows])
    tree = Hierarchy.from_labels(rows)
    stock = GlobalEmbeddingSpaceTester(accuracy_calculator=calculator(hierarchy=tree), **OPTIONS)
    found = run(stock, finest_only=True)["val"]
    own = run(HierarchicalTester(accuracy_calculator=calculator(), **OPTIONS))["val"]
    for name in HIERARCHICAL:
        assert found[f"{name}_level0"] == own[name]
    for name in (*RANKED, "recall_at_8"):
        assert found[f"{name}_level0"] == own[f"{name}_level0"]
        assert found[f"{name}_level2_level0"] == own[f"{name}_level2"]


def test_levels_not_asked_for_are_not_computed():
    seen = []

    def clusters(x, count):
        seen.append(count)
        return torch.arange(len(x)) % count

    tester = HierarchicalTester(
        label_hierarchy_level=[2],
        accuracy_calculator=calculator(include=("NMI", "ndcg"), exclude=(), kmeans_func=clusters),
        **OPTIONS,
    )
    found = run(tester)["val"]
    assert set(found) == {"epoch", "ndcg", "NMI_level2"}
    assert seen == [2, 2]


def test_averages_per_class():
    tester = HierarchicalTester(
        accuracy_calculator=calculator(include=("r_precision",), exclude=(), return_per_class=True),
        **OPTIONS,
    )
    found = run(tester)["val"]
    assert set(found) == {"epoch", *(f"r_precision_level{level}" for level in range(3))}
    assert len(found["r_precision_level2"]) == 2


class TestErrors:
    def test_another_calculator(self):
        with pytest.raises(TypeError, match=r"accuracy_calculator: wanted .* got pytorch_metric"):
            HierarchicalTester(accuracy_calculator=pml.AccuracyCalculator())

    @pytest.mark.parametrize("levels", [3, [0, 3], [], -1, "finest", [True, "x"]])
    def test_levels(self, levels):
        tester = HierarchicalTester(
            label_hierarchy_level=levels, accuracy_calculator=calculator(), **OPTIONS
        )
        with pytest.raises(ValueError, match=r"label_hierarchy_level: wanted 'all' or levels in 0"):
            run(tester)

    def test_default_calculator(self):
        assert isinstance(HierarchicalTester().accuracy_calculator, AccuracyCalculator)


class Trainer:
    """What PML's hooks need of a trainer."""

    def __init__(self, trunk):
        self.models = {"trunk": trunk, "embedder": torch.nn.Identity()}
        self.epoch = 0

    def step_lr_plateau_schedulers(self, accuracy):
        self.accuracy = accuracy


class Scale(torch.nn.Module):
    """Keeps or drops the informative dimensions."""

    def __init__(self, weights):
        super().__init__()
        self.weights = torch.nn.Parameter(torch.tensor(weights))

    def forward(self, x):
        return x * self.weights


@pytest.mark.parametrize(
    ("primary", "key", "levels"),
    [
        ("hierarchical_average_precision", "hierarchical_average_precision", "all"),
        ("ndcg", "ndcg", [0, 1]),
        ("asi", "asi", 2),
        ("precision_at_1", "AVERAGE_precision_at_1", "all"),
        ("recall_at_2", "recall_at_2_level1", 1),
        ("recall_at_2", "recall_at_2_level1", [1]),
        ("r_precision_level2", "r_precision_level2", "all"),
    ],
)
def test_hooks_keep_the_best_epoch(primary, key, levels, tmp_path):
    record_keeper = pytest.importorskip("record_keeper", reason="record-keeper is not installed")
    writer = record_keeper.RecordWriter(folder=str(tmp_path / "logs"))
    keeper = record_keeper.RecordKeeper(record_writer=writer, attributes_to_search_for=[])
    hooks = logging_presets.get_hook_container(keeper, primary_metric=primary)
    tree = Hierarchy.from_labels(torch.cat([Dataset(0).rows, Dataset(1).rows]))
    tester = HierarchicalTester(
        label_hierarchy_level=levels,
        accuracy_calculator=calculator(hierarchy=tree),
        end_of_testing_hook=hooks.end_of_testing_hook,
        **OPTIONS,
    )
    trainer = Trainer(Scale([1.0] * 6))
    hook = hooks.end_of_epoch_hook(
        tester, {"val": Dataset(1)}, str(tmp_path / "models"), patience=None
    )
    accuracies = {}
    for epoch, weights in [(1, [0.0] * 5 + [1.0]), (2, [1.0] * 6), (3, [0.0] * 4 + [1.0] * 2)]:
        trainer.epoch = epoch
        trainer.models["trunk"] = Scale(weights)
        assert hook(trainer)
        accuracies[epoch] = tester.all_accuracies["val"][key]
        assert trainer.accuracy == accuracies[epoch]
    best = max(accuracies, key=accuracies.get)
    assert best == 2
    epoch, accuracy = hooks.get_best_epoch_and_accuracy(tester, "val")
    assert (epoch, accuracy) == (2, pytest.approx(accuracies[2]))
    history = hooks.get_accuracy_history(tester, "val", metrics=[primary])
    assert history[key] == pytest.approx(list(accuracies.values()))
    close(writer)


def close(writer):
    for value in vars(writer).values():
        connection = getattr(value, "conn", None)
        if isinstance(connection, sqlite3.Connection):
            connection.close()


class Pairs(torch.utils.data.Dataset):
    """Anchors, positives and finest labels, as PML's two-stream tester wants them."""

    def __init__(self, seed, count=40):
        one, generator = Dataset(seed, count, finest_only=True), torch.Generator().manual_seed(9)
        self.labels, self.anchors = one.labels, one.vectors
        self.positives = one.vectors + torch.randn(count, 6, generator=generator)

    def __len__(self):
        return len(self.anchors)

    def __getitem__(self, index):
        return self.anchors[index], self.positives[index], self.labels[index]


class TestTwoStreams:
    """PML's tester hands over labels as floats."""

    @pytest.mark.parametrize("with_tree", [False, True])
    def test_as_evaluated_directly(self, with_tree):
        pairs = Pairs(2)
        tree = Hierarchy.from_labels(Dataset(2).rows) if with_tree else None
        tester = GlobalTwoStreamEmbeddingSpaceTester(
            accuracy_calculator=calculator(hierarchy=tree), normalize_embeddings=False, **OPTIONS
        )
        found = tester.test({"val": pairs}, 1, torch.nn.Identity())["val"]
        wanted = metrics.evaluate(
            pairs.anchors,
            pairs.labels,
            pairs.positives,
            pairs.labels,
            hierarchy=tree,
            similarity="euclidean",
        )
        assert found["asi_level0"] == pytest.approx(wanted["asi"].mean())
        ap = wanted["mean_average_precision_level0"].mean()
        assert found["mean_average_precision_level0"] == pytest.approx(ap)
        assert ("precision_at_1_level1_level0" in found) == with_tree

    def test_as_pml(self):
        options = {"include": RANKED, "device": CPU, "k": None}
        found, wanted = (
            GlobalTwoStreamEmbeddingSpaceTester(accuracy_calculator=each, **OPTIONS).test(
                {"val": Pairs(3)}, 1, torch.nn.Identity()
            )["val"]
            for each in (AccuracyCalculator(**options), pml.AccuracyCalculator(**options))
        )
        assert dict(found) == pytest.approx(dict(wanted), abs=1e-6)


class TestIgnored:
    """Samples with the label ``ignore_index`` are as if the data set did not have them."""

    @pytest.mark.parametrize(
        ("finest_only", "in_tester"), [(False, False), (True, False), (False, True)]
    )
    def test_as_without_them(self, finest_only, in_tester):
        whole = Dataset(1, finest_only=finest_only)
        out = torch.arange(40) % 5 == 0
        tree = Hierarchy.from_labels(whole.rows[~out]) if finest_only else None
        whole.labels = whole.labels.clone()
        whole.labels[out] = -7
        few = torch.utils.data.Subset(whole, (~out).nonzero().flatten().tolist())
        if in_tester:
            tester = HierarchicalTester(ignore_index=-7, **OPTIONS)
            tester.accuracy_calculator = tester.accuracy_calculator.__class__(
                exclude=CLUSTERED,
                device=CPU,
                ignore_index=tester.accuracy_calculator.ignore_index,
            )
        else:
            tester = HierarchicalTester(
                accuracy_calculator=calculator(hierarchy=tree, ignore_index=-7), **OPTIONS
            )
        plain = HierarchicalTester(accuracy_calculator=calculator(hierarchy=tree), **OPTIONS)
        found = tester.test({"val": whole}, 1, torch.nn.Identity())["val"]
        assert found == plain.test({"val": few}, 1, torch.nn.Identity())["val"]

    def test_beside_a_calculator(self):
        with pytest.raises(
            ValueError, match="ignore_index: wanted None beside accuracy_calculator"
        ):
            HierarchicalTester(accuracy_calculator=calculator(), ignore_index=-1)


def test_one_hot_labels_are_refused():
    one_hot = Dataset(1)
    one_hot.labels = torch.nn.functional.one_hot(one_hot.rows[:, 0] - 100)
    tester = HierarchicalTester(accuracy_calculator=calculator(), **OPTIONS)
    with pytest.raises(HierarchyError, match="look one-hot"):
        tester.test({"val": one_hot}, 1, torch.nn.Identity())

"""PML's global tester for 2-D labels: all levels from one ranking."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from pml_suprank.accuracy_calculator import AccuracyCalculator
from pml_suprank.checks import check_tensor
from pml_suprank.hierarchy import as_level_labels
from pml_suprank.hierarchy.labels import checked_ignore_index
from pml_suprank.metrics.catalogue import HIERARCHICAL_METRICS, split_level
from pml_suprank.pml import GlobalEmbeddingSpaceTester
from pml_suprank.values import shown


class HierarchicalTester(GlobalEmbeddingSpaceTester):
    """Evaluates embeddings at all levels of their labels in one ranking pass.

    Use it for data sets with 2-D labels, column 0 finest, or with finest labels if the calculator has a
    hierarchy. With 1-D labels, PML's own tester with a calculator that has the hierarchy does as well, but for the
    names. Results go by PML's names, ``precision_at_1_level0``, ``mean_average_precision_level2``,
    ``AVERAGE_precision_at_1`` over the levels (not with ``return_per_class``: levels have different
    classes), and without a level for metrics of the whole hierarchy: ``ndcg``, ``asi``,
    ``hierarchical_average_precision``. Any of the metrics can be the ``primary_metric`` of PML's hooks;
    one of binary labels then stands for its average over the levels.

    Args:
        normalize_embeddings: whether to normalise embeddings first.
        use_trunk_output: whether to evaluate the trunk's features in place of the embedder's.
        batch_size: of the loader.
        dataloader_num_workers: of the loader.
        pca: number of dimensions that a PCA leaves; None for no PCA.
        data_device: where the models get their batches; None for a GPU if there is one.
        dtype: of the batches; None leaves them.
        data_and_label_getter: from a batch of the loader to data and labels; None takes a pair.
        label_hierarchy_level: "all", a level or several: those that metrics of binary labels are
            reported for. Metrics of the whole hierarchy always see all levels.
        end_of_testing_hook: called with the tester at the end.
        dataset_labels: all labels of the data, for ``set_min_label_to_zero``.
        set_min_label_to_zero: whether labels are numbered from 0.
        accuracy_calculator: a ``pml_suprank.AccuracyCalculator``; one with all metrics by default.
        visualizer: reduces embeddings to two dimensions; None for none.
        visualizer_hook: called with what the visualizer gives.
        ignore_index: of the default calculator; one that is given has its own.

    All but ``label_hierarchy_level``'s default and ``ignore_index`` are those of PML's ``GlobalEmbeddingSpaceTester``.

    Raises:
        TypeError: another calculator.
        ValueError: ``ignore_index`` beside a calculator.

    Example:
        Four points on a line, two of a class; the two classes are of one parent.

        >>> calculator = AccuracyCalculator(include=("precision_at_1",), device="cpu")
        >>> tester = HierarchicalTester(
        ...     normalize_embeddings=False, dataloader_num_workers=0, data_device=torch.device("cpu"),
        ...     accuracy_calculator=calculator)
        >>> points, labels = torch.tensor([[0.0], [3], [4], [9]]), torch.tensor([[0, 0], [0, 0], [1, 0], [1, 0]])
        >>> data = {"val": torch.utils.data.TensorDataset(points, labels)}
        >>> found = tester.test(data, epoch=1, trunk_model=torch.nn.Identity())["val"]
        >>> {name: value for name, value in found.items() if "precision" in name}
        {'precision_at_1_level0': 0.5, 'precision_at_1_level1': 1.0, 'AVERAGE_precision_at_1': 0.75}
    """

    accuracy_calculator: Any

    def __init__(
        self,
        normalize_embeddings: bool = True,
        use_trunk_output: bool = False,
        batch_size: int = 32,
        dataloader_num_workers: int = 2,
        pca: int | None = None,
        data_device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        data_and_label_getter: Callable[[Any], tuple[Any, Any]] | None = None,
        label_hierarchy_level: str | int | Sequence[int] = "all",
        end_of_testing_hook: Callable[[Any], Any] | None = None,
        dataset_labels: Any = None,
        set_min_label_to_zero: bool = False,
        accuracy_calculator: AccuracyCalculator | None = None,
        visualizer: Any = None,
        visualizer_hook: Callable[..., Any] | None = None,
        *,
        ignore_index: int | None = None,
    ) -> None:
        if ignore_index is not None and accuracy_calculator is not None:
            raise ValueError(
                "ignore_index: wanted None beside accuracy_calculator, which has its own, "
                f"got {ignore_index!r}"
            )
        self._ignore_index = checked_ignore_index(ignore_index)
        super().__init__(
            normalize_embeddings=normalize_embeddings,
            use_trunk_output=use_trunk_output,
            batch_size=batch_size,
            dataloader_num_workers=dataloader_num_workers,
            pca=pca,
            data_device=data_device,
            dtype=dtype,
            data_and_label_getter=data_and_label_getter,
            label_hierarchy_level=label_hierarchy_level,
            end_of_testing_hook=end_of_testing_hook,
            dataset_labels=dataset_labels,
            set_min_label_to_zero=set_min_label_to_zero,
            accuracy_calculator=accuracy_calculator,
            visualizer=visualizer,
            visualizer_hook=visualizer_hook,
        )

    def initialize_accuracy_calculator(self) -> None:
        """Make the default calculator, or check the one given."""
        if self.accuracy_calculator is None:
            self.accuracy_calculator = AccuracyCalculator(ignore_index=self._ignore_index)
        if not isinstance(self.accuracy_calculator, AccuracyCalculator):
            raise TypeError(
                "accuracy_calculator: wanted a pml_suprank.AccuracyCalculator, got "
                f"{type(self.accuracy_calculator).__module__}."
                f"{type(self.accuracy_calculator).__name__}"
            )

    def compute_all_embeddings(
        self, dataloader: Any, trunk_model: Any, embedder_model: Any
    ) -> tuple[Tensor, Tensor]:
        """Embeddings and labels of all levels."""
        embeddings, labels = super().compute_all_embeddings(dataloader, trunk_model, embedder_model)
        hierarchy = self.accuracy_calculator.hierarchy
        if hierarchy is not None and labels.shape[1] == 1:
            ignore_index = self.accuracy_calculator.ignore_index
            labels = as_level_labels(labels[:, 0], hierarchy, ignore_index=ignore_index)
        return embeddings, labels

    def label_levels_to_evaluate(self, query_labels: Tensor) -> list[int]:
        """The levels that metrics of binary labels are reported for.

        Raises:
            ValueError: a level that the labels do not have.
        """
        check_tensor("query_labels", query_labels, shape=("Q", "L"))
        count = query_labels.shape[1]
        wanted = self.label_hierarchy_level
        if isinstance(wanted, str) and wanted == "all":
            return list(range(count))
        levels = list(wanted) if isinstance(wanted, (list, tuple)) else [wanted]
        if not levels or not all(isinstance(x, int) and 0 <= x < count for x in levels):
            raise ValueError(
                f"label_hierarchy_level: wanted 'all' or levels in 0..{count - 1}, got {shown(wanted)}"
            )
        return levels

    def accuracies_keyname(
        self, metric: str, label_hierarchy_level: Any = 0, average: bool = False
    ) -> str:
        """PML's key of a metric; metrics of the whole hierarchy and of a named level keep theirs."""
        if metric in HIERARCHICAL_METRICS or split_level(metric)[1] is not None:
            return metric
        name: str = super().accuracies_keyname(metric, label_hierarchy_level, average)
        return name

    def do_knn_and_accuracies(
        self,
        accuracies: dict[str, Any],
        embeddings_and_labels: dict[str, tuple[Tensor, Tensor]],
        query_split_name: str,
        reference_split_names: list[str],
    ) -> None:
        """Fill in the accuracies of one split."""
        query, query_labels, reference, reference_labels = self.set_reference_and_query(
            embeddings_and_labels, query_split_name, reference_split_names
        )
        self.label_levels = self.label_levels_to_evaluate(query_labels)
        calculator = self.accuracy_calculator
        skipped = [x for x in range(query_labels.shape[1]) if x not in self.label_levels]
        names = [
            name for name in calculator.original_function_dict if name not in HIERARCHICAL_METRICS
        ]
        found = calculator.get_accuracy(
            query,
            query_labels,
            reference,
            reference_labels,
            self.ref_includes_query(query_split_name, reference_split_names),
            exclude=[f"{name}_level{level}" for name in names for level in skipped],
        )
        averaged: dict[str, list[int]] = {}
        for key, value in found.items():
            name, level = split_level(key)
            accuracies[self.accuracies_keyname(name, label_hierarchy_level=level or 0)] = value
            if name not in HIERARCHICAL_METRICS:
                averaged.setdefault(name, []).append(level or 0)
        if len(self.label_levels) > 1 and not calculator.return_per_class:
            for name, levels in averaged.items():
                self.calculate_average_accuracies(accuracies, [name], levels)

"""PML's accuracy calculator with exact, streamed rankings and hierarchical metrics."""

from __future__ import annotations

import functools
import importlib.util
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pml_suprank.checks import checked_depths
from pml_suprank.hierarchy import Hierarchy
from pml_suprank.hierarchy.labels import checked_ignore_index
from pml_suprank.metrics import catalogue, definitions
from pml_suprank.metrics.execution import Execution
from pml_suprank.metrics.inputs import RetrievalInputs
from pml_suprank.metrics.neighbour_labels import lists_from_labels
from pml_suprank.metrics.neighbours import ExactKNN
from pml_suprank.metrics.result import MetricResult
from pml_suprank.metrics.scores import SIMILARITIES
from pml_suprank.metrics.selection import (
    HIERARCHICAL_METRICS,
    PML_METRICS,
    Selection,
    is_selected,
    key_of,
    levels_of,
    split_level,
)
from pml_suprank.metrics.streaming import Metric, collect, measure
from pml_suprank.pml import accuracy_calculator as pml
from pml_suprank.pml import logger
from pml_suprank.relevance import Relevance


class AccuracyCalculator(pml.AccuracyCalculator):
    """All that PML's calculator gives, plus metrics of hierarchies, plus recall at k.

    To PML's metrics come ``hierarchical_average_precision``, ``ndcg``, ``asi`` and ``recall_at_<k>``.
    Labels may be 1-D, 2-D with column 0 finest, or 1-D with ``hierarchy``. With L levels every
    metric of binary labels comes once per level: ``precision_at_1`` is that of the finest level,
    as PML has it, then follow ``precision_at_1_level1``, ... up to L - 1. ``include`` and ``exclude``
    take both kinds of names; a name without a level stands for all of its levels, and
    ``precision_at_1_level0`` for the finest alone.

    Differences from PML: rankings are computed in query blocks and no query x reference matrix
    is kept, so ``k=None`` needs no more memory than ``k=1``; no faiss is needed but for NMI and AMI;
    labels are compared as integers and never merged (PML's float32 merges ids above 2**24); a tie
    counts against the model; ``k`` cuts PML's metrics only, as there, never H-AP, NDCG, ASI and
    recall; ``mean_reciprocal_rank`` can be the only metric; NaN in the embeddings is an error.

    In PML's ``GlobalEmbeddingSpaceTester`` a ``hierarchy`` is for finest labels, its level 0: the tester hands over one
    column at a time, and the ids of another column would be taken for finest classes. The tester ends every
    name with its own level, so the second level reads ``precision_at_1_level1_level0`` there. For 2-D
    labels and plain names there is ``pml_suprank.testers.HierarchicalTester``.

    With a ``knn_func`` of one's own, ranks are the places of its neighbours. Then H-AP, NDCG and ASI
    ask it for all references; memory for one call is N times the number of queries it serves.
    Metrics that a subclass adds or overrides (``calculate_<name>``) run PML's own code, once for
    each level, on whole neighbour lists of length ``k``.

    Args:
        include: names of metrics; empty for all.
        exclude: names of metrics to leave out.
        avg_of_avgs: average per class first, then over classes (of the metric's own level; of the
            finest for metrics of the whole hierarchy).
        return_per_class: give the averages per class, by increasing label.
        k: neighbours that PML's metrics see: an int, "max_bin_count", or None for all.
        label_comparison_fn: ``fn(query_labels, reference_labels) -> bool`` in place of equality, on
            any labels; without ``hierarchy``.
        device: where to compute; by default CUDA if there is one.
        knn_func: as in PML; by default an exact search by ``similarity``.
        kmeans_func: as in PML; by default faiss.
        hierarchy: the class tree of 1-D labels.
        relevance: of H-AP; ``PopulationRelevance()`` by default.
        recall_at: depths of ``recall_at_<k>``; those named in ``include`` are added.
        similarity: "euclidean" (as PML's default search), "cosine" or "dot".
        ignore_index: a label; samples that have it (2-D labels: in column 0) are neither queries nor references,
            as if they had not been passed, and have no class in ``return_per_class``.
        block_size, max_memory, distributed: as in :func:`pml_suprank.metrics.evaluate`.
        progress: whether to show a progress bar.

    Raises:
        ValueError: an argument of a wrong form; names that are no metrics; ``similarity`` beside
            ``knn_func``; ``hierarchy`` beside ``label_comparison_fn``.

    Example:
        >>> tree = Hierarchy.from_parents({0: "dog", 1: "dog", 2: "cat"})
        >>> calculator = AccuracyCalculator(
        ...     include=("precision_at_1", "hierarchical_average_precision"),
        ...     hierarchy=tree, device=torch.device("cpu"))
        >>> query, reference = torch.tensor([[0.0]]), torch.tensor([[1.0], [2.0], [3.0]])
        >>> calculator.get_accuracy(query, torch.tensor([0]), reference, torch.tensor([0, 1, 2]))
        {'hierarchical_average_precision': 1.0, 'precision_at_1': 1.0, 'precision_at_1_level1': 1.0}
    """

    def __init__(
        self,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        avg_of_avgs: bool = False,
        return_per_class: bool = False,
        k: int | str | None = None,
        label_comparison_fn: Any = None,
        device: torch.device | str | None = None,
        knn_func: Any = None,
        kmeans_func: Any = None,
        *,
        hierarchy: Hierarchy | None = None,
        relevance: Relevance | None = None,
        recall_at: int | Sequence[int] = (1, 2, 4, 8),
        similarity: str | None = None,
        ignore_index: int | None = None,
        block_size: int | None = None,
        max_memory: int | None = None,
        distributed: bool = False,
        progress: bool = False,
    ) -> None:
        if similarity not in (None, *SIMILARITIES):
            raise ValueError(f"similarity: wanted one of {SIMILARITIES}, got {similarity!r}")
        if similarity is not None and knn_func is not None:
            raise ValueError("similarity: wanted None beside knn_func, which ranks by its own")
        if hierarchy is not None and label_comparison_fn is not None:
            raise ValueError("hierarchy: wanted None beside label_comparison_fn")
        self.hierarchy = hierarchy
        self.ignore_index = checked_ignore_index(ignore_index)
        self.relevance = relevance
        asked = [re.fullmatch(r"recall_at_(\d+)(_level\d+)?", str(name)) for name in include]
        depths = [int(match[1]) for match in asked if match and int(match[1])]
        self.recall_at = checked_depths(
            [*checked_depths(recall_at, "recall_at"), *depths], "recall_at"
        )
        self.similarity = similarity or "euclidean"
        self.execution = Execution(block_size, max_memory, distributed, progress)
        self._custom_knn = knn_func is not None
        self._default_kmeans = kmeans_func is None
        for name in (*HIERARCHICAL_METRICS, *(f"recall_at_{each}" for each in self.recall_at)):
            # PML finds metrics by the names of attributes; a subclass may have one of its own.
            if not hasattr(type(self), f"calculate_{name}"):
                setattr(self, f"calculate_{name}", functools.partial(self._from_labels, name))
        self._kept: tuple[Sequence[str], Sequence[str]] = ((), ())
        super().__init__(
            include=include,
            exclude=exclude,
            avg_of_avgs=avg_of_avgs,
            return_per_class=return_per_class,
            k=k,
            label_comparison_fn=label_comparison_fn,
            device=None if device is None else torch.device(device),
            knn_func=knn_func if self._custom_knn else ExactKNN(self.similarity),
            kmeans_func=kmeans_func,
        )
        self._kept = (tuple(include), tuple(exclude))

    # ---------------------------------------------------------------- names

    def requires_knn(self) -> list[str]:
        """Names of the metrics that PML's code needs neighbours for."""
        return [*super().requires_knn(), "mean_reciprocal_rank"]

    def check_primary_metrics(
        self, include: Sequence[str] = (), exclude: Sequence[str] = ()
    ) -> None:
        """Raise TypeError unless both are tuples or lists, ValueError on names of no metric."""
        # The first call comes from PML's constructor, with all metrics in place.
        known = self.__dict__.setdefault("_known", list(self.original_function_dict))
        for argument, names in (("include", include), ("exclude", exclude)):
            if not isinstance(names, (tuple, list)):
                raise TypeError(
                    f"{argument}: wanted a tuple or list of names, got {type(names).__name__}"
                )
            for name in names:
                base, level = split_level(name)
                if base not in known or (level is not None and base in HIERARCHICAL_METRICS):
                    raise ValueError(f"{argument}: wanted names out of {known}, got {name!r}")
                if level is not None and self.hierarchy and level >= self.hierarchy.num_levels:
                    last = self.hierarchy.num_levels - 1
                    raise ValueError(f"{argument}: wanted levels 0..{last}, got {name!r}")

    def get_function_dict(
        self, include: Sequence[str] = (), exclude: Sequence[str] = ()
    ) -> dict[str, Any]:
        """The metrics, without their levels, that some names leave."""
        wanted = {split_level(name)[0] for name in include} or set(self.original_function_dict)
        return {
            name: function
            for name, function in self.original_function_dict.items()
            if name in wanted and name not in exclude
        }

    def get_curr_metrics(self) -> list[str]:
        """Names of the metrics, with their levels if the calculator has a hierarchy."""
        levels = 1 if self.hierarchy is None else self.hierarchy.num_levels
        selection = [self._kept]
        return [
            key_of(name, level)
            for name in self.curr_function_dict
            for level in levels_of(name, levels)
            if is_selected(name, level, selection)
        ]

    # ---------------------------------------------------------------- values

    @torch.no_grad()
    def get_accuracy(
        self,
        query: Any,
        query_labels: Any,
        reference: Any = None,
        reference_labels: Any = None,
        ref_includes_query: bool = False,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Metrics of the rankings of the references.

        Args:
            query: (Q, D) embeddings.
            query_labels: (Q,) or (Q, L) labels.
            reference: (N, D) embeddings; None takes the queries, each without itself.
            reference_labels: labels of the references.
            ref_includes_query: whether the first Q references are the queries.
            include: names to keep out of the calculator's; empty for all of them.
            exclude: names to leave out.

        Returns:
            Name to float, or to a list with ``return_per_class``. NaN, as in PML, where no query has
            a relevant reference.

        Raises:
            ValueError: wrong shapes, types or lengths; NaN; labels that are no tree;
                ``ref_includes_query`` that is not so; names of no metric.
            ImportError: NMI or AMI without faiss.
        """
        self.check_primary_metrics(include, exclude)
        self.curr_function_dict = self.get_function_dict(include, exclude)
        selection: Selection = [self._kept, (include, exclude)]
        if reference is None:
            if reference_labels is not None:
                raise ValueError("reference_labels: wanted None without reference, got a value")
            reference, reference_labels, ref_includes_query = query, query_labels, True
        elif reference_labels is None:
            raise ValueError("reference_labels: wanted the labels of reference, got None")
        custom = self.label_comparison_fn is not pml.EQUALITY
        data = RetrievalInputs(
            query,
            query_labels,
            reference,
            reference_labels,
            ref_includes_query,
            device=self.device,
            hierarchy=self.hierarchy,
            comparison=self.label_comparison_fn if custom else None,
            ignore_index=self.ignore_index,
        )
        values: dict[str, Any] = {}
        ranked = [name for name in self.curr_function_dict if self._ranks(name)]
        if ranked:
            values |= self._ranking_values(data, ranked, selection)
        own = [name for name in self.curr_function_dict if name not in ranked]
        if own:
            values |= self._pml_values(data, own, selection)
        keys = (
            key_of(name, level)
            for name in self.curr_function_dict
            for level in levels_of(name, data.num_levels)
        )
        return {key: values[key] for key in keys if key in values}

    def _ranks(self, name: str) -> bool:
        """Whether a metric is read off the rankings, not computed by PML's or a subclass's code."""
        method = f"calculate_{name}"
        if method in self.__dict__:
            return True
        same = getattr(type(self), method) is getattr(pml.AccuracyCalculator, method, None)
        return same and name in PML_METRICS

    def _ranking_values(
        self, data: RetrievalInputs, names: Sequence[str], selection: Selection
    ) -> dict[str, Any]:
        cuts = [self._cut(data, level) for level in range(data.num_levels)]
        functions = {
            key_of(name, level): self._function(name, level, cuts[level])
            for name in names
            for level in levels_of(name, data.num_levels)
            if is_selected(name, level, selection)
        }
        if self._custom_knn:
            whole = any(name in HIERARCHICAL_METRICS for name in names)
            depth = max(*cuts, *self.recall_at, data.num_others if whole else 1)
            lists = data.neighbours(self.knn_func, min(depth, data.num_others))
            results = collect(lists, functions)
        else:
            results = measure(data.task(self.similarity), functions, self.execution)
        if not any(bool(result.num_valid) for result in results.values()):
            logger().warning("No query has a reference of its label.")
        return {
            key: self._average(result, data.groups(split_level(key)[1] or 0))
            for key, result in results.items()
        }

    def _cut(self, data: RetrievalInputs, level: int) -> int:
        """Depth of PML's metrics at a level."""
        if self.k is None:
            return data.num_others
        return int(self.determine_k(data.match_counts(level), data.num_items, data.own))

    def _function(self, name: str, level: int, cut: int) -> Metric:
        if name == "hierarchical_average_precision":
            return catalogue.hierarchical_average_precision(self.relevance)
        if name in HIERARCHICAL_METRICS:
            function: Metric = getattr(definitions, name)
            return function
        if name in PML_METRICS:
            return functools.partial(PML_METRICS[name], level=level, k=cut)
        depth = int(name.removeprefix("recall_at_"))
        return functools.partial(definitions.recall_at_k, k=depth, level=level)

    def _from_labels(
        self,
        name: str,
        knn_labels: Tensor,
        query_labels: Tensor,
        not_lone_query_mask: Tensor | None = None,
        label_counts: Any = None,
        reference_labels: Tensor | None = None,
        ref_includes_query: bool = False,
        **kwargs: Any,
    ) -> Any:
        """One of our metrics from the labels of neighbours: what ``calculate_<name>`` is.

        The keyword arguments are those that PML gives to its own such methods. Ranks are the places of the
        neighbours, and what is behind the last of them counts as not retrieved.
        """
        if not_lone_query_mask is not None:
            knn_labels = knn_labels[not_lone_query_mask]
            query_labels = query_labels[not_lone_query_mask]
        if not len(query_labels):
            return pml.nan_accuracy(
                [] if label_counts is None else label_counts[0], self.return_per_class
            )
        custom = self.label_comparison_fn is not pml.EQUALITY
        lists = lists_from_labels(
            name,
            knn_labels,
            query_labels,
            label_counts,
            reference_labels,
            ref_includes_query,
            comparison=self.label_comparison_fn if custom else None,
            hierarchy=self.hierarchy,
        )
        values, valid = self._function(name, 0, knn_labels.shape[1])(lists)
        groups = query_labels.unique(dim=0, return_inverse=True)[1].cpu()
        return self._average(MetricResult(values.cpu(), valid.cpu()), groups)

    def _average(self, result: MetricResult, groups: Tensor) -> Any:
        """Mean over queries, or over classes, as PML takes it."""
        if not result.num_valid:
            return pml.nan_accuracy(groups.unique(), self.return_per_class)
        if not (self.avg_of_avgs or self.return_per_class):
            return result.mean()
        _, ids = groups[result.valid].unique(return_inverse=True)
        total = torch.zeros(int(ids.max()) + 1, dtype=torch.float64)
        total = total.index_add_(0, ids, result.values[result.valid]) / ids.bincount()
        return total.tolist() if self.return_per_class else float(total.mean())

    def _pml_values(
        self, data: RetrievalInputs, names: Sequence[str], selection: Selection
    ) -> dict[str, Any]:
        """Values of PML's or a subclass's own code, for one label column after the other."""
        clustering = self.requires_clustering()
        needs_faiss = self._default_kmeans and bool(set(names) & set(clustering))
        if needs_faiss and importlib.util.find_spec("faiss") is None:
            raise ImportError(
                f"{' and '.join(clustering)} need faiss (pip install faiss-cpu), or a kmeans_func; "
                "exclude them to do without"
            )
        functions = self.curr_function_dict
        values: dict[str, Any] = {}
        for level in range(data.num_levels):
            here = [name for name in names if is_selected(name, level, selection)]
            if here:
                found = super().get_accuracy(*data.column(level), data.own, include=here)
                values |= {key_of(name, level): value for name, value in found.items()}
        self.curr_function_dict = functions
        return values

"""PML's accuracy calculator with exact, streamed rankings and hierarchical metrics."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from pml_suprank.checks import checked_depths
from pml_suprank.hierarchy import Hierarchy
from pml_suprank.hierarchy.labels import checked_hierarchy, checked_ignore_index
from pml_suprank.metrics import catalogue
from pml_suprank.metrics.inputs import RetrievalInputs
from pml_suprank.metrics.neighbours import ExactKNN, lists_from_labels
from pml_suprank.metrics.ranking.scores import SIMILARITIES
from pml_suprank.metrics.ranking.sharing import announced, described
from pml_suprank.metrics.ranking.streaming import collect, measure
from pml_suprank.metrics.ranking.workers import Execution
from pml_suprank.metrics.result import MetricResult
from pml_suprank.pml import accuracy_calculator as pml
from pml_suprank.pml import logger
from pml_suprank.relevance import Relevance
from pml_suprank.values import checked_callable, checked_flag, checked_integer, shown


class AccuracyCalculator(pml.AccuracyCalculator):
    """All that PML's calculator gives, plus metrics of hierarchies, plus recall at k.

    Use it in PML's testers, or for PML's names. For embeddings that are at hand, :func:`pml_suprank.metrics.evaluate`
    is simpler, and gives the value of each query. Name what you report in ``include``: NMI and AMI, which come by
    default as in PML, need faiss and take longest.

    To PML's metrics come ``hierarchical_average_precision``, ``ndcg``, ``asi`` and ``recall_at_<k>``. Labels may be
    1-D, 2-D with column 0 finest, or 1-D with ``hierarchy``. With L levels every metric of binary labels comes once
    per level: ``precision_at_1`` is that of the finest level, as PML has it, then follow ``precision_at_1_level1``,
    ... up to L - 1. ``include`` and ``exclude`` take both kinds of names; a name without a level stands for all of
    its levels, and ``precision_at_1_level0`` for the finest alone.

    Differences from PML: no query x reference matrix is kept, whatever ``k``; labels are integers and never merged
    (PML's float32 merges ids above 2**24); a tie counts against the model; ``k`` cuts PML's metrics only; NaN in the
    embeddings is an error.

    With a ``knn_func`` of one's own, ranks are the places of its neighbours. Metrics that a subclass adds or overrides
    (``calculate_<name>``) run PML's own code, once for each level, on whole neighbour lists of length ``k``.

    Args:
        include: names of metrics; empty for all.
        exclude: names of metrics to leave out.
        avg_of_avgs: average per class first, then over classes (of the metric's own level; of the finest for metrics
            of the whole hierarchy).
        return_per_class: give the averages per class, by increasing label.
        k: neighbours that PML's metrics see: an int >= 1, "max_bin_count", or None for all, which costs no more.
        label_comparison_fn: ``fn(query_labels, reference_labels) -> bool`` in place of equality, on any labels;
            without ``hierarchy``.
        device: where to compute; by default CUDA if there is one.
        knn_func: as in PML; by default an exact search by ``similarity``.
        kmeans_func: as in PML; by default faiss.
        hierarchy: the class tree of 1-D labels.
        relevance: of H-AP; ``PopulationRelevance()`` by default.
        recall_at: depths >= 1 of ``recall_at_<k>``; those named in ``include`` are added.
        similarity: "euclidean" (as PML's default search), "cosine" or "dot". Take "cosine" where embeddings are not
            normalised and the loss compares cosines; PML's testers normalise.
        ignore_index: a label; samples that have it (2-D labels: in column 0) are neither queries nor references, as
            if they had not been passed, and have no class in ``return_per_class``.
        block_size: as in :func:`pml_suprank.metrics.evaluate`.
        max_memory: as in ``evaluate``.
        distributed: as in ``evaluate``.
        progress: whether to show a progress bar.

    Raises:
        ValueError: an argument of a wrong form; names that are no metrics; ``similarity`` beside ``knn_func``;
            ``hierarchy`` beside ``label_comparison_fn``.

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
        is_known = isinstance(similarity, str) and similarity in SIMILARITIES
        if similarity is not None and not is_known:
            raise ValueError(f"similarity: wanted one of {SIMILARITIES}, got {shown(similarity)}")
        for name, function in (
            ("label_comparison_fn", label_comparison_fn),
            ("knn_func", knn_func),
            ("kmeans_func", kmeans_func),
            ("relevance", relevance),
        ):
            if function is not None:
                checked_callable(name, function, "a function, or None")
        is_pmls = k is None or isinstance(k, str) or (isinstance(k, int) and k < 1)  # PML says
        k = k if is_pmls else checked_integer("k", k, 1)
        avg_of_avgs = checked_flag("avg_of_avgs", avg_of_avgs)
        return_per_class = checked_flag("return_per_class", return_per_class)
        checked_hierarchy(hierarchy)
        for name, names in (("include", include), ("exclude", exclude)):
            catalogue.check_list_of_names(name, names)
        if similarity is not None and knn_func is not None:
            raise ValueError("similarity: wanted None beside knn_func, which ranks by its own")
        if hierarchy is not None and label_comparison_fn is not None:
            raise ValueError("hierarchy: wanted None beside label_comparison_fn")
        self.hierarchy = hierarchy
        self.ignore_index = checked_ignore_index(ignore_index)
        self.relevance = relevance
        depths = (*checked_depths(recall_at, "recall_at"), *catalogue.recall_depths(include))
        self.recall_at = checked_depths(depths, "recall_at")
        self.similarity = similarity or "euclidean"
        self.execution = Execution(block_size, max_memory, distributed, progress)
        self._custom_knn = knn_func is not None
        self._default_kmeans = kmeans_func is None
        recalls = [f"recall_at_{each}" for each in self.recall_at]
        for name in (*catalogue.HIERARCHICAL_METRICS, *recalls):
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
            device=None if device is None else _device(device),
            knn_func=knn_func if self._custom_knn else ExactKNN(self.similarity),
            kmeans_func=kmeans_func,
        )
        self._kept = (tuple(include), tuple(exclude))

    def requires_knn(self) -> list[str]:
        """Names of the metrics that PML's code needs neighbours for."""
        return [*super().requires_knn(), "mean_reciprocal_rank"]

    def check_primary_metrics(
        self, include: Sequence[str] = (), exclude: Sequence[str] = ()
    ) -> None:
        """Raise TypeError unless both are tuples or lists, ValueError on names of no metric."""
        # The first call comes from PML's constructor, with all metrics in place.
        known = self.__dict__.setdefault("_known", list(self.original_function_dict))
        num_levels = None if self.hierarchy is None else self.hierarchy.num_levels
        for argument, names in (("include", include), ("exclude", exclude)):
            catalogue.check_calculator_names(argument, names, known, num_levels)

    def get_function_dict(
        self, include: Sequence[str] = (), exclude: Sequence[str] = ()
    ) -> dict[str, Any]:
        """The metrics, without their levels, that some names leave."""
        every = self.original_function_dict
        wanted = {catalogue.split_level(name)[0] for name in include} or set(every)
        return {name: every[name] for name in every if name in wanted and name not in exclude}

    def get_curr_metrics(self) -> list[str]:
        """Names of the metrics, with their levels if the calculator has a hierarchy."""
        levels = 1 if self.hierarchy is None else self.hierarchy.num_levels
        return list(catalogue.selected(self.curr_function_dict, levels, [self._kept]))

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
            Name to float, or to a list with ``return_per_class``. NaN, as in PML, where no query has a positive.

        Raises:
            ValueError: wrong shapes, types or lengths; NaN; labels that are no tree; ``ref_includes_query`` that is
                not so; names of no metric.
            ImportError: NMI or AMI without faiss.
        """
        with announced(self.execution.distributed):
            ref_includes_query = checked_flag("ref_includes_query", ref_includes_query)
            self.check_primary_metrics(include, exclude)
            self.curr_function_dict = self.get_function_dict(include, exclude)
            selection: catalogue.Selection = [self._kept, (include, exclude)]
            data = RetrievalInputs(
                query,
                query_labels,
                reference,
                reference_labels,
                ref_includes_query,
                device=self.device,
                ignore_index=self.ignore_index,
                **self._labels,
            )
        ranked = [name for name in self.curr_function_dict if self._ranks(name)]
        others = [name for name in self.curr_function_dict if name not in ranked]
        values = self._ranking_values(data, ranked, selection) if ranked else {}
        values |= self._pml_values(data, others, selection) if others else {}
        keys = catalogue.selected(self.curr_function_dict, data.num_levels)
        return {key: values[key] for key in keys if key in values}

    @property
    def _labels(self) -> dict[str, Any]:
        """What labels mean: places in a hierarchy, or what a function compares."""
        plain = self.label_comparison_fn is pml.EQUALITY
        return {
            "hierarchy": self.hierarchy,
            "comparison": None if plain else self.label_comparison_fn,
        }

    def _ranks(self, name: str) -> bool:
        """Whether a metric is read off the rankings, not computed by PML's or a subclass's code."""
        method = f"calculate_{name}"
        same = getattr(type(self), method, None) is getattr(pml.AccuracyCalculator, method, None)
        return method in self.__dict__ or (same and name in catalogue.PML_METRICS)

    def _ranking_values(
        self, data: RetrievalInputs, names: Sequence[str], selection: catalogue.Selection
    ) -> dict[str, Any]:
        cuts = [data.cut(level, self.k, self.determine_k) for level in range(data.num_levels)]
        functions = {
            key: catalogue.calculator_metric(name, level, cuts[level], self.relevance)
            for key, (name, level) in catalogue.selected(names, data.num_levels, selection).items()
        }
        if self._custom_knn:
            whole = any(name in catalogue.HIERARCHICAL_METRICS for name in names)
            depth = max(*cuts, *self.recall_at, data.num_others if whole else 1)
            results = collect(data.neighbours(self.knn_func, depth), functions)
        else:
            task = data.task(self.similarity)
            results = measure(
                task, functions, self.execution, described(self.relevance), *map(str, cuts)
            )
        if not any(bool(result.num_valid) for result in results.values()):
            logger().warning("No query has a reference of its label.")
        groups = [data.groups(level) for level in range(data.num_levels)]
        levels = {key: catalogue.split_level(key)[1] or 0 for key in results}
        return {key: self._average(each, groups[levels[key]]) for key, each in results.items()}

    def _from_labels(
        self,
        name: str,
        knn_labels: Tensor,
        query_labels: Tensor,
        not_lone_query_mask: Tensor | None = None,
        label_counts: Any = None,
        **given: Any,
    ) -> Any:
        """One of our metrics from the labels of neighbours: what ``calculate_<name>`` is.

        The keyword arguments are those that PML gives to its own such methods. Ranks are the places of the
        neighbours, and what is behind the last of them counts as not retrieved.
        """
        if not_lone_query_mask is not None:
            knn_labels = knn_labels[not_lone_query_mask]
            query_labels = query_labels[not_lone_query_mask]
        if not len(query_labels):
            classes = [] if label_counts is None else label_counts[0]
            return pml.nan_accuracy(classes, self.return_per_class)
        options = {each: given.get(each) for each in ("reference_labels", "ref_includes_query")}
        options |= self._labels
        lists = lists_from_labels(name, knn_labels, query_labels, label_counts, **options)
        function = catalogue.calculator_metric(name, 0, knn_labels.shape[1], self.relevance)
        values, valid = function(lists)
        groups = query_labels.unique(dim=0, return_inverse=True)[1].cpu()
        return self._average(MetricResult(values.cpu(), valid.cpu()), groups)

    def _average(self, result: MetricResult, groups: Tensor) -> Any:
        """Mean over queries, or over classes, as PML takes it."""
        if not result.num_valid:
            return pml.nan_accuracy(groups.unique(), self.return_per_class)
        means = result.means_of(groups)
        if self.return_per_class:
            return means.tolist()
        return float(means.mean()) if self.avg_of_avgs else result.mean()

    def _pml_values(
        self, data: RetrievalInputs, names: Sequence[str], selection: catalogue.Selection
    ) -> dict[str, Any]:
        """Values of PML's or a subclass's own code, for one label column after the other."""
        needy = self.requires_clustering() if self._default_kmeans else []
        if not set(names).isdisjoint(needy) and find_spec("faiss") is None:
            need = f"{' and '.join(needy)} need faiss (pip install faiss-cpu), or a kmeans_func"
            raise ImportError(f"{need}; exclude them to do without")
        functions, values = self.curr_function_dict, dict[str, Any]()
        for level in range(data.num_levels):
            if here := [name for name in names if catalogue.is_selected(name, level, selection)]:
                given = (*data.column(level), data.ref_includes_query)
                found = super().get_accuracy(*given, include=here)
                end = f"_level{level}" if level else ""
                values |= {name + end: value for name, value in found.items()}
        self.curr_function_dict = functions
        return values


def _device(device: Any) -> torch.device:
    try:
        found = torch.device(device)
        if found.type != "cuda":
            torch.empty(0, device=found)  # whether it is there
        elif not torch.cuda.is_available() or (found.index or 0) >= torch.cuda.device_count():
            raise ValueError("no such GPU")
    except (RuntimeError, TypeError, ValueError, AssertionError) as error:
        message = f"device: wanted a device of torch on this machine, got {shown(device)}"
        raise ValueError(message) from error
    return found

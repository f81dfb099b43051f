"""How far the average of a metric over batches is from the metric of the whole set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pml_suprank.checks import checked_depths, checked_level
from pml_suprank.hierarchy import Hierarchy
from pml_suprank.hierarchy.labels import checked_ignore_index
from pml_suprank.metrics import MetricResult, catalogue, evaluate
from pml_suprank.metrics.evaluation import Samples
from pml_suprank.relevance import Relevance

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["DecomposabilityGap", "decomposability_gap"]


@dataclass(frozen=True)
class DecomposabilityGap:
    """A metric of each batch and of the whole set.

    Args:
        metric: what was measured, such as "recall_at_1_level0".
        whole: its mean over the queries of the whole set.
        per_batch: its mean over the queries of each batch; None for a batch in which no query has a positive.
        num_left_out: queries without a positive in their batch, summed over the batches.
        num_left_out_whole: queries without a positive in the whole set.

    Example:
        >>> result = DecomposabilityGap("mean_average_precision_level0", 0.25, (1.0, 0.5, None), 2, 0)
        >>> result.batch_average, result.gap
        (0.75, 0.5)
    """

    metric: str
    whole: float
    per_batch: tuple[float | None, ...]
    num_left_out: int
    num_left_out_whole: int

    @property
    def batch_average(self) -> float:
        """Mean over the batches in which a query has a positive."""
        values = [value for value in self.per_batch if value is not None]
        return sum(values) / len(values)

    @property
    def gap(self) -> float:
        """Batch average minus whole: positive where batches look better than the set is."""
        return self.batch_average - self.whole

    def __repr__(self) -> str:
        return (
            f"DecomposabilityGap({self.metric}: gap={self.gap:.6g}, "
            f"batch_average={self.batch_average:.6g}, whole={self.whole:.6g}, "
            f"batches={len(self.per_batch)}, num_left_out={self.num_left_out}, "
            f"num_left_out_whole={self.num_left_out_whole})"
        )

    def plot(self, path: str | Path | None = None) -> Figure:
        """Draw the value of every batch, their average and the whole set.

        Args:
            path: image file to write; its ending says the format. None writes nothing.

        Returns:
            A matplotlib figure, not attached to any window.

        Raises:
            ImportError: matplotlib is not installed.
        """
        try:
            from matplotlib.figure import Figure
            from matplotlib.ticker import MaxNLocator
        except ModuleNotFoundError as error:
            message = 'matplotlib is not installed; run: pip install "pml-suprank[recipes]"'
            raise ImportError(message, name="matplotlib") from error

        figure = Figure(figsize=(7.2, 3.2), layout="constrained")
        axes = figure.add_subplot()
        batches = [(n, value) for n, value in enumerate(self.per_batch, 1) if value is not None]
        average, whole = self.batch_average, self.whole
        axes.plot(*zip(*batches, strict=True), "o", color="#9aa4b2", markersize=4, label="batch")
        axes.axhline(average, color="#667085", label=f"batch average {average:.3f}")
        axes.axhline(whole, color="#0f766e", label=f"whole set {whole:.3f}")
        axes.axhspan(*sorted((whole, average)), color="#0f766e", alpha=0.12, linewidth=0)
        axes.set_title(f"decomposability gap {self.gap:+.3f}", loc="left")
        axes.set_xlabel("batch")
        axes.set_ylabel(self.metric.replace("_", " "))
        axes.set_xlim(0.5, len(self.per_batch) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        figure.legend(loc="outside lower center", ncols=3, frameon=False)
        if path is not None:
            figure.savefig(path, dpi=160)
        return figure


def decomposability_gap(
    embeddings: Any,
    labels: Any,
    batches: Iterable[Any],
    metric: str = "hierarchical_average_precision",
    *,
    level: int = 0,
    k: int = 1,
    hierarchy: Hierarchy | None = None,
    relevance: Relevance | None = None,
    similarity: str = "cosine",
    ignore_index: int | None = None,
    block_size: int | None = None,
    progress: bool = False,
) -> DecomposabilityGap:
    r"""Measure the batch average of a metric against the metric of the whole set.

    .. math:: DG_M = \frac{1}{K} \sum_{b=1}^{K} M(B_b) - M(\Omega)

    M of a set is the mean of a metric over its items, each a query against the others; queries without a positive in
    the set are left out. A rank loss trains the average over its batches :math:`B_b`, while the metric that is
    reported is that of the whole set :math:`\Omega`: where each batch is ranked well, but on a scale of its own,
    the gap is large.

    Args:
        embeddings: (N, D), the whole set.
        labels: (N,) class labels, (N, L) labels with column 0 finest, or with ``hierarchy`` (N,) finest labels.
        batches: indices of the items of each batch: tensors, arrays or lists, or a batch sampler. They need not
            cover the set; an item that a batch repeats counts once.
        metric: "mean_average_precision", "recall_at_k", "hierarchical_average_precision", "ndcg", or any other
            function of :mod:`pml_suprank.metrics`; "ndcg_at_k" for NDCG at ``k``.
        level: label column that makes an item positive, for the metrics of one level.
        k: depth of the metrics at k.
        hierarchy: the class tree of 1-D labels.
        relevance: of H-AP; ``PopulationRelevance()`` by default. It sees the populations of each batch.
        similarity: "cosine", "dot" or "euclidean".
        ignore_index: a label; items that have it (2-D labels: in column 0) are in no batch and not in the set, as if
            they had not been passed.
        block_size: queries ranked at a time; None fits the memory of a block to the set.
        progress: whether to show progress bars.

    Raises:
        ValueError: an argument of a wrong form, naming it, what was wanted and what came; no batch has a query
            with a positive.

    Example:
        Two batches of two classes each. Within a batch every item is next to its partner; in the whole set
        an item of the other batch stands in between, and the partner comes second.

        >>> points = torch.tensor([[0.0, 0], [2, 0], [9, 0], [11, 0], [0, 1], [2, 1], [9, 1], [11, 1]])
        >>> classes = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
        >>> result = decomposability_gap(
        ...     points, classes, [[0, 1, 2, 3], [4, 5, 6, 7]], "mean_average_precision", similarity="euclidean")
        >>> result.per_batch, result.whole, result.gap
        ((1.0, 1.0), 0.5, 0.5)

    References:
        Ramzi et al., Robust and Decomposable Average Precision for Image Retrieval, arXiv 2110.01445, defines the
        gap for AP.
    """
    from tqdm import tqdm

    if not isinstance(batches, Iterable):
        raise ValueError(f"batches: wanted an iterable of indices, got {type(batches).__name__}")
    options: dict[str, Any] = {"hierarchy": hierarchy, "labels_name": "labels"}
    options["ignore_index"] = checked_ignore_index(ignore_index)
    samples = Samples.checked(embeddings, labels, "embeddings", **options)
    embeddings = samples.embeddings
    labels = samples.labels.to(embeddings.device)
    length = len(samples.all_labels)
    place = torch.arange(length)
    if samples.kept is not None:
        place = torch.full((length,), -1)
        place[samples.kept.cpu()] = torch.arange(len(samples.kept))
    name = _metric_name(metric, level, k, labels.shape[1])

    def measure(items: Any, bar: bool = False) -> MetricResult:
        if isinstance(items, Tensor) and not len(items):
            return MetricResult(
                torch.zeros(0, dtype=torch.float64), torch.zeros(0, dtype=torch.bool)
            )
        options: dict[str, Any] = {"relevance": relevance, "similarity": similarity}
        options |= {"block_size": block_size, "progress": bar}
        return evaluate(embeddings[items], labels[items], metrics=name, **options)[name]

    whole = measure(slice(None), progress)
    parts = [
        measure(_kept(_batch_items(number, batch, length), place).to(embeddings.device))
        for number, batch in enumerate(tqdm(batches, unit="batch", disable=not progress))
    ]
    if not any(part.num_valid for part in parts):
        raise ValueError(
            f"batches: wanted a query with a positive in its batch, got none in {len(parts)} batches"
        )
    return DecomposabilityGap(
        metric=name,
        whole=whole.mean(),
        per_batch=tuple(part.mean() if part.num_valid else None for part in parts),
        num_left_out=sum(part.num_left_out for part in parts),
        num_left_out_whole=whole.num_left_out,
    )


def _kept(items: Tensor, place: Tensor) -> Tensor:
    """Places among the samples that count of those items that do."""
    places = place[items.cpu()]
    return places[places >= 0]


def _metric_name(metric: Any, level: int, k: int, num_levels: int) -> str:
    """Return the full name of a metric in the result of ``evaluate``."""
    if catalogue.current(metric) not in catalogue.METRICS:
        raise ValueError(f"metric: wanted one of {catalogue.METRICS}, got {metric!r}")
    level = checked_level(level, num_levels)
    (choice,) = [
        choice
        for choice in catalogue.choose(metric, checked_depths((k,)), num_levels)
        if choice.level in (None, level)
    ]
    return choice.name


def _batch_items(number: int, batch: Any, length: int) -> Tensor:
    """Return the distinct items of a batch."""
    try:
        items = torch.as_tensor(batch)
    except (TypeError, ValueError, RuntimeError):
        items = torch.tensor(0.0)
    wrong = items.is_floating_point() or items.is_complex() or items.dtype == torch.bool
    if items.ndim != 1 or len(items) == 0 or wrong:
        got = tuple(items.shape) if torch.is_tensor(batch) else type(batch).__name__
        raise ValueError(
            f"batches: wanted a non-empty 1-D list of indices for each batch, got {got} "
            f"for batch {number}"
        )
    least, largest = int(items.min()), int(items.max())
    if least < 0 or largest >= length:
        raise ValueError(
            f"batches: wanted indices in 0..{length - 1}, got {least}..{largest} in batch {number}"
        )
    return items.long().unique()

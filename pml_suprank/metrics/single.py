"""One function per metric, for those who want just one.

All take ``query, query_labels, gallery, gallery_labels`` and the keyword arguments of ``evaluate``,
and return a ``MetricResult``: values in [0, 1] per query, and which queries they are defined for.
``level`` is the label column that positives share with their query, 0 the finest; ``k`` a depth.
Errors are those of ``evaluate``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from pml_suprank.checks import checked_depths, checked_level
from pml_suprank.hierarchy import Hierarchy
from pml_suprank.metrics.evaluation import evaluate
from pml_suprank.metrics.result import MetricResult
from pml_suprank.relevance import Relevance

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Options(TypedDict, total=False):
    """The keyword arguments of :func:`pml_suprank.metrics.evaluate` that a single metric takes."""

    hierarchy: Hierarchy | None
    relevance: Relevance | None
    similarity: str
    ref_includes_query: bool
    self_indices: Any
    ignore_index: int | None
    block_size: int | None
    max_memory: int | None
    distributed: bool
    progress: bool


def _one(name: str, arguments: tuple[Any, ...], options: Options) -> MetricResult:
    if "metrics" in options:
        raise TypeError("metrics: this function computes one metric; use evaluate for several")
    (result,) = evaluate(*arguments, metrics=[name], **options).values()
    return result


def _one_at(
    name: str, k: int, level: int, arguments: tuple[Any, ...], options: Options
) -> MetricResult:
    (depth,) = checked_depths((k,))
    return _one(f"{name}_at_{depth}_level{checked_level(level)}", arguments, options)


def hierarchical_average_precision(
    query: Any,
    query_labels: Any,
    gallery: Any = None,
    gallery_labels: Any = None,
    **options: Unpack[Options],
) -> MetricResult:
    r"""H-AP of each query: average precision with graded relevance r.

    .. math:: HAP = \frac{1}{\sum_n r_n} \sum_n \frac{1}{n} \sum_{m \le n} \min(r_n, r_m)

    Example:
        Ranked levels 0, 2, 1. With L = 2 and one item each, the relevances are 0, 1, 0.5.
        Rank 2 gives (0 + 1) / 2 = 0.5; rank 3 gives (0.5 + 0.5) / 3; their sum over 1.5 is 5/9.

        >>> import torch
        >>> gallery = torch.tensor([[1.0, 0.0], [4.0, 3.0], [0.0, 1.0]])
        >>> labels = torch.tensor([[7, 7], [0, 0], [1, 0]])
        >>> result = hierarchical_average_precision(gallery[:1], torch.tensor([[0, 0]]), gallery, labels)
        >>> round(result.mean(), 4)
        0.5556
    """
    arguments = (query, query_labels, gallery, gallery_labels)
    return _one("hierarchical_average_precision", arguments, options)


def ndcg(
    query: Any,
    query_labels: Any,
    gallery: Any = None,
    gallery_labels: Any = None,
    *,
    k: int | None = None,
    **options: Unpack[Options],
) -> MetricResult:
    r"""NDCG of each query, with gain :math:`2^\ell - 1` for an item that shares l levels.

    Example:
        The only positive is third: 1 / log2(1 + 3) = 0.5, and 1 in the ideal list.

        >>> import torch
        >>> gallery = torch.tensor([[1.0, 0.0], [4.0, 3.0], [0.0, 1.0]])
        >>> result = ndcg(gallery[:1], torch.tensor([0]), gallery, torch.tensor([7, 8, 0]))
        >>> result.mean()
        0.5
    """
    name = "ndcg" if k is None else f"ndcg_at_{checked_depths((k,))[0]}"
    return _one(name, (query, query_labels, gallery, gallery_labels), options)


def asi(
    query: Any,
    query_labels: Any,
    gallery: Any = None,
    gallery_labels: Any = None,
    **options: Unpack[Options],
) -> MetricResult:
    """Average set intersection of each query's list with the list sorted by level.

    Example:
        Ranked levels 2, 0, 1, best order 2, 1, 0. Two items are related: the sets share 1 of 1
        at depth 1 and 1 of 2 at depth 2.

        >>> import torch
        >>> gallery = torch.tensor([[1.0, 0.0], [4.0, 3.0], [0.0, 1.0]])
        >>> labels = torch.tensor([[0, 0], [7, 7], [1, 0]])
        >>> asi(gallery[:1], torch.tensor([[0, 0]]), gallery, labels).mean()
        0.75
    """
    return _one("asi", (query, query_labels, gallery, gallery_labels), options)


def mean_average_precision(
    query: Any,
    query_labels: Any,
    gallery: Any = None,
    gallery_labels: Any = None,
    *,
    level: int = 0,
    **options: Unpack[Options],
) -> MetricResult:
    r"""AP of each query: the mean precision at the ranks of its positives.

    .. math:: AP = \frac{1}{P} \sum_{i=1}^{P} \frac{i}{rank(i)}

    Example:
        Positives at ranks 1 and 3: (1/1 + 2/3) / 2 = 5/6.

        >>> import torch
        >>> gallery = torch.tensor([[1.0, 0.0], [4.0, 3.0], [0.0, 1.0]])
        >>> result = mean_average_precision(gallery[:1], torch.tensor([0]), gallery, torch.tensor([0, 7, 0]))
        >>> round(result.mean(), 4)
        0.8333
    """
    arguments = (query, query_labels, gallery, gallery_labels)
    return _one(f"mean_average_precision_level{checked_level(level)}", arguments, options)


def mean_average_precision_at_k(
    query: Any,
    query_labels: Any,
    gallery: Any = None,
    gallery_labels: Any = None,
    *,
    k: int,
    level: int = 0,
    **options: Unpack[Options],
) -> MetricResult:
    r"""AP of the first k items, over the best possible sum (Google Landmarks).

    .. math:: AP@k = \frac{1}{\min(P, k)} \sum_{i: rank(i) \le k} \frac{i}{rank(i)}

    Example:
        Positives at ranks 1 and 3, k = 2: (1/1) / 2.

        >>> import torch
        >>> gallery = torch.tensor([[1.0, 0.0], [4.0, 3.0], [0.0, 1.0]])
        >>> result = mean_average_precision_at_k(gallery[:1], torch.tensor([0]), gallery, torch.tensor([0, 7, 0]), k=2)
        >>> result.mean()
        0.5
    """
    arguments = (query, query_labels, gallery, gallery_labels)
    return _one_at("mean_average_precision", k, level, arguments, options)


def mean_average_precision_at_r(
    query: Any,
    query_labels: Any,
    gallery: Any = None,
    gallery_labels: Any = None,
    *,
    level: int = 0,
    **options: Unpack[Options],
) -> MetricResult:
    r"""AP of the first R items of each query, R the number of its positives.

    .. math:: MAP@R = \frac{1}{R} \sum_{i: rank(i) \le R} \frac{i}{rank(i)}

    Example:
        Positives at ranks 1 and 3, so R = 2: (1/1) / 2.

        >>> import torch
        >>> gallery = torch.tensor([[1.0, 0.0], [4.0, 3.0], [0.0, 1.0]])
        >>> result = mean_average_precision_at_r(gallery[:1], torch.tensor([0]), gallery, torch.tensor([0, 7, 0]))
        >>> result.mean()
        0.5
    """
    arguments = (query, query_labels, gallery, gallery_labels)
    return _one(f"mean_average_precision_at_r_level{checked_level(level)}", arguments, options)


def r_precision(
    query: Any,
    query_labels: Any,
    gallery: Any = None,
    gallery_labels: Any = None,
    *,
    level: int = 0,
    **options: Unpack[Options],
) -> MetricResult:
    """Share of positives among the first R items of each query, R the number of its positives.

    Example:
        Positives at ranks 2 and 3, so R = 2: one of the first two.

        >>> import torch
        >>> gallery = torch.tensor([[1.0, 0.0], [4.0, 3.0], [0.0, 1.0]])
        >>> r_precision(gallery[:1], torch.tensor([0]), gallery, torch.tensor([7, 0, 0])).mean()
        0.5
    """
    arguments = (query, query_labels, gallery, gallery_labels)
    return _one(f"r_precision_level{checked_level(level)}", arguments, options)


def mean_reciprocal_rank(
    query: Any,
    query_labels: Any,
    gallery: Any = None,
    gallery_labels: Any = None,
    *,
    level: int = 0,
    **options: Unpack[Options],
) -> MetricResult:
    """1 / rank of the first positive of each query.

    Example:
        The first positive is second.

        >>> import torch
        >>> gallery = torch.tensor([[1.0, 0.0], [4.0, 3.0], [0.0, 1.0]])
        >>> result = mean_reciprocal_rank(gallery[:1], torch.tensor([0]), gallery, torch.tensor([7, 0, 0]))
        >>> result.mean()
        0.5
    """
    arguments = (query, query_labels, gallery, gallery_labels)
    return _one(f"mean_reciprocal_rank_level{checked_level(level)}", arguments, options)


def precision_at_k(
    query: Any,
    query_labels: Any,
    gallery: Any = None,
    gallery_labels: Any = None,
    *,
    k: int = 1,
    level: int = 0,
    **options: Unpack[Options],
) -> MetricResult:
    """Share of positives among the first k items (among all, if the gallery is smaller).

    Example:
        Positives at ranks 2 and 3, k = 2.

        >>> import torch
        >>> gallery = torch.tensor([[1.0, 0.0], [4.0, 3.0], [0.0, 1.0]])
        >>> result = precision_at_k(gallery[:1], torch.tensor([0]), gallery, torch.tensor([7, 0, 0]), k=2)
        >>> result.mean()
        0.5
    """
    arguments = (query, query_labels, gallery, gallery_labels)
    return _one_at("precision", k, level, arguments, options)


def recall_at_k(
    query: Any,
    query_labels: Any,
    gallery: Any = None,
    gallery_labels: Any = None,
    *,
    k: int = 1,
    level: int = 0,
    **options: Unpack[Options],
) -> MetricResult:
    """1 for each query with a positive among the first k items, else 0: the literature's R@k.

    Example:
        Positives at ranks 2 and 3, none at rank 1.

        >>> import torch
        >>> gallery = torch.tensor([[1.0, 0.0], [4.0, 3.0], [0.0, 1.0]])
        >>> labels = torch.tensor([7, 0, 0])
        >>> recall_at_k(gallery[:1], torch.tensor([0]), gallery, labels, k=1).mean()
        0.0
        >>> recall_at_k(gallery[:1], torch.tensor([0]), gallery, labels, k=2).mean()
        1.0
    """
    arguments = (query, query_labels, gallery, gallery_labels)
    return _one_at("recall", k, level, arguments, options)

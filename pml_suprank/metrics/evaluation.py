"""All metrics of queries against a gallery, exact, in one ranking pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pml_suprank.hierarchy import Hierarchy, as_level_labels
from pml_suprank.hierarchy.labels import index_tensor
from pml_suprank.metrics import catalogue
from pml_suprank.metrics.execution import Execution
from pml_suprank.metrics.levels import TreeLevels
from pml_suprank.metrics.result import EvaluationResult
from pml_suprank.metrics.scores import checked_embeddings
from pml_suprank.metrics.streaming import Task, measure
from pml_suprank.relevance import Relevance


@torch.no_grad()
def evaluate(
    query: Any,
    query_labels: Any,
    gallery: Any = None,
    gallery_labels: Any = None,
    *,
    hierarchy: Hierarchy | None = None,
    metrics: str | Sequence[str] | None = None,
    k: int | Sequence[int] = (1,),
    relevance: Relevance | None = None,
    similarity: str = "cosine",
    ref_includes_query: bool = False,
    query_indices: Any = None,
    block_size: int | None = None,
    max_memory: int | None = None,
    distributed: bool = False,
    progress: bool = False,
) -> EvaluationResult:
    """Rank the gallery for every query and measure the rankings.

    The whole gallery is ranked. Memory stays at a copy of the gallery and one block of queries times the
    gallery in each of torch's threads (``torch.set_num_threads``). Scores are computed in the precision of
    the embeddings (float32 at least), everything after them in float64. Among equal scores less relevant
    items come first: a tie counts against the model.
    A query that is in the gallery is taken out by its index, and counts in no population.

    Args:
        query: (Q, D) embeddings.
        query_labels: (Q,) class labels, (Q, L) labels with column 0 finest, or with
            ``hierarchy`` (Q,) finest labels.
        gallery: (N, D) embeddings; None ranks the queries against each other.
        gallery_labels: labels of the gallery, in the form of ``query_labels``.
        hierarchy: the class tree of 1-D labels.
        metrics: names; None for all. Families like "recall_at_k" stand for all depths in ``k``
            and all levels; "recall_at_10" and "recall_at_10_level0" are more specific.
        k: depths of the metrics at k.
        relevance: of H-AP; ``PopulationRelevance()`` by default.
        similarity: "cosine", "dot" or "euclidean".
        ref_includes_query: whether the first Q items of the gallery are the queries.
        query_indices: (Q,) position of each query in the gallery, -1 where it is not in it.
        block_size: queries ranked at a time by each thread; None fits the memory of a block to the gallery.
        max_memory: bytes that the ranking may take beside inputs and results, its copy of the gallery
            included, in place of ``block_size``.
        distributed: share the queries among the processes of ``torch.distributed``. Every process calls with
            the same arguments and gets the whole result, the same as of one process.
        progress: whether to show a progress bar.

    Returns:
        Metric by name, values per query: "hierarchical_average_precision", "ndcg",
        "ndcg_at_10", "asi", and with the level at the end "average_precision_level0",
        "recall_at_10_level1", ...

    Raises:
        ValueError: an argument of a wrong form, naming it, what was wanted and what came.
        HierarchyError: (a ValueError) labels of a wrong form, unknown class ids, or labels that
            are no tree.

    Example:
        >>> query, gallery = torch.eye(2)[:1], torch.tensor([[4.0, 3.0], [3.0, 4.0], [0.0, 1.0]])
        >>> result = evaluate(query, torch.tensor([5]), gallery, torch.tensor([6, 5, 5]))
        >>> round(result["average_precision_level0"].mean(), 4)  # positives at ranks 2 and 3
        0.5833
        >>> result["recall_at_1_level0"].values.tolist()
        [0.0]
    """
    query = checked_embeddings(query, "query")
    query_labels = as_level_labels(query_labels, hierarchy, name="query_labels", length=len(query))
    own: Tensor | None = torch.arange(len(query), device=query.device)
    if gallery is None:
        if gallery_labels is not None or query_indices is not None:
            name = "query_indices" if gallery_labels is None else "gallery_labels"
            raise ValueError(f"{name}: wanted None without a gallery, got a value")
        gallery, gallery_labels = query, query_labels
    else:
        if gallery_labels is None:
            raise ValueError("gallery_labels: wanted the labels of the gallery, got None")
        gallery = checked_embeddings(gallery, "gallery", query.shape[1])
        gallery_labels = as_level_labels(
            gallery_labels, hierarchy, name="gallery_labels", length=len(gallery)
        )
        dtype = torch.promote_types(query.dtype, gallery.dtype)
        query, gallery = query.to(dtype), gallery.to(query.device, dtype)
        if ref_includes_query and query_indices is not None:
            raise ValueError("query_indices: wanted None with ref_includes_query, got a value")
        if ref_includes_query:
            check_ref_includes_query(query, query_labels, gallery, gallery_labels)
        elif query_indices is not None:
            own = _checked_indices(query_indices, query_labels, gallery_labels).to(query.device)
        else:
            own = None
    levels = TreeLevels(query_labels.to(query.device), gallery_labels.to(query.device))
    chosen = catalogue.choose(metrics, k, levels.num_levels)
    functions = {choice.name: catalogue.metric(choice, relevance) for choice in chosen}
    task = Task(query, gallery, similarity, levels, levels.num_levels, own)
    return measure(task, functions, Execution(block_size, max_memory, distributed, progress))


def check_ref_includes_query(
    query: Tensor, query_labels: Tensor, gallery: Tensor, gallery_labels: Tensor
) -> None:
    """Raise ValueError unless the first Q items of the gallery are the queries.

    Embeddings may differ by rounding, labels may not differ.
    """
    count = len(query)
    what = "ref_includes_query: wanted the queries as the first items of the gallery, got"
    if len(gallery) < count:
        raise ValueError(f"{what} {count} queries and {len(gallery)} items")
    same = torch.isclose(query, gallery[:count].to(query)).all(1)
    same &= (query_labels == gallery_labels[:count].to(query_labels.device)).all(1).to(same.device)
    if not bool(same.all()):
        first = int((~same).nonzero()[0])
        raise ValueError(f"{what} another embedding or label in {int((~same).sum())} places, "
                         f"the first at {first}")  # fmt: skip


def _checked_indices(indices: Any, query_labels: Tensor, gallery_labels: Tensor) -> Tensor:
    indices = index_tensor(indices, "query_indices").cpu()
    count, length = len(query_labels), len(gallery_labels)
    if indices.shape != (count,):
        raise ValueError(f"query_indices: wanted shape ({count},), got {tuple(indices.shape)}")
    if bool(((indices < -1) | (indices >= length)).any()):
        raise ValueError(
            f"query_indices: wanted -1..{length - 1}, got {int(indices.min())}..{int(indices.max())}"
        )
    inside = indices >= 0
    own = gallery_labels.cpu()[indices[inside]]
    if not torch.equal(own, query_labels.cpu()[inside]):
        raise ValueError("query_indices: wanted the query's own item, got items with other labels")
    return indices

"""Rankings from a k-nearest-neighbour function in PML's sense or its labels, and such a function without faiss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from pml_suprank.hierarchy import Hierarchy, as_level_labels
from pml_suprank.metrics.ranked_lists import RankedLists
from pml_suprank.metrics.ranking.levels import LevelFunction
from pml_suprank.metrics.ranking.precise import PreciseScorer
from pml_suprank.metrics.ranking.streaming import auto_block_size
from pml_suprank.metrics.ranking.workers import blocks

NeighbourFunction = Callable[[Tensor, int, Tensor, bool], tuple[Tensor, Tensor]]
"""(query, k, reference, ref_includes_query) -> distances and indices, each (Q, k)."""

NEIGHBOURS_PER_CALL = 2**24
"""(query, neighbour) pairs that one call of a neighbour function may return."""


class ExactKNN:
    """The k nearest references of each query by exact search in query blocks.

    It can stand wherever PML takes a ``knn_func``. Scores are computed in float64, so that neighbours of embeddings
    far from the origin, or close together, are right too. Among equal scores the order is arbitrary.

    Args:
        similarity: "cosine", "dot" or "euclidean".

    Example:
        >>> query, reference = torch.tensor([[0.0]]), torch.tensor([[3.0], [1.0], [2.0]])
        >>> ExactKNN()(query, 2, reference)
        (tensor([[1., 4.]]), tensor([[1, 2]]))
    """

    def __init__(self, similarity: str = "euclidean") -> None:
        self.similarity = similarity

    def __call__(
        self, query: Tensor, k: int, reference: Tensor, ref_includes_query: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Neighbours of each query, nearest first.

        Args:
            query: (Q, D).
            k: number of neighbours.
            reference: (N, D).
            ref_includes_query: whether reference i is query i, and no neighbour of it.

        Returns:
            Squared distances for "euclidean", otherwise scores, in the dtype of the queries, and indices:
            each (Q, k).
        """
        score = PreciseScorer(reference, self.similarity)
        found = []
        for block in blocks(len(query), auto_block_size(len(reference), query.device)):
            scores = score(query[block])
            if ref_includes_query:
                rows = torch.arange(len(scores), device=scores.device)
                scores[rows, rows + block.start] = -torch.inf
            nearest = scores.topk(k, dim=1)
            values = score.similarities(query[block], nearest.values)
            if self.similarity == "euclidean":
                values = (-values).clamp(min=0)
            found.append((values.to(query.dtype), nearest.indices))
        values, indices = (torch.cat(each) for each in zip(*found, strict=True))
        return values, indices


def neighbour_blocks(
    function: NeighbourFunction,
    query: Tensor,
    reference: Tensor,
    k: int,
    ref_includes_query: bool,
) -> Iterator[tuple[slice, Tensor]]:
    """Indices of the k nearest references, in as few calls as memory allows.

    One call serves all queries if its answer stays below ``NEIGHBOURS_PER_CALL`` entries, because
    a function may build its index at every call. With more, the queries go in blocks; a function
    takes row i of its queries for reference i, so then one neighbour more is asked for and the
    query taken out here.

    Args:
        function: as PML's ``knn_func``.
        query: (Q, D).
        reference: (N, D).
        k: number of neighbours, the query itself not counted.
        ref_includes_query: whether reference i is query i.

    Yields:
        The slice of the queries and their neighbours (b, k), -1 where there is none.
    """
    size = max(1, NEIGHBOURS_PER_CALL // max(1, k))
    if size >= len(query):
        yield slice(0, len(query)), function(query, k, reference, ref_includes_query)[1]
        return
    for block in blocks(len(query), size):
        more = k + int(ref_includes_query)
        indices = function(query[block], more, reference, False)[1]
        if ref_includes_query:
            itself = torch.arange(block.start, block.stop, device=indices.device)[:, None]
            drop = indices == itself
            drop[:, -1] |= ~drop.any(1)
            indices = indices[~drop].view(len(indices), k)
        yield block, indices


def lists_from_neighbours(
    found: Iterator[tuple[slice, Tensor]],
    levels: LevelFunction,
    num_levels: int,
    num_items: int,
    ref_includes_query: bool,
) -> Iterator[RankedLists]:
    """The lists of neighbours, with the populations of the whole gallery.

    Args:
        found: query slices and neighbours, as from ``neighbour_blocks``.
        levels: levels of a block of queries against the whole gallery.
        num_levels: L.
        num_items: N.
        ref_includes_query: whether reference i is query i.

    Yields:
        Lists of at most ``auto_block_size(N)`` queries. Ranks are the places of the neighbours:
        ties stay as the function orders them.
    """
    size = auto_block_size(num_items)
    for outer, indices in found:
        for inner in blocks(len(indices), size):
            block = slice(outer.start + inner.start, outer.start + inner.stop)
            against_all = levels(block)
            if ref_includes_query:
                rows = torch.arange(len(against_all), device=against_all.device)
                against_all[rows, rows + block.start] = -1
            counts = torch.stack([(against_all == x).sum(1) for x in range(num_levels + 1)], 1)
            chosen = indices[inner].to(against_all.device)
            ranked = against_all.gather(1, chosen.clamp(min=0)).masked_fill_(chosen < 0, -1)
            yield RankedLists.from_sorted(ranked, num_levels, counts)


def lists_from_labels(
    name: str,
    knn_labels: Tensor,
    query_labels: Tensor,
    label_counts: Any = None,
    reference_labels: Tensor | None = None,
    ref_includes_query: bool | None = False,
    *,
    comparison: Callable[[Tensor, Tensor], Tensor] | None = None,
    hierarchy: Hierarchy | None = None,
) -> RankedLists:
    """The rankings that neighbours' labels stand for.

    Args:
        name: the metric's, for the messages.
        knn_labels: (Q, k) labels of the neighbours, nearest first, without the query itself; or (Q, k, L).
        query_labels: (Q,), or (Q, L).
        label_counts: the distinct labels of queries and how many references have each, as PML counts them.
        reference_labels: (N,) or (N, L) labels of all references, which say more than ``label_counts``.
        ref_includes_query: whether each query is one of those counted.
        comparison: what tells equal labels of one level; None for equality.
        hierarchy: the class tree of 1-D labels.

    Raises:
        ValueError: neither labels nor counts of the references, or counts where there are several levels.
    """
    if knn_labels.ndim != query_labels.ndim + 1 or len(knn_labels) != len(query_labels):
        raise ValueError(
            f"knn_labels: wanted labels of k neighbours for each of query_labels "
            f"{tuple(query_labels.shape)}, got {tuple(knn_labels.shape)}"
        )
    itself = int(bool(ref_includes_query))
    several = hierarchy is not None or query_labels.ndim > 1
    if reference_labels is None and (several or label_counts is None):
        raise ValueError(
            f"reference_labels: wanted the labels of all references, for the populations that {name} needs, got "
            f"None; get_accuracy computes it from embeddings"
        )

    def shared(labels: Tensor) -> Tensor:
        if comparison is not None and not several:
            return comparison(query_labels[:, None], labels).to(torch.int8)
        return _shared(query_labels, labels, hierarchy)

    levels = shared(knn_labels)
    num_levels = 1 if not several else int(as_level_labels(query_labels, hierarchy).shape[1])
    if reference_labels is not None:
        known = shared(reference_labels[None].expand(len(query_labels), *reference_labels.shape))
        counts = torch.stack([(known == level).sum(1) for level in range(num_levels + 1)], 1)
        counts[:, -1] -= itself
    else:
        positives = torch.zeros(len(query_labels), dtype=torch.long, device=levels.device)
        for label, count in zip(*label_counts, strict=True):
            positives[query_labels == label] = int(count) - itself
        others = (levels.shape[1] - (levels > 0).sum(1)).clamp(min=0)
        counts = torch.stack([others, positives], 1)
    return RankedLists.from_sorted(levels, num_levels, counts)


def _shared(query: Tensor, others: Tensor, hierarchy: Hierarchy | None) -> Tensor:
    """(Q, n) levels that each query shares with labels of its own (Q, n) or (Q, n, L)."""
    if query.ndim == 1 and hierarchy is None:
        return (query[:, None] == others).to(torch.int8)
    shape = others.shape[:2]
    rows = as_level_labels(query, hierarchy, name="query_labels")
    flat = as_level_labels(others.flatten(0, 1), hierarchy, name="knn_labels")
    return (rows[:, None] == flat.view(*shape, rows.shape[1])).sum(2)

"""Rankings from a k-nearest-neighbour function in PML's sense, and an exact one without faiss."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from pml_suprank.metrics.blocks import blocks
from pml_suprank.metrics.precise import PreciseScorer
from pml_suprank.metrics.ranked_lists import RankedLists
from pml_suprank.metrics.sorting import LevelFunction
from pml_suprank.metrics.streaming import auto_block_size

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
            own = torch.arange(block.start, block.stop, device=indices.device)[:, None]
            drop = indices == own
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

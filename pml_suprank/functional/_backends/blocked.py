"""Exact ranks of the positive items alone, block by block: memory O(B N) plus one block."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from pml_suprank.functional._backends.definition import (
    RankOperation,
    RankRequest,
    TargetRanks,
    targets_of,
)
from pml_suprank.functional._backends.sup_blocks import SupBlocks
from pml_suprank.functional.steps import SupRank

BLOCK_ELEMENTS = 1 << 18
"""Comparisons held at once (measured: larger blocks leave the cache and are slower)."""


def why_not(request: RankRequest) -> str | None:
    """Return None: it takes every request."""
    return None


def takes_few_passes(request: RankRequest) -> bool:
    """Return whether the comparisons take few passes: SupRank, with relevance by level, numerator by steps."""
    surrogate = request.surrogate
    by_level = not isinstance(request.relevance, Tensor)
    return by_level and isinstance(surrogate, SupRank) and surrogate.hrank is None


def ranks(request: RankRequest) -> TargetRanks:
    """Rank every positive item."""
    targets = targets_of(request.common_levels)
    operation = SupBlocks if takes_few_passes(request) else _BlockedRanks
    return operation(request, targets).ranks()


class _Block:
    """A run of positive items (``query``, ``item``) against all competitors of their queries."""

    def __init__(self, request: RankRequest, query: Tensor, item: Tensor) -> None:
        self.query, self.item = query, item
        self.rows = torch.arange(len(query), device=query.device)
        self.t = request.scores[query] - request.scores[query, item].unsqueeze(1)
        levels = request.common_levels[query]
        own_level = request.common_levels[query, item].unsqueeze(1)
        self.lower, self.higher = levels < own_level, levels > own_level
        self.outside = levels < 0 if request.masked else None

    def shared_relevance(self, relevance: Tensor) -> Tensor:
        """Return min(r_i, r_j)."""
        return torch.minimum(relevance[self.query], relevance[self.query, self.item].unsqueeze(1))

    def only_competitors(self, values: Tensor) -> Tensor:
        """Zero the item itself and what is not in the retrieval set, in place."""
        values[self.rows, self.item] = 0.0
        return values if self.outside is None else values.masked_fill_(self.outside, 0.0)


def _blocks(request: RankRequest, query: Tensor, item: Tensor) -> Iterator[tuple[slice, _Block]]:
    size = max(1, BLOCK_ELEMENTS // max(1, request.scores.shape[1]))
    for start in range(0, len(query), size):
        here = slice(start, start + size)
        yield here, _Block(request, query[here], item[here])


class _BlockedRanks(RankOperation):
    """Ranks with the gradient of the scores recomputed block by block."""

    def value(self, scores: Tensor) -> tuple[Tensor, ...]:
        """Return the ranks."""
        request, query, item = self.plain_request(scores), self.query, self.item
        surrogate = request.surrogate
        self.relevance = relevance = request.item_relevance()
        rank = torch.ones(len(query), dtype=scores.dtype, device=scores.device)
        hrank = None if relevance is None else relevance[query, item]
        for here, block in _blocks(request, query, item):
            behind = surrogate.competitor(block.t, block.lower)
            rank[here] += block.only_competitors(behind).sum(dim=1)
            if relevance is not None and hrank is not None:
                ahead = surrogate.numerator(block.t, block.higher)
                ahead = ahead.mul_(block.shared_relevance(relevance))
                hrank[here] += block.only_competitors(ahead).sum(dim=1)
        return self.results(rank, hrank)

    def gradient(
        self,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        grads: Sequence[Tensor],
        wanted: Sequence[bool],
    ) -> tuple[Tensor]:
        """Return the gradient of the scores."""
        request = self.plain_request(inputs[0])
        surrogate, relevance = request.surrogate, self.relevance
        grad_rank, *grad_hrank = grads
        grad = torch.zeros_like(request.scores)
        for here, block in _blocks(request, self.query, self.item):
            pull = torch.zeros_like(block.t)
            if surrogate.rank_has_gradient:
                slope = surrogate.competitor_slope(block.t, block.lower)
                pull.addcmul_(slope, grad_rank[here].unsqueeze(1))
            if relevance is not None and grad_hrank:
                slope = surrogate.numerator_slope(block.t, block.higher)
                slope = slope.mul_(block.shared_relevance(relevance))
                pull.addcmul_(slope, grad_hrank[0][here].unsqueeze(1))
            block.only_competitors(pull)
            grad.index_add_(0, block.query, pull)
            grad[block.query, block.item] -= pull.sum(dim=1)
        return (grad,)

"""Exact ranks of the positive items alone, block by block: memory O(B N) plus one block."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from pml_suprank.functional._backends.request import RankRequest, Ranks

BLOCK_ELEMENTS = 1 << 18
"""Comparisons held at once (measured: larger blocks leave the cache and are slower)."""


def why_not(request: RankRequest) -> str | None:
    """Return None: it takes every request."""
    return None


def ranks(request: RankRequest) -> Ranks:
    """Rank every positive item."""
    rank, hrank = _BlockedRanks.apply(request.scores, request)
    return Ranks(rank, hrank)


class _Block:
    """A run of positive items (``query``, ``item``) against all competitors of their queries."""

    def __init__(self, request: RankRequest, query: Tensor, item: Tensor) -> None:
        self.query, self.item = query, item
        self.rows = torch.arange(len(query), device=query.device)
        self.t = request.scores[query] - request.scores[query, item].unsqueeze(1)
        levels = request.levels[query]
        own_level = request.levels[query, item].unsqueeze(1)
        self.lower, self.higher = levels < own_level, levels > own_level
        self.outside = None if request.mask is None else ~request.mask[query]

    def shared_relevance(self, relevance: Tensor) -> Tensor:
        """Return min(r_i, r_j)."""
        return torch.minimum(relevance[self.query], relevance[self.query, self.item].unsqueeze(1))

    def only_competitors(self, values: Tensor) -> Tensor:
        """Zero the item itself and what is not in the retrieval set, in place."""
        values[self.rows, self.item] = 0.0
        return values if self.outside is None else values.masked_fill_(self.outside, 0.0)


def _blocks(request: RankRequest) -> Iterator[_Block]:
    query, item = request.ranked.nonzero(as_tuple=True)
    size = max(1, BLOCK_ELEMENTS // max(1, request.scores.shape[1]))
    for start in range(0, len(query), size):
        yield _Block(request, query[start : start + size], item[start : start + size])


class _BlockedRanks(torch.autograd.Function):
    """Ranks with the gradient of the scores recomputed block by block."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, request: RankRequest) -> tuple[Tensor, Tensor | None]:
        request = request._replace(scores=scores.detach())
        surrogate = request.surrogate
        rank = torch.ones_like(scores)
        hrank = None
        if request.relevance is not None:
            hrank = request.relevance.masked_fill(~request.ranked, 0.0)
        for block in _blocks(request):
            behind = surrogate.competitor(block.t, block.lower)
            rank[block.query, block.item] += block.only_competitors(behind).sum(dim=1)
            if request.relevance is not None and hrank is not None:
                ahead = surrogate.numerator(block.t, block.higher)
                ahead = ahead.mul_(block.shared_relevance(request.relevance))
                ahead = block.only_competitors(ahead).sum(dim=1)
                hrank[block.query, block.item] += ahead
        ctx.request = request
        return rank, hrank

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_rank: Tensor, grad_hrank: Tensor | None) -> tuple[Tensor, None]:
        request: RankRequest = ctx.request
        surrogate = request.surrogate
        grad = torch.zeros_like(request.scores)
        for block in _blocks(request):
            pull = torch.zeros_like(block.t)
            if surrogate.rank_has_gradient:
                slope = surrogate.competitor_slope(block.t, block.lower)
                pull.addcmul_(slope, grad_rank[block.query, block.item].unsqueeze(1))
            smooth = surrogate.hrank_has_gradient
            if request.relevance is not None and grad_hrank is not None and smooth:
                slope = surrogate.numerator_slope(block.t, block.higher)
                slope = slope.mul_(block.shared_relevance(request.relevance))
                pull.addcmul_(slope, grad_hrank[block.query, block.item].unsqueeze(1))
            block.only_competitors(pull)
            grad.index_add_(0, block.query, pull)
            grad[block.query, block.item] -= pull.sum(dim=1)
        return grad, None

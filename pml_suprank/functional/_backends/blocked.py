"""Exact ranks of the positive items alone, block by block: memory O(B N) plus one block."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from pml_suprank.functional._backends.request import (
    LevelRelevance,
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


def is_fused(request: RankRequest) -> bool:
    """Return whether the comparisons take few passes: SupRank, with relevance by level, numerator by steps."""
    surrogate = request.surrogate
    by_level = not isinstance(request.relevance, Tensor)
    return by_level and isinstance(surrogate, SupRank) and surrogate.hrank is None


def ranks(request: RankRequest) -> TargetRanks:
    """Rank every positive item."""
    query, item = targets_of(request.levels)
    if is_fused(request) and len(query):
        rank, counts = SupBlocks.apply(request.scores, request, query, item)
        if request.relevance is None:
            return TargetRanks(query, item, rank, None)
        return TargetRanks(query, item, rank, _numerator(request, query, item, counts))
    rank, hrank = _BlockedRanks.apply(request.scores, request, query, item)
    return TargetRanks(query, item, rank, hrank)


def _numerator(request: RankRequest, query: Tensor, item: Tensor, counts: Tensor) -> Tensor:
    """Return the relevance of the items not behind each target, from their counts by level and up."""
    assert isinstance(request.relevance, LevelRelevance)
    table = request.relevance.table[:, : request.num_levels + 1].double()
    of_target = table[query]
    own = table[query, request.levels[query, item].long()]
    increase = torch.minimum(of_target, own.unsqueeze(1)).diff(dim=1)
    return (increase * counts).sum(dim=1).to(counts.dtype)


class _Block:
    """A run of positive items (``query``, ``item``) against all competitors of their queries."""

    def __init__(self, request: RankRequest, query: Tensor, item: Tensor) -> None:
        self.query, self.item = query, item
        self.rows = torch.arange(len(query), device=query.device)
        self.t = request.scores[query] - request.scores[query, item].unsqueeze(1)
        levels = request.levels[query]
        own_level = request.levels[query, item].unsqueeze(1)
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


class _BlockedRanks(torch.autograd.Function):
    """Ranks with the gradient of the scores recomputed block by block."""

    @staticmethod
    def forward(
        ctx: Any, scores: Tensor, request: RankRequest, query: Tensor, item: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        request = request._replace(scores=scores.detach())
        surrogate = request.surrogate
        relevance = request.item_relevance()
        rank = torch.ones(len(query), dtype=scores.dtype, device=scores.device)
        hrank = None if relevance is None else relevance[query, item]
        for here, block in _blocks(request, query, item):
            behind = surrogate.competitor(block.t, block.lower)
            rank[here] += block.only_competitors(behind).sum(dim=1)
            if relevance is not None and hrank is not None:
                ahead = surrogate.numerator(block.t, block.higher)
                ahead = ahead.mul_(block.shared_relevance(relevance))
                hrank[here] += block.only_competitors(ahead).sum(dim=1)
        ctx.request, ctx.relevance, ctx.targets = request, relevance, (query, item)
        return rank, hrank

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(
        ctx: Any, grad_rank: Tensor, grad_hrank: Tensor | None
    ) -> tuple[Tensor, None, None, None]:
        request: RankRequest = ctx.request
        surrogate, relevance = request.surrogate, ctx.relevance
        grad = torch.zeros_like(request.scores)
        for here, block in _blocks(request, *ctx.targets):
            pull = torch.zeros_like(block.t)
            if surrogate.rank_has_gradient:
                slope = surrogate.competitor_slope(block.t, block.lower)
                pull.addcmul_(slope, grad_rank[here].unsqueeze(1))
            smooth = surrogate.hrank_has_gradient
            if relevance is not None and grad_hrank is not None and smooth:
                slope = surrogate.numerator_slope(block.t, block.higher)
                slope = slope.mul_(block.shared_relevance(relevance))
                pull.addcmul_(slope, grad_hrank[here].unsqueeze(1))
            block.only_competitors(pull)
            grad.index_add_(0, block.query, pull)
            grad[block.query, block.item] -= pull.sum(dim=1)
        return grad, None, None, None

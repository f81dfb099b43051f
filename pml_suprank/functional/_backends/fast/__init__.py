"""Near-linear ranks: one sort and prefix sums for steps and lines, a grid for the sigmoid.

Cost per query is that of a sort and some passes over its N items, whatever the number of positives. Value and
gradient agree with the definition to about 1e-6 of their largest entry.
"""

from typing import Any

import torch
from torch import Tensor

from pml_suprank.functional._backends.fast.chunk import Chunk
from pml_suprank.functional._backends.fast.grid import MAX_CELLS, Grid, num_cells
from pml_suprank.functional._backends.fast.hrank import HigherCompetitors, step_numerator
from pml_suprank.functional._backends.fast.smooth import SigmoidSums
from pml_suprank.functional._backends.fast.sup import LowerCompetitors
from pml_suprank.functional._backends.request import RankRequest, Ranks
from pml_suprank.functional.steps import HardRank, SmoothRank, SupRank

CHUNK_ITEMS = 1 << 19
"""Items of a chunk of queries (measured: smaller ones pay for the number of operations)."""


def why_not(request: RankRequest) -> str | None:
    """Return why the method does not apply, or None."""
    surrogate = request.surrogate
    if not isinstance(surrogate, HardRank | SmoothRank | SupRank):
        return f"it knows HardRank, SmoothRank and SupRank, not {type(surrogate).__name__}"
    scores = request.scores.detach()
    if not isinstance(surrogate, HardRank):
        cells = num_cells(float(scores.max() - scores.min()), surrogate.tau)
        if cells > MAX_CELLS:
            return (
                f"tau {surrogate.tau} is too small for scores from {float(scores.min()):.4g} to "
                f"{float(scores.max()):.4g}: {cells} cells of its grid, at most {MAX_CELLS}"
            )
    if request.relevance is not None:
        of_items = level_relevance(request).gather(1, request.levels.long())
        if not torch.equal(of_items.where(request.ranked, 0.0), _of_ranked(request)):
            return "relevance differs between items of one query and level"
    return None


def ranks(request: RankRequest) -> Ranks:
    """Rank every positive item."""
    table = None if request.relevance is None else level_relevance(request)
    rank, hrank = _FastRanks.apply(request.scores, request, table)
    return Ranks(rank, hrank)


def level_relevance(request: RankRequest) -> Tensor:
    """Return the largest relevance of each level, (B, L + 1)."""
    relevance = _of_ranked(request)
    num_levels = max(1, int(request.levels.max()))
    highest = [
        relevance.where(request.levels == level, 0.0).amax(dim=1)
        for level in range(1, num_levels + 1)
    ]
    return torch.stack([torch.zeros_like(highest[0]), *highest], dim=1)


def _of_ranked(request: RankRequest) -> Tensor:
    assert request.relevance is not None
    return request.relevance.where(request.ranked, 0.0)


class _Terms:
    """What a surrogate sums in one chunk, and the way back."""

    def __init__(
        self,
        request: RankRequest,
        table: Tensor | None,
        num_levels: int,
        rows: slice,
        order: Tensor | None,
    ) -> None:
        mask = None if request.mask is None else request.mask[rows]
        self.surrogate = surrogate = request.surrogate
        self.chunk = chunk = Chunk(
            request.scores[rows], request.levels[rows], mask, num_levels, order
        )
        self.pair_weight = None
        if table is not None:
            self.pair_weight = torch.minimum(table[rows, 1:].unsqueeze(2), table[rows].unsqueeze(1))
        self.lower: LowerCompetitors | None = None
        self.higher: HigherCompetitors | None = None
        self.rank_sums: SigmoidSums | None = None
        self.hrank_sums: SigmoidSums | None = None
        if isinstance(surrogate, SupRank):
            self.lower = LowerCompetitors(chunk, surrogate, num_levels)
            if surrogate.hrank is not None and self.pair_weight is not None:
                self.higher = HigherCompetitors(chunk, surrogate.hrank, self.pair_weight)
        elif isinstance(surrogate, SmoothRank):
            grid = Grid(chunk.values, surrogate.tau)
            ones = grid.low.new_ones((chunk.num_rows, num_levels, num_levels + 1))
            self.rank_sums = SigmoidSums(chunk, grid, ones)
            if self.pair_weight is not None:
                self.hrank_sums = SigmoidSums(chunk, grid, self.pair_weight)
        self.num_levels = num_levels

    def forward(self, *, with_slope: bool) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
        """Return, for the targets: rank, numerator, and their derivatives by the own score."""
        chunk = self.chunk
        empty = torch.zeros(0, dtype=torch.float64, device=chunk.values.device)
        if self.rank_sums is not None:
            behind, rank_slope = self.rank_sums.forward(with_slope=with_slope)
            if self.hrank_sums is None:
                return 1 + behind, None, rank_slope, empty
            ahead, hrank_slope = self.hrank_sums.forward(with_slope=with_slope)
            return 1 + behind, self.hrank_sums.own + ahead, rank_slope, hrank_slope

        inside = chunk.first + chunk.num_items - chunk.first_equal
        not_behind = inside.double()
        if chunk.masked:
            kept = (chunk.level >= 0).double()
            (not_behind,) = chunk.suffix(kept, slice(None), chunk.first_equal)
        rank, rank_slope = not_behind, empty
        if self.lower is not None:
            value, rank_slope, count = self.lower.forward(with_slope=with_slope)
            rank = not_behind - count + value
        if self.pair_weight is None:
            return rank, None, rank_slope, empty
        weight, hrank_slope = self.pair_weight, empty
        if self.higher is None:
            levels = range(1, self.num_levels + 1)
            return rank, step_numerator(chunk, weight, levels), rank_slope, empty
        others = weight - self.higher.pair_weight
        numerator = step_numerator(chunk, others, range(1, self.num_levels + 1))
        value, hrank_slope = self.higher.forward()
        return rank, numerator + value, rank_slope, hrank_slope

    def backward(self, grad_rank: Tensor, grad_hrank: Tensor | None) -> Tensor:
        """Return the gradient of the items as competitors, (R, N), in sorted order."""
        if self.rank_sums is not None:
            gradient = self.rank_sums.backward(grad_rank)
            if self.hrank_sums is not None and grad_hrank is not None:
                gradient = gradient + self.hrank_sums.backward(grad_hrank)
            return gradient
        assert self.lower is not None
        gradient = self.lower.backward(grad_rank)
        if self.higher is not None and grad_hrank is not None:
            gradient = gradient + self.higher.backward(grad_hrank)
        return gradient


class _FastRanks(torch.autograd.Function):
    """Ranks of all chunks; the gradient comes from the same sums with the kernel's slope."""

    @staticmethod
    def forward(
        ctx: Any, scores: Tensor, request: RankRequest, table: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        request = request._replace(scores=scores.detach())
        with_slope = scores.requires_grad
        rank = torch.ones_like(scores)
        hrank = None if table is None else torch.zeros_like(scores)
        num_levels = max(1, int(request.levels.max()))
        ctx.saved = []
        for rows in _chunks(scores.shape):
            terms = _Terms(request, table, num_levels, rows, None)
            item = terms.chunk.order.flatten()[terms.chunk.flat]
            result, numerator, rank_slope, hrank_slope = terms.forward(with_slope=with_slope)
            rank[rows][terms.chunk.row, item] = result.to(rank.dtype)
            if hrank is not None and numerator is not None:
                hrank[rows][terms.chunk.row, item] = numerator.to(hrank.dtype)
            if with_slope:
                dtype = scores.dtype
                order = terms.chunk.order.to(torch.int32)
                ctx.saved.append((rows, order, rank_slope.to(dtype), hrank_slope.to(dtype)))
        ctx.request, ctx.table, ctx.num_levels = request, table, num_levels
        return rank, hrank

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(
        ctx: Any, grad_rank: Tensor, grad_hrank: Tensor | None
    ) -> tuple[Tensor, None, None]:
        request: RankRequest = ctx.request
        grad = torch.zeros_like(request.scores)
        if not request.surrogate.rank_has_gradient:
            return grad, None, None
        for rows, order, rank_slope, hrank_slope in ctx.saved:
            terms = _Terms(request, ctx.table, ctx.num_levels, rows, order)
            chunk = terms.chunk
            item = chunk.order.flatten()[chunk.flat]
            pull_rank = grad_rank[rows][chunk.row, item]
            own = pull_rank * rank_slope
            pull_hrank = None
            if grad_hrank is not None and request.surrogate.hrank_has_gradient:
                pull_hrank = grad_hrank[rows][chunk.row, item]
                own = own + pull_hrank * hrank_slope
            sorted_grad = terms.backward(pull_rank.double(), pull_hrank)
            sorted_grad.view(-1)[chunk.flat] += own.to(sorted_grad.dtype)
            grad[rows] = torch.empty_like(sorted_grad).scatter_(1, chunk.order, sorted_grad)
        return grad, None, None


def _chunks(shape: torch.Size) -> list[slice]:
    num_queries, num_items = shape
    size = max(1, CHUNK_ITEMS // max(1, num_items))
    return [slice(start, start + size) for start in range(0, num_queries, size)]

"""Near-linear ranks: one sort and prefix sums for steps and lines, a grid for the sigmoid.

On CUDA devices with Triton it is one sort and sums of exponentials instead, see :mod:`..exponentials`.

Cost per query is that of a sort and some passes over its N items, whatever the number of positives. Value and
gradient agree with the definition to about 1e-6 of their largest entry.
"""

import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pml_suprank.functional._backends import fused
from pml_suprank.functional._backends.chunk import Chunk, SortedChunk
from pml_suprank.functional._backends.definition import RankOperation, RankRequest, TargetRanks
from pml_suprank.functional._backends.exponentials import ExponentialRanks
from pml_suprank.functional._backends.fast.grid import MAX_CELLS, Grid, num_cells
from pml_suprank.functional._backends.fast.hrank import HigherCompetitors, step_numerator
from pml_suprank.functional._backends.fast.smooth import SigmoidSums
from pml_suprank.functional._backends.fast.sup import LowerCompetitors
from pml_suprank.functional._backends.ordering import where_true
from pml_suprank.functional._backends.workers import run_all
from pml_suprank.functional.steps import HardRank, SmoothRank, SupRank
from pml_suprank.relevance import LevelRelevance

CHUNK_ITEMS = 1 << 17
"""Items of a chunk of queries on the CPU (measured: less is overhead, more leaves the cache)."""
CHUNK_ITEMS_ON_DEVICE = 1 << 22
"""The same elsewhere, where the number of operations counts."""


def why_not(request: RankRequest) -> str | None:
    """Return why the method does not apply, or None."""
    surrogate = request.surrogate
    if not isinstance(surrogate, HardRank | SmoothRank | SupRank):
        return f"it knows HardRank, SmoothRank and SupRank, not {type(surrogate).__name__}"
    if request.num_targets == 0:
        return None
    if not isinstance(surrogate, HardRank) and not _has_kernels(request):
        low, high = (float(score) for score in request.scores.detach().aminmax())
        cells = num_cells(high - low, surrogate.tau)
        if cells > MAX_CELLS:
            return (
                f"tau {surrogate.tau} is too small for scores from {low:.4g} to {high:.4g}: "
                f"{cells} cells of its grid, at most {MAX_CELLS}"
            )
    if isinstance(request.relevance, Tensor):
        table = _highest_of_levels(request.relevance, request)
        of_items = table.gather(1, request.common_levels.clamp(min=0).long())
        if not torch.equal(of_items, request.relevance.where(request.common_levels > 0, 0.0)):
            return "relevance differs between items of one query and level"
    return None


def ranks(request: RankRequest) -> TargetRanks:
    """Rank every positive item."""
    if _has_kernels(request):
        return ExponentialRanks(request, relevance_by_level(request)).ranks()
    return _FastRanks(request).ranks()


def _has_kernels(request: RankRequest) -> bool:
    """Return whether Triton is there for the sums of exponentials, which need neither a grid nor a lowest tau."""
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    if request.scores.device.type != "cuda" and not interpreted:
        return False
    return fused.why_not(request) is None


def relevance_by_level(request: RankRequest) -> Tensor | None:
    """Return the relevance of each level, (B, L + 1), or None where none is asked for."""
    if request.relevance is None:
        return None
    if isinstance(request.relevance, LevelRelevance):
        return request.relevance.table[:, : request.num_levels + 1]
    return _highest_of_levels(request.relevance, request)


def _highest_of_levels(relevance: Tensor, request: RankRequest) -> Tensor:
    highest = [
        relevance.masked_fill(request.common_levels != level, 0.0).amax(dim=1)
        for level in range(1, request.num_levels + 1)
    ]
    return torch.stack([torch.zeros_like(highest[0]), *highest], dim=1)


class _Terms:
    """What a surrogate sums in one chunk, and the way back."""

    def __init__(self, request: RankRequest, table: Tensor | None, rows: slice) -> None:
        self.surrogate = surrogate = request.surrogate
        data = request.scores[rows], request.common_levels[rows], request.num_levels, request.masked
        self.pair_weight = None
        if table is not None:
            self.pair_weight = torch.minimum(table[rows, 1:].unsqueeze(2), table[rows].unsqueeze(1))
        self.lower: LowerCompetitors | None = None
        self.higher: HigherCompetitors | None = None
        self.rank_sums: SigmoidSums | None = None
        self.hrank_sums: SigmoidSums | None = None
        self.chunk: Chunk
        if isinstance(surrogate, SmoothRank):
            self.chunk = chunk = Chunk(*data)
            self.item = where_true(chunk.level > 0)
            grid = Grid(chunk.scores, surrogate.tau)
            ones = grid.low.new_ones((chunk.num_rows, chunk.num_levels, chunk.num_levels + 1))
            self.rank_sums = SigmoidSums(chunk, self.item, grid, ones)
            if self.pair_weight is not None:
                self.hrank_sums = SigmoidSums(chunk, self.item, grid, self.pair_weight)
            return
        self.chunk = self.sorted = SortedChunk(*data)
        self.item = self.sorted.target_item
        if isinstance(surrogate, SupRank):
            self.lower = LowerCompetitors(self.sorted, surrogate)
            if surrogate.hrank is not None and self.pair_weight is not None:
                self.higher = HigherCompetitors(self.sorted, surrogate.hrank, self.pair_weight)

    def forward(self, *, with_slope: bool) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
        """Return, for the targets: rank, numerator, and their derivatives by the own score."""
        empty = torch.zeros(0, dtype=torch.float64, device=self.item.device)
        if self.rank_sums is not None:
            behind, rank_slope = self.rank_sums.forward(with_slope=with_slope)
            if self.hrank_sums is None:
                return 1 + behind, None, rank_slope, empty
            ahead, hrank_slope = self.hrank_sums.forward(with_slope=with_slope)
            return 1 + behind, self.hrank_sums.own + ahead, rank_slope, hrank_slope

        chunk = self.sorted
        rank, rank_slope = (chunk.row_end - chunk.first_equal).to(chunk.scores.dtype), empty
        if self.lower is not None:
            value, rank_slope, count = self.lower.forward(with_slope=with_slope)
            rank = rank.sub_(count).add_(value)
        if self.pair_weight is None:
            return rank, None, rank_slope, empty
        if self.higher is None:
            return rank, step_numerator(chunk, self.pair_weight), rank_slope, empty
        numerator = step_numerator(chunk, self.pair_weight - self.higher.pair_weight)
        value, hrank_slope = self.higher.forward()
        return rank, numerator + value, rank_slope, hrank_slope

    def forget(self) -> None:
        """Drop what the way back does not need."""
        self.pair_weight = None
        if self.lower is not None:
            self.lower.forget()
            self.sorted.forget()

    def backward(self, grad_rank: Tensor, grad_hrank: Tensor | None) -> Tensor:
        """Return the gradient of the items as competitors, flat."""
        if self.rank_sums is not None:
            gradient = self.rank_sums.backward(grad_rank)
            if self.hrank_sums is not None and grad_hrank is not None:
                gradient += self.hrank_sums.backward(grad_hrank)
            return gradient
        assert self.lower is not None
        gradient = self.lower.backward(grad_rank)
        if self.higher is not None and grad_hrank is not None:
            in_order = self.higher.backward(grad_hrank).to(gradient.dtype)
            gradient.scatter_add_(0, self.sorted.order.long(), in_order)
        return gradient


class _FastRanks(RankOperation):
    """Ranks of all chunks; the gradient comes from the same sums with the kernel's slope."""

    back: Sequence[tuple[_Terms, Tensor, Tensor]] | None

    def value(self, scores: Tensor) -> tuple[Tensor, ...]:
        """Return the ranks."""
        request = self.plain_request(scores)
        table = relevance_by_level(request)
        with_slope = self.needs_gradient and request.surrogate.rank_has_gradient
        dtype, num_items = scores.dtype, scores.shape[1]

        def work(rows: slice) -> tuple[Any, ...]:
            terms = _Terms(request, table, rows)
            rank, hrank, rank_slope, hrank_slope = terms.forward(with_slope=with_slope)
            back = (terms, rank_slope.to(dtype), hrank_slope.to(dtype)) if with_slope else None
            hrank = rank if hrank is None else hrank
            if with_slope:
                terms.forget()
            return terms.item + rows.start * num_items, rank.to(dtype), hrank.to(dtype), back

        self.chunks = _chunks(scores)
        results = run_all(work, self.chunks, scores.device)
        items, rank_parts, hrank_parts, back = zip(*results, strict=True)
        self.back = back if with_slope else None
        self.sizes = [len(part) for part in items]
        place = torch.cat(items)
        self.query = place.div(max(1, num_items), rounding_mode="floor")
        self.item = place - self.query * num_items
        hrank = None if table is None else torch.cat(hrank_parts)
        return self.results(torch.cat(rank_parts), hrank)

    def gradient(
        self,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        grads: Sequence[Tensor],
        wanted: Sequence[bool],
    ) -> tuple[Tensor]:
        """Return the gradient of the scores."""
        (scores,), (grad_rank, *grad_hrank) = inputs, grads
        grad = torch.zeros_like(scores)
        if not self.request.surrogate.rank_has_gradient:
            return (grad,)
        assert self.back is not None
        back = self.back
        rank_parts = grad_rank.split(self.sizes)
        hrank_parts = grad_hrank[0].split(self.sizes) if grad_hrank else None

        def work(index: int) -> None:
            terms, rank_slope, hrank_slope = back[index]
            pull_rank, pull_hrank = rank_parts[index], None
            own = pull_rank * rank_slope
            if hrank_parts is not None:
                pull_hrank = hrank_parts[index]
                own = own + pull_hrank * hrank_slope
            gradient = terms.backward(pull_rank, pull_hrank).to(own.dtype)
            gradient.scatter_add_(0, terms.item, own)
            grad[self.chunks[index]] = gradient.view(-1, scores.shape[1])

        run_all(work, range(len(self.chunks)), grad.device)
        return (grad,)


def _chunks(scores: Tensor) -> list[slice]:
    num_queries, num_items = scores.shape
    items = CHUNK_ITEMS if scores.device.type == "cpu" else CHUNK_ITEMS_ON_DEVICE
    size = max(1, items // max(1, num_items))
    return [slice(start, start + size) for start in range(0, num_queries, size)]

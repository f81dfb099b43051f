"""SupRank without a smooth numerator, block by block: every pair of a target and a lower item, fused.

A run of queries ranks its targets in blocks that stay in the cache. Items that do not compete score minus infinity,
where the comparator and its slope are 0; steps are counted in sorted rows.
"""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pml_suprank.functional._backends.chunk import SortedChunk
from pml_suprank.functional._backends.definition import RankOperation, RankRequest
from pml_suprank.functional._backends.workers import run_all
from pml_suprank.functional.steps import SupRank
from pml_suprank.relevance import LevelRelevance

BLOCK_ELEMENTS = 1 << 17
"""Comparisons held at once in a thread (measured: threads wait for each other over smaller ones)."""
RUN_ELEMENTS = 1 << 20
"""Comparisons of a run of queries at most, unless it is of one query."""
SAVED_ELEMENTS = 1 << 24
"""Up to so many comparisons their slopes are kept for the way back, else computed again (measured)."""


class _Run(NamedTuple):
    """Neighbouring queries, and their targets among all targets."""

    rows: slice
    targets: slice


class SupBlocks(RankOperation):
    """Ranks of the targets; the numerator comes from counts."""

    runs: list[_Run]
    saved: list[list[Tensor]] | None

    def value(self, scores: Tensor) -> tuple[Tensor, ...]:
        """Return the ranks."""
        request, query, item = self.plain_request(scores), self.query, self.item
        step = request.surrogate
        assert isinstance(step, SupRank)
        num_items = scores.shape[1]
        self.own = own = scores[query, item]
        self.level = level = request.common_levels[query, item].long()
        saved = self.needs_gradient and len(query) * num_items <= SAVED_ELEMENTS
        self.runs = _runs(query, *scores.shape)

        def work(run: _Run) -> tuple[Tensor, Tensor, list[Tensor]]:
            here = run.targets
            value, counts = _count(request, run, query, item)
            slopes = []
            competitors = _competitors(scores[run.rows], request, run)
            for block in _blocks(here, num_items):
                row = (query[block] - run.rows.start) * request.num_levels + level[block] - 1
                t = competitors.index_select(0, row).sub_(own[block].unsqueeze(1))
                part, slope = _compare(t, step, with_slope=saved)
                value[block.start - here.start : block.stop - here.start] += part
                slopes.append(slope)
            return value, counts, slopes

        values, counts, slopes = zip(*run_all(work, self.runs, scores.device), strict=True)
        self.saved = list(slopes) if saved else None
        return self.results(torch.cat(values), self._numerator(torch.cat(counts)))

    def _numerator(self, counts: Tensor) -> Tensor | None:
        """Return the relevance of the items not behind each target, from their counts by level and up."""
        if self.request.relevance is None:
            return None
        assert isinstance(self.request.relevance, LevelRelevance)
        table = self.request.relevance.table[:, : self.request.num_levels + 1].double()
        of_target = table[self.query]
        own = table[self.query, self.level]
        increase = torch.minimum(of_target, own.unsqueeze(1)).diff(dim=1)
        return (increase * counts).sum(dim=1).to(counts.dtype)

    def gradient(
        self,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        grads: Sequence[Tensor],
        wanted: Sequence[bool],
    ) -> tuple[Tensor]:
        """Return the gradient of the scores."""
        request = self.plain_request(inputs[0])
        scores, step = request.scores, request.surrogate
        assert isinstance(step, SupRank)
        query, item, own, level = self.query, self.item, self.own, self.level
        (grad_rank,) = grads
        grad = torch.zeros_like(scores)

        def work(index: int) -> None:
            run = self.runs[index]
            first = run.rows.start
            competitors = None
            if self.saved is None:
                competitors = _competitors(scores[run.rows], request, run)
            for number, block in enumerate(_blocks(run.targets, scores.shape[1])):
                if competitors is None:
                    assert self.saved is not None
                    slope = self.saved[index][number]
                else:
                    row = (query[block] - first) * request.num_levels + level[block] - 1
                    t = competitors.index_select(0, row).sub_(own[block].unsqueeze(1))
                    _, slope = _compare(t, step, with_slope=True)
                pull, row = grad_rank[block] / step.tau, query[block]
                begin, end = int(row[0]), int(row[-1]) + 1
                of_query = pull.new_zeros(end - begin, len(pull))
                of_query.scatter_(0, (row - begin).unsqueeze(0), pull.unsqueeze(0))
                grad[begin:end].addmm_(of_query, slope)
                grad[row, item[block]] -= pull * slope.sum(dim=1)

        run_all(work, range(len(self.runs)), scores.device)
        return (grad,)


def _runs(query: Tensor, num_queries: int, num_items: int) -> list[_Run]:
    """Cut the queries into runs of at most ``RUN_ELEMENTS`` comparisons, or of one query."""
    ends = torch.bincount(query, minlength=num_queries).cumsum(0).tolist()
    runs: list[_Run] = []
    for row, (begin, end) in enumerate(itertools.pairwise([0, *ends])):
        if runs and (end - runs[-1].targets.start) * num_items <= RUN_ELEMENTS:
            rows, targets = runs.pop()
            runs.append(_Run(slice(rows.start, row + 1), slice(targets.start, end)))
        else:
            runs.append(_Run(slice(row, row + 1), slice(begin, end)))
    return runs


def _blocks(targets: slice, num_items: int) -> list[slice]:
    size = max(1, BLOCK_ELEMENTS // max(1, num_items))
    starts = range(targets.start, targets.stop, size)
    return [slice(start, min(start + size, targets.stop)) for start in starts]


def _competitors(scores: Tensor, request: RankRequest, run: _Run) -> Tensor:
    """Return (R L, N) scores of the items below levels 1, 2, ... of each query, minus infinity elsewhere."""
    levels = request.common_levels[run.rows].unsqueeze(1)
    each = torch.arange(1, request.num_levels + 1, dtype=levels.dtype, device=levels.device)
    not_lower = levels >= each.unsqueeze(1)
    if request.masked:
        not_lower |= levels < 0
    shape = not_lower.shape
    return scores.unsqueeze(1).expand(shape).masked_fill(not_lower, -float("inf")).flatten(0, 1)


def _compare(t: Tensor, step: SupRank, *, with_slope: bool) -> tuple[Tensor, Tensor]:
    """Return the sums over the last dimension of C(t) but for its jump at 0, and tau C'(t); ``t`` is lost."""
    if step.rho == -1:
        value = t.mul_(1 / step.tau).sigmoid_()
        slope = torch.addcmul(value, value, value, value=-1) if with_slope else value.new_empty(0)
        return value.sum(dim=1), slope
    delta = step.delta or 0.0
    line = torch.sub(t, delta).relu_()
    value = t.clamp_(max=delta).mul_(1 / step.tau).sigmoid_()
    total = value.sum(dim=1).add_(line.sum(dim=1), alpha=step.rho)
    at_delta = 1 / (1 + math.exp(-min(delta / step.tau, 50.0)))
    jump = step.value_at_delta - _start(step) - at_delta
    beyond = line.sign_()
    if jump:
        total.add_(beyond.sum(dim=1), alpha=jump)
    slope = value.new_empty(0)
    if with_slope:
        slope = torch.addcmul(value, value, value, value=-1)
        slope.add_(beyond, alpha=step.rho * step.tau - at_delta * (1 - at_delta))
    return total, slope


def _start(step: SupRank) -> float:
    return step.start if step.delta is not None and step.rho != -1 else 0.0


def _count(request: RankRequest, run: _Run, query: Tensor, item: Tensor) -> tuple[Tensor, Tensor]:
    """Return, for the targets, the steps of the rank with the jumps at 0, and the counts for the numerator.

    The counts (T, L) are those of the items of level 1, 2, ... and up that are not behind.
    """
    scores = request.scores[run.rows]
    chunk = SortedChunk(scores, request.common_levels[run.rows], request.num_levels, request.masked)
    dtype = scores.dtype
    steps = scores.new_zeros(len(chunk.position))
    counts = scores.new_zeros(scores.numel(), request.num_levels)
    assert isinstance(request.surrogate, SupRank)
    start = _start(request.surrogate)
    all_ahead = chunk.count_from(chunk.first_ahead)
    for own_level, target in chunk.levels:
        for other in range(1, request.num_levels + 1):
            count = chunk.not_behind.at_least(other, target).to(dtype)
            counts[chunk.target_item[target], other - 1] = count
            if other == own_level:
                steps[target] += count
        if start:
            ahead = chunk.row_end[target] - chunk.first_ahead[target]
            ahead -= all_ahead.at_least(own_level, target)
            steps[target] += start * ahead.to(dtype)
    of_item = scores.new_empty(scores.numel()).scatter_(0, chunk.target_item, steps)
    place = (query[run.targets] - run.rows.start) * scores.shape[1] + item[run.targets]
    return of_item[place], counts[place]

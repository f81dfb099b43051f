"""Near-linear ranks on a GPU: one sort, and sums of exponentials for the sigmoid.

Counts, steps and lines come out of the same walk over the sorted rows. There is no grid, hence no smallest tau, and
nothing is scattered. The mathematics is in :mod:`.series` and :mod:`.kernels`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from pml_suprank.functional._backends.definition import RankOperation, RankRequest, targets_of
from pml_suprank.functional._backends.exponentials.comparators import (
    numerator_comparator,
    rank_comparator,
)
from pml_suprank.functional._backends.exponentials.sums import (
    SortedRows,
    slopes_of_competitors,
    sorted_rows,
    sums_of_targets,
)
from pml_suprank.functional.steps import HardRank, SmoothRank, SupRank

CHUNK_ITEMS = 1 << 27
"""Items of all states of a chunk of rows: its states take 4 bytes for each, the sort somewhat more."""


class ExponentialRanks(RankOperation):
    """Ranks of all targets, chunk of rows by chunk of rows.

    Args:
        request: with a :class:`HardRank`, :class:`SmoothRank` or :class:`SupRank`.
        relevance: (B, L + 1), of each level, or None for no numerator.
    """

    def __init__(self, request: RankRequest, relevance: Tensor | None) -> None:
        super().__init__(request, targets_of(request.common_levels, request.num_targets))
        surrogate = request.surrogate
        assert isinstance(surrogate, HardRank | SmoothRank | SupRank)
        self.comparators = [rank_comparator(surrogate)]
        if relevance is not None:
            self.comparators.append(numerator_comparator(surrogate))
            relevance = relevance.to(request.scores.dtype).contiguous()
        self.relevance = relevance

    def value(self, scores: Tensor) -> tuple[Tensor, ...]:
        """Return the ranks."""
        num_queries, num_items = scores.shape
        self.chunks = self._chunks(num_queries, num_items)
        found = [scores.new_empty(len(self.query)) for _ in self.comparators]
        self.slopes = [torch.empty_like(found[n]) for n in self._smooth]
        self.orders: list[Tensor] = []
        for rows, part in self.chunks:
            chunk = self._sorted(scores.detach(), rows)
            place = self._places(rows, part, num_items)
            slopes = iter(self.slopes)
            for n, comparator in enumerate(self.comparators):
                value, slope = sums_of_targets(chunk, comparator)
                found[n][part] = value.view(-1)[place]
                if n in self._smooth:
                    next(slopes)[part] = slope.view(-1)[place]
            if self.needs_gradient and self._smooth:
                self.orders.append(chunk.order)
        return self.results(found[0], found[1] if len(found) > 1 else None)

    @property
    def _smooth(self) -> list[int]:
        """Which of the comparators have a gradient."""
        surrogate = self.request.surrogate
        has_gradient = surrogate.rank_has_gradient, surrogate.hrank_has_gradient
        return [n for n in range(len(self.comparators)) if has_gradient[n]]

    def _chunks(self, num_queries: int, num_items: int) -> list[tuple[slice, slice]]:
        """Return runs of rows, and of the targets in them."""
        states = max(1, num_items) * self.request.num_levels
        size = max(1, CHUNK_ITEMS // states)
        starts = list(range(0, num_queries, size))
        if len(starts) < 2:
            return [(slice(0, num_queries), slice(0, len(self.query)))]
        first_rows = torch.tensor(starts[1:], device=self.query.device)
        ends = torch.searchsorted(self.query, first_rows).tolist()
        targets = zip([0, *ends], [*ends, len(self.query)], strict=True)
        return [
            (slice(start, min(start + size, num_queries)), slice(*of_targets))
            for start, of_targets in zip(starts, targets, strict=True)
        ]

    def _places(self, rows: slice, part: slice, num_items: int) -> Tensor:
        """Return where the targets of a chunk are in its items, flat."""
        return (self.query[part] - rows.start) * num_items + self.item[part]

    def _sorted(self, scores: Tensor, rows: slice, order: Tensor | None = None) -> SortedRows:
        scores, levels = scores[rows], self.request.common_levels[rows]
        if self.request.masked:  # they count for nothing, but infinite distances would
            scores = scores.masked_fill(levels < 0, 0.0)
        relevance = None if self.relevance is None else self.relevance[rows]
        return sorted_rows(scores, levels, self.request.num_levels, relevance, order)

    def gradient(
        self,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        grads: Sequence[Tensor],
        wanted: Sequence[bool],
    ) -> tuple[Tensor]:
        """Return the gradient of the scores."""
        scores = inputs[0].detach()
        gradient = torch.zeros_like(scores, memory_format=torch.contiguous_format)
        for (rows, part), order in zip(self.chunks, self.orders, strict=False):
            chunk = self._sorted(scores, rows, order)
            place = self._places(rows, part, scores.shape[1])
            here = gradient[rows]
            for n, pull, slope in zip(self._smooth, grads, self.slopes, strict=False):
                weights = torch.zeros_like(here)
                weights.view(-1)[place] = pull[part]
                weights = weights.gather(1, order.long())
                here += slopes_of_competitors(chunk, self.comparators[n], weights)
                # every target has a place of its own: the order of the sums does not matter
                here.view(-1).index_add_(0, place, pull[part] * slope[part], alpha=-1)
        return (gradient,)

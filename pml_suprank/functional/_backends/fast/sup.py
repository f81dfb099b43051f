"""SupRank of one chunk of queries: steps and lines from prefix sums, the sigmoid from the grid.

Beyond delta the line takes the place of start + sigmoid, which is start + 1 but for a tail. The tail of competitors in
later cells than the one that delta ends in comes from the grid; in that cell from prefix sums, see :mod:`.tail`.
"""

import torch
from torch import Tensor

from pml_suprank.functional._backends.chunk import Counts, SortedChunk
from pml_suprank.functional._backends.fast.grid import (
    CELL,
    ORDER,
    Grid,
    convolve,
    evaluate,
    far_ahead,
    moments,
)
from pml_suprank.functional._backends.fast.tail import sup_matrices, tail_beyond
from pml_suprank.functional.steps import SupRank


class LowerCompetitors:
    """Sums of C over the competitors of a lower level, for the targets of a chunk.

    After :meth:`forward` and :meth:`forget` it holds what :meth:`backward` needs.
    """

    def __init__(self, chunk: SortedChunk, step: SupRank) -> None:
        self.chunk, self.step = chunk, step
        self.linear = step.rho != -1
        self.delta = step.delta or 0.0
        self.dtype, device = chunk.scores.dtype, chunk.scores.device
        in_tau = self.delta / step.tau if self.linear else None
        self.matrices = sup_matrices(step.tau, in_tau, self.dtype, device)
        self.grid = grid = Grid(chunk.scores, step.tau)
        num_levels = chunk.num_levels
        self.shape = chunk.num_rows, num_levels, grid.num_cells
        self.slot = grid.slots(None, chunk.source_level, num_levels + 1, grid.cell)
        self.level = chunk.sorted_level.index_select(0, chunk.position).long() - 1
        cell = grid.cell.index_select(0, chunk.target_item)
        self.target_slot = grid.slots(chunk.target_row, self.level, num_levels, cell)
        self.target_place = grid.place.index_select(0, chunk.target_item)

    def _sources(self) -> tuple[Tensor, Tensor]:
        """Return the moments of the sources of each level of targets, and where cells end, (R C,)."""
        num_rows, num_levels, num_cells = self.shape
        of_level = moments(self.grid.place, self.slot, num_rows * (num_levels + 1) * num_cells)
        of_level = of_level.view(num_rows, num_levels + 1, num_cells, ORDER)
        ends = of_level[..., 0].sum(dim=1).flatten().cumsum(dim=0, dtype=torch.float64).long()
        return of_level[:, :num_levels].cumsum(dim=1), ends

    def forward(self, *, with_slope: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Return, for the targets: sum of C, its derivative by the target's score, count of lower.

        The count is that of lower competitors not behind. All (T,).
        """
        chunk, step = self.chunk, self.step
        sources, ends = self._sources()
        values = convolve([sources], self.matrices[0])
        values[0, ..., 0] += far_ahead(sources[..., 0])
        slopes = convolve([sources], self.matrices[1]) if with_slope else None
        place = self.target_slot, self.target_place
        value = evaluate(values[0], *place)
        slope = value.new_empty(0) if slopes is None else evaluate(slopes[0], *place)
        count = self._lower_from(chunk.first_equal, chunk.not_behind)
        if not self.linear:
            return value, slope.neg_(), count

        self._find_beyond(ends)
        place = self.reach_slot, self.reach_place
        value += evaluate(values[1], *place)
        n_beyond = self._lower_from(self.beyond, chunk.count_from(self.beyond))
        value.add_(n_beyond, alpha=step.value_at_delta - 1)
        if step.delta is not None and step.start:
            n_ahead = self._lower_from(chunk.first_ahead, chunk.count_from(chunk.first_ahead))
            value.add_(n_ahead.sub_(n_beyond), alpha=step.start)
        n_after = self._lower_from(self.cell_end, chunk.count_from(self.cell_end))
        n_within = n_beyond - n_after
        value.add_(n_within, alpha=self.tail.value[0])
        if slopes is not None:
            slope -= evaluate(slopes[1], *place)
            slope.add_(n_beyond, alpha=step.rho)
            slope.sub_(n_within, alpha=self.tail.slope[0] / step.tau)
        for level, target in chunk.levels:
            lower = chunk.below(level, self.dtype)
            (beyond,) = chunk.suffix(lower * chunk.values, target, self.beyond[target])
            reach = chunk.target_value[target].double() + self.delta
            value[target] += beyond.sub_(reach.mul_(n_beyond[target])).mul_(step.rho)
            decay, growth = lower, torch.ones_like(self.growth[target])
            for in_value, in_slope in zip(self.tail.value[1:], self.tail.slope[1:], strict=True):
                decay = decay.mul_(self.decay)
                growth = growth.mul_(self.growth[target])
                sums = chunk.prefix(decay)
                within = sums.index_select(0, self.cell_end[target])
                within = within.sub_(sums.index_select(0, self.beyond[target])).to(self.dtype)
                within *= growth
                value[target].add_(within, alpha=in_value)
                if slopes is not None:
                    slope[target].sub_(within, alpha=in_slope / step.tau)
        return value, slope.neg_(), count

    def _find_beyond(self, ends: Tensor) -> None:
        """Find where each target's linear part begins: position, cell, and place in the cell."""
        chunk, grid = self.chunk, self.grid
        self.tail = tail_beyond(self.delta / self.step.tau)
        self.beyond = chunk.beyond(self.delta)
        reach = chunk.target_value.double() + self.delta
        cell, self.reach_place = grid.locate(chunk.target_row, reach, self.dtype)
        self.reach_slot = grid.slots(chunk.target_row, self.level, self.shape[1], cell)
        end = ends.index_select(0, chunk.target_row * self.shape[2] + cell)
        self.cell_end = torch.maximum(end, self.beyond)
        # of the targets from the lower edge of that cell, of the items from that of their own
        self.growth = torch.exp((self.reach_place + 1) * (CELL / 2))
        self.decay = torch.exp((grid.place + 1) * (-CELL / 2)).index_select(0, chunk.order)

    def _lower_from(self, position: Tensor, counts: Counts) -> Tensor:
        """Return how many items below each target's level stand from positions on."""
        count = self.chunk.row_end - position
        for level, target in self.chunk.levels:
            count[target] -= counts.at_least(level, target)
        return count.to(self.dtype)

    def forget(self) -> None:
        """Drop what the way back does not need, and halve the integers."""
        del self.grid.cell, self.level
        self.slot, self.target_slot = self.slot.int(), self.target_slot.int()
        if self.linear:
            self.reach_slot = self.reach_slot.int()
            self.beyond, self.cell_end = self.beyond.int(), self.cell_end.int()

    def backward(self, weight: Tensor) -> Tensor:
        """Return the gradient of the items as competitors, flat, for d loss / d rank (T,)."""
        chunk, grid, step = self.chunk, self.grid, self.step
        num_rows, num_levels, num_cells = self.shape
        num_slots = num_rows * num_levels * num_cells
        weight = weight.to(self.dtype)
        kinds = [moments(self.target_place, self.target_slot.long(), num_slots, weight)]
        if self.linear:
            kinds.append(moments(self.reach_place, self.reach_slot.long(), num_slots, weight))
        # a source of level x competes with the targets of levels x + 1, x + 2, ...
        kinds = [kind.view(*self.shape, ORDER).flip(1).cumsum(dim=1).flip(1) for kind in kinds]
        (polynomials,) = convolve(kinds, self.matrices[2])
        if self.linear:
            ended = kinds[1][..., 0]
            polynomials[..., 0] += step.rho * (ended.cumsum(dim=-1) - ended)
        polynomials = torch.nn.functional.pad(polynomials, (0, 0, 0, 0, 0, 1))
        gradient = evaluate(polynomials, self.slot, grid.place)
        if self.linear:
            within = torch.zeros_like(gradient)
            for level, target in chunk.levels:
                of_level = self._within_backward(target, weight[target])
                within += of_level.mul_(chunk.below(level, self.dtype))
            gradient.scatter_add_(0, chunk.order.long(), within)
        return gradient

    def _within_backward(self, target: slice, weight: Tensor) -> Tensor:
        """Return what the targets give to the items ahead in the cell that delta ends in, in order."""
        step, tail = self.step, self.tail
        positions = self.beyond[target].long(), self.cell_end[target].long()
        first = step.rho - tail.slope[0] / step.tau
        gradient = self.chunk.spread(first * weight, *positions)
        decay = self.decay
        for degree, in_slope in enumerate(tail.slope[1:]):
            decay = decay * self.decay if degree else decay
            weight = weight * self.growth[target]
            gradient -= self.chunk.spread(weight * (in_slope / step.tau), *positions).mul_(decay)
        return gradient

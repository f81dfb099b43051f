"""SupRank of one chunk of queries: steps and lines from prefix sums, the sigmoid from the grid."""

import math

import torch
from torch import Tensor

from pml_suprank.functional._backends.fast.chunk import Chunk
from pml_suprank.functional._backends.fast.grid import (
    CELL,
    ORDER,
    Grid,
    convolve,
    evaluate,
    exponential_polynomial,
    geometric,
    sigmoid_matrices,
)
from pml_suprank.functional._backends.fast.tail import tail_beyond
from pml_suprank.functional.steps import SupRank


class LowerCompetitors:
    """Sums of C over the competitors of a lower level, for the targets of a chunk."""

    def __init__(self, chunk: Chunk, step: SupRank, num_levels: int) -> None:
        self.chunk, self.step, self.num_levels = chunk, step, num_levels
        self.linear = step.rho != -1
        self.delta = step.delta or 0.0
        self.grid = grid = Grid(chunk.values, step.tau)
        self.matrices = sigmoid_matrices(step.tau, chunk.values.dtype, chunk.values.device)
        self.target_cell = grid.cell.flatten().index_select(0, chunk.flat)
        self.target_place = grid.place.flatten().index_select(0, chunk.flat)
        self.target_slot = self._slot(chunk.row, chunk.target_level.long() - 1, self.target_cell)
        if self.linear:
            self.tail = tail_beyond(self.delta / step.tau)
            self._beyond()

    def _slot(self, row: Tensor, level: Tensor, cell: Tensor) -> Tensor:
        return (row * self.num_levels + level) * self.grid.num_cells + cell

    def _beyond(self) -> None:
        """Find where each target's linear part begins: item, cell, and distance in temperatures."""
        chunk, grid = self.chunk, self.grid
        self.position = chunk.beyond(self.delta)
        reach = chunk.target_value.double() + self.delta
        self.cell = grid.cell_of(chunk.row, reach)
        self.slot = self._slot(chunk.row, chunk.target_level.long() - 1, self.cell)
        ends = grid.starts.flatten()[chunk.row * (grid.num_cells + 1) + self.cell + 1]
        self.cell_end = torch.maximum(chunk.first + ends, self.position)
        edge = grid.low.flatten()[chunk.row] + self.cell.double() * grid.width
        gap = (edge - chunk.target_value.double()) / self.step.tau
        self.decay = torch.exp(-gap)  # of the target, to the edge of the cell that delta falls in
        items = (grid.place.double() + 1) * (-CELL / 2)
        self.item_decay = torch.exp(items)  # of the items, from the edge of their own cell

    def lower(self, level: int) -> Tensor:
        """Return 1.0 for the items of the retrieval set below a level, (R, N)."""
        below = self.chunk.level < level
        if self.chunk.masked:
            below &= self.chunk.level >= 0
        return below.to(self.chunk.values.dtype)

    def forward(self, *, with_slope: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Return, for the targets: sum of C, its derivative by the target's score, count of lower.

        The count is that of lower competitors not behind. All (T,), float64.
        """
        chunk, grid, step = self.chunk, self.grid, self.step
        level = chunk.level.long()
        inside = level >= 0
        row = torch.arange(chunk.num_rows, device=level.device).unsqueeze(1)
        slot = (row * (self.num_levels + 2) + torch.where(inside, level, self.num_levels + 1)).mul_(
            grid.num_cells
        )
        slot += grid.cell
        num_slots = chunk.num_rows * (self.num_levels + 2) * grid.num_cells
        moments = grid.moments(grid.place.flatten(), slot.flatten(), num_slots)
        moments = moments.view(chunk.num_rows, self.num_levels + 2, grid.num_cells, -1)
        moments = moments[:, : self.num_levels].cumsum(dim=1)  # lower than level 1, 2, ...

        polynomials = convolve(moments, self.matrices[0], far_ahead=True)
        value = self._at_targets(polynomials[..., 0, :]).double()
        slope = (
            self._at_targets(polynomials[..., 1, :]).double() if with_slope else value.new_zeros(0)
        )
        tails = self._tails_of_cells(moments) if self.linear else []
        count = torch.zeros_like(value)
        for level_ in range(1, self.num_levels + 1):
            target = chunk.of_level(level_)
            if target.start == target.stop:
                continue
            lower = self.lower(level_)
            here = chunk.first_equal[target]
            if not self.linear:
                (count[target],) = chunk.suffix(lower, target, here)
                continue
            beyond, end = self.position[target], self.cell_end[target]
            ahead = chunk.first_ahead[target]
            numbers = chunk.suffix(lower, target, here, ahead, beyond, end)
            count[target], n_ahead, n_beyond, n_end = numbers
            (s_beyond,) = chunk.suffix(lower * chunk.exact, target, beyond)
            own = chunk.target_value[target].double()
            distance = s_beyond - (own + self.delta) * n_beyond
            tail, tail_slope = self._tail(target, lower, n_beyond - n_end, tails)
            start = step.start if step.delta is not None else 0.0
            value[target] += (
                start * (n_ahead - n_beyond)
                + step.rho * distance
                + (step.value_at_delta - 1) * n_beyond
                + tail
            )
            if with_slope:
                slope[target] += step.rho * n_beyond - tail_slope
        return value, -slope, count

    def _at_targets(self, polynomials: Tensor) -> Tensor:
        return evaluate(
            polynomials.reshape(-1, polynomials.shape[-1]), self.target_slot, self.target_place
        )

    def _tails_of_cells(self, moments: Tensor) -> list[Tensor]:
        """Return, for each power, the decayed sums over the cells after each cell, flat."""
        tails = []
        for power in range(1, len(self.tail.coefficients) + 1):
            polynomial = torch.from_numpy(exponential_polynomial(power * CELL)).to(moments)
            tails.append(geometric(moments @ polynomial, math.exp(-power * CELL)).flatten())
        return tails

    def _tail(
        self, target: slice, lower: Tensor, count: Tensor, tails: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return the sums of 1 - sigmoid, and of the sigmoid's slope, beyond delta."""
        powers = []
        positions = self.position[target], self.cell_end[target]
        for power in range(1, self.tail.exact + 1):
            sums = self.chunk.prefix(lower * _power(self.item_decay, power))
            powers.append(sums.index_select(0, positions[1]) - sums.index_select(0, positions[0]))
        total, slope = torch.zeros_like(count), torch.zeros_like(count)
        decay, slot = self.decay[target], self.slot[target]
        for index, coefficient in enumerate(self.tail.coefficients):
            power = index + 1
            if index < self.tail.exact:
                within = powers[index]
            else:
                constant, linear = self.tail.lines[index]
                within = constant * count + linear * powers[0]
            part = (
                coefficient
                * _power(decay, power)
                * (within + tails[index].index_select(0, slot).double())
            )
            total += part
            slope += part * (power / self.step.tau)
        return total, slope

    def backward(self, weight: Tensor) -> Tensor:
        """Return the gradient of the items as competitors, (R, N), for d loss / d rank (T,)."""
        chunk, grid = self.chunk, self.grid
        values = chunk.values
        num_slots = chunk.num_rows * self.num_levels * grid.num_cells
        moments = grid.moments(
            self.target_place, self.target_slot, num_slots, weight.to(values.dtype)
        ).view(chunk.num_rows, self.num_levels, grid.num_cells, -1)
        polynomials = convolve(moments, self.matrices[1], far_ahead=False)[..., 0, :]
        if self.linear:
            polynomials = polynomials - self._tails_of_targets(weight).to(polynomials.dtype)
        # a source of level x competes with the targets of levels x + 1, x + 2, ...
        polynomials = polynomials.flip(1).cumsum(dim=1).flip(1)
        level = chunk.level.long()
        competes = (level >= 0) & (level < self.num_levels)
        row = torch.arange(chunk.num_rows, device=level.device).unsqueeze(1)
        slot = self._slot(row, level.clamp(0, self.num_levels - 1), grid.cell)
        gradient = evaluate(
            polynomials.reshape(-1, polynomials.shape[-1]), slot.flatten(), grid.place.flatten()
        )
        gradient = gradient.view(values.shape).masked_fill_(~competes, 0.0)
        if self.linear:
            for level_ in range(1, self.num_levels + 1):
                target = chunk.of_level(level_)
                if target.start < target.stop:
                    gradient += self._beyond_backward(target, weight[target]) * self.lower(level_)
        return gradient

    def _tails_of_targets(self, weight: Tensor) -> Tensor:
        """Return the polynomials of the sigmoid's slope from targets whose delta ends in earlier cells."""
        grid = self.grid
        shape = self.chunk.num_rows, self.num_levels, grid.num_cells
        total = torch.zeros((*shape, ORDER), dtype=torch.float64, device=weight.device)
        for index, coefficient in enumerate(self.tail.coefficients):
            power = index + 1
            part = weight * _power(self.decay, power) * (coefficient * power / self.step.tau)
            cells = torch.zeros(math.prod(shape), dtype=torch.float64, device=weight.device)
            cells = cells.index_add_(0, self.slot, part).view(shape)
            before = geometric(cells.flip(-1), math.exp(-power * CELL)).flip(-1)
            polynomial = torch.from_numpy(exponential_polynomial(power * CELL)).to(before)
            total += before.unsqueeze(-1) * polynomial
        return total

    def _beyond_backward(self, target: slice, weight: Tensor) -> Tensor:
        """Return what the linear part and the tail within a cell give to the items, (R, N)."""
        chunk, grid = self.chunk, self.grid
        position = self.position[target]
        gradient = chunk.spread(self.step.rho * weight, position)
        within = position < self.cell_end[target]
        position, weight, decay = position[within], weight[within], self.decay[target][within]
        parts = [torch.zeros_like(weight) for _ in range(self.tail.exact + 1)]
        for index, coefficient in enumerate(self.tail.coefficients):
            power = index + 1
            part = weight * _power(decay, power) * (coefficient * power / self.step.tau)
            if index < self.tail.exact:
                parts[power] = parts[power] + part
            else:
                parts[0] = parts[0] + self.tail.lines[index, 0] * part
                parts[1] = parts[1] + self.tail.lines[index, 1] * part
        start = grid.starts.gather(1, grid.cell)
        for power, part in enumerate(parts):
            spread = chunk.spread(part, position)
            earlier = torch.nn.functional.pad(spread, (1, 0)).gather(1, start)
            inside = spread - earlier
            gradient -= inside * _power(self.item_decay, power) if power else inside
        return gradient


def _power(base: Tensor, exponent: int) -> Tensor:
    return base if exponent == 1 else base**exponent

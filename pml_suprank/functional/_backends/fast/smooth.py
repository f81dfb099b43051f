"""The sigmoid rank of one chunk of queries: all from the grid."""

import torch
from torch import Tensor

from pml_suprank.functional._backends.chunk import Chunk
from pml_suprank.functional._backends.fast.grid import (
    Grid,
    convolve,
    evaluate,
    far_ahead,
    moments,
    sigmoid_matrices,
    with_itself,
)


class SigmoidSums:
    """Sums of the sigmoid over all competitors, with a weight for each pair of levels.

    Args:
        chunk: rows.
        item: (T,), the targets.
        grid: the cells of the chunk.
        pair_weight: (R, L, L + 1), for the level of the target (from 1) and of the competitor (from 0).
    """

    def __init__(self, chunk: Chunk, item: Tensor, grid: Grid, pair_weight: Tensor) -> None:
        # in float64: a target has to cancel out of its own sums
        self.chunk, self.grid, self.item = chunk, grid, item
        self.place = grid.place.double()
        self.pair_weight = pair_weight.double()
        self.matrices = sigmoid_matrices(grid.tau, torch.float64, chunk.scores.device)
        level = chunk.level.index_select(0, item).long()
        row = chunk.row_of(item)
        cell = grid.cell.index_select(0, item)
        self.target_place = self.place.index_select(0, item)
        self.target_slot = grid.slots(row, level - 1, chunk.num_levels, cell)
        # a slot of its own for the items outside
        outside = torch.where(chunk.level < 0, chunk.num_levels + 1, chunk.level)
        self.slot = grid.slots(None, outside.long(), chunk.num_levels + 2, grid.cell)
        self.own = self.pair_weight[row, level - 1, level]
        # as the grid has it
        self.own_value, self.own_slope = self.own * with_itself(self.matrices[0], self.target_place)

    def forward(self, *, with_slope: bool) -> tuple[Tensor, Tensor]:
        """Return the sums without the target itself, and their derivative by the target's score."""
        num_rows, num_levels, num_cells = (
            self.chunk.num_rows,
            self.chunk.num_levels,
            self.grid.num_cells,
        )
        slots = num_levels + 2
        sources = moments(self.place, self.slot, num_rows * slots * num_cells)
        sources = self.pair_weight @ sources.view(num_rows, slots, -1)[:, :-1]
        sources = sources.view(num_rows, num_levels, num_cells, -1)
        polynomials = convolve([sources], self.matrices[0])
        polynomials[0, ..., 0] += far_ahead(sources[..., 0])
        place = self.target_slot, self.target_place
        value = evaluate(polynomials[0], *place) - self.own_value
        if not with_slope:
            return value, value.new_zeros(0)
        return value, self.own_slope - evaluate(polynomials[1], *place)

    def backward(self, weight: Tensor) -> Tensor:
        """Return the gradient of the items as competitors, flat, for d loss / d sum (T,)."""
        num_rows, num_levels, num_cells = (
            self.chunk.num_rows,
            self.chunk.num_levels,
            self.grid.num_cells,
        )
        weight = weight.double()
        pulls = moments(
            self.target_place, self.target_slot, num_rows * num_levels * num_cells, weight
        )
        pulls = self.pair_weight.mT @ pulls.view(num_rows, num_levels, -1)
        pulls = pulls.view(num_rows, num_levels + 1, num_cells, -1)
        (polynomials,) = convolve([pulls], self.matrices[1])
        polynomials = torch.nn.functional.pad(polynomials, (0, 0, 0, 0, 0, 1))
        gradient = evaluate(polynomials, self.slot, self.place)
        return gradient.index_add_(0, self.item, weight * self.own_slope, alpha=-1)

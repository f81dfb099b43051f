"""The sigmoid rank of one chunk of queries: all from the grid."""

import torch
from torch import Tensor

from pml_suprank.functional._backends.fast.chunk import Chunk
from pml_suprank.functional._backends.fast.grid import (
    Grid,
    convolve,
    evaluate,
    sigmoid_matrices,
    with_itself,
)


class SigmoidSums:
    """Sums of the sigmoid over all competitors, with a weight for each pair of levels.

    Args:
        chunk: sorted rows.
        tau: temperature.
        pair_weight: (R, L, L + 1), for the level of the target (from 1) and of the competitor (from 0).
    """

    def __init__(self, chunk: Chunk, grid: Grid, pair_weight: Tensor) -> None:
        # in float64: a target has to cancel out of its own sums
        self.chunk, self.grid = chunk, grid
        self.place = grid.place.double().flatten()
        self.pair_weight = pair_weight.double()
        self.matrices = sigmoid_matrices(grid.tau, torch.float64, chunk.values.device)
        _, self.num_levels, _ = pair_weight.shape
        self.target_cell = grid.cell.flatten().index_select(0, chunk.flat)
        self.target_place = self.place.index_select(0, chunk.flat)
        level = chunk.target_level.long()
        self.target_slot = (chunk.row * self.num_levels + level - 1) * grid.num_cells
        self.target_slot += self.target_cell
        self.own = self.pair_weight[chunk.row, level - 1, level]
        # as the grid has it
        self.own_value, self.own_slope = self.own * with_itself(self.matrices[0], self.target_place)

    def forward(self, *, with_slope: bool) -> tuple[Tensor, Tensor]:
        """Return the sums without the target itself, and their derivative by the target's score."""
        chunk, grid = self.chunk, self.grid
        slots = self.num_levels + 2
        level = chunk.level.long()
        level = torch.where(level < 0, self.num_levels + 1, level)
        row = torch.arange(chunk.num_rows, device=level.device).unsqueeze(1)
        slot = ((row * slots + level) * grid.num_cells + grid.cell).flatten()
        moments = grid.moments(self.place, slot, chunk.num_rows * slots * grid.num_cells)
        moments = moments.view(chunk.num_rows, slots, -1)[:, :-1]
        moments = (self.pair_weight @ moments).view(
            chunk.num_rows, self.num_levels, grid.num_cells, -1
        )
        polynomials = convolve(moments, self.matrices[0], far_ahead=True)
        value = self._at_targets(polynomials[..., 0, :]) - self.own_value
        slope = value.new_zeros(0)
        if with_slope:
            slope = self._at_targets(polynomials[..., 1, :]) - self.own_slope
        return value, -slope

    def _at_targets(self, polynomials: Tensor) -> Tensor:
        return evaluate(
            polynomials.reshape(-1, polynomials.shape[-1]), self.target_slot, self.target_place
        )

    def backward(self, weight: Tensor) -> Tensor:
        """Return the gradient of the items as competitors, (R, N), for d loss / d sum (T,)."""
        chunk, grid = self.chunk, self.grid
        num_slots = chunk.num_rows * self.num_levels * grid.num_cells
        weight = weight.double()
        moments = grid.moments(self.target_place, self.target_slot, num_slots, weight)
        moments = self.pair_weight.mT @ moments.view(chunk.num_rows, self.num_levels, -1)
        moments = moments.view(chunk.num_rows, self.num_levels + 1, grid.num_cells, -1)
        polynomials = convolve(moments, self.matrices[1], far_ahead=False)[..., 0, :]
        level = chunk.level.long().clamp(min=0)
        row = torch.arange(chunk.num_rows, device=level.device).unsqueeze(1)
        slot = (row * (self.num_levels + 1) + level) * grid.num_cells + grid.cell
        gradient = evaluate(
            polynomials.reshape(-1, polynomials.shape[-1]), slot.flatten(), self.place
        ).view(chunk.values.shape)
        own = torch.zeros_like(gradient).flatten()
        own[chunk.flat] = weight * self.own_slope
        gradient = gradient - own.view_as(gradient)
        return gradient.masked_fill_(chunk.level < 0, 0.0) if chunk.masked else gradient

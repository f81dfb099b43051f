"""Sums of a smooth kernel over pairs of points, through moments on a grid of cells.

A cell holds the moments of its points, sums of 1, u, ..., u^4 with u in [-1, 1] the place within the cell. The
kernel is interpolated at the Chebyshev nodes of both cells, so that a sum over all pairs is one product of the moments
with a constant matrix, and a polynomial in u at each target.
"""

import functools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

ORDER = 5
"""Nodes of a cell; polynomials have this many coefficients."""
CELL = 0.5
"""Width of a cell, in temperatures."""
BLOCK = 40
"""Cells of a block; blocks that do not touch are 20 temperatures apart: sigmoids there are 0 or 1."""
MAX_CELLS = 1 << 16
"""A finer grid costs more than it is worth."""

_NODES = np.cos(np.pi * (np.arange(ORDER) + 0.5) / ORDER)
_TO_NODES = np.linalg.inv(np.vander(_NODES, increasing=True))


class Grid:
    """The cells of a chunk of rows; ``cell`` and ``place`` of every item, flat."""

    def __init__(self, scores: Tensor, tau: float) -> None:
        self.tau, self.width = tau, CELL * tau
        low, high = scores.aminmax(dim=1)
        # an odd shift keeps round scores away from the edges
        self.low = low.double() - 0.37 * self.width
        self.num_rows = len(scores)
        self.num_cells = int(float((high.double() - self.low).max()) / self.width) + 1
        cell, place = self._locate(scores.double() - self.low.unsqueeze(1), scores.dtype)
        self.cell, self.place = cell.flatten(), place.flatten()

    def locate(self, row: Tensor, values: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return the cells of float64 values and their places in them; beyond the grid the last cell."""
        height = values - self.low.index_select(0, row)
        return self._locate(height.clamp_(max=self.num_cells * self.width), dtype)

    def _locate(self, height: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        height.mul_(1 / self.width)
        cell = height.long().clamp_(max=self.num_cells - 1)
        return cell, height.frac_().mul_(2).sub_(1).to(dtype)

    def slots(self, row: Tensor | None, level: Tensor, num_levels: int, cell: Tensor) -> Tensor:
        """Return ``(row * num_levels + level) * num_cells + cell``; None for the rows of all items."""
        if row is not None:
            level = level + row * num_levels
        elif self.num_rows > 1:
            rows = torch.arange(self.num_rows, device=level.device).mul_(num_levels)
            level = (level.view(self.num_rows, -1) + rows.unsqueeze(1)).flatten()
        return (level * self.num_cells).add_(cell)


def moments(place: Tensor, slot: Tensor, num_slots: int, weight: Tensor | None = None) -> Tensor:
    """Return (num_slots, ORDER) sums of ``weight * place^m`` over the points of each slot."""
    power = torch.ones_like(place) if weight is None else weight.clone()
    columns = power.new_zeros(ORDER, num_slots)
    for degree in range(ORDER):
        if degree:
            power *= place
        columns[degree].scatter_add_(0, slot, power)
    return columns.t().contiguous()


def evaluate(polynomials: Tensor, slot: Tensor, place: Tensor) -> Tensor:
    """Return the polynomial of each slot, (..., ORDER), at the places."""
    columns = polynomials.reshape(-1, ORDER).t().contiguous()
    value = columns[-1].index_select(0, slot)
    for degree in range(ORDER - 2, -1, -1):
        value.mul_(place).add_(columns[degree].index_select(0, slot))
    return value


def convolve(moments: Sequence[Tensor], matrix: Tensor) -> Tensor:
    """Return the polynomials of kernels summed over all sources in the near blocks.

    Args:
        moments: S times (..., cells, ORDER), of S kinds of source.
        matrix: (S 3 BLOCK ORDER, K BLOCK ORDER), the kernels between three blocks and the middle one.

    Returns:
        (K, ..., cells, ORDER), of the targets.
    """
    num_cells = moments[0].shape[-2]
    near = torch.cat([block for kind in moments for block in _near_blocks(kind)], dim=-1)
    result = (near @ matrix).unflatten(-1, (-1, BLOCK, ORDER)).movedim(-3, 0)
    return result.flatten(-3, -2)[..., :num_cells, :]


def _near_blocks(moments: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the moments of the blocks behind, of each block, and ahead: (..., blocks, BLOCK ORDER)."""
    num_cells = moments.shape[-2]
    num_blocks = -(-num_cells // BLOCK)
    padded = pad(moments, (0, 0, BLOCK, (num_blocks + 1) * BLOCK - num_cells))
    blocks = padded.unflatten(-2, (-1, BLOCK)).flatten(-2)
    return blocks[..., :-2, :], blocks[..., 1:-1, :], blocks[..., 2:, :]


def far_ahead(counts: Tensor) -> Tensor:
    """Return, for each cell (..., cells), the count of sources in blocks ahead of the near ones."""
    num_cells = counts.shape[-1]
    num_blocks = -(-num_cells // BLOCK)
    blocks = pad(counts, (0, num_blocks * BLOCK - num_cells)).unflatten(-1, (-1, BLOCK)).sum(dim=-1)
    ahead = pad(blocks[..., 2:].flip(-1).cumsum(-1).flip(-1), (0, min(2, num_blocks)))
    return ahead.repeat_interleave(BLOCK, dim=-1)[..., :num_cells]


Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Of the distance source - target in temperatures, and of the number of cells between them."""


def kernel_matrix(kernel: Kernel) -> np.ndarray:
    """Return (3 BLOCK ORDER, BLOCK ORDER), from the moments of sources to the polynomials of targets."""
    cells = (np.arange(-BLOCK, 2 * BLOCK)[:, None] - np.arange(BLOCK))[:, :, None, None]
    distance = CELL * (cells + (_NODES[:, None] - _NODES) / 2)
    values = kernel(distance, cells)
    matrix = np.einsum("mk,abkl,nl->ambn", _TO_NODES, values, _TO_NODES)
    return matrix.reshape(3 * BLOCK * ORDER, BLOCK * ORDER)


def sigmoid(t: np.ndarray) -> np.ndarray:
    """Return the sigmoid at temperature 1."""
    return 1 / (1 + np.exp(-np.clip(t, -50, 50)))


def sigmoid_slope(t: np.ndarray) -> np.ndarray:
    """Return its slope."""
    return sigmoid(t) * sigmoid(-t)


@functools.lru_cache(maxsize=32)
def sigmoid_matrices(tau: float, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the matrices of (sigmoid, its slope) from sources to targets, and of the slope back."""
    value = kernel_matrix(lambda t, _: sigmoid(t))
    slope = kernel_matrix(lambda t, _: sigmoid_slope(t) / tau)  # even: the same way back
    both = np.concatenate([value, slope], axis=1)
    return torch.from_numpy(both).to(device, dtype), torch.from_numpy(slope).to(device, dtype)


def with_itself(matrix: Tensor, place: Tensor) -> Tensor:
    """Return what :func:`convolve` makes of a point as its own source.

    Args:
        matrix: as :func:`convolve` takes it, with K kernels.
        place: (T,), of the points in their cells.

    Returns:
        (K, T).
    """
    kernels = matrix[BLOCK * ORDER : (BLOCK + 1) * ORDER].view(ORDER, -1, BLOCK, ORDER)[:, :, 0]
    products = kernels.new_zeros(kernels.shape[1], 2 * ORDER - 1)
    for degree in range(ORDER):
        products[:, degree : degree + ORDER] += kernels[degree]
    value = products[:, -1:].expand(-1, len(place))
    for degree in range(2 * ORDER - 3, -1, -1):
        value = value * place + products[:, degree : degree + 1]
    return value


def num_cells(span: float, tau: float) -> int:
    """Return how many cells cover a span of scores."""
    cells = span / (CELL * tau)
    return int(min(cells, 2.0**62)) + 1

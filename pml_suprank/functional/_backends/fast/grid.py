"""Sums of a smooth kernel over pairs of points, through moments on a grid of cells.

A cell holds the moments of its points, sums of 1, u, ..., u^4 with u in [-1, 1] the place within the cell. The
kernel is interpolated at the Chebyshev nodes of both cells, so that a sum over all pairs is one product of the moments
with a constant matrix, and a polynomial in u at each target.
"""

import functools

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


class Grid:
    """The cells of a chunk of sorted rows."""

    def __init__(self, values: Tensor, tau: float) -> None:
        self.tau, self.width = tau, CELL * tau
        # an odd shift keeps round scores away from the edges
        self.low = values[:, :1].double() - 0.37 * self.width
        span = float((values[:, -1:].double() - self.low).max())
        self.num_cells = int(span / self.width) + 1
        edges = self.edge(torch.arange(self.num_cells + 1, device=values.device))
        self.starts = torch.searchsorted(values.double(), edges)
        self.starts[:, 0], self.starts[:, -1] = 0, values.shape[1]
        counts = self.starts.diff(dim=1)
        cells = torch.arange(self.num_cells, device=values.device).expand_as(counts)
        self.cell = torch.repeat_interleave(cells.flatten(), counts.flatten()).view(values.shape)
        self.place = self.place_in(self.cell, values)

    def edge(self, cell: Tensor) -> Tensor:
        """Return the lower edge of cells, (R, ...), float64."""
        return self.low + cell.double() * self.width

    def place_in(self, cell: Tensor, values: Tensor) -> Tensor:
        """Return the place of values in their cells, in [-1, 1]."""
        place = (values - self.edge(cell)) * (2 / self.width) - 1
        return place.to(values.dtype)

    def cell_of(self, row: Tensor, values: Tensor) -> Tensor:
        """Return the cell of any float64 values, the last one for those beyond the grid."""
        low = self.low.flatten()[row]
        cell = ((values - low) / self.width).long()
        cell = cell - (values < low + cell.double() * self.width).long()
        cell = cell + (values >= low + (cell + 1).double() * self.width).long()
        return cell.clamp(0, self.num_cells - 1)

    def moments(
        self, place: Tensor, slot: Tensor, num_slots: int, weight: Tensor | None = None
    ) -> Tensor:
        """Return (num_slots, ORDER) sums of ``weight * place^m`` over the points of each slot."""
        power = torch.ones_like(place) if weight is None else weight
        columns = []
        for degree in range(ORDER):
            power = power * place if degree else power
            columns.append(power.new_zeros(num_slots).scatter_add_(0, slot, power))
        return torch.stack(columns, dim=1)


def evaluate(polynomials: Tensor, slot: Tensor, place: Tensor) -> Tensor:
    """Return the polynomial of each slot, (num_slots, ORDER), at the places."""
    columns = polynomials.t().contiguous()
    value = columns[-1].index_select(0, slot)
    for degree in range(ORDER - 2, -1, -1):
        value = value * place + columns[degree].index_select(0, slot)
    return value


def convolve(moments: Tensor, matrix: Tensor, far_ahead: bool) -> Tensor:
    """Return the polynomials of a kernel summed over all sources.

    Args:
        moments: (..., cells, ORDER) of the sources.
        matrix: (3 BLOCK ORDER, K BLOCK ORDER), the kernel between a block and its two neighbours.
        far_ahead: whether the kernel is 1 for sources further ahead (it is 0 behind).

    Returns:
        (..., cells, K, ORDER), of the targets.
    """
    *batch, num_cells, _ = moments.shape
    num_blocks = -(-num_cells // BLOCK)
    padded = pad(moments, (0, 0, BLOCK, (num_blocks + 1) * BLOCK - num_cells))
    blocks = padded.reshape(*batch, num_blocks + 2, BLOCK * ORDER)
    near = torch.cat([blocks[..., :-2, :], blocks[..., 1:-1, :], blocks[..., 2:, :]], dim=-1)
    result = (near @ matrix).view(*batch, num_blocks * BLOCK, -1, ORDER)[..., :num_cells, :, :]
    if far_ahead and num_blocks > 2:
        counts = pad(moments[..., 0], (0, num_blocks * BLOCK - num_cells))
        counts = counts.view(*batch, num_blocks, BLOCK).sum(dim=-1)
        ahead = pad(counts[..., 2:].flip(-1).cumsum(-1).flip(-1), (0, 2))
        result = result.clone()
        result[..., 0, 0] += ahead.repeat_interleave(BLOCK, dim=-1)[..., :num_cells]
    return result


@functools.lru_cache(maxsize=32)
def sigmoid_matrices(tau: float, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the matrices of (sigmoid, its slope) from sources to targets, and of the slope back."""
    nodes = np.cos(np.pi * (np.arange(ORDER) + 0.5) / ORDER)
    to_nodes = np.linalg.inv(np.vander(nodes, increasing=True))
    cells = np.arange(-BLOCK, 2 * BLOCK)[:, None] - np.arange(BLOCK)[None, :]
    t = CELL * (cells[:, :, None, None] + (nodes[:, None] - nodes[None, :]) / 2)
    value = 1 / (1 + np.exp(-np.clip(t, -50, 50)))
    slope = value * (1 - value) / tau

    def matrix(*kernels: np.ndarray) -> Tensor:
        blocks = [np.einsum("mk,abkl,nl->ambn", to_nodes, k, to_nodes) for k in kernels]
        stacked = np.stack(blocks, axis=3).reshape(3 * BLOCK * ORDER, -1)
        return torch.from_numpy(stacked).to(device, dtype)

    # back: sources and targets change roles, t changes sign, and the slope is even
    return matrix(value, slope), matrix(slope)


def with_itself(matrix: Tensor, place: Tensor) -> Tensor:
    """Return what :func:`convolve` makes of a point as its own source, for the first kernels.

    Args:
        matrix: as :func:`convolve` takes it.
        place: (T,), of the points in their cells.

    Returns:
        (K, T).
    """
    kernels = matrix[BLOCK * ORDER : (BLOCK + 1) * ORDER].view(ORDER, BLOCK, -1, ORDER)[:, 0]
    products = kernels.new_zeros(kernels.shape[1], 2 * ORDER - 1)
    for degree in range(ORDER):
        products[:, degree : degree + ORDER] += kernels[degree]
    value = products[:, -1:].expand(-1, len(place))
    for degree in range(2 * ORDER - 3, -1, -1):
        value = value * place + products[:, degree : degree + 1]
    return value


def geometric(cells: Tensor, ratio: float) -> Tensor:
    """Return, for each cell of the last dimension, the sum over later cells of ratio^distance."""
    total = cells
    reach, factor = 1, ratio
    while reach < cells.shape[-1] and factor > 1e-12:
        total = total + factor * pad(total[..., reach:], (0, reach))
        reach, factor = 2 * reach, factor * factor
    return ratio * pad(total[..., 1:], (0, 1))


def exponential_polynomial(rate: float) -> np.ndarray:
    """Return the polynomial in u that interpolates exp(-rate (u + 1) / 2) on [-1, 1]."""
    nodes = np.cos(np.pi * (np.arange(ORDER) + 0.5) / ORDER)
    return np.linalg.solve(np.vander(nodes, increasing=True), np.exp(-rate * (nodes + 1) / 2))


def num_cells(span: float, tau: float) -> int:
    """Return how many cells cover a span of scores."""
    cells = span / (CELL * tau)
    return int(min(cells, 2.0**62)) + 1

"""The sigmoid beyond delta, where the linear part of SupRank takes its place."""

import functools
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pml_suprank.functional._backends.fast.grid import (
    CELL,
    kernel_matrix,
    sigmoid,
    sigmoid_slope,
)

_EXACT_ENOUGH = 2e-6


class Tail(NamedTuple):
    r"""Polynomials in :math:`z = e^{-x}`, for x temperatures beyond delta and within one cell's width.

    As sums of powers of z they separate into a factor of the item and one of the target.
    """

    value: list[float]
    """Of 1 - sigmoid, z^0 first."""
    slope: list[float]
    """Of the slope of the sigmoid at temperature 1; of the same length."""


@functools.lru_cache(maxsize=32)
def tail_beyond(delta_over_tau: float) -> Tail:
    """Return the tail for a delta of so many temperatures, of the lowest degree that does."""
    z = np.linspace(np.exp(-CELL), 1, 200)
    t = delta_over_tau - np.log(z)
    wanted = sigmoid(-t), sigmoid_slope(t)
    for degree in range(1, 9):
        powers = z[:, None] ** np.arange(degree + 1)
        value, slope = (np.linalg.lstsq(powers, y, rcond=None)[0] for y in wanted)
        error = max(abs(powers @ c - y).max() for c, y in zip((value, slope), wanted, strict=True))
        if error < _EXACT_ENOUGH:
            break
    return Tail(value.tolist(), slope.tolist())


@functools.lru_cache(maxsize=32)
def sup_matrices(
    tau: float, delta_over_tau: float | None, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the matrices of SupRank: sums for the targets, their slopes, and the way back.

    The kernels are the sigmoid and, for the cells ahead of the one that delta ends in, 1 - sigmoid beyond delta;
    None leaves the latter out.
    """
    values = [kernel_matrix(lambda t, _: sigmoid(t))]
    slopes = [kernel_matrix(lambda t, _: sigmoid_slope(t) / tau)]
    back = slopes.copy()
    if delta_over_tau is not None:
        delta = delta_over_tau

        def value(t: np.ndarray, cells: np.ndarray) -> np.ndarray:
            return np.where(cells > 0, sigmoid(-(t + delta)), 0.0)

        def slope(t: np.ndarray, cells: np.ndarray) -> np.ndarray:
            return np.where(cells > 0, sigmoid_slope(t + delta) / tau, 0.0)

        values.append(kernel_matrix(value))
        slopes.append(kernel_matrix(slope))
        back.append(kernel_matrix(lambda t, cells: -slope(-t, -cells)))
    value_matrix, slope_matrix = (
        torch.from_numpy(np.concatenate(matrices, axis=1)).to(device, dtype)
        for matrices in (values, slopes)
    )
    back_matrix = torch.from_numpy(np.concatenate(back, axis=0)).to(device, dtype)
    return value_matrix, slope_matrix, back_matrix

"""The sigmoid beyond delta, where the linear part of SupRank takes its place."""

import functools
import math
from typing import NamedTuple

import numpy as np

from pml_suprank.functional._backends.fast.grid import CELL


class Tail(NamedTuple):
    r"""Coefficients of :math:`1 - \sigma(t) = \sum_m c_m e^{-m t / \tau}` for t > delta.

    The first ``exact`` powers are summed to the item; within one cell the others are small enough to be a line in
    the first power.
    """

    coefficients: np.ndarray
    """(M,), c_1 first."""
    exact: int
    lines: np.ndarray
    """(M, 2): z^m is about ``lines[m-1] @ (1, z)`` within a cell; rows of exact powers are theirs."""


@functools.lru_cache(maxsize=32)
def tail_beyond(delta_over_tau: float) -> Tail:
    """Return the tail for a delta of so many temperatures."""
    largest = math.exp(-min(delta_over_tau, 50.0))
    if largest <= math.exp(-3):
        count = max(1, math.ceil(math.log(1e-9) / math.log(largest)) - 1)
        coefficients = -((-1.0) ** np.arange(1, count + 1))
    else:
        count = 14
        z = largest * (np.cos(np.linspace(0, math.pi, 400)) + 1) / 2
        powers = z[:, None] ** np.arange(count)
        coefficients = np.linalg.lstsq(powers, 1 / (1 + z), rcond=None)[0]
    power = np.arange(1, count + 1)
    # what is lost in the slope by a line, in units of rho = 1 / tau
    lost = power**3 * abs(coefficients) * largest**power
    exact = next((k for k in range(1, count) if (lost[k:] < 4e-4).all()), count)
    z = np.linspace(math.exp(-CELL), 1, 200)
    lines = np.array([np.polyfit(z, z**m, 1)[::-1] for m in range(1, count + 1)])
    return Tail(coefficients, exact, lines)

r"""The comparators of all surrogates in one form, as the kernels take it.

.. math::
    f(t) = \begin{cases}
        \sigma_\tau(t) + \mathrm{leak} \cdot t & t \le 0 \\
        \sigma_\tau(t) + \mathrm{start} + \mathrm{rise} \cdot t & t > 0 \\
        \rho (t - \mathrm{cut}) + \mathrm{offset} & \text{beyond, where } at + b > c
    \end{cases}

with or without the sigmoid and the last piece, for the pairs of a target and a competitor that are smooth; all other
pairs count as a step.
"""

import functools
import math
from typing import NamedTuple

import torch
from torch import Tensor

from pml_suprank.functional._backends.exponentials.series import (
    coefficients,
    slope_coefficients,
)
from pml_suprank.functional.steps import HardRank, HRankStep, SmoothRank, SupRank

NONE, LOWER, EVERY, HIGHER = range(4)
"""Which competitors are smooth: none, those of a lower level than the target, all, those of a higher one."""
TERMS = {torch.float32: 12, torch.float64: 28}
"""Exponentials of the series: its error is then no more than rounding, and the columns of a state a power of two."""
OTHER_COLUMNS = 4
NUM_NUMBERS = 16


class Comparator(NamedTuple):
    """What the sums are over, and of what."""

    smooth: int
    """``NONE``, ``LOWER``, ``EVERY`` or ``HIGHER``."""
    weighted: bool = False
    """Whether a pair counts by the lesser relevance of the two."""
    sigmoid: bool = False
    line: bool = False
    """Whether there is a last piece."""
    numbers: tuple[float, ...] = ()
    """1 / tau, leak, start, rise, rho, cut, offset, a, b, c."""

    @property
    def one_state(self) -> bool:
        """Whether the level of a receiver does not matter to what it receives."""
        return not self.weighted and self.smooth != LOWER

    def terms(self, dtype: torch.dtype) -> int:
        """Return how many exponentials are needed."""
        return TERMS[dtype] if self.sigmoid else 0


def rank_comparator(surrogate: HardRank | SmoothRank | SupRank) -> Comparator:
    """Return the comparator of the rank."""
    if isinstance(surrogate, HardRank):
        return Comparator(NONE)
    inverse = 1 / max(surrogate.tau, 1e-30)  # in float32
    if isinstance(surrogate, SmoothRank):
        return Comparator(EVERY, sigmoid=True, numbers=(inverse,))
    if surrogate.rho == -1:
        return Comparator(LOWER, sigmoid=True, numbers=(inverse,))
    delta = surrogate.delta or 0.0
    line = surrogate.rho, delta, surrogate.value_at_delta
    numbers = (inverse, 0.0, surrogate.start, 0.0, *line, 1.0, 0.0, delta)
    return Comparator(LOWER, sigmoid=True, line=True, numbers=numbers)


def numerator_comparator(surrogate: HardRank | SmoothRank | SupRank) -> Comparator:
    """Return the comparator of the numerator."""
    if isinstance(surrogate, SmoothRank):
        return rank_comparator(surrogate)._replace(weighted=True)
    if isinstance(surrogate, HardRank) or surrogate.hrank is None:
        return Comparator(NONE, weighted=True)
    return _happier(surrogate.hrank)


def _happier(step: HRankStep) -> Comparator:
    if step.gamma > 1:
        return Comparator(HIGHER, weighted=True, numbers=(0.0, step.leak, 1.0))
    numbers = (0.0, step.leak, step.gamma, step.beta, 0.0, 0.0, 1.0, step.beta, step.gamma, 1.0)
    return Comparator(HIGHER, weighted=True, line=step.beta > 0, numbers=numbers)


@functools.lru_cache(maxsize=32)
def numbers_of(comparator: Comparator, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return what the kernels read; a copy to the device waits for it, so it is kept.

    These are log2(e) / tau, the numbers of the comparator, and from ``NUM_NUMBERS`` on the coefficients of the columns
    of a state for the value and for the slope, at temperature 1.
    """
    inverse, *others = comparator.numbers or (0.0,)
    numbers = [inverse * math.log2(math.e), inverse, *others]
    numbers += [0.0] * (NUM_NUMBERS - len(numbers))
    terms = comparator.terms(dtype)
    rounding = torch.finfo(dtype).eps / 4
    for columns in (coefficients(terms), slope_coefficients(terms, rounding)):
        numbers += [0.0, *columns, *[0.0] * (OTHER_COLUMNS - 1)]
    with torch.inference_mode(False):
        return torch.tensor(numbers, dtype=dtype, device=device)

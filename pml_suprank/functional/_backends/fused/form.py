"""Which kernel a surrogate needs, the numbers that it reads, and how its work is cut."""

import math
from typing import NamedTuple

import torch

from pml_suprank.functional.steps import HardRank, SmoothRank, SupRank

__all__ = [
    "BLOCKS",
    "PROGRAMS",
    "RUN",
    "WARPS",
    "Form",
    "ceil_div",
    "form_of",
    "splits_of",
    "step_of",
]

BLOCKS = {"BT": 16, "BN": 128}
"""Targets and items of a block: the best of several shapes on an H100, the others lost 2 to 20 %."""
PROGRAMS = 2048
"""Few targets share their items out among about so many programs."""
RUN = 8
"""Blocks of items whose sums stay in the dtype of the scores."""
WARPS = 8
"""Of a program that ranks: as few instructions as with 4, half the registers of a thread."""
BLOCKS_OF_SPLIT = 4
"""A program gets at least so many blocks of items, if there are as many."""

_NEVER = torch.finfo(torch.float32).max
_LOG2_E = math.log2(math.e)


class Form(NamedTuple):
    """What makes another kernel."""

    smooth: bool
    """Whether the rank has a smooth part; else all are steps."""
    every: bool
    """Whether every competitor is smooth; else those of a lower level, and of a higher one for the numerator."""
    smooth_numerator: bool
    """Whether the numerator is smooth; else it counts steps."""
    by_level: bool
    """Whether the relevance is a table over levels; else it is one of items."""


def form_of(surrogate: HardRank | SmoothRank | SupRank, *, by_level: bool) -> Form:
    """Return which kernel a surrogate needs."""
    smooth, every = surrogate.rank_has_gradient, isinstance(surrogate, SmoothRank)
    return Form(smooth, every, surrogate.hrank_has_gradient, by_level)


def step_of(surrogate: HardRank | SmoothRank | SupRank) -> list[float]:
    """Return the numbers that the kernels read.

    They are log2(e) / tau, rho, delta, start, offset, rho tau and 1 / tau; beta, gamma, leak of the numerator; and
    a difference at which every comparator is 0.
    """
    if isinstance(surrogate, HardRank):
        return [*[0.0] * 10, -1.0]
    tau = max(surrogate.tau, 1e-30)  # in float32
    if isinstance(surrogate, SmoothRank):
        return [_LOG2_E / tau, *[0.0] * 5, 1 / tau, *[0.0] * 3, -100 * tau]
    # without a delta the line begins at 0; without a line delta is out of reach
    rho, delta = surrogate.rho, surrogate.delta or 0.0
    line = [rho, delta, surrogate.start, surrogate.value_at_delta, rho * tau]
    if rho == -1:
        line = [0.0, _NEVER, 0.0, 0.0, 0.0]
    numerator = [0.0, 0.0, 0.0]
    if surrogate.hrank is not None:
        beta, gamma, leak = surrogate.hrank.beta, surrogate.hrank.gamma, surrogate.hrank.leak
        numerator = [0.0, 1.0, leak] if gamma > 1 else [beta, gamma, leak]
    return [_LOG2_E / tau, *line, 1 / tau, *numerator, -100 * tau]


def splits_of(num_targets: int, num_items: int) -> tuple[int, int]:
    """Return in how many splits the items of ``num_targets`` targets are taken, and the items of a split."""
    blocks = max(1, ceil_div(num_targets, BLOCKS["BT"]))
    splits = min(ceil_div(PROGRAMS, blocks), ceil_div(num_items, BLOCKS_OF_SPLIT * BLOCKS["BN"]))
    per_split = ceil_div(ceil_div(num_items, max(1, splits)), BLOCKS["BN"]) * BLOCKS["BN"]
    return ceil_div(num_items, per_split), per_split


def ceil_div(number: int, size: int) -> int:
    """Return the number of blocks of a size that hold a number."""
    return -(-number // size)

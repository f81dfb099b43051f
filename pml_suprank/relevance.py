"""Relevance of a retrieved item, from the number of levels it shares with the query: their common levels.

A relevance is any callable that maps counts to a table, query by query::

    table = relevance(level_counts)

``level_counts`` is ``(B, L+1)`` and integer: entry ``x`` is the number of items in the retrieval set of the
query (the query itself excluded) that have exactly ``x`` common levels with it. ``table`` has the same shape and
is floating: entry ``x`` is the relevance of one such item. ``table[:, 0]`` must be 0, all entries finite
and at least 0. The classes below are the published choices; a function of one's own works as well.

References:
    Ramzi et al., Hierarchical Average Precision Training for Pertinent Image Retrieval, arXiv 2207.04873.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pml_suprank.checks import check_tensor, demand, list_of
from pml_suprank.deprecated import renamed_keywords, warn_old
from pml_suprank.values import (
    MOST,
    as_number,
    checked_callable,
    checked_integer,
    checked_positive,
    shown,
)

Relevance = Callable[[Tensor], Tensor]
FEW_COMPARISONS = 1 << 24
"""Up to so many, an accelerator counts all levels in one comparison of that size."""
MOST_GAINS = 1024
"""2^x is a float64 for x = 0, 1, ..., up to so many."""

__all__ = [
    "ExponentialGain",
    "LevelRelevance",
    "PopulationRelevance",
    "Relevance",
    "WeightedRelevance",
    "item_relevance",
    "level_counts",
    "level_relevance",
    "relevance_table",
]


@dataclass(frozen=True)
class PopulationRelevance:
    r"""Relevance shared out among the items with as many common levels; the default of H-AP.

    .. math:: r(x) = (x / L)^{\alpha} / n_x, \qquad r(x) = 0 \text{ where } n_x = 0

    where n_x items have x common levels. It is not monotone in x: one of many items of the query's class can weigh
    less than the only item of another class of its parent.

    The authors' code divides by L - 1 where the paper divides by L. H-AP does not change when all
    relevances of a query are multiplied by one constant, so both give the same H-AP.

    Args:
        alpha: exponent, > 0: 1 in the papers, 1.5 recommended in losses. 2 or 3 favours items of the same finest class
            further and costs H-AP, see ``docs/leaderboard.md``.

    Raises:
        ValueError: ``alpha`` is not a positive finite number.

    Example:
        >>> PopulationRelevance()(torch.tensor([[5, 4, 1]])).tolist()
        [[0.0, 0.125, 1.0]]

    References:
        Ramzi et al., Hierarchical Average Precision Training for Pertinent Image Retrieval, arXiv 2207.04873; Ramzi et
        al., Optimization of Rank Losses for Image Retrieval, arXiv 2309.08250.
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "alpha", checked_positive("alpha", self.alpha))

    def __call__(self, level_counts: Tensor) -> Tensor:
        """Return the table of relevances, float64, for ``level_counts`` of shape (B, L+1)."""
        _check_counts("level_counts", level_counts)
        num_levels = level_counts.shape[1] - 1
        depth = torch.arange(num_levels + 1, dtype=torch.float64, device=level_counts.device)
        share = depth / num_levels
        if self.alpha != 1:
            share = share**self.alpha
        return torch.where(level_counts > 0, share / level_counts, 0.0)


@dataclass(frozen=True, init=False)
class WeightedRelevance:
    r"""Relevance that makes H-AP a weighted mean of the APs of the levels.

    .. math:: r(x) = \sum_{c=1}^{x} w_{L-c} / N_c, \qquad N_c = \#\{i : i \text{ has } c \text{ common levels or more}\}

    where w_l is the weight of the AP at level l. It is monotone in the common levels x. Use it to say the share of each
    level; otherwise take :class:`PopulationRelevance`, the paper's.

    Args:
        weights: the weights in the order of earlier releases, coarsest level first. It goes with the next release.
        by_level: L weights, finest level first, each >= 0, not all 0: entry l weighs the AP at level l.

    Raises:
        TypeError: not one of ``weights`` and ``by_level``.
        ValueError: a weight is negative, not finite, or all are 0; or, when called, the number of weights
            is not the number of levels.

    Example:
        >>> WeightedRelevance(by_level=[0.75, 0.25])(torch.tensor([[5, 3, 1]])).tolist()
        [[0.0, 0.0625, 0.8125]]

    References:
        Ramzi et al., Hierarchical Average Precision Training for Pertinent Image Retrieval, arXiv 2207.04873, whose
        levels count from the coarsest.
    """

    by_level: tuple[float, ...]

    def __init__(
        self, weights: Sequence[float] | None = None, *, by_level: Sequence[float] | None = None
    ) -> None:
        given = by_level if weights is None else weights
        if given is None or (weights is not None and by_level is not None):
            got = "neither" if given is None else "both"
            raise TypeError(f"WeightedRelevance: wanted by_level or weights, got {got}")
        numbers = tuple(map(as_number, list_of(given)))
        if not numbers or not all(0 <= w <= MOST for w in numbers) or not any(numbers):
            name = "by_level" if weights is None else "weights"
            raise ValueError(f"{name}: wanted numbers >= 0, not all 0, got {shown(given)}")
        if weights is not None:
            warn_old("WeightedRelevance: weights, coarsest level first,", "by_level=, finest first")
            numbers = numbers[::-1]
        object.__setattr__(self, "by_level", numbers)

    def __call__(self, level_counts: Tensor) -> Tensor:
        """Return the table of relevances, float64, for ``level_counts`` of shape (B, L+1)."""
        _check_counts("level_counts", level_counts)
        num_levels = level_counts.shape[1] - 1
        if len(self.by_level) != num_levels:
            raise ValueError(
                f"by_level: wanted one weight for each of the {num_levels} levels, "
                f"got {len(self.by_level)}"
            )
        at_least = level_counts[:, 1:].flip(1).cumsum(1).flip(1)
        weights = constants(self.by_level[::-1], at_least, torch.float64)
        increments = torch.where(at_least > 0, weights / at_least, 0.0)
        return torch.nn.functional.pad(increments.cumsum(1), (1, 0))


@dataclass(frozen=True)
class ExponentialGain:
    r"""The gain of NDCG, :math:`r(x) = 2^x - 1`, whatever the counts.

    Example:
        >>> ExponentialGain()(torch.tensor([[9, 9, 9]])).tolist()
        [[0.0, 1.0, 3.0]]
    """

    def __call__(self, level_counts: Tensor) -> Tensor:
        """Return the table of gains, float64, for ``level_counts`` of shape (B, L+1)."""
        _check_counts("level_counts", level_counts)
        if level_counts.shape[1] > MOST_GAINS:
            raise ValueError(
                f"level_counts: wanted at most {MOST_GAINS - 1} levels, whose gain float64 holds, "
                f"got {level_counts.shape[1] - 1}"
            )
        depth = torch.arange(level_counts.shape[1], dtype=torch.float64, device=level_counts.device)
        return (2.0**depth - 1).expand(level_counts.shape).clone()


def constants(values: Sequence[float], like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Return a few numbers on the device of a tensor, and in its dtype if none is given, without waiting for it."""
    device = like.device
    found = torch.tensor(values, dtype=dtype or like.dtype)
    return found.to(device, non_blocking=device.type == "cuda")


_RIGHT = (PopulationRelevance, WeightedRelevance, ExponentialGain)


@renamed_keywords(levels="common_levels")
def level_counts(common_levels: Tensor, num_levels: int, mask: Tensor | None = None) -> Tensor:
    """Count, for each query, the items that have exactly x common levels with it.

    Args:
        common_levels: (B, N), integers in 0..num_levels; -1 outside the retrieval set.
        num_levels: L.
        mask: (B, N), True for the items in the retrieval set; None for all.

    Returns:
        (B, L+1), int64.

    Example:
        >>> level_counts(torch.tensor([[0, 2, 1, 0]]), 2).tolist()
        [[2, 1, 1]]
    """
    num_levels = checked_integer("num_levels", num_levels, 0)
    check_tensor("common_levels", common_levels, "integers", ("B", "N"))
    if mask is not None:
        check_tensor("mask", mask, "boolean")
        if mask.shape != common_levels.shape or mask.device != common_levels.device:
            raise ValueError(
                f"mask: wanted the shape and device of common_levels, {tuple(common_levels.shape)} on "
                f"{common_levels.device}, got {tuple(mask.shape)} on {mask.device}"
            )
        common_levels = torch.where(mask, common_levels, -1)
    try:  # NumPy counts a row of booleans many times faster than a sum does
        rows = common_levels.numpy()
    except (RuntimeError, TypeError):  # on another device, or wrapped by torch.func
        if common_levels.numel() * (num_levels + 1) <= FEW_COMPARISONS:
            each = torch.arange(
                num_levels + 1, dtype=common_levels.dtype, device=common_levels.device
            )
            return (common_levels.unsqueeze(2) == each).sum(dim=1)
        return torch.stack([(common_levels == x).sum(dim=1) for x in range(num_levels + 1)], dim=1)
    if rows.size and rows.max() > num_levels:
        raise _too_deep(num_levels, rows.max())
    counts = [[np.count_nonzero(row == x) for x in range(num_levels + 1)] for row in rows]
    return torch.tensor(counts, dtype=torch.long).view(len(common_levels), num_levels + 1)


def _too_deep(num_levels: int, most: Tensor | np.generic) -> ValueError:
    return ValueError(f"common_levels: wanted at most num_levels {num_levels}, got {int(most)}")


def _demand_at_most(common_levels: Tensor, num_levels: int) -> None:
    def complain() -> None:
        raise _too_deep(num_levels, common_levels.max())

    demand((common_levels <= num_levels).all(), complain)


def _check_counts(name: str, counts: Tensor) -> None:
    check_tensor(name, counts, "numbers", ("B", "L + 1"))
    if counts.shape[1] < 2:
        raise ValueError(
            f"{name}: wanted a column for 0, 1, ... common levels, got {counts.shape[1]}"
        )


def relevance_table(relevance: Relevance, counts: Tensor) -> Tensor:
    """Call ``relevance`` and check what it returns; the classes of this module are right by construction.

    Args:
        relevance: a callable as described at the top of this module.
        counts: (B, L+1), as :func:`level_counts` gives them.

    Returns:
        (B, L+1), floating.

    Raises:
        ValueError: the result is not a floating tensor of that shape, is not finite, has a negative
            entry, or a relevance other than 0 of items without a common level.
    """
    checked_callable("relevance", relevance, "a function of level counts")
    _check_counts("counts", counts)
    table = relevance(counts)
    if not torch.is_tensor(table) or not table.is_floating_point() or table.shape != counts.shape:
        got = (
            f"{table.dtype} of shape {tuple(table.shape)}"
            if torch.is_tensor(table)
            else type(table)
        )
        raise ValueError(
            f"relevance: wanted a floating table of shape {tuple(counts.shape)}, got {got}"
        )
    if type(relevance) in _RIGHT:
        return table
    right = ((table >= 0) & (table < math.inf)).all() & (table[:, 0] == 0).all()
    if not bool(right):
        raise ValueError(
            "relevance: wanted finite entries >= 0, and 0 where no level is common, "
            f"got a table between {table.min().item()} and {table.max().item()} "
            f"with {table[:, 0].abs().max().item()} where none is"
        )
    return table


class LevelRelevance(NamedTuple):
    """Relevance that is the same for all items of a query that share as many levels with it."""

    table: Tensor
    """(B, L + 1), for 0, 1, ... common levels; 0 for none."""
    counts: Tensor
    """(B, L + 1), how many items of the retrieval set share so many levels."""

    @property
    def total(self) -> Tensor:
        """(B,), the relevance of all items of a query."""
        return (self.table * self.counts).sum(dim=1)


def level_relevance(relevance: Relevance, common_levels: Tensor, num_levels: int) -> LevelRelevance:
    """Return the relevance of the items of each level of a query.

    Args:
        relevance: a callable as described at the top of this module.
        common_levels: (B, N), integers in 0..num_levels, -1 outside the retrieval set.
        num_levels: L.
    """
    counts = level_counts(common_levels, checked_integer("num_levels", num_levels, 1))
    return LevelRelevance(relevance_table(relevance, counts), counts)


@renamed_keywords(levels="common_levels")
def item_relevance(
    relevance: Relevance, common_levels: Tensor, num_levels: int, mask: Tensor | None = None
) -> Tensor:
    """Return the relevance of every item for every query.

    Args:
        relevance: a callable as described at the top of this module.
        common_levels: (B, N), integers in 0..num_levels; -1 outside the retrieval set.
        num_levels: L.
        mask: (B, N), True for the items in the retrieval set; the others are neither counted nor relevant.

    Returns:
        (B, N), floating.

    Example:
        >>> item_relevance(PopulationRelevance(), torch.tensor([[2, 1, 1, 0]]), 2).tolist()
        [[1.0, 0.25, 0.25, 0.0]]
    """
    num_levels = checked_integer("num_levels", num_levels, 1)
    table = relevance_table(relevance, level_counts(common_levels, num_levels, mask))
    _demand_at_most(common_levels, num_levels)
    outside = common_levels < 0 if mask is None else ~mask | (common_levels < 0)
    return table.gather(1, common_levels.clamp(min=0).long()).masked_fill(outside, 0.0)

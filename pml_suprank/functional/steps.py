r"""Rank surrogates: by how much one item pushes another down the ranking.

With :math:`t_{ij} = s_j - s_i` (item j is ahead of item i when it is positive), a query ranks item i at

.. math::
    \mathrm{rank}_i = 1 + \sum_{j \ne i} C(t_{ij}), \qquad
    \mathrm{hrank}_i = r_i + \sum_{j \ne i} G(t_{ij}) \min(r_i, r_j)

A surrogate supplies the comparators C and G and their slopes. C may depend on whether j has a lower level than
i, G on whether it has a higher one.

References:
    Ramzi et al., Optimization of Rank Losses for Image Retrieval, arXiv 2309.08250.
"""

import math
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from pml_suprank.values import as_number, checked_instance, checked_number, shown

LEAST_TAU = 1e-38
"""Still a number in float32; where scores differ, the sigmoid is then a step."""
_MAX_EXPONENT = 50.0


def heaviside(t: Tensor) -> Tensor:
    """Return 1 where ``t >= 0``, else 0, in the dtype of ``t``, without gradient."""
    return (t >= 0).to(t.dtype)


def sigmoid(t: Tensor, tau: float) -> Tensor:
    r"""Return :math:`1 / (1 + e^{-t/\tau})` with the exponent clamped to [-50, 50]."""
    return torch.sigmoid((t / tau).clamp(-_MAX_EXPONENT, _MAX_EXPONENT))


def sigmoid_slope(t: Tensor, tau: float) -> Tensor:
    """Return the derivative of :func:`sigmoid`; exactly 0 where the exponent is clamped."""
    value = sigmoid(t, tau)
    return (value * (1 - value) / tau).masked_fill(t.abs() > _MAX_EXPONENT * tau, 0.0)


def hard_places(scores: Tensor, common_levels: Tensor, relevance: Tensor | None = None) -> Tensor:
    """Return the place of every item in the list of its query, best score first: the one rule on ties.

    Among equal scores less relevant items come first: fewer common levels, then lower relevance, then the order of
    the items.

    Args:
        scores: (B, N), higher is closer.
        common_levels: (B, N), integers; -1 is outside the retrieval set, and has a place that shifts none within it.
        relevance: (B, N); None where items that share as many levels are as relevant.

    Returns:
        (B, N), int64, from 0.

    Example:
        >>> hard_places(torch.tensor([[0.5, 0.9, 0.5]]), torch.tensor([[1, 0, 0]])).tolist()
        [[2, 0, 1]]
    """
    order = None
    for key in (relevance, common_levels, -scores):
        if key is not None and order is None:
            order = key.argsort(dim=1, stable=True)
        elif key is not None and order is not None:
            order = order.gather(1, key.gather(1, order).argsort(dim=1, stable=True))
    assert order is not None
    numbers = torch.arange(scores.shape[1], device=scores.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, numbers)


class Surrogate(Protocol):
    """What a rank backend asks of a surrogate; all tensors broadcast together."""

    @property
    def rank_has_gradient(self) -> bool:
        """Whether ``competitor`` depends on the scores smoothly anywhere."""

    @property
    def hrank_has_gradient(self) -> bool:
        """Whether ``numerator`` depends on the scores smoothly anywhere."""

    def competitor(self, t: Tensor, lower: Tensor) -> Tensor:
        """C(t); ``lower`` is True where the competitor has a lower level."""

    def competitor_slope(self, t: Tensor, lower: Tensor) -> Tensor:
        """The derivative of :meth:`competitor`."""

    def numerator(self, t: Tensor, higher: Tensor) -> Tensor:
        """G(t); ``higher`` is True where the competitor has a higher level."""

    def numerator_slope(self, t: Tensor, higher: Tensor) -> Tensor:
        """The derivative of :meth:`numerator`."""


@dataclass(frozen=True)
class HardRank:
    """The rank itself, without gradient: the place in the list, which is what the metrics read.

    A tie counts against the model: :func:`hard_places` decides it, before a backend compares anything. What is then
    left to compare has no ties, so that both comparators are the step.
    """

    rank_has_gradient = False
    hrank_has_gradient = False

    def competitor(self, t: Tensor, lower: Tensor) -> Tensor:
        """Return H(t)."""
        return heaviside(t)

    def competitor_slope(self, t: Tensor, lower: Tensor) -> Tensor:
        """Return 0."""
        return torch.zeros_like(t)

    def numerator(self, t: Tensor, higher: Tensor) -> Tensor:
        """Return H(t)."""
        return heaviside(t)

    def numerator_slope(self, t: Tensor, higher: Tensor) -> Tensor:
        """Return 0."""
        return torch.zeros_like(t)


@dataclass(frozen=True)
class SmoothRank:
    """Both comparators are a sigmoid, whatever the levels (SmoothAP).

    Args:
        tau: temperature, > 0, in score units.

    Raises:
        ValueError: ``tau`` is not a positive finite number.

    References:
        Brown et al., Smooth-AP: Smoothing the Path Towards Large-Scale Image Retrieval, arXiv 2007.12163.
    """

    tau: float = 0.01
    rank_has_gradient = True
    hrank_has_gradient = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "tau", checked_number("tau", self.tau, LEAST_TAU))

    def competitor(self, t: Tensor, lower: Tensor) -> Tensor:
        """Return the sigmoid of t."""
        return sigmoid(t, self.tau)

    def competitor_slope(self, t: Tensor, lower: Tensor) -> Tensor:
        """Return the slope of the sigmoid at t."""
        return sigmoid_slope(t, self.tau)

    def numerator(self, t: Tensor, higher: Tensor) -> Tensor:
        """Return the sigmoid of t."""
        return sigmoid(t, self.tau)

    def numerator_slope(self, t: Tensor, higher: Tensor) -> Tensor:
        """Return the slope of the sigmoid at t."""
        return sigmoid_slope(t, self.tau)


@dataclass(frozen=True)
class HRankStep:
    r"""HAPPIER's smooth lower bound of H-rank, for competitors of a higher level.

    .. math::
        G(t) = \mathrm{leak} \cdot t \text{ for } t \le 0, \qquad \min(1, \beta t + \gamma) \text{ for } t > 0

    A gamma above 1 makes it the constant 1 for t > 0. Negative values below 0 are meant: H-AP scores can then be
    negative and losses exceed 1.

    References:
        Ramzi et al., Hierarchical Average Precision Training for Pertinent Image Retrieval, arXiv 2207.04873.
    """

    beta: float = 25.0
    gamma: float = 0.5
    leak: float = 10.0

    def __post_init__(self) -> None:
        for name in ("beta", "gamma", "leak"):
            value = checked_number(f"hrank {name}", getattr(self, name), 0)
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class SupRank:
    r"""SupRank: a smooth upper bound of the rank.

    Competitors of the same or a higher level count as a step without gradient; those of a lower level by

    .. math::
        C(t) = \begin{cases}
            \sigma_\tau(t) & t \le 0 \\
            \mathrm{start} + \sigma_\tau(t) & 0 < t \le \delta \\
            \rho (t - \delta) + \mathrm{offset} & t > \delta
        \end{cases}

    Args:
        tau: temperature of the sigmoid, > 0, in score units.
        rho: slope beyond ``delta``, >= 0; -1 keeps the sigmoid everywhere.
        delta: where the linear part begins, >= 0; None begins it at 0 (``C(t) = rho t + offset``), which needs an
            ``offset``.
        start: jump at 0, >= -0.5: below that a rank can be negative.
        offset: value at ``delta``, >= 0; None makes C continuous there, ``start + sigmoid(delta / tau)``, as in the
            papers. The authors' configurations set it, see :data:`pml_suprank.functional.PRESETS`.
        hrank: smooth numerator of HAPPIER; None counts the numerator by steps, without gradient.

    Raises:
        ValueError: a value outside its range, or ``delta=None`` without an ``offset``.

    References:
        Ramzi et al., Robust and Decomposable Average Precision for Image Retrieval, arXiv 2110.01445;
        Ramzi et al., Optimization of Rank Losses for Image Retrieval, arXiv 2309.08250.
    """

    tau: float = 0.01
    rho: float = 100.0
    delta: float | None = 0.05
    start: float = 0.5
    offset: float | None = None
    hrank: HRankStep | None = None
    rank_has_gradient = True

    def __post_init__(self) -> None:
        step = {
            "tau": checked_number("tau", self.tau, LEAST_TAU),
            "rho": -1 if as_number(self.rho) == -1 else checked_number("rho", self.rho, 0),
            "delta": checked_number("delta", self.delta, 0, optional=True),
            # below these a competitor counts less than nothing, and ranks can be negative
            "start": checked_number("start", self.start, -0.5),
            "offset": checked_number("offset", self.offset, 0, optional=True),
        }
        for name, value in step.items():
            object.__setattr__(self, name, value)
        if self.hrank is not None:
            checked_instance("hrank", self.hrank, HRankStep, "an HRankStep, or None")
        if self.delta is None and self.offset is None and self.rho != -1:
            raise ValueError("offset: wanted a number with delta=None, got None")

    @property
    def hrank_has_gradient(self) -> bool:
        """Whether the numerator is smooth."""
        return self.hrank is not None

    @property
    def value_at_delta(self) -> float:
        """The value from which the linear part rises."""
        if self.offset is not None:
            return self.offset
        exponent = min((self.delta or 0.0) / self.tau, _MAX_EXPONENT)
        return self.start + 1 / (1 + math.exp(-exponent))

    def competitor(self, t: Tensor, lower: Tensor) -> Tensor:
        """Return C(t) for competitors of a lower level, H(t) for the others."""
        return torch.where(lower, self.lower_competitor(t), heaviside(t))

    def lower_competitor(self, t: Tensor) -> Tensor:
        """Return C(t) for competitors of a lower level."""
        value = sigmoid(t, self.tau)
        if self.rho == -1:
            return value
        if self.delta is None:
            return torch.where(t > 0, self.rho * t + self.value_at_delta, value)
        value = torch.where(t > 0, self.start + value, value)
        linear = self.rho * (t - self.delta) + self.value_at_delta
        return torch.where(t > self.delta, linear, value)

    def competitor_slope(self, t: Tensor, lower: Tensor) -> Tensor:
        """Return C'(t) for competitors of a lower level, 0 for the others."""
        slope = sigmoid_slope(t, self.tau)
        if self.rho != -1:
            slope = slope.masked_fill(t > (self.delta or 0.0), self.rho)
        return slope.masked_fill(~lower, 0.0)

    def numerator(self, t: Tensor, higher: Tensor) -> Tensor:
        """Return G(t)."""
        if self.hrank is None:
            return heaviside(t)
        ahead = self.hrank.beta * t + self.hrank.gamma
        ahead = torch.where(ahead <= 1, ahead, 1.0)  # torch's clamp has no one slope where it is 1
        if self.hrank.gamma > 1:
            ahead = torch.ones_like(t)
        smooth = torch.where(t > 0, ahead, self.hrank.leak * t)
        return torch.where(higher, smooth, heaviside(t))

    def numerator_slope(self, t: Tensor, higher: Tensor) -> Tensor:
        """Return G'(t)."""
        slope = torch.zeros_like(t)
        if self.hrank is None:
            return slope
        if self.hrank.gamma <= 1:
            rising = (t > 0) & (self.hrank.beta * t + self.hrank.gamma <= 1)
            slope = slope.masked_fill(rising, self.hrank.beta)
        slope = slope.masked_fill(t <= 0, self.hrank.leak)
        return slope.masked_fill(~higher, 0.0)


def check_surrogate(surrogate: Any) -> None:
    """Raise a ValueError unless an object has what :class:`Surrogate` asks for."""
    flags = ("rank_has_gradient", "hrank_has_gradient")
    if isinstance(surrogate, type) or not all(hasattr(surrogate, name) for name in flags):
        raise ValueError(
            f"surrogate: wanted HardRank(), SmoothRank(), SupRank() or an object like them, got {shown(surrogate)}"
        )

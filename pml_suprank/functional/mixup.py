"""Virtual items: what lies between two items, by their scores alone."""

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["MixedPairs", "class_pairs", "mixed_pairs", "with_mixed"]


class MixedPairs(NamedTuple):
    """V pairs of items, each with the share of its first."""

    first: Tensor
    """(V,), int64."""
    second: Tensor
    """(V,), int64."""
    share: Tensor
    """(V,), in [0, 1], float64."""


def class_pairs(classes: Tensor, most: int | None = None) -> tuple[Tensor, Tensor]:
    """Return pairs of different items of one class, for classes of any sizes.

    Args:
        classes: (n,), the class of every item.
        most: the most pairs of a class. A class that has more gives so many at random, with replacement, drawn from
            torch's generator of the CPU; the others, and all where it is None, give each pair once.

    Returns:
        Two tensors (V,) of indices into ``classes``.

    Example:
        >>> class_pairs(torch.tensor([7, 5, 7, 7]))
        (tensor([0, 0, 2]), tensor([2, 3, 3]))
    """
    _, inverse, counts = classes.unique(return_inverse=True, return_counts=True)
    members = inverse.argsort(stable=True)
    start = counts.cumsum(0) - counts
    available = counts * (counts - 1) // 2
    taken = available if most is None else available.clamp(max=most)
    owner = torch.repeat_interleave(taken)
    number = torch.arange(len(owner), device=classes.device) - (taken.cumsum(0) - taken)[owner]
    drawn = available[owner] > taken[owner]
    if bool(drawn.any()):
        chance = torch.rand(int(drawn.sum()), dtype=torch.float64).to(classes.device)
        number[drawn] = (chance * available[owner][drawn]).long()
    # pairs are numbered (0, 1), (0, 2), (1, 2), (0, 3), ...: second (second - 1) / 2 + first
    second = ((1 + (1 + 8 * number.double()).sqrt()) / 2).long()
    first = number - second * (second - 1) // 2
    return members[start[owner] + first], members[start[owner] + second]


def mixed_pairs(classes: Tensor, most: int | None = None) -> MixedPairs:
    """Draw pairs of a class, see :func:`class_pairs`, and their shares, uniform in [0, 1].

    Everything random comes from torch's generator of the CPU, so that a seed or its saved state repeats it on
    every device.
    """
    first, second = class_pairs(classes, most)
    share = torch.rand(len(first), dtype=torch.float64).to(classes.device)
    return MixedPairs(first, second, share)


def with_mixed(scores: Tensor, pairs: MixedPairs, dim: int = 0) -> Tensor:
    r"""Append to scores, along ``dim``, those of the virtual items.

    .. math:: s(v_{ij}, \cdot) = \alpha s(i, \cdot) + (1 - \alpha) s(j, \cdot)

    For a dot product, as cosine is one, these are the scores of :math:`\alpha x_i + (1 - \alpha) x_j`, which is not
    normalised again.

    Args:
        scores: (B, N).
        pairs: of rows (``dim`` 0) or of columns (``dim`` 1).
        dim: 0 or 1.

    Returns:
        (B + V, N) or (B, N + V).

    Example:
        >>> pairs = MixedPairs(torch.tensor([0]), torch.tensor([1]), torch.tensor([0.25]))
        >>> with_mixed(torch.tensor([[4.0], [8.0]]), pairs).tolist()
        [[4.0], [8.0], [7.0]]
    """
    share = pairs.share.to(scores.dtype).unsqueeze(1 - dim)
    first, second = scores.index_select(dim, pairs.first), scores.index_select(dim, pairs.second)
    return torch.cat([scores, second + share * (first - second)], dim=dim)

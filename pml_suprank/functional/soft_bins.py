"""Average precision on scores spread over bins."""

import torch
from torch import Tensor

from pml_suprank.checks import list_of
from pml_suprank.functional.inputs import check_items
from pml_suprank.values import MOST, as_number, checked_integer, shown

MOST_BINS = 2**24
"""Up to so many float32 tells bins apart."""

__all__ = ["soft_bin_average_precision"]


def soft_bin_average_precision(
    scores: Tensor,
    positive: Tensor,
    mask: Tensor | None = None,
    *,
    num_bins: int = 20,
    score_range: tuple[float, float] = (-1.0, 1.0),
) -> Tensor:
    r"""Return quantised AP, for each query.

    The M bins stand at equal steps from the top of the range to its bottom. A score counts in the two bins beside it,
    with weights that fall linearly with the distance. With :math:`c_m` the weight of all items in bin m and
    :math:`c^+_m` that of the P positives,

    .. math::
        \frac{1}{P} \sum_{m=1}^{M} c^+_m
        \frac{c^+_1 + \dots + c^+_m}{c_1 + \dots + c_m}

    A score outside the range counts in the outermost bin, without gradient, as in the authors' code.
    Memory is O(B (N + M)): each score is added to its two bins.

    Args:
        scores: (B, N), higher is closer. Half precision is binned in float32.
        positive: (B, N), boolean.
        mask: (B, N), False for items that are not in the retrieval set.
        num_bins: M, >= 2.
        score_range: the lowest and the highest bin.

    Returns:
        (B,), in [0, 1], below 1 for most perfect rankings; 0 without gradient for a query without positives.

    Raises:
        ValueError: shapes or dtypes that do not fit, scores that are not finite, bins out of range.

    Example:
        >>> scores, positive = torch.tensor([[1.0, 0.5, 0.0]]), torch.tensor([[True, True, False]])
        >>> soft_bin_average_precision(scores, positive, num_bins=3).item()  # (1.5 + .5 * 2 / 3) / 2
        0.9166...

    References:
        Revaud et al., Learning with Average Precision: Training Image Retrieval with a Listwise Loss,
        arXiv 1906.07589.
    """
    num_bins = checked_num_bins(num_bins)
    low, high = checked_range(score_range)
    check_items(scores, positive=positive, mask=mask)
    scores = scores.to(torch.promote_types(torch.float32, scores.dtype))
    positive = positive if mask is None else positive & mask
    place = ((high - scores) * ((num_bins - 1) / (high - low))).clamp(0, num_bins - 1)
    upper = place.detach().floor().clamp(max=num_bins - 2)
    share = place - upper
    upper = upper.long()

    def histogram(items: Tensor | None) -> Tensor:
        near, far = 1 - share, share
        if items is not None:
            near, far = near.masked_fill(~items, 0.0), far.masked_fill(~items, 0.0)
        empty = scores.new_zeros(len(scores), num_bins)
        return empty.scatter_add(1, upper, near).scatter_add(1, upper + 1, far)

    found = histogram(positive)
    seen = histogram(mask).cumsum(dim=1)
    precision = found.cumsum(dim=1) / seen.masked_fill(seen == 0, 1.0)
    return (found * precision).sum(dim=1) / positive.sum(dim=1).clamp(min=1)


def checked_num_bins(num_bins: int) -> int:
    """Return how many bins there are, or raise a ValueError."""
    return int(checked_integer("num_bins", num_bins, 2, MOST_BINS))


def checked_range(score_range: tuple[float, float]) -> tuple[float, float]:
    """Return the lowest and the highest bin, or raise a ValueError unless they are numbers in this order."""
    ends = [as_number(end) for end in list_of(score_range)]
    if len(ends) != 2 or not -MOST <= ends[0] < ends[1] <= MOST:
        raise ValueError(
            f"score_range: wanted two finite numbers, lowest first, got {shown(score_range)}"
        )
    return ends[0], ends[1]

"""All triplets of a batch without a list of them."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from pml_suprank.checks import checked_per_level, list_of
from pml_suprank.deprecated import renamed_keywords
from pml_suprank.functional.inputs import check_common_levels, check_items
from pml_suprank.functional.operation import Operation, apply, plain, untraced

__all__ = ["TripletSums", "triplet_hinge_sums"]


class TripletSums(NamedTuple):
    """Sums over the triplets of each anchor."""

    total: Tensor
    """(B,), sum of the hinges, differentiable."""
    num_violations: Tensor
    """(B,), int64, triplets whose hinge is above 0."""
    num_triplets: Tensor
    """(B,), int64."""


@renamed_keywords(levels="common_levels")
@untraced
def triplet_hinge_sums(
    scores: Tensor, common_levels: Tensor, mask: Tensor | None = None, *, margins: Sequence[float]
) -> TripletSums:
    r"""Sum the hinges of all triplets across levels, for each anchor.

    .. math:: \sum_{p,\, n :\, \ell_p > \ell_n} \max(0,\ s_n - s_p + m_{\ell_p})

    Each row is sorted once; what lies above :math:`s_p - m` is then a difference of prefix sums. With L levels, time is
    O(L B N log N) at most, memory O(B N); the comparisons and sums are in float64. The gradient of a score is the
    number of hinges that it is in, exactly.

    Args:
        scores: (B, N), finite, higher is closer.
        common_levels: (B, N), integers in 0..L, levels that an item shares with the anchor; -1 outside
            the retrieval set.
        mask: (B, N), False for items that the anchor forms no triplets with.
        margins: m, L numbers for the finest column that a and p have in common, finest first, in score units.

    Raises:
        ValueError: shapes or dtypes that do not fit, scores that are not finite, more common levels than margins.

    Example:
        >>> scores, common_levels = torch.tensor([[0.5, 0.75, 0.25]]), torch.tensor([[1, 0, 0]])
        >>> sums = triplet_hinge_sums(scores, common_levels, margins=(0.125,))
        >>> sums.total.item(), sums.num_violations.item(), sums.num_triplets.item()
        (0.375, 1, 2)
    """
    check_items(scores, common_levels=common_levels, mask=mask)
    margins = checked_per_level("margins", list_of(margins), least=-math.inf)
    check_common_levels(common_levels, len(margins))
    if mask is not None:
        common_levels = torch.where(mask, common_levels, -1)
    operation = _HingeSums(common_levels, margins)
    (total,) = apply(operation, scores)
    return TripletSums(total, operation.violations, operation.triplets)


class _HingeSums(Operation):
    violations: Tensor
    triplets: Tensor

    def __init__(self, common_levels: Tensor, margins: Sequence[float]) -> None:
        self.common_levels, self.margins = plain(common_levels), margins

    def value(self, scores: Tensor) -> tuple[Tensor]:
        """Return the sums, (B,)."""
        common_levels, margins = self.common_levels, self.margins
        inside = common_levels >= 0
        exact = scores.detach().double()
        ordered, order = exact.sort(dim=1)
        total = exact.new_zeros(len(exact))
        violations = torch.zeros_like(order[:, 0])
        triplets = torch.zeros_like(violations)
        pull = torch.zeros_like(scores)
        for column, margin in enumerate(margins):
            shared = len(margins) - column
            positive, negative = common_levels == shared, (common_levels < shared) & inside
            if not positive.any():
                continue
            row, item, place = _packed(positive)
            # a threshold above all scores, where a row has fewer positives than another
            thresholds = exact.new_full(
                (len(exact), int(place.max()) + 1), float(ordered.max()) + 1
            )
            thresholds[row, place] = exact[row, item] - margin

            in_order = negative.gather(1, order)
            count = pad(in_order.cumsum(dim=1), (1, 0))
            sums = pad((ordered * in_order).cumsum(dim=1), (1, 0))
            start = torch.searchsorted(ordered, thresholds, right=True)
            above = count[:, -1:] - count.gather(1, start)
            total += (sums[:, -1:] - sums.gather(1, start) - above * thresholds).sum(dim=1)
            violations += above.sum(dim=1)
            triplets += positive.sum(dim=1) * negative.sum(dim=1)

            if self.needs_gradient:
                pull[row, item] -= above[row, place].to(pull.dtype)
                below = torch.searchsorted(thresholds.sort(dim=1).values, exact)
                pull += below.masked_fill_(~negative, 0)
        self.pull, self.violations, self.triplets = pull, violations, triplets
        return (total.to(scores.dtype),)

    def gradient(
        self,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        grads: Sequence[Tensor],
        wanted: Sequence[bool],
    ) -> tuple[Tensor]:
        """Return how many hinges each score is in, less those that it is in with a minus, (B, N)."""
        return (self.pull * grads[0].unsqueeze(1),)

    def definition(self, scores: Tensor) -> tuple[Tensor]:
        """Return the linear piece that the sums are on."""
        return ((scores * self.pull).sum(dim=1),)


def _packed(chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return row and column of what is chosen, and its number within the row."""
    row, item = chosen.nonzero(as_tuple=True)
    counts = chosen.sum(dim=1)
    number = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row]
    return row, item, number

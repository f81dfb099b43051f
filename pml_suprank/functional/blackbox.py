"""Average precision on the rank itself, with the gradient of a blackbox solver."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pml_suprank.functional.operation import Operation, apply, plain, untraced

__all__ = ["blackbox_average_precision"]


@untraced
def blackbox_average_precision(
    scores: Tensor,
    positive: Tensor,
    mask: Tensor | None = None,
    *,
    lambda_val: float = 4.0,
    margin: float = 0.02,
) -> Tensor:
    r"""Return the exact AP of every query, differentiated as a blackbox.

    The margin first moves positives down and negatives up by half of it. With :math:`\mathrm{rk}(s)` the ranks of all
    items of a query by the scores that result, and :math:`L = 1 - AP`,

    .. math::
        \frac{\partial L}{\partial s} =
        \frac{\mathrm{rk}(s') - \mathrm{rk}(s)}{\lambda}, \qquad
        s' = s + \lambda \frac{\partial L}{\partial\,\mathrm{rk}}, \qquad
        \frac{\partial L}{\partial\,\mathrm{rk}_i} = \frac{\mathrm{rk}^+_i}{P\,\mathrm{rk}_i^2}
        \text{ for the positives}

    Without a margin the value is that of :func:`average_precision`, ties included. For the gradient an item that ties
    with others is behind all of them, in both rankings. One sort each, O(B N) memory.

    The authors' code perturbs by the gradient of the batch mean of normalised ranks, so that its lambda is
    ours times B / N; here reducers, weights of losses and gradient scalers rescale the gradient and do not
    change it. Its margin is random, half-normal with this scale; the paper's, here, is fixed.

    Args:
        scores: (B, N), higher is closer. Half precision is ranked in float32.
        positive: (B, N), boolean.
        mask: (B, N), False for items that are not in the retrieval set.
        lambda_val: length of the perturbation, > 0.
        margin: alpha, >= 0, in score units.

    Returns:
        (B,), in [0, 1]; 0 without gradient for a query without positives.

    Raises:
        RuntimeError: when a second derivative is asked for.

    Example:
        >>> scores = torch.tensor([[0.9, 0.5, 0.1]], requires_grad=True)
        >>> ap = blackbox_average_precision(scores, torch.tensor([[False, True, False]]))
        >>> ap.item()
        0.5
        >>> ap.sum().backward()
        >>> scores.grad  # lambda / 4 lifts the positive over the first item
        tensor([[-0.2500,  0.2500,  0.0000]])

    References:
        Rolinek et al., Optimizing Rank-based Metrics with Blackbox Differentiation, arXiv 1912.03500.
    """
    scores = scores.to(torch.promote_types(torch.float32, scores.dtype))
    positive = positive if mask is None else positive & mask
    shifted = scores + margin * (0.5 - positive.to(scores.dtype))
    (score,) = apply(_BlackBoxAP(positive, mask, lambda_val), shifted)
    return score


class _BlackBoxAP(Operation):
    """AP of one query from ranks; linear in the gradient that comes in."""

    def __init__(self, positive: Tensor, mask: Tensor | None, lambda_val: float) -> None:
        self.positive, self.lambda_val = plain(positive), lambda_val
        self.mask = None if mask is None else plain(mask)

    def value(self, scores: Tensor) -> tuple[Tensor]:
        """Return AP, (B,)."""
        positive = self.positive
        self.rank = rank = _rank(scores, self.mask).to(scores.dtype)
        within = _rank(scores, positive).to(scores.dtype)
        count = positive.sum(dim=1, keepdim=True).clamp(min=1)
        self.slope = within / (count * rank**2)
        # the k-th positive has rank k plus the negatives that are not behind it: of those it ties with, all
        negatives = (rank - within).masked_fill(~positive, torch.inf).sort(dim=1).values
        order = torch.arange(1, scores.shape[1] + 1, dtype=scores.dtype, device=scores.device)
        return ((order / (order + negatives) / count).sum(dim=1),)

    def gradient(
        self,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        grads: Sequence[Tensor],
        wanted: Sequence[bool],
    ) -> tuple[Tensor]:
        """Return the difference of two rankings, (B, N)."""
        (scores,), (grad_ap,) = inputs, grads
        perturbed = scores + self.lambda_val * self.slope.masked_fill(~self.positive, 0.0)
        gained = self.rank - _rank(perturbed, self.mask).to(scores.dtype)
        if self.mask is not None:
            gained = gained.masked_fill(~self.mask, 0.0)
        return (gained / self.lambda_val * grad_ap.unsqueeze(1),)

    def definition(self, scores: Tensor) -> tuple[Tensor]:
        """Raise a RuntimeError: the gradient is not that of a function."""
        raise RuntimeError(
            "blackbox_average_precision: wanted at most one derivative, a difference of two rankings has none; "
            "got asked for a second one. SmoothAP and SupAP have any number"
        )


def _rank(scores: Tensor, among: Tensor | None) -> Tensor:
    """Return how many of the items ``among`` do not come behind each item."""
    if among is not None:
        scores = scores.masked_fill(~among, -torch.inf)
    ordered = scores.sort(dim=1).values
    behind = torch.searchsorted(ordered, scores.contiguous())
    return (scores.shape[1] - behind).clamp(min=1)

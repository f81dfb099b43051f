"""Contrastive learning on all levels of a hierarchy."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pml_suprank.checks import checked_per_level, list_of
from pml_suprank.deprecated import renamed_keywords
from pml_suprank.functional.inputs import check_common_levels, check_items
from pml_suprank.functional.operation import untraced
from pml_suprank.values import checked_flag, checked_positive

__all__ = ["hierarchical_contrastive"]


@renamed_keywords(levels="common_levels")
@untraced
def hierarchical_contrastive(
    scores: Tensor,
    common_levels: Tensor,
    mask: Tensor | None = None,
    *,
    level_weights: Sequence[float],
    temperature: float = 0.07,
    constrained: bool = True,
) -> Tensor:
    r"""Return the hierarchical contrastive loss of every query.

    With the pair loss :math:`\ell_{ip} = \log \sum_a e^{s_{ia} / T} - s_{ip} / T` over the items a of the retrieval
    set, and :math:`P_c(i)` the items whose finest column in common with query i is c,

    .. math::
        \frac{1}{L} \sum_{c=0}^{L-1} \frac{\lambda_c}{|P_c(i)|} \sum_{p \in P_c(i)} \max(\ell_{ip}, m_c), \qquad
        m_c = \max_{q,\ p \in P_b(q),\ b < c} \ell_{qp}

    where :math:`m_0 = -\infty`. The constraint m says that a pair of a coarser level loses at least as much as
    any pair of a finer level, of any query in the batch; without it, m is left out.

    Args:
        scores: (B, N), higher is closer.
        common_levels: (B, N), integers in 0..L, levels that an item shares with the query; -1 outside
            the retrieval set.
        mask: (B, N), False for items that are not in the retrieval set.
        level_weights: lambda, L numbers, finest level first.
        temperature: T, > 0.
        constrained: whether to apply the constraint.

    Returns:
        (B,), 0 without gradient for a query that shares no level with any item.

    Raises:
        ValueError: shapes or dtypes that do not fit, scores that are not finite, a number outside its range, more
            common levels than weights.

    Example:
        >>> scores, common_levels = torch.tensor([[0.7, 0.7, 0.7]]), torch.tensor([[2, 1, 0]])
        >>> hierarchical_contrastive(scores, common_levels, level_weights=(3.0, 1.0)).item()  # (3 + 1) / 2 of log 3
        2.197...

    References:
        Zhang et al., Use All The Labels: A Hierarchical Multi-Label Contrastive Learning Framework,
        arXiv 2204.13207.
    """
    check_items(scores, common_levels=common_levels, mask=mask)
    level_weights = checked_per_level("level_weights", list_of(level_weights))
    check_common_levels(common_levels, len(level_weights))
    temperature = checked_positive("temperature", temperature)
    constrained = checked_flag("constrained", constrained)
    scores = scores.to(torch.promote_types(torch.float32, scores.dtype))
    num_levels = len(level_weights)
    logits = scores / temperature
    # finite, so that an empty retrieval set has loss and gradient 0
    if mask is not None:
        common_levels = torch.where(mask, common_levels, -1)
    among = logits.masked_fill(common_levels < 0, -1e30)
    pair_losses = among.logsumexp(dim=1, keepdim=True) - logits
    result = torch.zeros_like(pair_losses[:, 0])
    floor = None
    for column, weight in enumerate(level_weights):
        positive = common_levels == num_levels - column
        if not positive.any():
            continue
        losses = pair_losses if floor is None else torch.maximum(pair_losses, floor)
        mean = losses.masked_fill(~positive, 0.0).sum(dim=1) / positive.sum(dim=1).clamp(min=1)
        result = result + weight / num_levels * mean
        if constrained:
            floor = losses[positive].max()
    return result

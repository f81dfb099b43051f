"""The definition, in plain autograd over a (B, N, N) comparison of items: read it, test against it."""

import torch
from torch import Tensor

from pml_suprank.functional._backends.request import RankRequest, TargetRanks, targets_of


def why_not(request: RankRequest) -> str | None:
    """Return None: the definition takes every request."""
    return None


def ranks(request: RankRequest, targets: tuple[Tensor, Tensor] | None = None) -> TargetRanks:
    """Rank every positive item, or the ``targets``; dimension 1 is the item i, dimension 2 its competitor j."""
    scores, levels, surrogate = request.scores, request.levels, request.surrogate
    num_items = scores.shape[1]
    competes = ~torch.eye(num_items, dtype=torch.bool, device=scores.device).unsqueeze(0)
    if request.masked:
        competes = competes & (levels >= 0).unsqueeze(1)
    t = scores.unsqueeze(1) - scores.unsqueeze(2)

    lower = levels.unsqueeze(1) < levels.unsqueeze(2)
    behind = surrogate.competitor(t, lower).masked_fill(~competes, 0.0).sum(dim=2)
    targets = targets_of(levels) if targets is None else targets
    rank = 1 + behind[targets]
    relevance = request.item_relevance()
    if relevance is None:
        return TargetRanks(*targets, rank, None)

    higher = levels.unsqueeze(1) > levels.unsqueeze(2)
    shared = torch.minimum(relevance.unsqueeze(1), relevance.unsqueeze(2))
    ahead = (surrogate.numerator(t, higher) * shared).masked_fill(~competes, 0.0).sum(dim=2)
    return TargetRanks(*targets, rank, (relevance + ahead)[targets])

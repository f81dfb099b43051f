"""The definition, in plain autograd over a (B, N, N) comparison of items: read it, test against it."""

import torch

from pml_suprank.functional._backends.request import RankRequest, Ranks


def why_not(request: RankRequest) -> str | None:
    """Return None: the definition takes every request."""
    return None


def ranks(request: RankRequest) -> Ranks:
    """Rank every positive item; dimension 1 is the item i, dimension 2 its competitor j."""
    scores, levels, relevance, mask, surrogate = request
    num_items = scores.shape[1]
    competes = ~torch.eye(num_items, dtype=torch.bool, device=scores.device).unsqueeze(0)
    if mask is not None:
        competes = competes & mask.unsqueeze(1)
    ranked = request.ranked
    t = scores.unsqueeze(1) - scores.unsqueeze(2)

    lower = levels.unsqueeze(1) < levels.unsqueeze(2)
    behind = surrogate.competitor(t, lower).masked_fill(~competes, 0.0).sum(dim=2)
    rank = torch.where(ranked, 1 + behind, torch.ones_like(scores))
    if relevance is None:
        return Ranks(rank, None)

    higher = levels.unsqueeze(1) > levels.unsqueeze(2)
    shared = torch.minimum(relevance.unsqueeze(1), relevance.unsqueeze(2))
    ahead = (surrogate.numerator(t, higher) * shared).masked_fill(~competes, 0.0).sum(dim=2)
    return Ranks(rank, torch.where(ranked, relevance + ahead, torch.zeros_like(scores)))

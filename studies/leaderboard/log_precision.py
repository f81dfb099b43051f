"""The logarithm of the precision in place of the precision: a mistake far behind keeps its gradient."""

import torch
from torch import Tensor

from pml_suprank.functional.ranking import target_ranks
from pml_suprank.functional.steps import Surrogate
from pml_suprank.relevance import LevelRelevance

__all__ = ["log_precision"]

LEAST_PRECISION = 1e-6  # of which a logarithm is taken


def log_precision(
    scores: Tensor,
    common_levels: Tensor,
    relevance: LevelRelevance,
    *,
    surrogate: Surrogate,
    backend: str,
) -> Tensor:
    r"""One plus the mean of the logarithm of the precision at each item, weighted by relevance.

    .. math:: 1 + \frac{1}{\sum_i r_i} \sum_{\ell_i > 0} r_i \log \frac{\mathrm{hrank}_i}{r_i\,\mathrm{rank}_i}

    Since log p <= p - 1, it is H-AP at most.

    Args:
        scores: (B, N), higher is closer.
        common_levels: (B, N).
        relevance: of the levels.
        surrogate: the rank.
        backend: see :func:`pml_suprank.functional.ranks`.

    Returns:
        (B,), 1 at most.
    """
    found = target_ranks(scores, common_levels, relevance, surrogate=surrogate, backend=backend)
    assert found.hrank is not None
    levels = common_levels[found.query, found.item].long()
    own = relevance.table[found.query, levels].to(found.rank.dtype)
    logarithm = own * (found.hrank / (own * found.rank)).clamp(min=LEAST_PRECISION).log()
    total = relevance.total.to(found.rank.dtype)
    total = total.masked_fill(total == 0, 1.0)
    return 1 + torch.zeros_like(total).index_add(0, found.query, logarithm) / total

"""Ranking metrics of one query, as functions of ranks: with a surrogate rank they are losses.

Every function takes ``scores`` (B, N), higher is closer, and returns (B,) in the dtype the ranks are computed
in, at least float32. A query without relevant items scores 0, without gradient; the losses leave it out.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from pml_suprank.checks import checked_depths
from pml_suprank.functional.ranks import ranks
from pml_suprank.functional.steps import HardRank, Surrogate, sigmoid

__all__ = ["average_precision", "hierarchical_average_precision", "ndcg", "recall_at_k"]


def hierarchical_average_precision(
    scores: Tensor,
    levels: Tensor,
    relevance: Tensor,
    mask: Tensor | None = None,
    *,
    surrogate: Surrogate | None = None,
    backend: str = "auto",
) -> Tensor:
    r"""Return H-AP, for each query.

    .. math:: \frac{1}{\sum_i r_i} \sum_{\ell_i > 0} \frac{\mathrm{hrank}_i}{\mathrm{rank}_i}

    Args:
        scores: (B, N), higher is closer.
        levels: (B, N), integers >= 0; they choose the comparators.
        relevance: (B, N), >= 0, and 0 where the level is 0; it weighs the items.
        mask: (B, N), False for items that are not in the retrieval set.
        surrogate: the rank; None for the exact one.
        backend: see :func:`pml_suprank.functional.ranks`.

    Returns:
        (B,), in [0, 1] (below 0 is possible with HAPPIER's smooth numerator).

    Example:
        >>> scores = torch.tensor([[0.9, 0.5, 0.1]])
        >>> levels, relevance = torch.tensor([[0, 2, 1]]), torch.tensor([[0.0, 1.0, 0.5]])
        >>> hierarchical_average_precision(scores, levels, relevance).item()  # (1/2 + 1/3) / 1.5
        0.5555...

    References:
        Ramzi et al., arXiv 2207.04873.
    """
    if mask is not None:
        relevance = relevance.masked_fill(~mask, 0.0)
    result = ranks(
        scores, levels, relevance, mask, surrogate=surrogate or HardRank(), backend=backend
    )
    assert result.hrank is not None
    total = relevance.sum(dim=1).to(result.rank.dtype)
    score = (result.hrank / result.rank).sum(dim=1)
    return torch.where(total > 0, score / total.masked_fill(total == 0, 1.0), 0.0)


def average_precision(
    scores: Tensor,
    positive: Tensor,
    mask: Tensor | None = None,
    *,
    surrogate: Surrogate | None = None,
    backend: str = "auto",
) -> Tensor:
    r"""Return AP, for each query.

    .. math:: \frac{1}{P} \sum_{i\ \mathrm{positive}} \frac{\mathrm{rank}^+_i}{\mathrm{rank}_i}

    Args:
        scores: (B, N), higher is closer.
        positive: (B, N), boolean.
        mask: (B, N), False for items that are not in the retrieval set.
        surrogate: the rank; None for the exact one.
        backend: see :func:`pml_suprank.functional.ranks`.

    Returns:
        (B,), in [0, 1].

    Example:
        >>> average_precision(torch.tensor([[0.9, 0.5, 0.1]]), torch.tensor([[False, True, True]])).item()
        0.5833...

    References:
        Ramzi et al., arXiv 2110.01445.
    """
    return hierarchical_average_precision(
        scores,
        positive.long(),
        positive.to(scores.dtype),
        mask,
        surrogate=surrogate,
        backend=backend,
    )


def recall_at_k(
    scores: Tensor,
    positive: Tensor,
    mask: Tensor | None = None,
    *,
    k: Sequence[int] = (1, 2, 4, 8, 16),
    temperature: float = 1.0,
    surrogate: Surrogate | None = None,
    backend: str = "auto",
) -> Tensor:
    r"""Return recall@k with a smooth cut, averaged over the given k, for each query.

    .. math::
        \frac{1}{|K|} \sum_{k \in K} \frac{1}{\min(P, k)} \sum_{i\ \mathrm{positive}}
        \sigma\!\left(\frac{k - \mathrm{rank}_i}{\mathrm{temperature}}\right)

    Args:
        scores: (B, N), higher is closer.
        positive: (B, N), boolean.
        mask: (B, N), False for items that are not in the retrieval set.
        k: cut-offs, integers >= 1.
        temperature: of the cut, > 0, in ranks. At 1 a perfect ranking scores well below 1.
        surrogate: the rank; None for the exact one.
        backend: see :func:`pml_suprank.functional.ranks`.

    Returns:
        (B,), >= 0.

    Raises:
        ValueError: ``k`` is empty or has an entry below 1.

    Example:
        >>> scores, positive = torch.tensor([[0.9, 0.5, 0.1]]), torch.tensor([[False, True, True]])
        >>> recall_at_k(scores, positive, k=(2,), temperature=1e-3).item()  # rank 2 is on the edge: 1/2 of 2
        0.25

    References:
        Patel et al., Recall@k Surrogate Loss with Large Batches and Similarity Mixup, arXiv 2108.11179;
        Ramzi et al., arXiv 2309.08250.
    """
    cuts = checked_depths(k)
    positive = positive if mask is None else positive & mask
    result = ranks(
        scores, positive.long(), None, mask, surrogate=surrogate or HardRank(), backend=backend
    )
    count = positive.sum(dim=1)
    score = torch.zeros_like(result.rank[:, 0])
    for cut in cuts:
        within = sigmoid(cut - result.rank, temperature).masked_fill(~positive, 0.0).sum(dim=1)
        score = score + within / count.clamp(min=1, max=cut)
    return score / len(cuts)


def ndcg(
    scores: Tensor,
    levels: Tensor,
    gains: Tensor,
    mask: Tensor | None = None,
    *,
    surrogate: Surrogate | None = None,
    backend: str = "auto",
) -> Tensor:
    r"""Return NDCG, for each query.

    .. math::
        \frac{\sum_i g_i / \log_2(1 + \mathrm{rank}_i)}{\sum_n g_{(n)} / \log_2(1 + n)}

    Args:
        scores: (B, N), higher is closer.
        levels: (B, N), integers >= 0; they choose the comparators.
        gains: (B, N), >= 0, and 0 where the level is 0; usually 2^level - 1.
        mask: (B, N), False for items that are not in the retrieval set.
        surrogate: the rank; None for the exact one.
        backend: see :func:`pml_suprank.functional.ranks`.

    Returns:
        (B,), in [0, 1].

    Example:
        >>> scores, levels = torch.tensor([[0.9, 0.5, 0.1]]), torch.tensor([[0, 0, 1]])
        >>> ndcg(scores, levels, levels.double()).item()  # 1 / log2(4)
        0.5

    References:
        Järvelin and Kekäläinen, Cumulated gain-based evaluation of IR techniques, 2002; Ramzi et al.,
        arXiv 2309.08250.
    """
    if mask is not None:
        gains = gains.masked_fill(~mask, 0.0)
    result = ranks(scores, levels, None, mask, surrogate=surrogate or HardRank(), backend=backend)
    gains = gains.to(result.rank.dtype)
    positions = torch.arange(1, gains.shape[1] + 1, dtype=gains.dtype, device=gains.device)
    ideal = (gains.sort(dim=1, descending=True).values / torch.log2(1 + positions)).sum(dim=1)
    dcg = (gains / torch.log2(1 + result.rank)).sum(dim=1)
    return torch.where(ideal > 0, dcg / ideal.masked_fill(ideal == 0, 1.0), 0.0)

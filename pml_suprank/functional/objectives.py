"""Ranking metrics of one query, as functions of ranks: with a surrogate rank they are losses.

Without a surrogate they are the metrics of the same name in :mod:`pml_suprank.metrics`, ties included
(:func:`pml_suprank.functional.steps.hard_places`). ``recall_at_k`` has no smooth form: what the recall losses train is
another quantity, :func:`recall_surrogate`.

Every function takes ``scores`` (B, N), higher is closer, and returns (B,) in the dtype the ranks are computed
in, at least float32. A query without relevant items scores 0, without gradient; the losses leave it out.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from pml_suprank.checks import checked_depths
from pml_suprank.deprecated import renamed_keywords, warn_old
from pml_suprank.functional.operation import untraced
from pml_suprank.functional.ranking import target_ranks
from pml_suprank.functional.steps import HardRank, Surrogate, sigmoid
from pml_suprank.relevance import LevelRelevance, constants, level_counts

__all__ = [
    "average_precision",
    "hierarchical_average_precision",
    "ndcg",
    "recall_at_k",
    "recall_surrogate",
]


@renamed_keywords(levels="common_levels")
@untraced
def hierarchical_average_precision(
    scores: Tensor,
    common_levels: Tensor,
    relevance: Tensor | LevelRelevance,
    mask: Tensor | None = None,
    *,
    surrogate: Surrogate | None = None,
    backend: str = "auto",
) -> Tensor:
    r"""Return H-AP, for each query.

    .. math:: \frac{1}{\sum_i r_i} \sum_{\ell_i > 0} \frac{\mathrm{hrank}_i}{\mathrm{rank}_i}

    Args:
        scores: (B, N), higher is closer.
        common_levels: (B, N), integers >= 0, as for :func:`pml_suprank.functional.ranks`; they choose the comparators.
        relevance: (B, N), >= 0, and 0 where no level is shared; it weighs the items. Or a ``LevelRelevance``.
        mask: (B, N), False for items that are not in the retrieval set.
        surrogate: the rank; None for the exact one, which gives the metric.
        backend: see :func:`pml_suprank.functional.ranks`.

    Returns:
        (B,), in [0, 1] (below 0 is possible with HAPPIER's smooth numerator).

    Example:
        >>> scores = torch.tensor([[0.9, 0.5, 0.1]])
        >>> common_levels, relevance = torch.tensor([[0, 2, 1]]), torch.tensor([[0.0, 1.0, 0.5]])
        >>> hierarchical_average_precision(scores, common_levels, relevance).item()  # (1/2 + 1/3) / 1.5
        0.5555...

    References:
        Ramzi et al., arXiv 2207.04873.
    """
    if isinstance(relevance, LevelRelevance):
        total = relevance.total
    else:
        if mask is not None:
            relevance = relevance.masked_fill(~mask, 0.0)
        total = relevance.sum(dim=1)
    found = target_ranks(
        scores, common_levels, relevance, mask, surrogate=surrogate or HardRank(), backend=backend
    )
    assert found.hrank is not None
    total = total.to(found.rank.dtype)
    score = _sum_of_queries(found.hrank / found.rank, found.query, len(scores))
    return score / total.masked_fill(total == 0, 1.0)  # 0 where nothing is relevant


def _sum_of_queries(values: Tensor, query: Tensor, num_queries: int) -> Tensor:
    """Return the sums (B,) of values (T,) of targets; in float64 within."""
    sums = torch.zeros(num_queries, dtype=torch.float64, device=values.device)
    return sums.index_add(0, query, values.double()).to(values.dtype)


@untraced
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
        surrogate: the rank; None for the exact one, which gives the metric.
        backend: see :func:`pml_suprank.functional.ranks`.

    Returns:
        (B,), in [0, 1].

    Example:
        >>> average_precision(torch.tensor([[0.9, 0.5, 0.1]]), torch.tensor([[False, True, True]])).item()
        0.5833...

    References:
        Ramzi et al., arXiv 2110.01445.
    """
    positive = positive if mask is None else positive & mask
    common_levels = positive.to(torch.int8)
    counts = level_counts(common_levels, 1)
    table = torch.arange(2, dtype=torch.float64, device=scores.device)
    return hierarchical_average_precision(
        scores,
        common_levels,
        LevelRelevance(table.expand(len(scores), 2), counts),
        mask,
        surrogate=surrogate,
        backend=backend,
    )


@untraced
def recall_at_k(
    scores: Tensor,
    positive: Tensor,
    mask: Tensor | None = None,
    *,
    k: int | Sequence[int] = (1, 2, 4, 8, 16),
    temperature: float | None = None,
    surrogate: Surrogate | None = None,
    backend: str = "auto",
) -> Tensor:
    """Return recall@k as the literature reports it, for each query: 1 if a positive has rank k or better, else 0.

    Args:
        scores: (B, N), higher is closer.
        positive: (B, N), boolean.
        mask: (B, N), False for items that are not in the retrieval set.
        k: cut-offs, integers >= 1; of several, the mean.
        temperature: old name of what is now :func:`recall_surrogate`, as is ``surrogate``.
        surrogate: leave it out; see ``temperature``.
        backend: see :func:`pml_suprank.functional.ranks`.

    Returns:
        (B,), in [0, 1].

    Raises:
        ValueError: ``k`` is empty or has an entry below 1.

    Example:
        >>> scores, positive = torch.tensor([[0.9, 0.5, 0.1]]), torch.tensor([[False, True, True]])
        >>> recall_at_k(scores, positive, k=1).item(), recall_at_k(scores, positive, k=2).item()
        (0.0, 1.0)
    """
    if surrogate is not None or temperature is not None:
        warn_old("recall_at_k with a surrogate or a temperature", "recall_surrogate")
        options = {"k": k, "temperature": 1.0 if temperature is None else temperature}
        return recall_surrogate(
            scores, positive, mask, surrogate=surrogate or HardRank(), backend=backend, **options
        )
    cuts = checked_depths(k)
    found = target_ranks(
        scores, positive.to(torch.int8), None, mask, surrogate=HardRank(), backend=backend
    )
    within = (found.rank <= constants(cuts, found.rank).unsqueeze(1)).to(found.rank.dtype)  # (K, T)
    number = within.new_zeros(len(cuts), len(scores)).index_add(1, found.query, within)
    return (number > 0).to(within.dtype).mean(dim=0)


@untraced
def recall_surrogate(
    scores: Tensor,
    positive: Tensor,
    mask: Tensor | None = None,
    *,
    surrogate: Surrogate,
    k: int | Sequence[int] = (1, 2, 4, 8, 16),
    temperature: float = 1.0,
    backend: str = "auto",
) -> Tensor:
    r"""Return what the recall losses train, for each query: the share of positives within rank k, softly cut.

    .. math::
        \frac{1}{|K|} \sum_{k \in K} \frac{1}{\min(P, k)} \sum_{i\ \mathrm{positive}}
        \sigma\!\left(\frac{k - \mathrm{rank}_i}{\mathrm{temperature}}\right)

    The papers call it recall@k. It is no hit rate, whatever the surrogate: the metric is :func:`recall_at_k`.

    Args:
        scores: (B, N), higher is closer.
        positive: (B, N), boolean.
        mask: (B, N), False for items that are not in the retrieval set.
        surrogate: the rank.
        k: cut-offs, integers >= 1; of several, the mean.
        temperature: of the cut, > 0, in ranks. At 1 a perfect ranking scores well below 1.
        backend: see :func:`pml_suprank.functional.ranks`.

    Returns:
        (B,), >= 0.

    Raises:
        ValueError: ``k`` is empty or has an entry below 1.

    Example:
        >>> scores, positive = torch.tensor([[0.9, 0.5, 0.1]]), torch.tensor([[False, True, True]])
        >>> share = recall_surrogate(scores, positive, surrogate=HardRank(), k=2, temperature=1e-3)
        >>> share.item()  # rank 2 is on the edge: 1/2 of 2
        0.25

    References:
        Patel et al., Recall@k Surrogate Loss with Large Batches and Similarity Mixup, arXiv 2108.11179;
        Ramzi et al., arXiv 2309.08250.
    """
    cuts = checked_depths(k)
    found = target_ranks(
        scores, positive.to(torch.int8), None, mask, surrogate=surrogate, backend=backend
    )
    count = found.query.new_zeros(len(scores))
    count = count.index_add(0, found.query, torch.ones_like(found.query))
    cut = constants(cuts, found.rank).unsqueeze(1)
    within = sigmoid(cut - found.rank, temperature)  # (K, T)
    most = torch.minimum(count.clamp(min=1), cut)  # (K, B), what a perfect ranking has within
    shares = (within / most[:, found.query]).sum(dim=0)
    return _sum_of_queries(shares, found.query, len(scores)) / len(cuts)


@renamed_keywords(levels="common_levels")
@untraced
def ndcg(
    scores: Tensor,
    common_levels: Tensor,
    gains: Tensor | LevelRelevance,
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
        common_levels: (B, N), integers >= 0, as for :func:`pml_suprank.functional.ranks`; they choose the comparators.
        gains: (B, N), >= 0, and 0 where no level is shared; usually 2^common_levels - 1. Or a ``LevelRelevance``.
        mask: (B, N), False for items that are not in the retrieval set.
        surrogate: the rank; None for the exact one, which gives the metric.
        backend: see :func:`pml_suprank.functional.ranks`.

    Returns:
        (B,), in [0, 1].

    Example:
        >>> scores, common_levels = torch.tensor([[0.9, 0.5, 0.1]]), torch.tensor([[0, 0, 1]])
        >>> ndcg(scores, common_levels, common_levels.double()).item()  # 1 / log2(4)
        0.5

    References:
        Järvelin and Kekäläinen, Cumulated gain-based evaluation of IR techniques, 2002; Ramzi et al.,
        arXiv 2309.08250.
    """
    found = target_ranks(
        scores,
        common_levels,
        None,
        mask,
        surrogate=surrogate or HardRank(),
        backend=backend,
        ties=gains if isinstance(gains, Tensor) else None,
    )
    dtype = found.rank.dtype
    discounts = torch.arange(2, scores.shape[1] + 2, dtype=torch.float64, device=scores.device)
    discounts = discounts.log2_().reciprocal_()
    if isinstance(gains, LevelRelevance):
        ideal = _ideal_of_levels(gains, discounts)
        gain = gains.table[found.query, common_levels[found.query, found.item].long()]
    else:
        gains = gains if mask is None else gains.masked_fill(~mask, 0.0)
        ideal = gains.to(dtype).sort(dim=1, descending=True).values @ discounts.to(dtype)
        gain = gains[found.query, found.item]
    dcg = _sum_of_queries(gain.to(dtype) / torch.log2(1 + found.rank), found.query, len(scores))
    ideal = ideal.to(dtype)
    return torch.where(ideal > 0, dcg / ideal.masked_fill(ideal == 0, 1.0), 0.0)


def _ideal_of_levels(gains: LevelRelevance, discounts: Tensor) -> Tensor:
    """Return the DCG (B,) of all items in descending order of gain."""
    table, by_gain = gains.table.double().sort(dim=1, descending=True)
    ends = gains.counts.gather(1, by_gain).cumsum(dim=1)
    upto = torch.nn.functional.pad(discounts.cumsum(0), (1, 0))[ends]
    return (table * torch.nn.functional.pad(upto, (1, 0)).diff(dim=1)).sum(dim=1)

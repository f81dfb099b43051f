"""The metrics as functions of ranked lists.

Each function returns ``(values, valid)``: (Q,) float64 and (Q,) bool. A query that the metric is
not defined for, because nothing in its gallery is relevant, has value 0 and ``valid`` False.

``level`` is a column of the labels, 0 the finest; the positives of a query at that level are the
items that share that column with it, P in number. ``rank(i)`` is the rank of the i-th positive.

References:
    Ramzi et al., arXiv 2207.04873 (H-AP, NDCG, ASI on hierarchies); arXiv 2309.08250.
    Musgrave et al., A Metric Learning Reality Check, arXiv 2003.08505 (MAP@R, R-precision).
    Weyand et al., Google Landmarks Dataset v2, arXiv 2004.01804 (mAP@k).
    Radenovic et al., Revisiting Oxford and Paris, CVPR 2018, arXiv 1803.11285 (the revisited metrics, of one level).
    Philbin et al., Object Retrieval with Large Vocabularies and Fast Spatial Matching, CVPR 2007 (the interpolation).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pml_suprank.metrics.ranked_lists import RankedLists, prefix_sums

Values = tuple[Tensor, Tensor]
Metric = Callable[[RankedLists], Values]


def _positives(lists: RankedLists, level: int) -> tuple[int, Tensor]:
    """How many levels a positive shares at least, and (Q,) the number of positives."""
    threshold = lists.num_levels - level
    return threshold, lists.num_at_least(threshold)


def _share(total: Tensor, of: Tensor, valid: Tensor) -> Values:
    """Total divided by something, 0 where there is nothing to divide by."""
    return torch.where(valid, total / torch.where(valid, of, 1), 0.0), valid


def average_precision(lists: RankedLists, level: int = 0, k: int | None = None) -> Values:
    r"""Average precision: the mean precision at the ranks of the positives.

    .. math:: AP = \frac{1}{P} \sum_{i=1}^{P} \frac{i}{rank(i)}

    With ``k``, positives behind rank k add nothing and still count in P.

    Example:
        >>> lists = RankedLists.from_sorted(torch.tensor([[1, 0, 0, 1]]), 1)
        >>> average_precision(lists)[0].tolist()
        [0.75]
    """
    threshold, count = _positives(lists, level)
    return _share(lists.precision_sum(threshold, k), count, count > 0)


def average_precision_at_k(lists: RankedLists, k: int, level: int = 0) -> Values:
    r"""AP of the first k items, with the best possible sum as divisor (Google Landmarks).

    .. math:: AP@k = \frac{1}{\min(P, k)} \sum_{i: rank(i) \le k} \frac{i}{rank(i)}

    Example:
        >>> lists = RankedLists.from_sorted(torch.tensor([[1, 0, 0, 1]]), 1)
        >>> average_precision_at_k(lists, 2)[0].tolist()
        [0.5]
    """
    threshold, count = _positives(lists, level)
    return _share(lists.precision_sum(threshold, k), count.clamp(max=k), count > 0)


def mean_average_precision_at_r(lists: RankedLists, level: int = 0, k: int | None = None) -> Values:
    r"""AP of the first R items, R the number of positives.

    .. math:: MAP@R = \frac{1}{R} \sum_{i: rank(i) \le R} \frac{i}{rank(i)}

    With ``k``, positives behind rank k add nothing.

    Example:
        >>> lists = RankedLists.from_sorted(torch.tensor([[1, 0, 0, 1]]), 1)
        >>> mean_average_precision_at_r(lists)[0].tolist()
        [0.5]
    """
    threshold, count = _positives(lists, level)
    return _share(lists.precision_sum(threshold, k, at_r=True), count, count > 0)


def r_precision(lists: RankedLists, level: int = 0, k: int | None = None) -> Values:
    """Share of positives among the first R items, R their number (k, if that is smaller).

    Example:
        >>> lists = RankedLists.from_sorted(torch.tensor([[0, 1, 1, 1]]), 1)
        >>> r_precision(lists)[0].tolist()
        [0.6666666666666666]
    """
    threshold, count = _positives(lists, level)
    depth = lists.depth(threshold, k, at_r=True)
    return _share(lists.num_found(threshold, k, at_r=True), depth, count > 0)


def precision_at_k(lists: RankedLists, k: int, level: int = 0) -> Values:
    """Share of positives among the first k items (among all, if the gallery is smaller).

    Example:
        >>> lists = RankedLists.from_sorted(torch.tensor([[0, 1, 1, 1]]), 1)
        >>> precision_at_k(lists, 2)[0].tolist()
        [0.5]
    """
    threshold, count = _positives(lists, level)
    return _share(lists.num_found(threshold, k), lists.depth(threshold, k), count > 0)


def recall_at_k(lists: RankedLists, k: int, level: int = 0) -> Values:
    """1 if a positive is among the first k items, else 0: the R@k of the retrieval literature.

    Example:
        >>> lists = RankedLists.from_sorted(torch.tensor([[0, 1, 1, 1]]), 1)
        >>> recall_at_k(lists, 1)[0].tolist(), recall_at_k(lists, 2)[0].tolist()
        ([0.0], [1.0])
    """
    threshold, count = _positives(lists, level)
    first = lists.first(threshold)
    return ((first > 0) & (first <= k)).double(), count > 0


def mean_reciprocal_rank(lists: RankedLists, level: int = 0, k: int | None = None) -> Values:
    """1 / rank of the first positive; 0 if it is behind rank k.

    Example:
        >>> lists = RankedLists.from_sorted(torch.tensor([[0, 1, 1, 1]]), 1)
        >>> mean_reciprocal_rank(lists)[0].tolist()
        [0.5]
    """
    threshold, count = _positives(lists, level)
    first = lists.first(threshold)
    found = (first > 0) & (first <= lists.depth(threshold, k))
    return torch.where(found, 1 / first.clamp(min=1).double(), 0.0), count > 0


def hierarchical_average_precision(lists: RankedLists, table: Tensor) -> Values:
    r"""H-AP: average precision with graded relevance r.

    .. math:: HAP = \frac{1}{\sum_n r_n} \sum_n \frac{1}{n} \sum_{m \le n} \min(r_n, r_m)

    Since :math:`\min(a, b)` is the measure of the thresholds t that both reach, H-AP is a mean of
    plain APs over the distinct relevances t of the query, each with the positives
    :math:`T_t = \{n : r_n \ge t\}` and the weight :math:`|T_t|` times the step to the relevance below.
    That is how it is computed: no product over pairs of items, and no item counted twice where
    two levels have equal relevance.

    Args:
        lists: the rankings.
        table: (Q, L+1) relevance of an item by its common levels, >= 0, entry 0 is 0.

    Returns:
        Values in [0, 1]; valid where a relevance is positive.

    Example:
        >>> lists = RankedLists.from_sorted(torch.tensor([[1, 2, 0]]), 2)
        >>> hierarchical_average_precision(lists, torch.tensor([[0.0, 0.5, 1.0]]))[0].tolist()
        [0.8333333333333334]

        Rank 1 gives 0.5; rank 2 gives (0.5 + 1) / 2 = 0.75; the relevances sum to 1.5.
    """
    table = table.double()
    mass = (lists.counts * table).sum(1)
    # The relevance of common levels that no item has is without effect: it takes that of one less.
    table = (
        table.masked_fill(lists.counts == 0, 0.0).cummax(1).values.where(lists.counts == 0, table)
    )
    steps = table.diff(dim=1)
    monotone = (steps >= 0).all(1)
    total = torch.zeros_like(mass)
    for level in range(1, lists.num_levels + 1):
        total += steps[:, level - 1] * lists.precision_sum(level)
    if not bool(monotone.all()):
        total[~monotone] = _threshold_sum(lists.select(~monotone), table[~monotone])
    return _share(total, mass, mass > 0)


def _threshold_sum(lists: RankedLists, table: Tensor) -> Tensor:
    """(Q,) sum over the thresholds of a query of step times precision sum, for any table."""
    levels = range(1, lists.num_levels + 1)
    of_level = torch.stack([lists.precision_sum(level) for level in levels], 1)
    thresholds = table[:, 1:].sort(dim=1).values
    steps = thresholds.diff(dim=1, prepend=torch.zeros_like(thresholds[:, :1]))
    total = torch.zeros_like(table[:, 0])
    for threshold, step in zip(thresholds.unbind(1), steps.unbind(1), strict=True):
        reached = table[:, 1:] >= threshold[:, None]
        # Where all from some number of common levels on reach the threshold, the sum is that of the number.
        known = (reached[:, 1:] >= reached[:, :-1]).all(1)
        lowest = reached.int().argmax(1, keepdim=True)
        total += torch.where(known, step * of_level.gather(1, lowest).squeeze(1), 0.0)
        wanted = ~known & (step > 0)
        if bool(wanted.any()):
            total += step * lists.precision_sum_of(reached & wanted[:, None])
    return total


def ndcg(lists: RankedLists, k: int | None = None) -> Values:
    r"""Discounted gain over the best possible one, with gain :math:`2^\ell - 1` for :math:`\ell` common levels.

    .. math:: NDCG = \frac{\sum_n (2^{\ell_n} - 1) / \log_2(1 + n)}{\text{the same, sorted by level}}

    With ``k`` both sums end at rank k, and the ideal takes the best k items of the whole gallery
    (the authors' code re-sorts the k retrieved items instead).

    Example:
        >>> lists = RankedLists.from_sorted(torch.tensor([[0, 0, 1]]), 1)
        >>> ndcg(lists)[0].tolist(), ndcg(lists, k=2)[0].tolist()
        ([0.5], [0.0])
    """
    sums = prefix_sums("discount", lists.longest, lists.counts.device)
    dcg = torch.zeros(lists.num_queries, dtype=torch.float64, device=sums.device)
    ideal = torch.zeros_like(dcg)
    for level in range(1, lists.num_levels + 1):
        # The gain of x common levels is the sum of the increments 2^(y-1) for y up to x.
        dcg += 2.0 ** (level - 1) * lists.discount_sum(level, k)
        ideal += 2.0 ** (level - 1) * sums[lists.depth(level, k, at_r=True)]
    return _share(dcg, ideal, ideal > 0)


def asi(lists: RankedLists) -> Values:
    r"""Average set intersection of the list with the list sorted by level.

    .. math:: ASI = \frac{1}{R} \sum_{d=1}^{R} \frac{1}{d} \sum_x \min(\#\{n \le d : \ell_n = x\},
        \#\{n \le d : \ell^*_n = x\})

    R is the number of items that share a level with the query, :math:`\ell` how many they share, :math:`\ell^*`
    those numbers sorted. The k-th item with as many common levels is in both sets from the depth
    :math:`\max(rank, n_{> x} + k)` on and then adds 1/d at each depth d, so that the sum over depths is a difference of
    harmonic numbers.

    Example:
        >>> lists = RankedLists.from_sorted(torch.tensor([[2, 0, 1]]), 2)
        >>> asi(lists)[0].tolist()
        [0.75]

        R = 2; the sets share 1 of 1 item at depth 1, and 1 of 2 at depth 2.
    """
    related = lists.num_at_least(1)
    return _share(lists.intersection_sum(), related, related > 0)


def revisited_average_precision(lists: RankedLists, level: int = 0) -> Values:
    r"""Average precision by trapezoids: precision before and at a positive, averaged.

    .. math:: AP = \frac{1}{P} \sum_{i=1}^{P} \frac{1}{2} \left(\frac{i-1}{rank(i) - 1} + \frac{i}{rank(i)}\right),
        \quad \frac{0}{0} = 1

    Example:
        >>> lists = RankedLists.from_sorted(torch.tensor([[1, 0, 1]]), 1)
        >>> revisited_average_precision(lists)[0].tolist()  # (1 + (1/2 + 2/3) / 2) / 2
        [0.7916666666666666]
    """
    threshold, count = _positives(lists, level)
    hits = lists.at_least(threshold)
    rank, order = hits.rank.double(), hits.order.double()
    before = torch.where(rank > 1, (order - 1) / (rank - 1).clamp(min=1), 1.0)
    total = hits.sums((before + order / rank) / 2)
    return _share(total, count, count > 0)


def revisited_precision_at_k(lists: RankedLists, k: int, level: int = 0) -> Values:
    r"""Share of positives among the first k items, or down to the last positive where that comes earlier.

    .. math:: P@k = \frac{\#\{i : rank(i) \le k_q\}}{k_q}, \quad k_q = \min(k, rank(P))

    Example:
        >>> lists = RankedLists.from_sorted(torch.tensor([[1, 1, 0, 0, 0]]), 1)
        >>> revisited_precision_at_k(lists, 5)[0].tolist()
        [1.0]
    """
    threshold, count = _positives(lists, level)
    hits = lists.at_least(threshold)
    last = torch.zeros_like(count)
    found = hits.counts > 0
    last[found] = hits.rank[hits.counts.cumsum(0)[found] - 1].long()
    depth = last.clamp(max=k)
    inside = hits.sums(hits.rank <= hits.spread(depth.to(hits.rank.dtype)))
    return _share(inside, depth, count > 0)

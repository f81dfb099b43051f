"""The metrics of revisited Oxford and Paris, as functions of ranked lists with one level.

References:
    Radenovic et al., Revisiting Oxford and Paris, CVPR 2018, arXiv 1803.11285.
    Philbin et al., Object Retrieval with Large Vocabularies and Fast Spatial Matching, CVPR 2007 (the interpolation).
"""

from __future__ import annotations

import torch

from pml_suprank.metrics.definitions import Values
from pml_suprank.metrics.ranked_lists import RankedLists

__all__ = ["revisited_average_precision", "revisited_precision_at_k"]


def revisited_average_precision(lists: RankedLists) -> Values:
    r"""Average precision by trapezoids: precision before and at a positive, averaged.

    .. math:: AP = \frac{1}{P} \sum_{i=1}^{P} \frac{1}{2} \left(\frac{i-1}{rank(i) - 1} + \frac{i}{rank(i)}\right),
        \quad \frac{0}{0} = 1

    Example:
        >>> lists = RankedLists.from_sorted(torch.tensor([[1, 0, 1]]), 1)
        >>> revisited_average_precision(lists)[0].tolist()  # (1 + (1/2 + 2/3) / 2) / 2
        [0.7916666666666666]
    """
    hits, count = lists.hits, lists.num_at_least(1)
    rank, order = hits.rank.double(), hits.order.double()
    before = torch.where(rank > 1, (order - 1) / (rank - 1).clamp(min=1), 1.0)
    total = hits.sums((before + order / rank) / 2)
    valid = count > 0
    return torch.where(valid, total / count.clamp(min=1), 0.0), valid


def revisited_precision_at_k(lists: RankedLists, k: int) -> Values:
    r"""Share of positives among the first k items, or down to the last positive where that comes earlier.

    .. math:: P@k = \frac{\#\{i : rank(i) \le k_q\}}{k_q}, \quad k_q = \min(k, rank(P))

    Example:
        >>> lists = RankedLists.from_sorted(torch.tensor([[1, 1, 0, 0, 0]]), 1)
        >>> revisited_precision_at_k(lists, 5)[0].tolist()
        [1.0]
    """
    hits, count = lists.hits, lists.num_at_least(1)
    last = torch.zeros_like(count)
    found = hits.counts > 0
    last[found] = hits.rank[hits.counts.cumsum(0)[found] - 1].long()
    depth = last.clamp(max=k)
    inside = hits.sums(hits.rank <= hits.spread(depth.to(hits.rank.dtype)))
    valid = count > 0
    return torch.where(valid, inside / depth.clamp(min=1), 0.0), valid

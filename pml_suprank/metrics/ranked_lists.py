"""What the metrics read: for each query, the ranks and levels of the items it shares a level with."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Hits:
    """The positives of each query at one threshold, query by query, best rank first.

    With M positives over all queries, ``query``, ``rank`` and ``order`` are (M,) int64: whose
    positive it is, its rank among all items (from 1) and among the positives (from 1).
    """

    query: Tensor
    rank: Tensor
    order: Tensor
    num_queries: int

    def sums(self, values: Tensor) -> Tensor:
        """Sum of (M,) values over the positives of each query: (Q,) float64."""
        total = torch.zeros(self.num_queries, dtype=torch.float64, device=values.device)
        return total.index_add_(0, self.query, values.double())

    @classmethod
    def number(cls, query: Tensor, rank: Tensor, num_queries: int) -> Hits:
        """Number the positives of each query; both tensors (M,), sorted by query, then rank."""
        count = torch.bincount(query, minlength=num_queries)
        first = count.cumsum(0) - count
        order = torch.arange(1, len(query) + 1, device=query.device) - first[query]
        return cls(query, rank, order, num_queries)


@dataclass(frozen=True)
class RankedLists:
    """The rankings of Q queries, as much of them as the metrics need.

    Args:
        query: (M,) int64, the query of each item of level 1 and above; sorted.
        rank: (M,) int64 from 1, increasing within a query.
        level: (M,) integers in 1..L.
        counts: (Q, L+1) int64, items of level exactly x in the whole gallery of the query, the
            query itself excluded, whether or not the list reaches them.
    """

    query: Tensor
    rank: Tensor
    level: Tensor
    counts: Tensor
    _hits: dict[int, Hits] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def from_sorted(
        cls, levels: Tensor, num_levels: int, counts: Tensor | None = None
    ) -> RankedLists:
        """Lists from the levels in order of rank.

        Args:
            levels: (Q, N) integers in 0..num_levels, best rank first; -1 is no item: it has no
                rank, and the items behind it move up.
            num_levels: L.
            counts: (Q, L+1); None where the lists hold the whole gallery.

        Example:
            >>> lists = RankedLists.from_sorted(torch.tensor([[0, 1, -1, 2]]), 2)
            >>> lists.rank.tolist(), lists.level.tolist(), lists.counts.tolist()
            ([2, 3], [1, 2], [[1, 1, 1]])
        """
        if counts is None:
            counts = torch.stack([(levels == x).sum(1) for x in range(num_levels + 1)], 1)
        query, position = (levels > 0).nonzero(as_tuple=True)
        absent = levels < 0
        rank = position + 1
        if bool((absent[:, :-1] & ~absent[:, 1:]).any()):
            rank = rank - absent.cumsum(1)[query, position]
        return cls(query, rank, levels[query, position].long(), counts)

    @property
    def num_queries(self) -> int:
        """Q."""
        return self.counts.shape[0]

    @property
    def num_levels(self) -> int:
        """L."""
        return self.counts.shape[1] - 1

    @property
    def lengths(self) -> Tensor:
        """(Q,) number of items in each query's gallery."""
        return self.counts.sum(1)

    def num_at_least(self, threshold: int) -> Tensor:
        """(Q,) number of items of level ``threshold`` or above in each query's gallery."""
        return self.counts[:, threshold:].sum(1)

    def at_least(self, threshold: int) -> Hits:
        """The items that share at least ``threshold`` levels with their query."""
        if threshold not in self._hits:
            self._hits[threshold] = self.where(self.level >= threshold)
        return self._hits[threshold]

    def where(self, keep: Tensor) -> Hits:
        """The items that a (M,) mask keeps."""
        return Hits.number(self.query[keep], self.rank[keep], self.num_queries)

"""What the metrics read: for each query, the ranks and levels of the items it shares a level with."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from pml_suprank.metrics import segments


@dataclass(frozen=True)
class Hits:
    """The positives of each query at one threshold, query by query, best rank first.

    Args:
        rank: (M,) integers, the rank among all items (from 1) of each of the M positives.
        counts: (Q,) int64, how many of them are of each query.
    """

    rank: Tensor
    counts: Tensor

    @cached_property
    def order(self) -> Tensor:
        """(M,) integers: the rank among the positives of the query, from 1."""
        places = torch.arange(1, len(self.rank) + 1, device=self.rank.device, dtype=self.rank.dtype)
        return places.sub_(self.spread((self.counts.cumsum(0) - self.counts).to(places.dtype)))

    @cached_property
    def precision(self) -> Tensor:
        """(M,) float64: share of positives down to the rank of each."""
        return self.order.double().div_(self.rank)

    @cached_property
    def precision_sum(self) -> Tensor:
        """(Q,) float64: sum of the precisions."""
        return self.sums(self.precision)

    @cached_property
    def first(self) -> Tensor:
        """(Q,) int64: rank of the first positive; 0 where there is none."""
        found = self.counts > 0
        first = torch.zeros_like(self.counts)
        first[found] = self.rank[(self.counts.cumsum(0) - self.counts)[found]].long()
        return first

    def spread(self, values: Tensor) -> Tensor:
        """(Q,) values, repeated for each positive of the query: (M,)."""
        return segments.spread(values, self.counts, len(self.rank))

    def sums(self, values: Tensor) -> Tensor:
        """Sum of (M,) values over the positives of each query: (Q,) float64."""
        return segments.sums(values, self.counts)

    def where(self, keep: Tensor, counts: Tensor | None = None) -> Hits:
        """The positives that a (M,) mask keeps; ``counts`` (Q,) of them, if they are known."""
        if counts is None:
            counts = segments.sums(keep, self.counts).long()
        return Hits(segments.keep(self.rank, keep), counts)


@dataclass(frozen=True)
class RankedLists:
    """The rankings of Q queries, as much of them as the metrics need.

    Args:
        hits: the items of level 1 and above.
        level: (M,) integers in 1..L, their levels.
        counts: (Q, L+1) int64, items of level exactly x in the whole gallery of the query, the
            query itself excluded, whether or not the list reaches them.
    """

    hits: Hits
    level: Tensor
    counts: Tensor
    _at_least: dict[int, Hits] = field(default_factory=dict, compare=False, repr=False)

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
        related = levels > 0
        query, position = related.nonzero(as_tuple=True)
        absent = levels < 0
        rank = position + 1
        if bool((absent[:, :-1] & ~absent[:, 1:]).any()):
            rank = rank - absent.cumsum(1)[query, position]
        return cls(Hits(rank, related.sum(1)), levels[query, position], counts)

    @property
    def rank(self) -> Tensor:
        """(M,) the ranks of the items of level 1 and above, query by query, increasing."""
        return self.hits.rank

    @property
    def num_queries(self) -> int:
        """Q."""
        return self.counts.shape[0]

    @property
    def num_levels(self) -> int:
        """L."""
        return self.counts.shape[1] - 1

    @cached_property
    def lengths(self) -> Tensor:
        """(Q,) number of items in each query's gallery."""
        return self.counts.sum(1)

    def num_at_least(self, threshold: int) -> Tensor:
        """(Q,) number of items of level ``threshold`` or above in each query's gallery."""
        return self.counts[:, threshold:].sum(1)

    def at_least(self, threshold: int) -> Hits:
        """The items that share at least ``threshold`` levels with their query."""
        if threshold <= 1:
            return self.hits
        if threshold not in self._at_least:
            known = self.num_at_least(threshold) if self._complete else None
            self._at_least[threshold] = self.hits.where(self.level >= threshold, known)
        return self._at_least[threshold]

    def of_level(self, level: int) -> Hits:
        """The items that share ``level`` levels with their query and no more."""
        known = self.counts[:, level] if self._complete else None
        return self.hits.where(self.level == level, known)

    @cached_property
    def _complete(self) -> bool:
        """Whether the lists reach all related items."""
        return torch.equal(self.hits.counts, self.num_at_least(1))

    def is_in(self, table: Tensor) -> Tensor:
        """(M,) bool from a (Q, L) bool table: its entry for the query and the level of each item."""
        first = torch.arange(self.num_queries, device=table.device) * self.num_levels - 1
        return table.flatten().index_select(0, self.hits.spread(first) + self.level)

    def select(self, queries: Tensor) -> RankedLists:
        """The lists of the queries that a (Q,) mask keeps."""
        items = self.hits.spread(queries)
        hits = Hits(segments.keep(self.rank, items), self.hits.counts[queries])
        return RankedLists(hits, segments.keep(self.level, items), self.counts[queries])

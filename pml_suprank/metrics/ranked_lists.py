"""What the metrics read: for each query, the ranks of the items it shares a level with, and how many levels they share.

The items of all queries stand in one tensor, query by query. On the CPU such ragged rows are handled in NumPy, whose
``reduceat``, ``repeat`` and ``compress`` take a fifth of the time of ``index_add_``, ``repeat_interleave`` and a
boolean index.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


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
        return spread_rows(values, self.counts, len(self.rank))

    def sums(self, values: Tensor) -> Tensor:
        """Sum of (M,) values over the positives of each query: (Q,) float64."""
        return row_sums(values, self.counts)

    def where(self, keep: Tensor, counts: Tensor | None = None) -> Hits:
        """The positives that a (M,) mask keeps; ``counts`` (Q,) of them, if they are known."""
        if counts is None:
            counts = row_sums(keep, self.counts).long()
        return Hits(kept(self.rank, keep), counts)


@dataclass(frozen=True)
class RankedLists:
    """The rankings of Q queries, as much of them as the metrics need.

    Args:
        hits: the items that share a level with their query.
        common_levels: (M,) integers in 1..L, how many they share.
        counts: (Q, L+1) int64, items that share exactly x levels in the whole gallery of the query, the
            query itself excluded, whether or not the list reaches them.
    """

    hits: Hits
    common_levels: Tensor
    counts: Tensor
    _at_least: dict[int, Hits] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def from_sorted(
        cls, common_levels: Tensor, num_levels: int, counts: Tensor | None = None
    ) -> RankedLists:
        """Lists from the numbers of common levels in order of rank.

        Args:
            common_levels: (Q, N) integers in 0..num_levels, best rank first; -1 is no item: it has no
                rank, and the items behind it move up.
            num_levels: L.
            counts: (Q, L+1); None where the lists hold the whole gallery.

        Example:
            >>> lists = RankedLists.from_sorted(torch.tensor([[0, 1, -1, 2]]), 2)
            >>> lists.rank.tolist(), lists.common_levels.tolist(), lists.counts.tolist()
            ([2, 3], [1, 2], [[1, 1, 1]])
        """
        if counts is None:
            counts = torch.stack([(common_levels == x).sum(1) for x in range(num_levels + 1)], 1)
        related = common_levels > 0
        query, position = related.nonzero(as_tuple=True)
        absent = common_levels < 0
        rank = position + 1
        if bool((absent[:, :-1] & ~absent[:, 1:]).any()):
            rank = rank - absent.cumsum(1)[query, position]
        return cls(Hits(rank, related.sum(1)), common_levels[query, position], counts)

    @property
    def rank(self) -> Tensor:
        """(M,) the ranks of the items that share a level, query by query, increasing."""
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
        """(Q,) number of items that share ``threshold`` levels or more in each query's gallery."""
        return self.counts[:, threshold:].sum(1)

    def at_least(self, threshold: int) -> Hits:
        """The items that share at least ``threshold`` levels with their query."""
        if threshold <= 1:
            return self.hits
        if threshold not in self._at_least:
            known = self.num_at_least(threshold) if self._complete else None
            self._at_least[threshold] = self.hits.where(self.common_levels >= threshold, known)
        return self._at_least[threshold]

    def of_level(self, level: int) -> Hits:
        """The items that share ``level`` levels with their query and no more."""
        known = self.counts[:, level] if self._complete else None
        return self.hits.where(self.common_levels == level, known)

    @cached_property
    def _complete(self) -> bool:
        """Whether the lists reach all related items."""
        return torch.equal(self.hits.counts, self.num_at_least(1))

    def select(self, queries: Tensor) -> RankedLists:
        """The lists of the queries that a (Q,) mask keeps."""
        items = self.hits.spread(queries)
        hits = Hits(kept(self.rank, items), self.hits.counts[queries])
        return RankedLists(hits, kept(self.common_levels, items), self.counts[queries])

    @property
    def longest(self) -> int:
        """The largest number of items in a query's gallery."""
        return int(self.lengths.max())

    def depth(self, threshold: int, k: int | None = None, *, at_r: bool = False) -> Tensor:
        """(Q,) rank k or the end of the list, or with ``at_r`` the number of positives, if that is smaller."""
        cut = self.lengths if k is None else self.lengths.clamp(max=k)
        return torch.minimum(self.num_at_least(threshold), cut) if at_r else cut

    # What metrics are made of: sums over the positives that share at least `threshold` levels, down to a depth.

    def precision_sum(self, threshold: int, k: int | None = None, *, at_r: bool = False) -> Tensor:
        """(Q,) float64: sum of the precisions at the ranks of the positives."""
        hits = self.at_least(threshold)
        if k is None and not at_r:
            return hits.precision_sum
        return hits.sums(hits.precision * self._within(hits, threshold, k, at_r))

    def num_found(self, threshold: int, k: int | None = None, *, at_r: bool = False) -> Tensor:
        """(Q,) float64: number of positives."""
        hits = self.at_least(threshold)
        return hits.sums(self._within(hits, threshold, k, at_r))

    def _within(self, hits: Hits, threshold: int, k: int | None, at_r: bool) -> Tensor:
        """(M,) whether positives are among the items down to a depth."""
        if k is not None and not at_r:
            return hits.rank <= k
        return hits.rank <= hits.spread(self.depth(threshold, k, at_r=at_r).to(hits.rank.dtype))

    def first(self, threshold: int) -> Tensor:
        """(Q,) int64: rank of the first positive of all; 0 where there is none."""
        return self.at_least(threshold).first

    def discount_sum(self, threshold: int, k: int | None = None) -> Tensor:
        """(Q,) float64: sum of 1 / log2(1 + rank)."""
        hits = self.at_least(threshold)
        terms = discounts(self.longest, hits.rank.device).index_select(0, hits.rank)
        if k is not None:
            terms *= hits.rank <= k
        return hits.sums(terms)

    def precision_sum_of(self, table: Tensor) -> Tensor:
        """(Q,) float64: as ``precision_sum``, of the items for whose common levels a (Q, L) table has True."""
        first = torch.arange(self.num_queries, device=table.device) * self.num_levels - 1
        chosen = table.flatten().index_select(0, self.hits.spread(first) + self.common_levels)
        return self.hits.where(chosen).precision_sum

    def intersection_sum(self) -> Tensor:
        """(Q,) float64: R times ASI (:func:`pml_suprank.metrics.definitions.asi`)."""
        harmonic = prefix_sums("harmonic", self.longest, self.counts.device)
        total = torch.zeros(self.num_queries, dtype=torch.float64, device=harmonic.device)
        ends = harmonic[self.num_at_least(1)]
        for level in range(1, self.num_levels + 1):
            hits = self.of_level(level)
            above = self.num_at_least(level + 1).to(hits.rank.dtype)
            enters = torch.maximum(hits.rank, hits.order + hits.spread(above)).sub_(1)
            gone = harmonic.index_select(0, enters)
            total += hits.sums((hits.spread(ends) - gone).clamp_(min=0))
        return total


def row_sums(values: Tensor, lengths: Tensor) -> Tensor:
    """Sum of each row.

    Args:
        values: (M,) numbers or bool, M the sum of ``lengths``.
        lengths: (Q,) int64; a row may be empty.

    Returns:
        (Q,) float64.

    Example:
        >>> row_sums(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([2, 0, 1])).tolist()
        [3.0, 0.0, 4.0]
    """
    if values.device.type == "cpu":
        return torch.from_numpy(_sums(values.numpy(), lengths.numpy()))
    return _sums_on_device(values, lengths)


def _sums_on_device(values: Tensor, lengths: Tensor) -> Tensor:
    if not len(lengths):
        return torch.zeros(0, dtype=torch.float64, device=values.device)
    # Unlike index_add_, this adds in the same order every time.
    return torch.segment_reduce(values.double(), "sum", lengths=lengths, initial=0.0)


def _sums(values: NDArray[Any], lengths: NDArray[np.int64]) -> NDArray[np.float64]:
    if values.dtype == np.bool_:
        values = values.view(np.int8)
    dtype = np.int64 if values.dtype.kind == "i" else np.float64
    starts = lengths.cumsum() - lengths
    filled = lengths > 0
    if filled.all():
        return np.add.reduceat(values, starts, dtype=dtype).astype(np.float64, copy=False)
    # reduceat gives an empty row the value behind it.
    total = np.zeros(len(lengths))
    if len(values):
        total[filled] = np.add.reduceat(values, starts[filled], dtype=dtype)
    return total


def spread_rows(values: Tensor, lengths: Tensor, total: int) -> Tensor:
    """(total,): each of (Q,) values, as often as its (Q,) int64 length says, which sum to ``total``.

    Example:
        >>> spread_rows(torch.tensor([5, 6, 7]), torch.tensor([2, 0, 1]), 3).tolist()
        [5, 5, 7]
    """
    if values.device.type == "cpu":
        return torch.from_numpy(np.repeat(values.numpy(), lengths.numpy()))
    return values.repeat_interleave(lengths, output_size=total)


def kept(values: Tensor, mask: Tensor) -> Tensor:
    """The values where the mask is True: ``values[mask]``."""
    if values.device.type == "cpu":
        return torch.from_numpy(np.compress(mask.numpy(), values.numpy()))
    return values[mask]


@lru_cache(maxsize=4)
def discounts(length: int, device: torch.device) -> Tensor:
    """1 / log2(1 + n) for n = 1..length, and 0 for n = 0."""
    ranks = torch.arange(1, length + 1, dtype=torch.float64, device=device)
    return torch.nn.functional.pad(1 / torch.log2(1 + ranks), (1, 0))


@lru_cache(maxsize=8)
def prefix_sums(kind: str, length: int, device: torch.device) -> Tensor:
    """Sums over n = 1..m for m = 0..length of 1 / log2(1 + n) ("discount") or 1 / n ("harmonic")."""
    if kind == "discount":
        return discounts(length, device).cumsum(0)
    terms = 1 / torch.arange(1, length + 1, dtype=torch.float64, device=device)
    return torch.nn.functional.pad(terms.cumsum(0), (1, 0))

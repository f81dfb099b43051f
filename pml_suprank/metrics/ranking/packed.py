"""Rankings on the CPU: score and number of common levels packed into one integer, sorted in place.

A key holds the score in its high bits, best first, and the common levels in its low bits, lowest first: one
sort of integers ranks a gallery with ties against the model, and no order has to be kept. Queries
and gallery are sorted by label path beforehand, so that the items that share levels with a query
are slices of its row, and most of the cost after the sort is proportional to them.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pml_suprank.metrics.ranked_lists import Hits, RankedLists
from pml_suprank.metrics.ranking.keys import Code, Collisions, sorted_levels_of_keys
from pml_suprank.metrics.ranking.levels import Intervals, boundaries, unresolved
from pml_suprank.metrics.ranking.precise import PreciseScorer
from pml_suprank.metrics.ranking.scores import Scorer

COLUMNS = 1024
"""Items per matrix product: the scores of 128 queries stay in a second-level cache."""

HITS = 2**17
"""Related items whose metrics are computed together, unless one query has more of them."""

BYTES_PER_HIT = 120
"""Memory of the metrics per related item, measured."""

BYTES_PER_ITEM = 24
"""Memory of a radix pass over one row, per item."""

MOST_LEVELS = 15
"""More would leave the score too few of 32 bits."""


class Workspace:
    """Memory that a thread uses again for every block.

    Args:
        num_queries: queries of a block.
        num_items: N.
    """

    def __init__(self, num_queries: int, num_items: int) -> None:
        # Two rows of 32 bits make one of 64.
        self.keys = np.empty((num_queries + num_queries % 2, num_items), np.int32)
        self.levels = np.empty((num_queries, num_items), np.uint8)
        self.scores = np.empty((num_queries, min(COLUMNS, num_items)), np.float32)
        self.bits = np.empty(self.scores.shape, np.int32)

    def wide_keys(self, num_items: int) -> NDArray[np.int64]:
        """The memory of the keys as half as many rows of 64 bits."""
        return self.keys.reshape(-1).view(np.int64).reshape(-1, num_items)

    @staticmethod
    def fixed_size(num_queries: int, num_items: int) -> int:
        """Bytes of a workspace."""
        keys = (num_queries + num_queries % 2) * 4 + num_queries
        return keys * num_items + num_queries * min(COLUMNS, num_items) * 8

    @classmethod
    def size(cls, num_queries: int, num_items: int) -> int:
        """Bytes of a workspace and of all that ranking and metrics take beside it."""
        hits = min(num_queries * num_items, max(HITS, num_items))
        passes = BYTES_PER_ITEM * num_items
        return cls.fixed_size(num_queries, num_items) + BYTES_PER_HIT * hits + passes


class PackedRanker:
    """Ranks the gallery for blocks of queries; everything in the order of label paths.

    Args:
        query: (Q, D) float32 embeddings.
        order: (Q,) int64, the queries by label path; blocks are of this order.
        scorer: of the gallery by label path.
        intervals: of the related items of each query, in its place in the order.
        self_indices: (Q,) int64, position in the gallery of each query in order, or -1; None for none.

    Attributes:
        unresolved: (Q,) bool, in order; True once ranked, where float32 does not tell the ranks.
    """

    def __init__(
        self,
        query: Tensor,
        order: Tensor,
        scorer: Scorer,
        intervals: Intervals,
        self_indices: Tensor | None,
    ) -> None:
        self._query, self._order, self._scorer = query, order, scorer
        self._start, self._stop = intervals.start.numpy(), intervals.stop.numpy()
        self._self_indices = None if self_indices is None else self_indices.numpy()
        self._num_items = len(scorer.gallery)
        self._bits = int(intervals.start.shape[1]).bit_length()
        self._bound = scorer.bound(query)
        self._places = boundaries(self._num_items)
        self._gap = scorer.resolution(query)[order]
        self._precise: PreciseScorer | None = None
        self.unresolved = torch.zeros(len(order), dtype=torch.bool)

    def refined(self, scorer: PreciseScorer, queries: Tensor) -> PackedRanker:
        """The same in float64, for some queries: (q,) int64, their places in the order."""
        chosen = queries.numpy()
        ranker = copy.copy(self)
        ranker._order, ranker._precise = self._order[queries], scorer
        ranker._start, ranker._stop = self._start[chosen], self._stop[chosen]
        ranker._self_indices = None if self._self_indices is None else self._self_indices[chosen]
        return ranker

    def __call__(self, block: slice, space: Workspace) -> Iterator[RankedLists]:
        """The lists of a block, in parts that follow each other."""
        if self._precise is None and self._pack(block, space, wide=False):
            keys: NDArray[Any] = space.keys[: block.stop - block.start]
            yield from self._ranked(block, keys, self._code(wide=False), space)
            return
        half = max(1, len(space.keys) // 2)
        wide = space.wide_keys(self._num_items)
        for start in range(block.start, block.stop, half):
            part = slice(start, min(start + half, block.stop))
            keys = wide[: part.stop - part.start]
            if self._precise is None:
                self._pack(part, space, wide=True)
                yield from self._ranked(part, keys, self._code(wide=True), space)
            else:
                self._pack_precise(self._precise, part, keys)
                yield from self._ranked(part, keys, None, space)

    def _code(self, wide: bool) -> Code:
        return Code.wide(self._bits) if wide else Code.narrow(self._bits, self._bound)

    def _pack(self, block: slice, space: Workspace, wide: bool) -> bool:
        """Write the keys of a block; False if 32 bits do not hold its scores exactly."""
        count = block.stop - block.start
        query = -self._scorer.rows(
            self._query[self._order[block]]
        )  # ascending keys: best score first
        keys: NDArray[Any] = space.wide_keys(self._num_items) if wide else space.keys
        check, code = Collisions(count), self._code(wide)
        for start in range(0, self._num_items, COLUMNS):
            items = self._scorer.gallery[start : start + COLUMNS]
            columns = slice(start, start + len(items))
            scores = space.scores[:count, : len(items)]
            with torch.autocast("cpu", enabled=False):
                torch.mm(query, items.T, out=torch.from_numpy(scores))
            if self._scorer.offset is not None:
                scores += self._scorer.offset[columns].numpy()
            code.write(scores, keys[:count, columns], space.bits[:count, : len(items)], check)
        if check.found():
            return False
        self._finish(block, keys[:count], self._scorer)
        return True

    def _pack_precise(self, scorer: PreciseScorer, block: slice, keys: NDArray[np.int64]) -> None:
        """Write the keys of a block from scores in float64, whose lowest bits the level takes."""
        rows = scorer.rows(self._query[self._order[block]])
        for columns, scores in scorer.scores_in_parts(rows):
            bits = (0.0 - scores).numpy().view(np.int64)  # never -0.0; ascending keys
            bits ^= (bits >> 63) & np.iinfo(np.int64).max
            bits &= -(1 << MOST_LEVELS.bit_length())
            keys[:, columns] = bits
        self._finish(block, keys, scorer)

    def _finish(self, block: slice, keys: NDArray[Any], scorer: Scorer | PreciseScorer) -> None:
        """Give equal items equal keys, and add the levels."""
        if len(scorer.copies):
            copies, originals = scorer.copies.numpy(), scorer.originals.numpy()
            for row in keys:
                row[copies] = row[originals]
        self._add_levels(block, keys)

    def _add_levels(self, block: slice, keys: NDArray[Any]) -> None:
        for column in range(self._start.shape[1]):
            bounds = zip(
                self._start[block, column].tolist(), self._stop[block, column].tolist(), strict=True
            )
            row = 0
            for (start, stop), same in itertools.groupby(bounds):
                rows = slice(row, row := row + len(list(same)))
                keys[rows, start:stop] += 1
        if self._self_indices is not None:
            places = self._self_indices[block]
            present = np.flatnonzero(places >= 0)
            keys[present, places[present]] = np.iinfo(keys.dtype).max

    def _ranked(
        self, block: slice, keys: NDArray[Any], code: Code | None, space: Workspace
    ) -> Iterator[RankedLists]:
        """Sort the keys and read the related items off them; with a code, note what it does not resolve."""
        counts = self._counts(block)
        related = counts[:, 1:].sum(1)
        levels = space.levels[: len(keys)]
        found = sorted_levels_of_keys(keys, self._bits, levels, self._places)
        if self._self_indices is not None:
            levels[self._self_indices[block] >= 0, -1] = 0
        if code is not None:
            scores = code.scores(found)
            if self._self_indices is not None:
                scores[self._self_indices[block] >= 0, -1] = np.inf
            self.unresolved[block] = unresolved(
                torch.from_numpy(scores), self._gap[block], torch.from_numpy(levels)
            )
        for rows in _parts(related, HITS):
            of_rows, number = levels[rows], related[rows]
            places = np.flatnonzero(of_rows != 0)
            first = np.arange(len(number)) * self._num_items - 1
            rank = np.subtract(places, np.repeat(first, number)).astype(np.int32)
            level = of_rows.reshape(-1).take(places)
            hits = Hits(torch.from_numpy(rank), torch.from_numpy(number))
            yield RankedLists(hits, torch.from_numpy(level), torch.from_numpy(counts[rows]))

    def _counts(self, block: slice) -> NDArray[np.int64]:
        """(b, L+1) number of items of each level, the query itself not among them."""
        at_least = self._stop[block] - self._start[block]
        total = np.full((len(at_least), 1), self._num_items)
        counts = np.concatenate([total, at_least], 1)
        if self._self_indices is not None:
            counts -= (self._self_indices[block] >= 0)[:, None]
        counts[:, :-1] -= counts[:, 1:]
        return counts


def _parts(lengths: NDArray[np.int64], most: int) -> Iterator[slice]:
    """Slices of rows whose lengths sum to at most ``most``, or of one row."""
    ends = lengths.cumsum()
    start = 0
    while start < len(lengths):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + most, side="right")))
        yield slice(start, stop)
        start = stop

"""Rankings on a GPU: one sort of keys of score and level, and one pass over the sorted keys for all metrics.

The keys are those of :mod:`pml_suprank.metrics.ranking.packed`; the kernels that write and read them are Triton's, in
:mod:`pml_suprank.metrics.ranking.kernels`. A metric that asks the lists for more than sums has torch read the keys.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from importlib.metadata import version
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pml_suprank.functional.devices import why_no_kernels
from pml_suprank.metrics.ranked_lists import Hits, RankedLists, discounts, prefix_sums
from pml_suprank.metrics.ranking.keys import Code
from pml_suprank.metrics.ranking.levels import TreeLevels, boundaries, unresolved
from pml_suprank.metrics.ranking.scores import Scorer

MOST_LEVELS = 7
"""More than three bits of level would leave the score too few of 32, and the tiles of the kernel too few items."""

LEAST_TRITON = "3.3"
"""Under the interpreter of 3.2 these kernels are wrong; whether compiled ones are was not measured."""

PACKED_ITEMS, READ_ITEMS = 1024, 256
"""Items that a program of either kernel has at a time."""


def why_not(device: torch.device) -> str | None:
    """Return why the kernels cannot run on a device, or None."""
    why = why_no_kernels(device)
    if why is None and _numbers(version("triton")) < _numbers(LEAST_TRITON):
        return f"its kernels gave other ranks under Triton 3.2: it needs {LEAST_TRITON}, found {version('triton')}"
    return why


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")[:2]))


class _Sums(NamedTuple):
    """What one pass gives, each (Q, S) for the S sets of numbers of common levels, but ``intersection`` (Q,)."""

    precision: Tensor
    discount: Tensor
    found: Tensor
    first: Tensor
    intersection: Tensor

    def of_sets(self, columns: slice) -> _Sums:
        """The same of some sets."""
        *by_set, intersection = self
        precision, discount, found, first = (each[:, columns] for each in by_set)
        return _Sums(precision, discount, found, first, intersection)


class FusedLists(RankedLists):
    """Rankings as sorted keys, whose sums a kernel computes.

    Args:
        keys: (R, N) sorted keys; a query that is in its gallery is the last item of its row.
        rows: (Q,) int64, the row of each query.
        counts: (Q, L+1), as for :class:`RankedLists`.
        tables: (3, N+1) float64 from :func:`tables_of`.
    """

    _keys: Tensor
    _rows: Tensor
    _tables: Tensor
    _cuts: dict[tuple[int | None, bool], _Sums]

    def __init__(self, keys: Tensor, rows: Tensor, counts: Tensor, tables: Tensor) -> None:
        vars(self).update(
            counts=counts, _keys=keys, _rows=rows, _tables=tables, _cuts={}, _at_least={}
        )

    @cached_property
    def _read(self) -> RankedLists:
        """What the sums of the kernel do not tell, for metrics of the caller's own."""
        levels = (self._keys[self._rows] & self._level_mask).to(torch.int8)
        places = torch.arange(self.longest, device=levels.device)
        levels.masked_fill_(places >= self.lengths[:, None], -1)
        return RankedLists.from_sorted(levels, self.num_levels, self.counts)

    @cached_property
    def hits(self) -> Hits:
        """The items that share a level with their query."""
        return self._read.hits

    @cached_property
    def common_levels(self) -> Tensor:
        """(M,) integers in 1..L, how many they share."""
        return self._read.common_levels

    @property
    def longest(self) -> int:
        """The number of items in the gallery."""
        return self._keys.shape[1]

    @property
    def _level_mask(self) -> int:
        return (1 << self.num_levels.bit_length()) - 1

    def precision_sum(self, threshold: int, k: int | None = None, *, at_r: bool = False) -> Tensor:
        """(Q,) float64: sum of the precisions at the ranks of the positives."""
        return self._sums(k, at_r).precision[:, threshold - 1]

    def num_found(self, threshold: int, k: int | None = None, *, at_r: bool = False) -> Tensor:
        """(Q,) float64: number of positives."""
        return self._sums(k, at_r).found[:, threshold - 1].double()

    def first(self, threshold: int) -> Tensor:
        """(Q,) int64: rank of the first positive of all; 0 where there is none."""
        return self._sums(None, False).first[:, threshold - 1].long()

    def discount_sum(self, threshold: int, k: int | None = None) -> Tensor:
        """(Q,) float64: sum of 1 / log2(1 + rank)."""
        return self._sums(k, False).discount[:, threshold - 1]

    def intersection_sum(self) -> Tensor:
        """(Q,) float64: R times ASI."""
        return self._sums(None, False).intersection

    def precision_sum_of(self, table: Tensor) -> Tensor:
        """(Q,) float64: as ``precision_sum``, of the items for whose common levels a (Q, L) table has True."""
        bits = 2 << torch.arange(self.num_levels, device=table.device)
        sets = (table * bits).sum(1, keepdim=True)
        depths = self.lengths[:, None].masked_fill(sets == 0, 0)  # nothing to look for: not read
        return self._pass(sets, depths).precision[:, 0]

    def select(self, queries: Tensor) -> RankedLists:
        """The lists of the queries that a (Q,) mask keeps."""
        return FusedLists(self._keys, self._rows[queries], self.counts[queries], self._tables)

    def _sums(self, k: int | None, at_r: bool) -> _Sums:
        """Sums by threshold, down to a depth."""
        k = None if k is None or k >= self.longest else k
        if (k, at_r) not in self._cuts:
            wanted = [(k, at_r)] if k is not None else [(None, False), (None, True)]
            levels = range(1, self.num_levels + 1)
            depths = [
                self.depth(threshold, cut, at_r=at_count)
                for cut, at_count in wanted
                for threshold in levels
            ]
            # x common levels and more: bits x to L.
            bits = [(2 << self.num_levels) - (1 << threshold) for threshold in levels]
            sets = torch.tensor(bits * len(wanted), device=self.counts.device)
            both = self._pass(
                sets.expand(self.num_queries, -1), torch.stack(depths, 1), asi=k is None
            )
            for cut, part in zip(wanted, range(0, len(sets), self.num_levels), strict=True):
                columns = slice(part, part + self.num_levels)
                self._cuts[cut] = both.of_sets(columns)
        return self._cuts[k, at_r]

    def _pass(self, sets: Tensor, depths: Tensor, *, asi: bool = False) -> _Sums:
        """Read the rows for sets (Q, S) of numbers of common levels, a bit each, down to their depths (Q, S)."""
        from pml_suprank.metrics.ranking import kernels

        device, (queries, number) = sets.device, sets.shape
        size, levels = _power_of_two(number), _power_of_two(self.num_levels)
        sums = torch.empty(2, queries, size, dtype=torch.float64, device=device)
        counts = torch.empty(2, queries, size, dtype=torch.int32, device=device)
        intersections = torch.zeros(queries, dtype=torch.float64, device=device)
        at_least = self.counts.flip(1).cumsum(1).flip(1)
        deeper = _padded(at_least[:, 2:], levels)
        lengths = torch.stack([at_least[:, 0], at_least[:, 1]]).int()
        if queries:
            with torch.cuda.device_of(sets):
                kernels.measure[(queries,)](
                    self._keys,
                    self._rows,
                    _padded(sets, size),
                    _padded(depths, size),
                    lengths,
                    deeper,
                    self._tables,
                    sums,
                    counts,
                    intersections,
                    self._keys.stride(0),
                    queries,
                    self._tables.stride(0),
                    LEVEL_MASK=self._level_mask,
                    SETS=size,
                    LEVELS=levels,
                    ASI=asi,
                    BLOCK=READ_ITEMS,
                )
        (precision, discount), (found, first) = sums, counts
        passed = _Sums(precision, discount, found, first, intersections)
        return passed.of_sets(slice(number))


class FusedRanker:
    """Ranks the gallery for blocks of queries.

    Args:
        query: (Q, D) float32 embeddings.
        scorer: of the gallery.
        levels: that queries and items share.
        self_indices: (Q,) int64, the position of each query in the gallery, or -1; None for none.

    Attributes:
        unresolved: (Q,) bool; True once ranked, where float32 does not tell the ranks.
    """

    def __init__(
        self, query: Tensor, scorer: Scorer, levels: TreeLevels, self_indices: Tensor | None
    ) -> None:
        self._query, self._scorer = query, scorer
        columns, device = range(levels.num_levels), query.device
        self._query_ids = torch.stack([levels.query_ids(each).int() for each in columns])
        self._gallery_ids = torch.stack([levels.gallery_ids(each).int() for each in columns])
        self._self_indices = (
            torch.full((len(query),), -1, device=device)
            if self_indices is None
            else self_indices.to(device)
        )
        self._counts = levels.counts(self._self_indices >= 0)
        self._bits = levels.num_levels.bit_length()
        self._bound, self._gap = scorer.bound(query), scorer.resolution(query)
        self._places = torch.tensor(boundaries(len(scorer.gallery)), device=device)
        self._tables = tables_of(len(scorer.gallery), device)
        self.unresolved = torch.zeros(len(query), dtype=torch.bool, device=device)

    def __call__(self, block: slice, _: Any = None) -> Iterator[RankedLists]:
        """The lists of a block, in parts that follow each other."""
        scores = self._scorer(self._query[block])
        code = Code.narrow(self._bits, self._bound)
        keys = self._keys(scores, block, code, torch.int32)
        if keys is not None:
            del scores
            yield self._ranked(keys, block, code)
            return
        code, half = Code.wide(self._bits), math.ceil(len(scores) / 2)
        for start in range(0, len(scores), half):
            part = slice(block.start + start, min(block.start + start + half, block.stop))
            keys = self._keys(scores[start : start + half], part, code, torch.int64)
            assert keys is not None
            yield self._ranked(keys, part, code)

    def _keys(self, scores: Tensor, block: slice, code: Code, dtype: torch.dtype) -> Tensor | None:
        """(b, N) keys; None if the code does not tell different scores of a row apart."""
        from pml_suprank.metrics.ranking import kernels

        queries, items = scores.shape
        keys = torch.empty(queries, items, dtype=dtype, device=scores.device)
        item_blocks = math.ceil(items / PACKED_ITEMS)
        near = torch.empty(2, queries, item_blocks, dtype=torch.int32, device=scores.device)
        with torch.cuda.device_of(scores):
            kernels.pack[(queries * item_blocks,)](
                scores.contiguous(),
                self._query_ids[:, block].contiguous(),
                self._gallery_ids,
                self._self_indices[block],
                keys,
                near,
                items,
                queries,
                item_blocks,
                code.dropped,
                LEVELS=len(self._query_ids),
                LEVEL_BITS=self._bits,
                LARGEST=torch.iinfo(dtype).max,
                BLOCK=PACKED_ITEMS,
            )
        if code.dropped > 1:
            code_zero, not_zero = near.sum(2)
            if bool(((code_zero > 1) & (not_zero > 0)).any()):
                return None
        return keys

    def _ranked(self, keys: Tensor, block: slice, code: Code) -> RankedLists:
        keys = keys.sort(dim=1).values
        found = keys[:, self._places].cpu().numpy()
        scores = torch.from_numpy(code.scores(found)).to(keys.device)
        inside = self._self_indices[block] >= 0
        scores[:, -1].masked_fill_(inside, torch.inf)
        gap = self._gap[block]
        # Levels are read where two scores are close alone.
        close = (scores.diff(dim=1).abs() <= gap.to(scores)[:, None]).any(1).nonzero().flatten()
        for rows in close.split(max(1, len(keys) // 16)):
            levels = keys[rows] & ((1 << self._bits) - 1)
            self.unresolved[rows + block.start] = unresolved(scores[rows], gap[rows], levels)
        rows = torch.arange(len(keys), device=keys.device)
        return FusedLists(keys, rows, self._counts[block], self._tables)


def tables_of(length: int, device: torch.device) -> Tensor:
    """(3, length + 1) float64: of each rank its inverse, its discount and the harmonic number; 0 for rank 0."""
    inverse = 1 / torch.arange(1, length + 1, dtype=torch.float64, device=device)
    inverse = torch.nn.functional.pad(inverse, (1, 0))
    harmonic = prefix_sums("harmonic", length, device)
    return torch.stack([inverse, discounts(length, device), harmonic])


def _power_of_two(number: int) -> int:
    return 1 << max(0, number - 1).bit_length()


def _padded(values: Tensor, columns: int) -> Tensor:
    """(Q, columns) int32, with 0 in the columns that are not there."""
    return torch.nn.functional.pad(values, (0, columns - values.shape[1])).int().contiguous()

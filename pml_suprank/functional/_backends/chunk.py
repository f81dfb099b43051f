"""A chunk of queries, its items flat, and the same in ascending order of score."""

import itertools
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from pml_suprank.functional._backends.ordering import (
    argsort_rows,
    first_above,
    tie_ends,
    where_true,
)


class Chunk:
    """Rows of a request; items are numbered through, row by row.

    ``level`` is -1 for items outside the retrieval set; they score lower than all others of their row.
    """

    def __init__(self, scores: Tensor, levels: Tensor, num_levels: int, masked: bool) -> None:
        self.num_rows, self.num_items = scores.shape
        self.num_levels, self.masked = num_levels, masked
        if masked:
            scores = _lowest_outside(scores, levels < 0)
        self.scores = scores
        self.level = levels.flatten()

    @property
    def source_level(self) -> Tensor:
        """(R N,), int64 levels; those outside the retrieval set have the highest, below which nothing is."""
        level = self.level.long()
        return level.masked_fill_(self.level < 0, self.num_levels) if self.masked else level

    def row_of(self, item: Tensor) -> Tensor:
        """Return the row of items."""
        if self.num_rows == 1:
            return torch.zeros_like(item)
        return item.div(self.num_items, rounding_mode="floor")


class Counts(NamedTuple):
    """Numbers of items of level 1, 2, ... and up, for each target."""

    words: list[Tensor]
    """(T,) each, int64, with ``63 // bits`` levels to a word."""
    bits: int

    def at_least(self, level: int, target: slice) -> Tensor:
        """Return the number of items of a level and up, for a run of targets, int64."""
        word, field = divmod(level - 1, 63 // self.bits)
        return (self.words[word][target] >> self.bits * field) & ((1 << self.bits) - 1)


class SortedChunk(Chunk):
    """Rows in ascending order of score, and the ranked items ("targets") in them.

    Positions are places in the order of the whole chunk, so that sums over all items of a row from a position on
    are differences of prefix sums. Targets stand level by level, row by row, in ascending order of score.
    """

    def __init__(self, scores: Tensor, levels: Tensor, num_levels: int, masked: bool) -> None:
        super().__init__(scores, levels, num_levels, masked)
        self._bits = (self.num_rows * self.num_items).bit_length()
        self._per_word = 63 // self._bits
        self.order = argsort_rows(self.scores)
        self.values = self.scores.flatten().index_select(0, self.order)
        self.sorted_level = self.level.index_select(0, self.order)
        of_level = [where_true(self.sorted_level == level) for level in range(1, num_levels + 1)]
        self.position = torch.cat(of_level)
        ends = itertools.accumulate((len(targets) for targets in of_level), initial=0)
        self._slices = [slice(*pair) for pair in itertools.pairwise(ends)]
        self.target_item = self.order.index_select(0, self.position)
        self.target_value = self.values.index_select(0, self.position)
        self.target_row = self.row_of(self.position)
        self.row_end = (self.target_row + 1).mul_(self.num_items)

    def forget(self) -> None:
        """Drop what the way back does not need, and halve the order: all chunks are kept until then."""
        for name in (
            "level",
            "not_behind",
            "position",
            "row_end",
            "scores",
            "target_row",
            "target_value",
            "values",
            "_at_least",
            "_ties",
            "_totals",
            "first_equal",
        ):
            self.__dict__.pop(name, None)
        self.order = self.order.int()

    @property
    def levels(self) -> list[tuple[int, slice]]:
        """The levels that have targets, and their places."""
        levels = enumerate(self._slices, start=1)
        return [(level, target) for level, target in levels if target.start < target.stop]

    @cached_property
    def _ties(self) -> tuple[Tensor, Tensor] | None:
        return tie_ends(self.values.view(self.num_rows, self.num_items))

    @cached_property
    def first_equal(self) -> Tensor:
        """(T,), where the items not behind each target begin."""
        return self._of_tie(0)

    @cached_property
    def first_ahead(self) -> Tensor:
        """(T,), where the items ahead of each target begin."""
        return self._of_tie(1)

    def _of_tie(self, end: int) -> Tensor:
        if self._ties is None:
            return self.position + end
        return self._ties[end].index_select(0, self.position)

    def beyond(self, distance: float) -> Tensor:
        """(T,), where the items ahead by more than ``distance`` begin."""
        if distance == 0.0:
            return self.first_ahead
        reach = self.target_value.double() + distance
        segment = self.target_row.clone()
        for level, target in self.levels:
            segment[target] += (level - 1) * self.num_rows
        counts = torch.bincount(segment, minlength=self.num_levels * self.num_rows)
        splits = pad(counts.cumsum(0), (1, 0))
        values = self.values.double().view(self.num_rows, self.num_items)
        return first_above(values, reach, splits).add_(self.row_end).sub_(self.num_items)

    @cached_property
    def _at_least(self) -> list[Tensor]:
        """Prefix counts of the items of each level and up, as many levels as fit to an int64."""
        level = (self.sorted_level + 1).long()
        words = []
        for first in range(1, self.num_levels + 1, self._per_word):
            fields = range(first, min(first + self._per_word, self.num_levels + 1))
            ones = [
                sum(1 << self._bits * (field - first) for field in fields if field <= level_)
                for level_ in range(-1, self.num_levels + 1)
            ]
            table = torch.tensor(ones, device=level.device)
            words.append(self.prefix(table.index_select(0, level)))
        return words

    @cached_property
    def _totals(self) -> list[Tensor]:
        return [word.index_select(0, self.row_end) for word in self._at_least]

    def count_from(self, position: Tensor) -> Counts:
        """Count, for all targets, the items of each level from positions (T,) to the row's end."""
        words = [
            total - word.index_select(0, position)
            for total, word in zip(self._totals, self._at_least, strict=True)
        ]
        return Counts(words, self._bits)

    @cached_property
    def not_behind(self) -> Counts:
        """The items not behind each target, itself included."""
        return self.count_from(self.first_equal)

    def prefix(self, values: Tensor) -> Tensor:
        """Return the prefix sums of items in order, (R N + 1,), int64 or float64."""
        dtype = torch.float64 if values.is_floating_point() else torch.int64
        sums = torch.empty(len(values) + 1, dtype=dtype, device=values.device)
        sums[0] = 0
        torch.cumsum(values, dim=0, dtype=dtype, out=sums[1:])
        return sums

    def suffix(self, values: Tensor, target: slice, *positions: Tensor) -> list[Tensor]:
        """Return, for each list of positions, the sums of ``values`` from there to the row's end."""
        sums = self.prefix(values)
        total = sums.index_select(0, self.row_end[target])
        return [total - sums.index_select(0, position) for position in positions]

    def spread(self, weight: Tensor, begin: Tensor, end: Tensor) -> Tensor:
        """Give weights (T',) to the items from one position to before another: (R N,), in order."""
        # what is given must be taken back exactly: a remainder would go to all items that follow
        given = weight.double()
        sums = given.new_zeros(len(self.order) + 1)
        sums.scatter_add_(0, begin, given).scatter_add_(0, end, given.neg_())
        return sums[:-1].cumsum_(dim=0).to(weight.dtype)

    def below(self, level: int, dtype: torch.dtype) -> Tensor:
        """Return 1 for the items of the retrieval set below a level, in order, (R N,)."""
        below = self.sorted_level < level
        if self.masked:
            below &= self.sorted_level >= 0
        return below.to(dtype)

    def table(self, per_level: Tensor) -> Tensor:
        """Return (R N,) values, in order, of a table (R, L + 1) over levels; 0 outside the retrieval set."""
        padded = pad(per_level, (1, 0))  # level -1 is the first column
        level = (self.sorted_level + 1).long().view(self.num_rows, -1)
        return padded.gather(1, level).flatten()


def _lowest_outside(scores: Tensor, outside: Tensor) -> Tensor:
    infinity = float("inf")
    lowest = scores.masked_fill(outside, infinity).amin(dim=1, keepdim=True)
    lowest = torch.nextafter(lowest, lowest.new_tensor(-infinity))
    lowest = lowest.masked_fill(lowest.isinf(), 0.0)
    return torch.where(outside, lowest, scores)

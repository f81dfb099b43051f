"""A chunk of queries with their items in ascending order of score."""

import itertools
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import pad

from pml_suprank.functional._backends.fast.ordering import argsort_rows, first_above


class Chunk:
    """Sorted rows, and the ranked items ("targets") in them.

    ``level`` is -1 for items outside the retrieval set. Positions are 0..N, so that sums over all items from a
    position on are differences of (R, N + 1) prefix sums, which ``at`` picks for the targets.
    """

    def __init__(
        self,
        scores: Tensor,
        levels: Tensor,
        mask: Tensor | None,
        num_levels: int,
        order: Tensor | None = None,
    ) -> None:
        levels = levels.to(torch.int16)
        if mask is not None:
            infinity = float("inf")
            lowest = scores.masked_fill(~mask, infinity).amin(dim=1, keepdim=True)
            lowest = lowest.masked_fill(lowest == infinity, 0.0)
            scores = torch.where(mask, scores, lowest)
            levels = levels.masked_fill(~mask, -1)
        self.num_rows, self.num_items = scores.shape
        self.masked = mask is not None
        self.order = argsort_rows(scores) if order is None else order.long()
        self.values = scores.gather(1, self.order)
        self.level = levels.gather(1, self.order)
        # targets stand level by level, row by row, in ascending order of score
        of_level = [self.level == level for level in range(1, num_levels + 1)]
        self.flat = torch.cat([ranked.flatten().nonzero().flatten() for ranked in of_level])
        counts = torch.stack([ranked.sum(dim=1) for ranked in of_level])
        self.splits = pad(counts.flatten().cumsum(0), (1, 0))
        ends = [0, *self.splits[self.num_rows :: self.num_rows].tolist()]
        self._slices = [slice(*pair) for pair in itertools.pairwise(ends)]
        self.row = self.flat.div(self.num_items, rounding_mode="floor")
        self.base = self.flat + self.row  # of the target in prefix sums of N + 1 columns
        self.first = self.base - self.flat % self.num_items  # of its row there
        self.target_value = self.values.flatten().index_select(0, self.flat)
        self.target_level = self.level.flatten().index_select(0, self.flat)

    @cached_property
    def has_ties(self) -> bool:
        """Whether two items of a row have equal scores."""
        return bool((self.values[:, 1:] == self.values[:, :-1]).any())

    @cached_property
    def first_equal(self) -> Tensor:
        """(T,), where the items not behind each target begin, in prefix sums."""
        if not self.has_ties:
            return self.base
        return self.first + first_above(self.values, self.target_value, self.splits, or_equal=True)

    @cached_property
    def first_ahead(self) -> Tensor:
        """(T,), where the items ahead of each target begin, in prefix sums."""
        if not self.has_ties:
            return self.base + 1
        return self.first + first_above(self.values, self.target_value, self.splits, or_equal=False)

    def beyond(self, distance: float) -> Tensor:
        """(T,), where the items ahead by more than ``distance`` begin, in prefix sums."""
        reach = self.target_value.double() + distance
        return self.first + first_above(self.exact, reach, self.splits, or_equal=False)

    @cached_property
    def exact(self) -> Tensor:
        """(R, N), the values in float64."""
        return self.values.double()

    def of_level(self, level: int) -> slice:
        """Return where, among the targets, those of a level stand."""
        return self._slices[level - 1]

    def prefix(self, values: Tensor) -> Tensor:
        """Return flat prefix sums, (R * (N + 1),), float64."""
        sums = values.new_zeros((self.num_rows, self.num_items + 1), dtype=torch.float64)
        torch.cumsum(values, dim=1, dtype=torch.float64, out=sums[:, 1:])
        return sums.flatten()

    def suffix(self, values: Tensor, target: slice, *positions: Tensor) -> list[Tensor]:
        """Return, for each list of positions, the sums of ``values`` from there to the row's end."""
        sums = self.prefix(values)
        total = sums.index_select(0, self.first[target] + self.num_items)
        return [total - sums.index_select(0, position) for position in positions]

    def spread(self, weight: Tensor, position: Tensor) -> Tensor:
        """Put weights at positions of prefix sums and return, for each item, those at or before it.

        It is the transpose of a sum from a position on: (R, N), float64.
        """
        sums = torch.zeros(
            self.num_rows * (self.num_items + 1), dtype=torch.float64, device=weight.device
        )
        sums.index_add_(0, position, weight.double())
        return sums.view(self.num_rows, -1)[:, :-1].cumsum(dim=1)

    def table(self, per_level: Tensor) -> Tensor:
        """Return (R, N) values of a table (R, L + 1) over levels; 0 outside the retrieval set."""
        padded = pad(per_level, (0, 1))  # level -1 is the last column
        last = padded.shape[1] - 1
        level = torch.where(self.level < 0, last, self.level) if self.masked else self.level
        return padded.gather(1, level.long())

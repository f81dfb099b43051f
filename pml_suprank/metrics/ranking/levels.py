"""How many levels queries share with the items of a gallery, and those numbers in order of rank."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from pml_suprank.hierarchy.labels import HierarchyError, check_nested

LevelFunction = Callable[[slice | Tensor], Tensor]
"""Queries, a slice or (b,) indices -> (b, N) integer levels against the whole gallery."""

_PAIRS = 2**20
"""(query, item) pairs whose levels are compared at a time."""


class Intervals(NamedTuple):
    """Where the items are that share levels with a query, in a gallery sorted by label path.

    Items that share at least l levels stand side by side: those of query q in
    ``start[q, l - 1]:stop[q, l - 1]``, and those of level l + 1 within.
    """

    start: Tensor
    stop: Tensor


class TreeLevels:
    """Labels of queries and gallery, numbered, and the levels they share.

    Args:
        query_labels: (Q, L) int64, column 0 finest.
        gallery_labels: (N, L) int64; the same tensor where the gallery is the queries.

    Raises:
        HierarchyError: different numbers of columns, or an id under two ids of the next column,
            so that the number of equal columns would be no depth.
    """

    def __init__(self, query_labels: Tensor, gallery_labels: Tensor) -> None:
        self.num_levels = query_labels.shape[1]
        if gallery_labels.shape[1] != self.num_levels:
            raise HierarchyError(
                f"gallery_labels: wanted {self.num_levels} columns as in query_labels, "
                f"got {gallery_labels.shape[1]}"
            )
        split = len(query_labels)
        columns = []
        for column in torch.cat([query_labels, gallery_labels]).unbind(1):
            raw, ids = column.unique(return_inverse=True)
            columns.append((raw, ids))
        for level, (fine, coarse) in enumerate(itertools.pairwise(columns)):
            check_nested(level, fine, coarse)
        self._query = [ids[:split].int() for _, ids in columns]
        self._gallery = [ids[split:].int() for _, ids in columns]

    @property
    def numbered(self) -> list[Tensor]:
        """The numbered labels: a column of the queries after the other, then those of the gallery."""
        return [*self._query, *self._gallery]

    def query_ids(self, level: int) -> Tensor:
        """(Q,) int64: the queries' labels of a column, numbered in their order."""
        return self._query[level].long()

    def gallery_ids(self, level: int) -> Tensor:
        """(N,) int64: the gallery's labels of a column, under the same numbers."""
        return self._gallery[level].long()

    def __call__(self, block: slice | Tensor) -> Tensor:
        """(b, N) in 0..L: the number of columns a query shares with an item."""
        shape = (len(self._query[0][block]), len(self._gallery[0]))
        dtype = torch.int8 if self.num_levels < 127 else torch.int16
        levels = torch.zeros(shape, dtype=dtype, device=self._query[0].device)
        for query, gallery in zip(self._query, self._gallery, strict=True):
            levels += query[block][:, None] == gallery
        return levels

    def counts(self, inside: Tensor) -> Tensor:
        """(Q, L+1) number of items of each level, without the query itself where it is ``inside``, (Q,) bool."""
        at_least = [torch.full(inside.shape, len(self._gallery[0]), device=inside.device)]
        for column in reversed(range(self.num_levels)):
            query, gallery = self.query_ids(column), self.gallery_ids(column)
            at_least.append(gallery.bincount(minlength=int(query.max()) + 1)[query])
        counts = torch.stack(at_least, 1) - inside[:, None].long()
        counts[:, :-1] -= counts[:, 1:].clone()
        return counts

    def sorted_by_path(self) -> tuple[Tensor, Tensor, Intervals]:
        """Sort queries and gallery by label path, coarsest label first.

        Returns:
            (Q,) and (N,) int64, the orders; and the intervals of the sorted queries in the sorted
            gallery, each (Q, L) int64.

        Example:
            >>> levels = TreeLevels(torch.tensor([[1, 0]]), torch.tensor([[1, 0], [5, 4], [2, 0]]))
            >>> levels.sorted_by_path()[2]
            Intervals(start=tensor([[0, 0]]), stop=tensor([[2, 1]]))
        """
        split = len(self._query[0])
        path = torch.zeros(split + len(self._gallery[0]), dtype=torch.int64)
        paths = []
        for query, gallery in reversed(list(zip(self._query, self._gallery, strict=True))):
            ids = torch.cat([query, gallery]).long().cpu()
            path = (path * (int(ids.max()) + 1) + ids).unique(return_inverse=True)[1]
            paths.append(path)
        query_order = path[:split].argsort(stable=True)
        gallery_order = path[split:].argsort(stable=True)
        start, stop = [], []
        for each in paths:
            gallery = each[split:][gallery_order]
            query = each[:split][query_order]
            start.append(torch.searchsorted(gallery, query))
            stop.append(torch.searchsorted(gallery, query, right=True))
        return query_order, gallery_order, Intervals(torch.stack(start, 1), torch.stack(stop, 1))


def sorted_levels(
    scores: Tensor, levels: Tensor, self_indices: Tensor | None, gap: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """Numbers of common levels in order of rank.

    Ties count against the model: among equal scores, items with fewer common levels come first, which is the rule of
    :func:`pml_suprank.functional.steps.hard_places`. The query's own
    entry is taken out by its index.

    Args:
        scores: (b, N), finite; overwritten.
        levels: (b, N) integers in 0..L; overwritten.
        self_indices: (b,) int64, the query's own position in the gallery, -1 for none; or None.
        gap: (b,) the least difference of scores that their rounding leaves in order; or None.

    Returns:
        (b, N) levels; where a query was taken out its row ends with -1, no item. And (b,) bool, which
        rankings are unresolved (:func:`unresolved`); None without ``gap``.

    Example:
        >>> sorted_levels(torch.tensor([[0.5, 0.9, 0.5]]), torch.tensor([[1, 0, 0]]).char(), None)[0]
        tensor([[0, 0, 1]], dtype=torch.int8)
    """
    if self_indices is not None:
        # At the end of the list, where it shifts no rank.
        rows = (self_indices >= 0).nonzero().flatten()
        scores[rows, self_indices[rows]] = -torch.inf
        levels[rows, self_indices[rows]] = -1
    values, order = scores.sort(dim=1, descending=True)
    ranked = levels.gather(1, order)
    del order
    same = values[:, 1:] == values[:, :-1]
    if bool(same.any()):
        # Of the items that tie, in the order of the lists: number of the tie and level sort as one
        # integer, and every tie keeps its places.
        follows = torch.nn.functional.pad(same, (1, 0))
        tied = follows | torch.nn.functional.pad(same, (0, 1))
        tie = (~follows[tied]).cumsum(0)
        base = int(levels.max()) + 2
        key = tie.mul_(base).add_(ranked[tied]).add_(1)
        ranked[tied] = key.sort().values.remainder_(base).sub_(1).to(ranked.dtype)
    if gap is None:
        return ranked, None
    return ranked, unresolved(values[:, list(boundaries(values.shape[1]))], gap, ranked)


@lru_cache(maxsize=16)
def boundaries(length: int) -> tuple[int, ...]:
    """Places, from 0 to the last, that divide a list of some length: one by one, then by steps of an eighth.

    Example:
        >>> boundaries(24)
        (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 20, 22, 23)
    """
    places = [0]
    while places[-1] < length - 1:
        places.append(min(places[-1] + max(1, places[-1] // 8), length - 1))
    # The last item may be the query itself, which has no score.
    return tuple(sorted({*places, max(0, length - 2)}))


def unresolved(scores: Tensor, gap: Tensor, levels: Tensor) -> Tensor:
    """Which rankings are not those of exact scores, by more than a rank in eight.

    A ranking is unresolved if the scores at two neighbouring boundaries are closer than ``gap`` while the levels
    from the one to the other differ, so that their order counts.

    Args:
        scores: (b, P) at the boundaries of the rankings, sorted; NaN and infinity are far from anything.
        gap: (b,) the least difference of scores that their rounding leaves in order.
        levels: (b, N) in order of rank.

    Returns:
        (b,) bool.

    Example:
        >>> scores = torch.tensor([[3.0, 2.0, 2.0, 1.0]] * 3)
        >>> levels = torch.tensor([[1, 1, 0, 0], [1, 0, 0, 1], [0, 0, 0, 0]])
        >>> unresolved(scores, torch.tensor([0.5, 0.5, 0.5]), levels)
        tensor([ True, False, False])
    """
    # The difference of two floats that are close is exact.
    close = (scores[:, 1:] - scores[:, :-1]).abs_() <= gap.to(scores)[:, None]
    found = torch.zeros(len(scores), dtype=torch.bool, device=scores.device)
    if not bool(close.any()):
        return found
    places = torch.tensor(boundaries(levels.shape[1]), device=scores.device)
    rows = close.any(1).nonzero().flatten()
    for some in rows.split(max(1, _PAIRS // levels.shape[1])):
        here = levels[some]
        changes = (here[:, 1:] != here[:, :-1]).cumsum(1, dtype=torch.int32)
        inside = torch.nn.functional.pad(changes, (1, 0))[:, places].diff(dim=1) > 0
        found[some] = (inside & close[some]).any(1)
    return found

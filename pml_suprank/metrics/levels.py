"""How many levels queries share with the items of a gallery, from labels that form a tree."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
from torch import Tensor

from pml_suprank.hierarchy.labels import HierarchyError, check_nested


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

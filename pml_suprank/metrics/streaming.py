"""Rankings of query blocks: scores, order with ties, the query removed, memory bounded."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pml_suprank.hierarchy.labels import HierarchyError, check_nested
from pml_suprank.metrics.definitions import Values
from pml_suprank.metrics.ranked_lists import RankedLists
from pml_suprank.metrics.result import EvaluationResult, MetricResult

PAIRS_PER_BLOCK = 2**21
"""(query, item) pairs of an automatic block; each takes about 50 bytes at the peak."""

Metric = Callable[[RankedLists], Values]
LevelFunction = Callable[[slice], Tensor]
"""Block of queries -> (b, N) integer levels against the whole gallery."""


def auto_block_size(num_items: int) -> int:
    """Number of queries whose pairs with the gallery fit the memory of one block."""
    return max(1, PAIRS_PER_BLOCK // max(1, num_items))


class TreeLevels:
    """Levels of query blocks against the gallery, from labels that form a tree.

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

    def __call__(self, block: slice) -> Tensor:
        """(b, N) in 0..L: the number of columns a query shares with an item."""
        shape = (len(self._query[0][block]), len(self._gallery[0]))
        dtype = torch.int8 if self.num_levels < 127 else torch.int16
        levels = torch.zeros(shape, dtype=dtype, device=self._query[0].device)
        for query, gallery in zip(self._query, self._gallery, strict=True):
            levels += query[block, None] == gallery
        return levels


def sorted_levels(scores: Tensor, levels: Tensor, self_index: Tensor | None) -> Tensor:
    """Levels in order of rank.

    Ties count against the model: among equal scores, lower levels come first. The query's own
    entry is taken out by its index.

    Args:
        scores: (b, N), finite; overwritten.
        levels: (b, N) integers in 0..L; overwritten.
        self_index: (b,) int64, the query's own position in the gallery, -1 for none; or None.

    Returns:
        (b, N); where a query was taken out its row ends with -1, no item.

    Example:
        >>> sorted_levels(torch.tensor([[0.5, 0.9, 0.5]]), torch.tensor([[1, 0, 0]]).char(), None)
        tensor([[0, 0, 1]], dtype=torch.int8)
    """
    if self_index is not None:
        # At the end of the list, where it shifts no rank.
        rows = (self_index >= 0).nonzero().flatten()
        scores[rows, self_index[rows]] = -torch.inf
        levels[rows, self_index[rows]] = -1
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
    return ranked


class Task(NamedTuple):
    """What to rank."""

    query: Tensor
    score: Callable[[Tensor], Tensor]
    levels: LevelFunction
    num_levels: int
    num_items: int
    self_index: Tensor | None


def ranked_blocks(
    task: Task, block_size: int | None = None, progress: bool = False
) -> Iterator[RankedLists]:
    """Rank the gallery for one block of queries after the other.

    Args:
        task: queries, how to score and to label them.
        block_size: queries at a time; None takes ``auto_block_size``.
        progress: whether to show a bar.

    Yields:
        The lists of each block, in the order of the queries.
    """
    size = auto_block_size(task.num_items) if block_size is None else block_size
    for block in progress_bar(blocks(len(task.query), size), progress):
        index = None if task.self_index is None else task.self_index[block]
        ranked = sorted_levels(task.score(task.query[block]), task.levels(block), index)
        yield RankedLists.from_sorted(ranked, task.num_levels)


def blocks(length: int, size: int) -> list[slice]:
    """Slices of at most ``size`` that cover 0..length."""
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


def progress_bar(items: Sequence[slice], show: bool) -> Iterator[slice]:
    """The items, behind a tqdm bar that counts queries if wanted."""
    if not show:
        yield from items
        return
    from tqdm import tqdm

    with tqdm(total=items[-1].stop, unit="query", desc="ranking") as bar:
        for item in items:
            yield item
            bar.update(item.stop - item.start)


def collect(lists: Iterator[RankedLists], metrics: dict[str, Metric]) -> EvaluationResult:
    """Values of all metrics on all blocks."""
    values: dict[str, list[Tensor]] = {name: [] for name in metrics}
    valid: dict[str, list[Tensor]] = {name: [] for name in metrics}
    for block in lists:
        for name, metric in metrics.items():
            of_block, defined = metric(block)
            values[name].append(of_block)
            valid[name].append(defined)
    return EvaluationResult(
        {
            name: MetricResult(torch.cat(values[name]).cpu(), torch.cat(valid[name]).cpu())
            for name in metrics
        }
    )

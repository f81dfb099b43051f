"""Rankings by a sort that keeps the order: any precision, any device, any levels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pml_suprank.metrics.resolution import boundaries, unresolved

LevelFunction = Callable[[slice | Tensor], Tensor]
"""Queries, a slice or (b,) indices -> (b, N) integer levels against the whole gallery."""


def sorted_levels(
    scores: Tensor, levels: Tensor, self_index: Tensor | None, gap: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """Levels in order of rank.

    Ties count against the model: among equal scores, lower levels come first. The query's own
    entry is taken out by its index.

    Args:
        scores: (b, N), finite; overwritten.
        levels: (b, N) integers in 0..L; overwritten.
        self_index: (b,) int64, the query's own position in the gallery, -1 for none; or None.
        gap: (b,) the least difference of scores that their rounding leaves in order; or None.

    Returns:
        (b, N) levels; where a query was taken out its row ends with -1, no item. And (b,) bool, which
        rankings are unresolved (:func:`pml_suprank.metrics.resolution.unresolved`); None without ``gap``.

    Example:
        >>> sorted_levels(torch.tensor([[0.5, 0.9, 0.5]]), torch.tensor([[1, 0, 0]]).char(), None)[0]
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
    if gap is None:
        return ranked, None
    return ranked, unresolved(values[:, list(boundaries(values.shape[1]))], gap, ranked)

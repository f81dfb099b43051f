"""What a backend is asked, and what it answers."""

from typing import NamedTuple

import torch
from torch import Tensor

from pml_suprank.functional.steps import Surrogate


class LevelRelevance(NamedTuple):
    """Relevance that is the same for all items of a query that share a level."""

    table: Tensor
    """(B, L + 1), 0 at level 0."""
    counts: Tensor
    """(B, L + 1), how many items of the retrieval set have each level."""

    @property
    def total(self) -> Tensor:
        """(B,), the relevance of all items of a query."""
        return (self.table * self.counts).sum(dim=1)


class RankRequest(NamedTuple):
    """Checked input of a backend."""

    scores: Tensor
    """(B, N), float32 or float64, higher is closer."""
    levels: Tensor
    """(B, N), integers; items of level 0 are not ranked, those of level -1 are outside the retrieval set."""
    num_levels: int
    """The highest level, at least 1."""
    masked: bool
    """Whether any item is outside the retrieval set."""
    num_targets: int
    """How many items have a level above 0."""
    relevance: Tensor | LevelRelevance | None
    """Of items (B, N), in the dtype of scores, or of levels; None when no numerator is asked for."""
    surrogate: Surrogate

    def item_relevance(self) -> Tensor | None:
        """Return the relevance of every item, (B, N), 0 outside the retrieval set, or None."""
        if not isinstance(self.relevance, LevelRelevance):
            return self.relevance
        table = self.relevance.table.to(self.scores.dtype)
        return table.gather(1, self.levels.clamp(min=0).long())


class TargetRanks(NamedTuple):
    """Ranks of the items with a level above 0 ("targets"), in any order."""

    query: Tensor
    """(T,), int64."""
    item: Tensor
    """(T,), int64."""
    rank: Tensor
    """(T,)."""
    hrank: Tensor | None
    """(T,); None without a relevance."""


class Ranks(NamedTuple):
    """Ranks of the items with a level above 0, in the place of the items."""

    rank: Tensor
    """(B, N), 1 where an item is not ranked."""
    hrank: Tensor | None
    """(B, N), 0 where an item is not ranked; None without a relevance."""


def targets_of(levels: Tensor, num_targets: int | None = None) -> tuple[Tensor, Tensor]:
    """Return query and item of all targets, (T,) each, in the order of the rows.

    With ``num_targets`` known, a GPU of the CUDA kind need not be waited for.
    """
    positive = levels > 0
    if num_targets is not None and positive.is_cuda and torch.version.cuda is not None:
        try:
            query, item = torch.nonzero_static(positive, size=num_targets).unbind(1)
            return query, item
        except NotImplementedError:  # torch before 2.6
            pass
    query, item = positive.nonzero(as_tuple=True)
    return query, item

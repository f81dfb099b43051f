"""What a backend is asked, and what it answers."""

from typing import NamedTuple

from torch import Tensor

from pml_suprank.functional.steps import Surrogate


class RankRequest(NamedTuple):
    """Checked input of a backend."""

    scores: Tensor
    """(B, N), float32 or float64, higher is closer."""
    levels: Tensor
    """(B, N), integers >= 0; items of level 0 are not ranked."""
    relevance: Tensor | None
    """(B, N), dtype of scores; None when no numerator is asked for."""
    mask: Tensor | None
    """(B, N), True for the items in the retrieval set; None for all."""
    surrogate: Surrogate

    @property
    def ranked(self) -> Tensor:
        """(B, N), True for the items whose rank is asked for."""
        positive = self.levels > 0
        return positive if self.mask is None else positive & self.mask


class Ranks(NamedTuple):
    """Ranks of the items with a level above 0."""

    rank: Tensor
    """(B, N), 1 where an item is not ranked."""
    hrank: Tensor | None
    """(B, N), 0 where an item is not ranked; None without a relevance."""

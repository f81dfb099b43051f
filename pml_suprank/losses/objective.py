"""What a rank loss trains."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from pml_suprank.functional.steps import HRankStep
from pml_suprank.relevance import Relevance


@dataclass(frozen=True)
class Objective:
    """What a rank loss trains: a metric of each query, and what is relevant to it.

    Args:
        metric: a function that returns the scores (B,) of the queries. It is given ``scores`` (B, N), two tensors that
            say what is relevant, and the keywords ``surrogate`` and ``backend`` if the loss has a surrogate. The two
            are, where an item is positive or not, masks (B, N) of the positives and of the items of the retrieval set;
            else the common levels (B, N), -1 outside the set, and a ``LevelRelevance``.
        relevance: relevance of an item from level counts, see :mod:`pml_suprank.relevance`; None where an item is
            positive or not.
        hrank: a smooth numerator, of which H-AP has one.
    """

    metric: Callable[..., Tensor]
    relevance: Relevance | None = None
    hrank: HRankStep | None = None

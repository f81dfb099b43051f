"""Losses on recall at k."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from pml_suprank.checks import checked_depths
from pml_suprank.functional import recall_surrogate
from pml_suprank.losses.ap_loss import BinaryRankLoss
from pml_suprank.losses.retrieval_set import RetrievalSet
from pml_suprank.losses.surrogates import SmoothRankLoss, SupRankLoss


class RecallLoss(BinaryRankLoss):
    """1 - recall@k averaged over the given k, for any surrogate.

    Args:
        k: cut-offs, integers >= 1.
        temperature: of the smooth cut, > 0, in ranks.
        **kwargs: see :class:`RankLoss`.

    Raises:
        ValueError: ``k`` is empty or has an entry below 1; ``temperature`` is not positive.
    """

    def __init__(
        self, *, k: Sequence[int] = (1, 2, 4, 8, 16), temperature: float = 1.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not 0 < temperature < float("inf"):
            raise ValueError(f"temperature: wanted a positive finite number, got {temperature!r}")
        self.k = checked_depths(k)
        self.temperature = temperature
        self.add_to_recordable_attributes(name="temperature", is_stat=False)

    def query_scores(self, scores: Tensor, items: RetrievalSet, relevance: Tensor) -> Tensor:
        """Return what stands for the recall of every query, (B,)."""
        return recall_surrogate(
            scores,
            relevance,
            items.mask,
            k=self.k,
            temperature=self.temperature,
            surrogate=self.surrogate,
            backend=self.backend,
        )


class SupRecallLoss(SupRankLoss, RecallLoss):
    """1 - Sup-R@k: recall at k on SupRank.

    At ``temperature`` 1 the score of a perfect ranking is well below 1, so the loss does not reach 0.

    Args:
        **kwargs: ``k``, ``temperature``; ``tau``, ``rho``, ``delta``, ``start``, ``offset``, ``preset`` of
            :class:`SupRankLoss`; ``level``, ``hierarchy``, ``include_self``, ``backend``, ``mixup`` and PML's
            own of :class:`RankLoss`.

    References:
        Ramzi et al., Optimization of Rank Losses for Image Retrieval, arXiv 2309.08250.
    """


class SmoothRecallLoss(SmoothRankLoss, RecallLoss):
    """1 - recall at k on the sigmoid rank.

    Args:
        **kwargs: ``k``, ``temperature``; ``tau``; ``level``, ``hierarchy``, ``include_self``, ``backend``, ``mixup``
            and PML's own of :class:`RankLoss`.

    References:
        Patel et al., Recall@k Surrogate Loss with Large Batches and Similarity Mixup, arXiv 2108.11179.
    """

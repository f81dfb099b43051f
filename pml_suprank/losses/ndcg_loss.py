"""Losses on normalised discounted cumulative gain."""

from typing import Any

from torch import Tensor

from ..functional import ndcg
from ..relevance import ExponentialGain, Relevance, item_relevance
from .rank_loss import RankLoss
from .retrieval_set import RetrievalSet
from .surrogates import SmoothRankLoss, SupRankLoss


class NDCGLoss(RankLoss):
    """1 - NDCG, for any surrogate.

    Args:
        relevance: gain of an item from level counts, see :mod:`pml_suprank.relevance`; None for
            ``ExponentialGain()``, 2^level - 1.
        **kwargs: see :class:`RankLoss`. With a ``level`` the gain is 1 for the positives of that level.
    """

    def __init__(self, *, relevance: Relevance | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.relevance = ExponentialGain() if relevance is None else relevance

    def item_relevance(self, items: RetrievalSet) -> Tensor:
        """Return the gain of every item."""
        return item_relevance(self.relevance, items.levels, items.num_levels, items.mask)

    def query_scores(self, scores: Tensor, items: RetrievalSet, relevance: Tensor) -> Tensor:
        """Return the NDCG of every query, (B,)."""
        return ndcg(
            scores,
            items.levels,
            relevance,
            items.mask,
            surrogate=self.surrogate,
            backend=self.backend,
        )


class SupNDCGLoss(SupRankLoss, NDCGLoss):
    """1 - Sup-NDCG: normalised discounted cumulative gain on SupRank.

    Args:
        **kwargs: ``relevance``; ``tau``, ``rho``, ``delta``, ``start``, ``offset``, ``preset`` of :class:`SupRankLoss`;
            ``level``, ``hierarchy``, ``include_self``, ``backend`` and PML's own of :class:`RankLoss`.

    References:
        Ramzi et al., Optimization of Rank Losses for Image Retrieval, arXiv 2309.08250.
    """


class SmoothNDCGLoss(SmoothRankLoss, NDCGLoss):
    """1 - NDCG on the sigmoid rank.

    Args:
        **kwargs: ``relevance``; ``tau``; ``level``, ``hierarchy``, ``include_self``, ``backend`` and PML's own of
            :class:`RankLoss`.

    References:
        Ramzi et al., arXiv 2309.08250; Brown et al., arXiv 2007.12163.
    """

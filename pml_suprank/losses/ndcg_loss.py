"""Losses on normalised discounted cumulative gain."""

from torch import Tensor

from pml_suprank.functional import ndcg
from pml_suprank.functional.ranks import LevelRelevance
from pml_suprank.losses.hap_loss import GradedRankLoss
from pml_suprank.losses.retrieval_set import RetrievalSet
from pml_suprank.losses.surrogates import SmoothRankLoss, SupRankLoss
from pml_suprank.relevance import ExponentialGain


class NDCGLoss(GradedRankLoss):
    """1 - NDCG, for any surrogate; relevance is the gain ``ExponentialGain()``, 2^level - 1, by default."""

    default_relevance = ExponentialGain()

    def query_scores(
        self, scores: Tensor, items: RetrievalSet, relevance: LevelRelevance
    ) -> Tensor:
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
            ``level``, ``hierarchy``, ``include_self``, ``backend``, ``mixup`` and PML's own of
            :class:`RankLoss`.

    References:
        Ramzi et al., Optimization of Rank Losses for Image Retrieval, arXiv 2309.08250.
    """


class SmoothNDCGLoss(SmoothRankLoss, NDCGLoss):
    """1 - NDCG on the sigmoid rank.

    Args:
        **kwargs: ``relevance``; ``tau``; ``level``, ``hierarchy``, ``include_self``, ``backend``, ``mixup`` and PML's
            own of :class:`RankLoss`.

    References:
        Ramzi et al., arXiv 2309.08250; Brown et al., arXiv 2007.12163.
    """

"""Losses on average precision."""

from typing import Any

from torch import Tensor

from pml_suprank.checks import checked_level
from pml_suprank.functional import average_precision
from pml_suprank.losses.rank_loss import RankLoss
from pml_suprank.losses.retrieval_set import RetrievalSet
from pml_suprank.losses.surrogates import SmoothRankLoss, SupRankLoss


class BinaryRankLoss(RankLoss):
    """A rank loss for which an item is positive or not.

    Args:
        level: label column that makes an item positive; 0 is the finest.
        **kwargs: see :class:`RankLoss`.
    """

    def __init__(self, *, level: int = 0, **kwargs: Any) -> None:
        super().__init__(level=checked_level(level), **kwargs)

    def item_relevance(self, items: RetrievalSet) -> Tensor:
        """Return True for the positives."""
        positive = items.levels > 0
        return positive if items.mask is None else positive & items.mask


class APLoss(BinaryRankLoss):
    """1 - AP, for any surrogate."""

    def query_scores(self, scores: Tensor, items: RetrievalSet, relevance: Tensor) -> Tensor:
        """Return the AP of every query, (B,)."""
        return average_precision(
            scores, relevance, items.mask, surrogate=self.surrogate, backend=self.backend
        )


class SupAPLoss(SupRankLoss, APLoss):
    """1 - SupAP: average precision on SupRank.

    Any number of positives per query, in any order. Use it for class labels without a hierarchy; with a
    decomposability term it is :class:`ROADMAPLoss`.

    Args:
        **kwargs: ``tau``, ``rho``, ``delta``, ``start``, ``offset``, ``preset`` of :class:`SupRankLoss`; ``level``,
            ``hierarchy``, ``include_self``, ``backend``, ``mixup`` and PML's own of
            :class:`RankLoss`.

    Example:
        >>> import torch
        >>> embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
        >>> SupAPLoss()(embeddings, torch.tensor([0, 0, 1, 1])).item()
        0.0

    References:
        Ramzi et al., Robust and Decomposable Average Precision for Image Retrieval, arXiv 2110.01445.
    """


class SmoothAPLoss(SmoothRankLoss, APLoss):
    """1 - SmoothAP, for any number of positives per query and any order of the batch.

    PML's class of this name wants a batch of equal classes in order, and changes when it is shuffled.

    Args:
        **kwargs: ``tau``; ``level``, ``hierarchy``, ``include_self``, ``backend``, ``mixup`` and PML's own of
            :class:`RankLoss`.

    References:
        Brown et al., Smooth-AP: Smoothing the Path Towards Large-Scale Image Retrieval, arXiv 2007.12163.
    """

"""Losses on hierarchical average precision."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from pml_suprank.functional import HRankStep, hierarchical_average_precision
from pml_suprank.functional.ranks import LevelRelevance
from pml_suprank.losses.rank_loss import RankLoss
from pml_suprank.losses.retrieval_set import RetrievalSet
from pml_suprank.losses.surrogates import SmoothRankLoss, SupRankLoss
from pml_suprank.relevance import PopulationRelevance, Relevance, level_counts, relevance_table


class GradedRankLoss(RankLoss):
    """A rank loss for which items have degrees of relevance.

    Args:
        relevance: relevance of an item from level counts, see :mod:`pml_suprank.relevance`; None for the
            metric's own.
        **kwargs: see :class:`RankLoss`. With a ``level`` an item is positive or not.
    """

    default_relevance: Relevance

    def __init__(self, *, relevance: Relevance | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.relevance = self.default_relevance if relevance is None else relevance

    def item_relevance(self, items: RetrievalSet) -> LevelRelevance:
        """Return the relevance of the items of each level of a query."""
        counts = level_counts(items.levels, items.num_levels, items.mask)
        return LevelRelevance(relevance_table(self.relevance, counts), counts)


class HAPLoss(GradedRankLoss):
    """1 - H-AP, for any surrogate; relevance is ``PopulationRelevance()`` by default."""

    default_relevance = PopulationRelevance()

    def query_scores(
        self, scores: Tensor, items: RetrievalSet, relevance: LevelRelevance
    ) -> Tensor:
        """Return the H-AP of every query, (B,)."""
        return hierarchical_average_precision(
            scores,
            items.levels,
            relevance,
            items.mask,
            surrogate=self.surrogate,
            backend=self.backend,
        )


class SupHAPLoss(SupRankLoss, HAPLoss):
    """1 - Sup-H-AP: hierarchical average precision on SupRank.

    Items that share more levels with the query should come first; how much each counts is the ``relevance``.
    Labels: 1-D finest labels with ``hierarchy=``, or (B, L) with column 0 the finest. With a decomposability
    term it is :class:`HAPPIERLoss`.

    Args:
        hrank: HAPPIER's smooth numerator as a mapping with ``beta``, ``gamma``, ``leak``; None counts the numerator
            by steps, without gradient, as all configurations of the authors' latest code do.
        **kwargs: ``relevance``; ``tau``, ``rho``, ``delta``, ``start``, ``offset``, ``preset`` of :class:`SupRankLoss`;
            ``level``, ``hierarchy``, ``include_self``, ``backend``, ``mixup`` and PML's own of
            :class:`RankLoss`.

    Raises:
        ValueError: ``hrank`` has other keys or negative values.

    Example:
        >>> import torch
        >>> from pml_suprank import Hierarchy
        >>> tree = Hierarchy.from_paths(["animal/dog", "animal/cat", "plant/oak"])
        >>> embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.9, 0.5], [0.0, 1.0], [0.1, 1.0]])
        >>> labels = torch.tensor([0, 0, 1, 2, 2])
        >>> loss = SupHAPLoss(hierarchy=tree)(embeddings, labels)
        >>> round(loss.item(), 3)
        0.0

    References:
        Ramzi et al., Hierarchical Average Precision Training for Pertinent Image Retrieval, arXiv 2207.04873.
    """

    def __init__(self, *, hrank: Mapping[str, float] | None = None, **kwargs: Any) -> None:
        super().__init__(hrank=_hrank_step(hrank), **kwargs)


class SmoothHAPLoss(SmoothRankLoss, HAPLoss):
    """1 - H-AP on the sigmoid rank.

    Args:
        **kwargs: ``relevance``; ``tau``; ``level``, ``hierarchy``, ``include_self``, ``backend``, ``mixup`` and PML's
            own of :class:`RankLoss`.

    References:
        Ramzi et al., arXiv 2207.04873; Brown et al., arXiv 2007.12163.
    """


def _hrank_step(hrank: Mapping[str, float] | None) -> HRankStep | None:
    if hrank is None:
        return None
    if set(hrank) != {"beta", "gamma", "leak"}:
        raise ValueError(f"hrank: wanted the keys beta, gamma and leak, got {sorted(hrank)}")
    return HRankStep(**hrank)

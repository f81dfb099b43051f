"""Losses on hierarchical average precision."""

from collections.abc import Mapping
from typing import Any

from pml_suprank.functional import HRankStep, hierarchical_average_precision
from pml_suprank.hierarchy import Hierarchy
from pml_suprank.losses.objective import Objective
from pml_suprank.losses.similarity_mixup import SimilarityMixup
from pml_suprank.losses.surrogates import SmoothRankLoss, SupRankLoss
from pml_suprank.relevance import PopulationRelevance, Relevance


class SupHAPLoss(SupRankLoss):
    """1 - Sup-H-AP: hierarchical average precision on SupRank.

    Items that share more levels with the query should come first; how much each counts is the ``relevance``.
    Labels: 1-D finest labels with ``hierarchy=``, or (B, L) with column 0 the finest. With a decomposability
    term it is :class:`HAPPIERLoss`.

    Args:
        relevance: relevance of an item from level counts, see :mod:`pml_suprank.relevance`; None for
            :class:`PopulationRelevance`.
        hrank: HAPPIER's smooth numerator as a mapping with ``beta``, ``gamma``, ``leak``; None counts the numerator
            by steps, without gradient, as all configurations of the authors' latest code do.
        tau: temperature of the sigmoid, > 0, in score units.
        rho: slope beyond ``delta``, >= 0; -1 keeps the sigmoid.
        delta: where the linear part begins, >= 0, or None (see :class:`pml_suprank.functional.SupRank`).
        start: jump at 0.
        offset: value at ``delta``; None makes the step continuous there, as in the papers. The attribute of this
            name is the value in use.
        preset: in place of the five above, "smooth" or the name of a data set, see :class:`SupRankLoss`.
        level: label column that makes an item positive, or not; None for the whole hierarchy.
        hierarchy: expands 1-D labels to all levels.
        include_self: leave the query in its own retrieval set, as the authors' code does.
        ignore_index: finest label of the samples that are neither queries nor items; None for none.
        backend: execution of the ranks, see :func:`pml_suprank.functional.ranks`.
        mixup: a :class:`SimilarityMixup`, or True for the default one, adds virtual samples; False does not.
        **kwargs: PML's ``distance`` (a similarity, cosine by default), ``reducer``, ``embedding_regularizer``,
            ``embedding_reg_weight``, ``collect_stats``.

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

    def __init__(
        self,
        *,
        relevance: Relevance | None = None,
        hrank: Mapping[str, float] | None = None,
        tau: float = 0.01,
        rho: float = 100.0,
        delta: float | None = 0.05,
        start: float = 0.5,
        offset: float | None = None,
        preset: str | None = None,
        level: int | None = None,
        hierarchy: Hierarchy | None = None,
        include_self: bool = False,
        ignore_index: int | None = None,
        backend: str = "auto",
        mixup: SimilarityMixup | bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            _hap(relevance, hrank),
            tau=tau,
            rho=rho,
            delta=delta,
            start=start,
            offset=offset,
            preset=preset,
            level=level,
            hierarchy=hierarchy,
            include_self=include_self,
            ignore_index=ignore_index,
            backend=backend,
            mixup=mixup,
            **kwargs,
        )


class SmoothHAPLoss(SmoothRankLoss):
    """1 - H-AP on the sigmoid rank.

    Args:
        relevance: relevance of an item from level counts, see :mod:`pml_suprank.relevance`; None for
            :class:`PopulationRelevance`.
        tau: temperature of the sigmoid, > 0, in score units.
        level: label column that makes an item positive, or not; None for the whole hierarchy.
        hierarchy: expands 1-D labels to all levels.
        include_self: leave the query in its own retrieval set, as the authors' code does.
        ignore_index: finest label of the samples that are neither queries nor items; None for none.
        backend: execution of the ranks, see :func:`pml_suprank.functional.ranks`.
        mixup: a :class:`SimilarityMixup`, or True for the default one, adds virtual samples; False does not.
        **kwargs: PML's ``distance`` (a similarity, cosine by default), ``reducer``, ``embedding_regularizer``,
            ``embedding_reg_weight``, ``collect_stats``.

    References:
        Ramzi et al., arXiv 2207.04873; Brown et al., arXiv 2007.12163.
    """

    def __init__(
        self,
        *,
        relevance: Relevance | None = None,
        tau: float = 0.01,
        level: int | None = None,
        hierarchy: Hierarchy | None = None,
        include_self: bool = False,
        ignore_index: int | None = None,
        backend: str = "auto",
        mixup: SimilarityMixup | bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            _hap(relevance),
            tau=tau,
            level=level,
            hierarchy=hierarchy,
            include_self=include_self,
            ignore_index=ignore_index,
            backend=backend,
            mixup=mixup,
            **kwargs,
        )


def _hap(relevance: Relevance | None, hrank: Mapping[str, float] | None = None) -> Objective:
    step = None
    if hrank is not None:
        if set(hrank) != {"beta", "gamma", "leak"}:
            raise ValueError(f"hrank: wanted the keys beta, gamma and leak, got {sorted(hrank)}")
        step = HRankStep(**hrank)
    relevance = PopulationRelevance() if relevance is None else relevance
    return Objective(hierarchical_average_precision, relevance, step)

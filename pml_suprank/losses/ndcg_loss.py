"""Losses on normalised discounted cumulative gain."""

from typing import Any

from pml_suprank.functional import ndcg
from pml_suprank.hierarchy import Hierarchy
from pml_suprank.losses.objective import Objective
from pml_suprank.losses.similarity_mixup import SimilarityMixup
from pml_suprank.losses.surrogates import SmoothRankLoss, SupRankLoss
from pml_suprank.relevance import ExponentialGain, Relevance


class SupNDCGLoss(SupRankLoss):
    """1 - Sup-NDCG: normalised discounted cumulative gain on SupRank.

    Args:
        relevance: relevance of an item from level counts, see :mod:`pml_suprank.relevance`; None for the gain
            :class:`ExponentialGain`, 2^x - 1 for x common levels.
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

    References:
        Ramzi et al., Optimization of Rank Losses for Image Retrieval, arXiv 2309.08250.
    """

    def __init__(
        self,
        *,
        relevance: Relevance | None = None,
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
            Objective(ndcg, ExponentialGain() if relevance is None else relevance),
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


class SmoothNDCGLoss(SmoothRankLoss):
    """1 - NDCG on the sigmoid rank.

    Args:
        relevance: relevance of an item from level counts, see :mod:`pml_suprank.relevance`; None for the gain
            :class:`ExponentialGain`, 2^x - 1 for x common levels.
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
        Ramzi et al., arXiv 2309.08250; Brown et al., arXiv 2007.12163.
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
            Objective(ndcg, ExponentialGain() if relevance is None else relevance),
            tau=tau,
            level=level,
            hierarchy=hierarchy,
            include_self=include_self,
            ignore_index=ignore_index,
            backend=backend,
            mixup=mixup,
            **kwargs,
        )

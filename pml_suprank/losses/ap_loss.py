"""Losses on average precision."""

from typing import Any

from pml_suprank.functional import average_precision
from pml_suprank.hierarchy import Hierarchy
from pml_suprank.losses.objective import Objective
from pml_suprank.losses.similarity_mixup import SimilarityMixup
from pml_suprank.losses.surrogates import SmoothRankLoss, SupRankLoss

AP = Objective(average_precision)


class SupAPLoss(SupRankLoss):
    """1 - SupAP: average precision on SupRank.

    Any number of positives per query, in any order. Use it for class labels without a hierarchy; with a
    decomposability term it is :class:`ROADMAPLoss`.

    Args:
        tau: temperature of the sigmoid, > 0, in score units.
        rho: slope beyond ``delta``, >= 0; -1 keeps the sigmoid.
        delta: where the linear part begins, >= 0, or None (see :class:`pml_suprank.functional.SupRank`).
        start: jump at 0.
        offset: value at ``delta``; None makes the step continuous there, as in the papers. The attribute of this
            name is the value in use.
        preset: in place of the five above, "smooth" or the name of a data set, see :class:`SupRankLoss`.
        level: label column that makes an item positive; 0 is the finest.
        hierarchy: expands 1-D labels to all levels.
        include_self: leave the query in its own retrieval set, as the authors' code does.
        ignore_index: finest label of the samples that are neither queries nor items; None for none.
        backend: execution of the ranks, see :func:`pml_suprank.functional.ranks`.
        mixup: a :class:`SimilarityMixup`, or True for the default one, adds virtual samples; False does not.
        **kwargs: PML's ``distance`` (a similarity, cosine by default), ``reducer``, ``embedding_regularizer``,
            ``embedding_reg_weight``, ``collect_stats``.

    Example:
        >>> import torch
        >>> embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
        >>> SupAPLoss()(embeddings, torch.tensor([0, 0, 1, 1])).item()
        0.0

    References:
        Ramzi et al., Robust and Decomposable Average Precision for Image Retrieval, arXiv 2110.01445.
    """

    def __init__(
        self,
        *,
        tau: float = 0.01,
        rho: float = 100.0,
        delta: float | None = 0.05,
        start: float = 0.5,
        offset: float | None = None,
        preset: str | None = None,
        level: int = 0,
        hierarchy: Hierarchy | None = None,
        include_self: bool = False,
        ignore_index: int | None = None,
        backend: str = "auto",
        mixup: SimilarityMixup | bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            AP,
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


class SmoothAPLoss(SmoothRankLoss):
    """1 - SmoothAP, for any number of positives per query and any order of the batch.

    PML's class of this name wants a batch of equal classes in order, and changes when it is shuffled.

    Args:
        tau: temperature of the sigmoid, > 0, in score units.
        level: label column that makes an item positive; 0 is the finest.
        hierarchy: expands 1-D labels to all levels.
        include_self: leave the query in its own retrieval set, as the authors' code does.
        ignore_index: finest label of the samples that are neither queries nor items; None for none.
        backend: execution of the ranks, see :func:`pml_suprank.functional.ranks`.
        mixup: a :class:`SimilarityMixup`, or True for the default one, adds virtual samples; False does not.
        **kwargs: PML's ``distance`` (a similarity, cosine by default), ``reducer``, ``embedding_regularizer``,
            ``embedding_reg_weight``, ``collect_stats``.

    References:
        Brown et al., Smooth-AP: Smoothing the Path Towards Large-Scale Image Retrieval, arXiv 2007.12163.
    """

    def __init__(
        self,
        *,
        tau: float = 0.01,
        level: int = 0,
        hierarchy: Hierarchy | None = None,
        include_self: bool = False,
        ignore_index: int | None = None,
        backend: str = "auto",
        mixup: SimilarityMixup | bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            AP,
            tau=tau,
            level=level,
            hierarchy=hierarchy,
            include_self=include_self,
            ignore_index=ignore_index,
            backend=backend,
            mixup=mixup,
            **kwargs,
        )

"""Losses on normalised discounted cumulative gain."""

from typing import Any

from pml_suprank.functional import ndcg
from pml_suprank.hierarchy import Hierarchy
from pml_suprank.losses.objective import Objective
from pml_suprank.losses.similarity_mixup import SimilarityMixup
from pml_suprank.losses.surrogates import SmoothRankLoss, SupRankLoss
from pml_suprank.relevance import ExponentialGain, Relevance


class SupNDCGLoss(SupRankLoss):
    r"""1 - NDCG on SupRank: discounted cumulative gain, for labels with a hierarchy.

    .. math:: 1 - \frac{\sum_i g_i / \log_2(1 + \mathrm{rank}_i)}{\sum_n g_{(n)} / \log_2(1 + n)}

    where :math:`g_i = 2^x - 1` is the gain of an item that shares x levels with the query, :math:`g_{(n)}` are the
    gains from the largest down, and ranks are by the step of :class:`~pml_suprank.functional.SupRank`. The loss is an
    upper bound of 1 - NDCG.

    Use it where you report NDCG, or where the coarse levels matter most: it was first in NDCG on two of three data
    sets. Take :class:`SupHAPLoss` or :class:`HAPPIERLoss` for H-AP and for the finest level.

    A query that shares no level with any item of its retrieval set is left out of the mean. If all are, the loss is 0
    and ``backward()`` still works.

    Shapes:
        embeddings (B, D); labels (B,) finest classes with ``hierarchy``, or (B, L) with column 0 the finest; with
        references ``ref_emb`` (N, D) and ``ref_labels`` of the same form. The loss is a scalar, the mean of one loss
        per query.

    Args:
        relevance: how much an item of each level counts, see :mod:`pml_suprank.relevance`; None for
            ``ExponentialGain()``, 2^x - 1 for x common levels, the paper's.
        tau: temperature of the sigmoid, > 0, in units of the score: 0.01 in the papers; 0.05 to 0.1 ranked best here,
            see the ablation in ``docs/leaderboard.md``.
        rho: slope of the step beyond ``delta``, >= 0: 100 in the papers; -1 keeps the sigmoid.
        delta: where the linear part begins, >= 0: 0.05 in the papers; None begins it at 0 and needs ``offset``.
        start: jump at 0: 0.5 in the papers; with less the rank is no upper bound.
        offset: value at ``delta``; None makes the step continuous there, as in the papers.
        preset: sets the five above, none of which may then be given: "smooth" for ``tau`` 0.1, which this library
            recommends, or the step that the authors' code has for a data set, see ``docs/presets.md``.
        level: None for the whole hierarchy; a label column makes items of its class relevant and no others.
        hierarchy: the class tree; gives 1-D labels all their levels.
        include_self: keep the query in its own retrieval set, as the authors' code does.
        ignore_index: finest label of the samples that take no part, such as -1; None for none.
        backend: how ranks are computed; it changes time and memory alone, see :func:`pml_suprank.functional.ranks`.
        mixup: True, or a :class:`SimilarityMixup`, adds virtual samples between two of a class. It lowered all metrics
            in the ablation in ``docs/leaderboard.md``.
        **kwargs: PML's ``distance`` (a similarity, cosine by default), ``reducer``, ``embedding_regularizer``,
            ``embedding_reg_weight``, ``collect_stats``.

    Example:
        >>> import torch
        >>> from pml_suprank import Hierarchy
        >>> tree = Hierarchy.from_paths(["dog/husky", "dog/pug", "cat/manx"])
        >>> query, husky = torch.tensor([[1.0, 0.0]]), torch.tensor([0])
        >>> items = torch.tensor([[0.8, 0.6], [0.6, 0.8], [0.0, 1.0]])  # cosines 0.8, 0.6 and 0
        >>> loss_fn = SupNDCGLoss(hierarchy=tree)
        >>> loss_fn(query, husky, ref_emb=items, ref_labels=torch.tensor([0, 1, 2])).item()  # husky, pug, manx
        0.0
        >>> loss = loss_fn(query, husky, ref_emb=items, ref_labels=torch.tensor([1, 0, 2]))  # pug, husky, manx
        >>> round(loss.item(), 3)  # 1 - NDCG is 0.203
        0.528

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
    r"""1 - NDCG on the sigmoid rank: a baseline for :class:`SupNDCGLoss`.

    .. math::
        1 - \frac{\sum_i g_i / \log_2(1 + \mathrm{rank}_i)}{\sum_n g_{(n)} / \log_2(1 + n)}, \qquad
        \mathrm{rank}_i = 1 + \sum_{j \ne i} \sigma\Bigl(\frac{s_j - s_i}{\tau}\Bigr)

    where :math:`g_i = 2^x - 1` is the gain of an item that shares x levels with the query and :math:`g_{(n)}` are the
    gains from the largest down. A mistake by many ``tau`` has hardly any gradient.

    A query that shares no level with any item of its retrieval set is left out of the mean. If all are, the loss is 0
    and ``backward()`` still works.

    Shapes:
        embeddings (B, D); labels (B,) finest classes with ``hierarchy``, or (B, L) with column 0 the finest; with
        references ``ref_emb`` (N, D) and ``ref_labels`` of the same form. The loss is a scalar, the mean of one loss
        per query.

    Args:
        relevance: how much an item of each level counts, see :mod:`pml_suprank.relevance`; None for
            ``ExponentialGain()``, 2^x - 1 for x common levels, the paper's.
        tau: temperature of the sigmoid, > 0, in units of the score: 0.01 in the papers; 0.05 to 0.1 ranked best here,
            see the ablation in ``docs/leaderboard.md``.
        level: None for the whole hierarchy; a label column makes items of its class relevant and no others.
        hierarchy: the class tree; gives 1-D labels all their levels.
        include_self: keep the query in its own retrieval set, as the authors' code does.
        ignore_index: finest label of the samples that take no part, such as -1; None for none.
        backend: how ranks are computed; it changes time and memory alone, see :func:`pml_suprank.functional.ranks`.
        mixup: True, or a :class:`SimilarityMixup`, adds virtual samples between two of a class. It lowered all metrics
            in the ablation in ``docs/leaderboard.md``.
        **kwargs: PML's ``distance`` (a similarity, cosine by default), ``reducer``, ``embedding_regularizer``,
            ``embedding_reg_weight``, ``collect_stats``.

    Example:
        >>> import torch
        >>> from pml_suprank import Hierarchy
        >>> tree = Hierarchy.from_paths(["dog/husky", "dog/pug", "cat/manx"])
        >>> query, husky = torch.tensor([[1.0, 0.0]]), torch.tensor([0])
        >>> items = torch.tensor([[0.8, 0.6], [0.6, 0.8], [0.0, 1.0]])  # cosines 0.8, 0.6 and 0
        >>> loss_fn = SmoothNDCGLoss(hierarchy=tree)
        >>> loss = loss_fn(query, husky, ref_emb=items, ref_labels=torch.tensor([1, 0, 2]))  # pug, husky, manx
        >>> round(loss.item(), 3)
        0.203

    References:
        Ramzi et al., Optimization of Rank Losses for Image Retrieval, arXiv 2309.08250; Brown et al., Smooth-AP:
        Smoothing the Path Towards Large-Scale Image Retrieval, arXiv 2007.12163.
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

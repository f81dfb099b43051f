"""Losses on average precision."""

from typing import Any

from pml_suprank.functional import average_precision
from pml_suprank.hierarchy import Hierarchy
from pml_suprank.losses.objective import Objective
from pml_suprank.losses.similarity_mixup import SimilarityMixup
from pml_suprank.losses.surrogates import SmoothRankLoss, SupRankLoss

AP = Objective(average_precision)


class SupAPLoss(SupRankLoss):
    r"""1 - AP on SupRank: average precision, for class labels.

    .. math:: 1 - \frac{1}{P} \sum_{i\ \mathrm{positive}} \frac{\mathrm{rank}^+_i}{\mathrm{rank}_i}

    for a query with P positives: :math:`\mathrm{rank}_i` is the rank of item i by the step of
    :class:`~pml_suprank.functional.SupRank`, and :math:`\mathrm{rank}^+_i` its rank among the positives, a count
    without gradient. Exact ties aside the rank is an upper bound, and so is the loss: at 0, AP is 1.

    Use it where you report mAP and labels are plain classes. Take :class:`SupHAPLoss` where classes have parents, and
    :class:`ROADMAPLoss`, the same with a second loss, where scores of different queries are compared.

    A query without a positive in its retrieval set is left out of the mean. If all are, the loss is 0 and
    ``backward()`` still works.

    Shapes:
        embeddings (B, D); labels (B,), or (B, L) with column 0 the finest; with references ``ref_emb`` (N, D) and
        ``ref_labels`` (N,) or (N, L). The loss is a scalar, the mean of one loss per query.

    Args:
        tau: temperature of the sigmoid, > 0, in units of the score: 0.01 in the papers; 0.05 to 0.1 ranked best here,
            see the ablation in ``docs/leaderboard.md``.
        rho: slope of the step beyond ``delta``, >= 0: 100 in the papers; -1 keeps the sigmoid.
        delta: where the linear part begins, >= 0: 0.05 in the papers; None begins it at 0 and needs ``offset``.
        start: jump at 0: 0.5 in the papers; with less the rank is no upper bound.
        offset: value at ``delta``; None makes the step continuous there, as in the papers.
        preset: sets the five above, none of which may then be given: "smooth" for ``tau`` 0.1, which this library
            recommends, or the step that the authors' code has for a data set, see ``docs/presets.md``.
        level: label column that makes an item positive; 0 is the finest.
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
        >>> query, label = torch.tensor([[1.0, 0.0]]), torch.tensor([0])
        >>> items = torch.tensor([[0.8, 0.6], [0.6, 0.8]])  # cosines 0.8 and 0.6
        >>> loss_fn = SupAPLoss()
        >>> loss_fn(query, label, ref_emb=items, ref_labels=torch.tensor([0, 1])).item()
        0.0
        >>> loss = loss_fn(query, label, ref_emb=items, ref_labels=torch.tensor([1, 0]))
        >>> round(loss.item(), 3)  # the positive comes second, and by a wide gap: 1 - AP is 0.5
        0.943

    References:
        Ramzi et al., Robust and Decomposable Average Precision for Image Retrieval, arXiv 2110.01445; Ramzi et al.,
        Optimization of Rank Losses for Image Retrieval, arXiv 2309.08250.
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
    r"""1 - AP on the sigmoid rank: a baseline for :class:`SupAPLoss`.

    .. math::
        1 - \frac{1}{P} \sum_{i\ \mathrm{positive}} \frac{\mathrm{rank}^+_i}{\mathrm{rank}_i}, \qquad
        \mathrm{rank}_i = 1 + \sum_{j \ne i} \sigma\Bigl(\frac{s_j - s_i}{\tau}\Bigr)

    for a query with P positives, with the same sum over the positives alone for :math:`\mathrm{rank}^+_i`. A gap of
    many ``tau`` has hardly any gradient, so that the worst mistakes teach least.

    Use it to compare with, or in place of PML's class of this name, which wants equally many samples of every class, in
    order. This one takes any batch.

    A query without a positive in its retrieval set is left out of the mean. If all are, the loss is 0 and
    ``backward()`` still works.

    Shapes:
        embeddings (B, D); labels (B,), or (B, L) with column 0 the finest; with references ``ref_emb`` (N, D) and
        ``ref_labels`` (N,) or (N, L). The loss is a scalar, the mean of one loss per query.

    Args:
        tau: temperature of the sigmoid, > 0, in units of the score: 0.01 in the papers; 0.05 to 0.1 ranked best here,
            see the ablation in ``docs/leaderboard.md``.
        level: label column that makes an item positive; 0 is the finest.
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
        >>> query, label = torch.tensor([[1.0, 0.0]]), torch.tensor([0])
        >>> items = torch.tensor([[0.8, 0.6], [0.6, 0.8]])  # cosines 0.8 and 0.6
        >>> loss = SmoothAPLoss()(query, label, ref_emb=items, ref_labels=torch.tensor([1, 0]))
        >>> round(loss.item(), 3)  # the positive comes second
        0.5

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

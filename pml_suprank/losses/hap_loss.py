"""Losses on hierarchical average precision."""

from collections.abc import Mapping
from typing import Any

from pml_suprank.functional import HRankStep, hierarchical_average_precision
from pml_suprank.hierarchy import Hierarchy
from pml_suprank.losses.objective import Objective
from pml_suprank.losses.similarity_mixup import SimilarityMixup
from pml_suprank.losses.surrogates import SmoothRankLoss, SupRankLoss
from pml_suprank.relevance import PopulationRelevance, Relevance
from pml_suprank.values import checked_callable, checked_instance


class SupHAPLoss(SupRankLoss):
    r"""1 - H-AP on SupRank: hierarchical average precision, for labels with a hierarchy.

    .. math::
        1 - \frac{1}{\sum_i r_i} \sum_i \frac{\mathrm{hrank}_i}{\mathrm{rank}_i}, \qquad
        \mathrm{hrank}_i = r_i + \sum_{j \text{ ahead of } i} \min(r_i, r_j)

    over the items that share a level with the query. :math:`r_i` is the relevance of item i, by how many levels it
    shares; :math:`\mathrm{rank}_i` is its rank by the step of :class:`~pml_suprank.functional.SupRank`, an upper bound;
    the numerator is counted without gradient. Items that share more levels with the query are to come first. With one
    level this is :class:`SupAPLoss`.

    Use it for labels with a hierarchy. Take :class:`HAPPIERLoss`, the same with proxies, where the number of classes is
    known: it ranked as well or better at the finest level. Take :class:`SupNDCGLoss` for NDCG.

    A query that shares no level with any item of its retrieval set is left out of the mean. If all are, the loss is 0
    and ``backward()`` still works.

    Shapes:
        embeddings (B, D); labels (B,) finest classes with ``hierarchy``, or (B, L) with column 0 the finest; with
        references ``ref_emb`` (N, D) and ``ref_labels`` of the same form. The loss is a scalar, the mean of one loss
        per query.

    Args:
        relevance: how much an item of each level counts, see :mod:`pml_suprank.relevance`; None for
            ``PopulationRelevance(alpha=1.0)``, the paper's. A larger alpha favours the finest level and costs H-AP; 1.5
            is recommended for HAPPIER.
        hrank: HAPPIER's smooth numerator, a mapping such as ``{"beta": 25, "gamma": 0.5, "leak": 10}``, with which the
            loss can exceed 1; None counts the numerator by steps, as all configurations of the authors' latest code do.
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

    Raises:
        ValueError: ``hrank`` has other keys or negative values.

    Example:
        >>> import torch
        >>> from pml_suprank import Hierarchy
        >>> tree = Hierarchy.from_paths(["dog/husky", "dog/pug", "cat/manx"])
        >>> query, husky = torch.tensor([[1.0, 0.0]]), torch.tensor([0])
        >>> items = torch.tensor([[0.8, 0.6], [0.6, 0.8], [0.0, 1.0]])  # cosines 0.8, 0.6 and 0
        >>> loss_fn = SupHAPLoss(hierarchy=tree)
        >>> loss_fn(query, husky, ref_emb=items, ref_labels=torch.tensor([0, 1, 2])).item()  # husky, pug, manx
        0.0
        >>> loss = loss_fn(query, husky, ref_emb=items, ref_labels=torch.tensor([1, 0, 2]))  # pug, husky, manx
        >>> round(loss.item(), 2)  # 1 - H-AP is 0.17
        0.61
        >>> loss = loss_fn(query, husky, ref_emb=items, ref_labels=torch.tensor([2, 1, 0]))  # manx, pug, husky
        >>> round(loss.item(), 2)  # 1 - H-AP is 0.5
        0.97

    References:
        Ramzi et al., Hierarchical Average Precision Training for Pertinent Image Retrieval, arXiv 2207.04873; Ramzi et
        al., Optimization of Rank Losses for Image Retrieval, arXiv 2309.08250.
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
    r"""1 - H-AP on the sigmoid rank: a baseline for :class:`SupHAPLoss`.

    .. math::
        1 - \frac{1}{\sum_i r_i} \sum_i \frac{\mathrm{hrank}_i}{\mathrm{rank}_i}, \qquad
        \mathrm{rank}_i = 1 + \sum_{j \ne i} \sigma\Bigl(\frac{s_j - s_i}{\tau}\Bigr)

    over the items that share a level with the query, with
    :math:`\mathrm{hrank}_i = r_i + \sum_{j \ne i} \sigma((s_j - s_i) / \tau) \min(r_i, r_j)`. A mistake by many ``tau``
    has hardly any gradient. It was close behind :class:`SupHAPLoss` on all data sets of ``docs/leaderboard.md``.

    A query that shares no level with any item of its retrieval set is left out of the mean. If all are, the loss is 0
    and ``backward()`` still works.

    Shapes:
        embeddings (B, D); labels (B,) finest classes with ``hierarchy``, or (B, L) with column 0 the finest; with
        references ``ref_emb`` (N, D) and ``ref_labels`` of the same form. The loss is a scalar, the mean of one loss
        per query.

    Args:
        relevance: how much an item of each level counts, see :mod:`pml_suprank.relevance`; None for
            ``PopulationRelevance(alpha=1.0)``, the paper's. A larger alpha favours the finest level and costs H-AP; 1.5
            is recommended for HAPPIER.
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
        >>> loss_fn = SmoothHAPLoss(hierarchy=tree)
        >>> loss = loss_fn(query, husky, ref_emb=items, ref_labels=torch.tensor([1, 0, 2]))  # pug, husky, manx
        >>> round(loss.item(), 3)
        0.167

    References:
        Ramzi et al., Hierarchical Average Precision Training for Pertinent Image Retrieval, arXiv 2207.04873; Brown et
        al., Smooth-AP: Smoothing the Path Towards Large-Scale Image Retrieval, arXiv 2007.12163.
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
        checked_instance("hrank", hrank, Mapping, "a mapping with the keys beta, gamma and leak")
        if set(hrank) != {"beta", "gamma", "leak"}:
            raise ValueError(f"hrank: wanted the keys beta, gamma and leak, got {list(hrank)}")
        step = HRankStep(**hrank)
    relevance = PopulationRelevance() if relevance is None else relevance
    checked_callable("relevance", relevance, "a function of level counts, or None")
    return Objective(hierarchical_average_precision, relevance, step)

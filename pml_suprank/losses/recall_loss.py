"""Losses on recall at k."""

import functools
from collections.abc import Sequence
from typing import Any

from pml_suprank.checks import checked_depths
from pml_suprank.functional import recall_surrogate
from pml_suprank.hierarchy import Hierarchy
from pml_suprank.losses.objective import Objective
from pml_suprank.losses.similarity_mixup import SimilarityMixup
from pml_suprank.losses.surrogates import SmoothRankLoss, SupRankLoss
from pml_suprank.values import checked_positive


class SupRecallLoss(SupRankLoss):
    r"""1 - recall at k on SupRank, averaged over several k, for class labels.

    .. math::
        1 - \frac{1}{|K|} \sum_{k \in K} \frac{1}{\min(P, k)} \sum_{i\ \mathrm{positive}}
        \sigma\Bigl(\frac{k - \mathrm{rank}_i}{T}\Bigr)

    for a query with P positives: the share of them within rank k, with a soft cut, and ranks by the step of
    :class:`~pml_suprank.functional.SupRank`. At T = 1 a perfect ranking is well above 0; look at the metric, not at the
    loss, to see how far training is.

    Use it where you report R@k and queries have few positives. Take :class:`SupAPLoss` where all positives count, and
    :class:`SupHAPLoss` where classes have parents.

    A query without a positive in its retrieval set is left out of the mean. If all are, the loss is 0 and
    ``backward()`` still works.

    Shapes:
        embeddings (B, D); labels (B,), or (B, L) with column 0 the finest; with references ``ref_emb`` (N, D) and
        ``ref_labels`` (N,) or (N, L). The loss is a scalar, the mean of one loss per query.

    Args:
        k: cut-offs, integers >= 1: 1, 2, 4, 8 and 16 in the papers. What is reported should be among them.
        temperature: T, > 0, in ranks: 1 in the papers. A smaller one is closer to the cut, and has less gradient away
            from it.
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

    Raises:
        ValueError: ``k`` is empty or has an entry below 1; ``temperature`` is not positive.

    Example:
        >>> import torch
        >>> query, label = torch.tensor([[1.0, 0.0]]), torch.tensor([0])
        >>> items = torch.tensor([[0.8, 0.6], [0.6, 0.8]])  # cosines 0.8 and 0.6
        >>> loss_fn = SupRecallLoss(k=1)
        >>> loss_fn(query, label, ref_emb=items, ref_labels=torch.tensor([0, 1])).item()  # rank 1 is on the cut
        0.5
        >>> loss = loss_fn(query, label, ref_emb=items, ref_labels=torch.tensor([1, 0]))
        >>> round(loss.item(), 3)
        1.0

    References:
        Ramzi et al., Optimization of Rank Losses for Image Retrieval, arXiv 2309.08250.
    """

    def __init__(
        self,
        *,
        k: int | Sequence[int] = (1, 2, 4, 8, 16),
        temperature: float = 1.0,
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
            _recall(k, temperature),
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
        _record(self, k, temperature)


class SmoothRecallLoss(SmoothRankLoss):
    r"""1 - recall at k on the sigmoid rank, averaged over several k: a baseline for :class:`SupRecallLoss`.

    .. math::
        1 - \frac{1}{|K|} \sum_{k \in K} \frac{1}{\min(P, k)} \sum_{i\ \mathrm{positive}}
        \sigma\Bigl(\frac{k - \mathrm{rank}_i}{T}\Bigr), \qquad
        \mathrm{rank}_i = 1 + \sum_{j \ne i} \sigma\Bigl(\frac{s_j - s_i}{\tau}\Bigr)

    for a query with P positives. A mistake by many ``tau`` has hardly any gradient. At T = 1 a perfect ranking is well
    above 0.

    A query without a positive in its retrieval set is left out of the mean. If all are, the loss is 0 and
    ``backward()`` still works.

    Shapes:
        embeddings (B, D); labels (B,), or (B, L) with column 0 the finest; with references ``ref_emb`` (N, D) and
        ``ref_labels`` (N,) or (N, L). The loss is a scalar, the mean of one loss per query.

    Args:
        k: cut-offs, integers >= 1: 1, 2, 4, 8 and 16 in the papers. What is reported should be among them.
        temperature: T, > 0, in ranks: 1 in the papers. A smaller one is closer to the cut, and has less gradient away
            from it.
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

    Raises:
        ValueError: ``k`` is empty or has an entry below 1; ``temperature`` is not positive.

    Example:
        >>> import torch
        >>> query, label = torch.tensor([[1.0, 0.0]]), torch.tensor([0])
        >>> items = torch.tensor([[0.8, 0.6], [0.6, 0.8]])  # cosines 0.8 and 0.6
        >>> loss = SmoothRecallLoss(k=1)(query, label, ref_emb=items, ref_labels=torch.tensor([1, 0]))
        >>> round(loss.item(), 3)  # 1 - sigmoid(1 - 2)
        0.731

    References:
        Patel et al., Recall@k Surrogate Loss with Large Batches and Similarity Mixup, arXiv 2108.11179.
    """

    def __init__(
        self,
        *,
        k: int | Sequence[int] = (1, 2, 4, 8, 16),
        temperature: float = 1.0,
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
            _recall(k, temperature),
            tau=tau,
            level=level,
            hierarchy=hierarchy,
            include_self=include_self,
            ignore_index=ignore_index,
            backend=backend,
            mixup=mixup,
            **kwargs,
        )
        _record(self, k, temperature)


def _recall(k: int | Sequence[int], temperature: float) -> Objective:
    temperature = checked_positive("temperature", temperature)
    return Objective(
        functools.partial(recall_surrogate, k=checked_depths(k), temperature=temperature)
    )


def _record(
    loss: SupRecallLoss | SmoothRecallLoss, k: int | Sequence[int], temperature: float
) -> None:
    loss.k, loss.temperature = checked_depths(k), temperature
    loss.add_to_recordable_attributes(name="temperature", is_stat=False)

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


class SupRecallLoss(SupRankLoss):
    """1 - Sup-R@k: recall at k on SupRank, averaged over the given k.

    At ``temperature`` 1 the score of a perfect ranking is well below 1, so the loss does not reach 0.

    Args:
        k: cut-offs, integers >= 1.
        temperature: of the smooth cut, > 0, in ranks.
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

    Raises:
        ValueError: ``k`` is empty or has an entry below 1; ``temperature`` is not positive.

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
    """1 - recall at k on the sigmoid rank, averaged over the given k.

    Args:
        k: cut-offs, integers >= 1.
        temperature: of the smooth cut, > 0, in ranks.
        tau: temperature of the sigmoid, > 0, in score units.
        level: label column that makes an item positive; 0 is the finest.
        hierarchy: expands 1-D labels to all levels.
        include_self: leave the query in its own retrieval set, as the authors' code does.
        ignore_index: finest label of the samples that are neither queries nor items; None for none.
        backend: execution of the ranks, see :func:`pml_suprank.functional.ranks`.
        mixup: a :class:`SimilarityMixup`, or True for the default one, adds virtual samples; False does not.
        **kwargs: PML's ``distance`` (a similarity, cosine by default), ``reducer``, ``embedding_regularizer``,
            ``embedding_reg_weight``, ``collect_stats``.

    Raises:
        ValueError: ``k`` is empty or has an entry below 1; ``temperature`` is not positive.

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
    if not 0 < temperature < float("inf"):
        raise ValueError(f"temperature: wanted a positive finite number, got {temperature!r}")
    return Objective(
        functools.partial(recall_surrogate, k=checked_depths(k), temperature=temperature)
    )


def _record(
    loss: SupRecallLoss | SmoothRecallLoss, k: int | Sequence[int], temperature: float
) -> None:
    loss.k, loss.temperature = checked_depths(k), temperature
    loss.add_to_recordable_attributes(name="temperature", is_stat=False)

"""The two families of rank losses: their hyper-parameters, recorded as PML records them."""

from typing import Any

from pml_suprank.functional.presets import PRESETS
from pml_suprank.functional.steps import SmoothRank, SupRank
from pml_suprank.hierarchy import Hierarchy
from pml_suprank.losses.objective import Objective
from pml_suprank.losses.rank_loss import RankLoss
from pml_suprank.losses.similarity_mixup import SimilarityMixup

_DEFAULTS = {"tau": 0.01, "rho": 100.0, "delta": 0.05, "start": 0.5, "offset": None}


class SupRankLoss(RankLoss):
    """A rank loss on SupRank, the smooth upper bound of the rank.

    Args:
        objective: what is trained, see :class:`RankLoss`.
        tau: temperature of the sigmoid, > 0, in score units.
        rho: slope beyond ``delta``, >= 0; -1 keeps the sigmoid.
        delta: where the linear part begins, >= 0, or None (see :class:`pml_suprank.functional.SupRank`).
        start: jump at 0.
        offset: value at ``delta``; None makes the step continuous there, as in the papers. The attribute of this
            name is the value in use.
        preset: in place of the five above, "smooth": a step of ten times the temperature, which this library recommends
            (``docs/leaderboard.md``); or the step of the authors' configuration for a data set: "sop", "cub",
            "cars", "dyml", "gldv2" or "inat".
        level: label column that makes an item positive, or not; None for the whole hierarchy.
        hierarchy: expands 1-D labels to all levels.
        include_self: leave the query in its own retrieval set, as the authors' code does.
        ignore_index: finest label of the samples that are neither queries nor items; None for none.
        backend: execution of the ranks, see :func:`pml_suprank.functional.ranks`.
        mixup: a :class:`SimilarityMixup`, or True for the default one, adds virtual samples; False does not.
        **kwargs: PML's ``distance`` (a similarity, cosine by default), ``reducer``, ``embedding_regularizer``,
            ``embedding_reg_weight``, ``collect_stats``.

    Raises:
        ValueError: a value outside its range, an unknown preset, a preset beside a value that it sets, or as for
            :class:`RankLoss`.
    """

    def __init__(
        self,
        objective: Objective | None = None,
        *,
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
        step: dict[str, Any] = {
            "tau": tau,
            "rho": rho,
            "delta": delta,
            "start": start,
            "offset": offset,
        }
        if preset is not None:
            step = _preset_step(preset, step)
        surrogate = SupRank(**step, hrank=None if objective is None else objective.hrank)
        super().__init__(
            objective,
            surrogate,
            level=level,
            hierarchy=hierarchy,
            include_self=include_self,
            ignore_index=ignore_index,
            backend=backend,
            mixup=mixup,
            **kwargs,
        )
        self.tau, self.rho, self.start = surrogate.tau, surrogate.rho, surrogate.start
        self.delta, self.offset = surrogate.delta, surrogate.value_at_delta
        self.add_to_recordable_attributes(list_of_names=list(_DEFAULTS), is_stat=False)


class SmoothRankLoss(RankLoss):
    """A rank loss on the sigmoid rank of SmoothAP.

    Args:
        objective: what is trained, see :class:`RankLoss`.
        tau: temperature of the sigmoid, > 0, in score units.
        level: label column that makes an item positive, or not; None for the whole hierarchy.
        hierarchy: expands 1-D labels to all levels.
        include_self: leave the query in its own retrieval set, as the authors' code does.
        ignore_index: finest label of the samples that are neither queries nor items; None for none.
        backend: execution of the ranks, see :func:`pml_suprank.functional.ranks`.
        mixup: a :class:`SimilarityMixup`, or True for the default one, adds virtual samples; False does not.
        **kwargs: PML's ``distance`` (a similarity, cosine by default), ``reducer``, ``embedding_regularizer``,
            ``embedding_reg_weight``, ``collect_stats``.

    Raises:
        ValueError: ``tau`` is not a positive finite number, or as for :class:`RankLoss`.
    """

    def __init__(
        self,
        objective: Objective | None = None,
        *,
        tau: float = 0.01,
        level: int | None = None,
        hierarchy: Hierarchy | None = None,
        include_self: bool = False,
        ignore_index: int | None = None,
        backend: str = "auto",
        mixup: SimilarityMixup | bool = False,
        **kwargs: Any,
    ) -> None:
        surrogate = SmoothRank(tau)
        super().__init__(
            objective,
            surrogate,
            level=level,
            hierarchy=hierarchy,
            include_self=include_self,
            ignore_index=ignore_index,
            backend=backend,
            mixup=mixup,
            **kwargs,
        )
        self.tau = tau
        self.add_to_recordable_attributes(name="tau", is_stat=False)


def _preset_step(preset: str, step: dict[str, Any]) -> dict[str, Any]:
    if preset not in PRESETS:
        raise ValueError(f"preset: wanted one of {', '.join(PRESETS)}, got {preset!r}")
    changed = [name for name, value in step.items() if value != _DEFAULTS[name]]
    if changed:
        raise ValueError(f"preset: {preset!r} sets {', '.join(changed)}; give one or the other")
    return dict(PRESETS[preset])

"""The two families of rank losses: their hyper-parameters, recorded as PML records them."""

from typing import Any

from pml_suprank.functional.presets import PRESETS
from pml_suprank.functional.steps import SmoothRank, SupRank
from pml_suprank.hierarchy import Hierarchy
from pml_suprank.losses.objective import Objective
from pml_suprank.losses.rank_loss import RankLoss
from pml_suprank.losses.similarity_mixup import SimilarityMixup
from pml_suprank.values import checked_choice

_DEFAULTS = {"tau": 0.01, "rho": 100.0, "delta": 0.05, "start": 0.5, "offset": None}


class SupRankLoss(RankLoss):
    r"""Any ranking metric as a loss, on SupRank, the smooth upper bound of the rank.

    .. math:: L = 1 - \mathrm{metric}(\mathrm{rank}_1, \mathrm{rank}_2, \dots), \qquad
        \mathrm{rank}_i = 1 + \sum_{j \ne i} C(s_j - s_i)

    with the step C of :class:`~pml_suprank.functional.SupRank`. Use it for a metric of your own, which an
    :class:`Objective` describes; :class:`SupAPLoss`, :class:`SupHAPLoss`, :class:`SupNDCGLoss` and
    :class:`SupRecallLoss` are built on it. ``docs/losses.md`` has an example. The attribute ``offset`` is the value in
    use.

    Args:
        objective: what is trained, see :class:`RankLoss`.
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
        surrogate = SupRank(**step, hrank=getattr(objective, "hrank", None))
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
    r"""Any ranking metric as a loss, on the sigmoid rank of SmoothAP.

    .. math:: L = 1 - \mathrm{metric}(\mathrm{rank}_1, \mathrm{rank}_2, \dots), \qquad
        \mathrm{rank}_i = 1 + \sum_{j \ne i} \sigma\Bigl(\frac{s_j - s_i}{\tau}\Bigr)

    Args:
        objective: what is trained, see :class:`RankLoss`.
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
        self.tau = surrogate.tau
        self.add_to_recordable_attributes(name="tau", is_stat=False)


def _preset_step(preset: str, step: dict[str, Any]) -> dict[str, Any]:
    checked_choice("preset", preset, PRESETS)
    changed = [name for name, value in step.items() if value != _DEFAULTS[name]]
    if changed:
        raise ValueError(f"preset: {preset!r} sets {', '.join(changed)}; give one or the other")
    return dict(PRESETS[preset])

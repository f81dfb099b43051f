"""The two families of rank losses: their hyper-parameters, recorded as PML records them."""

from typing import Any

from pml_suprank.functional.steps import PRESETS, HRankStep, SmoothRank, SupRank
from pml_suprank.losses.rank_loss import RankLoss

_DEFAULTS = {"tau": 0.01, "rho": 100.0, "delta": 0.05, "start": 0.5, "offset": None}


class SupRankLoss(RankLoss):
    """A rank loss on SupRank, the smooth upper bound of the rank.

    Args:
        tau: temperature of the sigmoid, > 0, in score units.
        rho: slope beyond ``delta``, >= 0; -1 keeps the sigmoid.
        delta: where the linear part begins, >= 0, or None (see :class:`pml_suprank.functional.SupRank`).
        start: jump at 0.
        offset: value at ``delta``; None makes the step continuous there, as in the papers. The attribute of this
            name is the value in use.
        preset: "sop", "cub", "cars", "dyml", "gldv2" or "inat": the step of the authors' configuration for that
            data set, in place of the five above.
        hrank: HAPPIER's smooth numerator; only H-AP has one.
        **kwargs: see :class:`RankLoss`.

    Raises:
        ValueError: a value outside its range, an unknown preset, or a preset beside a value that it sets.
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
        hrank: HRankStep | None = None,
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
        surrogate = SupRank(**step, hrank=hrank)
        super().__init__(surrogate=surrogate, **kwargs)
        self.tau, self.rho, self.start = surrogate.tau, surrogate.rho, surrogate.start
        self.delta, self.offset = surrogate.delta, surrogate.value_at_delta
        self.add_to_recordable_attributes(list_of_names=list(_DEFAULTS), is_stat=False)


class SmoothRankLoss(RankLoss):
    """A rank loss on the sigmoid rank of SmoothAP.

    Args:
        tau: temperature of the sigmoid, > 0, in score units.
        **kwargs: see :class:`RankLoss`.

    Raises:
        ValueError: ``tau`` is not a positive finite number.
    """

    def __init__(self, *, tau: float = 0.01, **kwargs: Any) -> None:
        super().__init__(surrogate=SmoothRank(tau), **kwargs)
        self.tau = tau
        self.add_to_recordable_attributes(name="tau", is_stat=False)


def _preset_step(preset: str, step: dict[str, Any]) -> dict[str, Any]:
    if preset not in PRESETS:
        raise ValueError(f"preset: wanted one of {', '.join(PRESETS)}, got {preset!r}")
    changed = [name for name, value in step.items() if value != _DEFAULTS[name]]
    if changed:
        raise ValueError(f"preset: {preset!r} sets {', '.join(changed)}; give one or the other")
    return dict(PRESETS[preset])

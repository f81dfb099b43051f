"""What each choice of the rank losses is worth: one of them changed at a time."""

from dataclasses import dataclass
from typing import Any

from pml_suprank import losses
from pml_suprank.relevance import PopulationRelevance
from studies.leaderboard.entrants import Entrant, LevelSum, Options, Problem

__all__ = ["ABLATIONS", "ARMS", "Arm"]

_START: dict[str, Any] = {"tau": 0.1, "alpha": 1.0}
_PROXIES: dict[str, Any] = {**_START, "weight": 0.1, "temperature": 0.1}


@dataclass(frozen=True)
class Arm:
    """A row of the ablation.

    Attributes:
        part: what is changed.
        title: the value that it is given.
        entrant: a key of :data:`ABLATIONS`, or of ``ENTRANTS``.
        setting: position among the settings of the entrant.
        group_sizes: of the sampler; None for those of the data set.
    """

    part: str
    title: str
    entrant: str
    setting: int
    group_sizes: tuple[int, ...] | None = None


def _suphap(problem: Problem, options: Options) -> losses.SupHAPLoss:
    return losses.SupHAPLoss(tau=options["tau"], relevance=PopulationRelevance(options["alpha"]))


def _happier(problem: Problem, options: Options) -> losses.HAPPIERLoss:
    return losses.HAPPIERLoss(
        problem.num_classes,
        problem.embedding_size,
        weight=options["weight"],
        temperature=options["temperature"],
        tau=options["tau"],
        relevance=PopulationRelevance(options["alpha"]),
    )


def _calibrated(problem: Problem, options: Options) -> losses.DecomposableRankLoss:
    rank_loss = losses.SupHAPLoss(tau=options["tau"])
    return losses.DecomposableRankLoss(rank_loss, losses.CalibrationLoss(), options["weight"])


def _mixed(problem: Problem, options: Options) -> losses.SupHAPLoss:
    return losses.SupHAPLoss(tau=options["tau"], mixup=True)


def _level_sum(problem: Problem, options: Options) -> LevelSum:
    return LevelSum(losses.SupAPLoss(tau=options["tau"]), options["decay"])


_TAUS, _ALPHAS = (0.01, 0.02, 0.05, 0.1, 0.2), (0.5, 1.0, 1.5, 2.0, 3.0)
_WEIGHTS, _TEMPERATURES = (0.05, 0.1, 0.2, 0.4), (0.05, 0.1, 0.2)
_OF_SUPHAP = tuple(
    [{**_START, "tau": tau} for tau in _TAUS] + [{**_START, "alpha": alpha} for alpha in _ALPHAS]
)
_OF_HAPPIER = tuple(
    [{**_PROXIES, "weight": weight} for weight in _WEIGHTS]
    + [{**_PROXIES, "temperature": temperature} for temperature in _TEMPERATURES]
    + [{**_PROXIES, "alpha": alpha} for alpha in (1.5, 2.0)]
)
_SUPHAP = "suphap-ablation", _TAUS.index(_START["tau"])  # with nothing changed
_DECAYS = (1.0, 0.5, 0.25)
_GROUPS = ((2, 1), (2, 2), (2, 4), (2, 8))
_KIND = "rank, all levels"

ABLATIONS: dict[str, Entrant] = {
    "suphap-ablation": Entrant("SupHAP", _KIND, _suphap, _OF_SUPHAP, all_levels=True, is_ours=True),
    "happier-ablation": Entrant(
        "HAPPIER", _KIND, _happier, _OF_HAPPIER, all_levels=True, is_ours=True
    ),
    "calibrated-ablation": Entrant(
        "SupHAP with calibration",
        _KIND,
        _calibrated,
        ({"tau": _START["tau"], "weight": _PROXIES["weight"]},),
        all_levels=True,
        is_ours=True,
    ),
    "mixup-ablation": Entrant(
        "SupHAP with mixup",
        _KIND,
        _mixed,
        ({"tau": _START["tau"], "mixup": True},),
        all_levels=True,
        is_ours=True,
    ),
    "supap-levels-ablation": Entrant(
        "SupAP, sum over levels",
        _KIND,
        _level_sum,
        tuple({"tau": _START["tau"], "decay": decay} for decay in _DECAYS),
        all_levels=True,
        is_ours=True,
    ),
}
"""Losses with all their settings."""

ARMS: tuple[Arm, ...] = (
    *(Arm("SupHAP, tau", f"{tau:g}", "suphap-ablation", row) for row, tau in enumerate(_TAUS)),
    *(
        Arm("SupHAP, alpha", f"{alpha:g}", "suphap-ablation", len(_TAUS) + row)
        for row, alpha in enumerate(_ALPHAS)
    ),
    *(
        Arm("HAPPIER, weight of the proxies", f"{weight:g}", "happier-ablation", row)
        for row, weight in enumerate(_WEIGHTS)
    ),
    *(
        Arm(
            "HAPPIER, temperature of the proxies",
            f"{value:g}",
            "happier-ablation",
            len(_WEIGHTS) + row,
        )
        for row, value in enumerate(_TEMPERATURES)
    ),
    Arm("SupHAP, second loss", "none", *_SUPHAP),
    Arm("SupHAP, second loss", "calibration", "calibrated-ablation", 0),
    Arm("SupHAP, second loss", "proxies", "happier-ablation", _WEIGHTS.index(_PROXIES["weight"])),
    Arm("SupHAP, mixup", "no", *_SUPHAP),
    Arm("SupHAP, mixup", "yes", "mixup-ablation", 0),
    *(
        Arm("SupAP summed over the levels, decay", f"{decay:g}", "supap-levels-ablation", row)
        for row, decay in enumerate(_DECAYS)
    ),
    *(Arm("SupHAP, groups of a batch", f"{sizes}", "suphap", 1, sizes) for sizes in _GROUPS),
    *(Arm("SupCon, groups of a batch", f"{sizes}", "supcon", 1, sizes) for sizes in _GROUPS),
)
"""All rows; where nothing else is said tau is 0.1, alpha 1, the weight of the proxies and their temperature 0.1."""

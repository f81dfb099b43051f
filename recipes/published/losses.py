"""The losses of the published experiments; what differs between data sets is said here once."""

from collections.abc import Callable
from typing import Any

__all__ = ["LOSSES", "loss_settings"]

Settings = dict[str, Any]


def _rank(name: str) -> Callable[[str, float], Settings]:
    return lambda preset, weight: {"name": name, "options": {"preset": preset}}


def _with_calibration(name: str) -> Callable[[str, float], Settings]:
    margins = {"pos_margin": 0.9, "neg_margin": 0.6}
    return lambda preset, weight: _sum(
        name, preset, {"name": "CalibrationLoss", "options": margins}, weight
    )


def _with_proxies(name: str) -> Callable[[str, float], Settings]:
    proxies = {"name": "ProxyClusterLoss", "options": {"temperature": 0.05}}
    return lambda preset, weight: _sum(name, preset, proxies, weight)


def _sum(name: str, preset: str, other: Settings, weight: float) -> Settings:
    rank = {"name": name, "options": {"preset": preset}}
    options = {"rank_loss": rank, "decomposability_loss": other, "weight": weight}
    return {"name": "DecomposableRankLoss", "options": options}


LOSSES: dict[str, tuple[Callable[[str, float], Settings], float, str]] = {
    "supap": (_rank("SupAPLoss"), 0.0, "Sup-AP on the finest classes."),
    "roadmap": (_with_calibration("SupAPLoss"), 0.1, "ROADMAP: Sup-AP with the calibration loss."),
    "roadmap_proxies": (_with_proxies("SupAPLoss"), 0.1, "ROADMAP with proxies (ROADMAP_pp)."),
    "suprecall": (_rank("SupRecallLoss"), 0.0, "Sup-R@k on the finest classes."),
    "roadratk": (
        _with_calibration("SupRecallLoss"),
        0.5,
        "Sup-R@k with the calibration loss (ROADRatk).",
    ),
    "roadratk_proxies": (
        _with_proxies("SupRecallLoss"),
        0.5,
        "Sup-R@k with proxies (ROADRatk_pp).",
    ),
    "suphap": (_rank("SupHAPLoss"), 0.0, "Sup-H-AP on all levels."),
    "happier": (_with_proxies("SupHAPLoss"), 0.1, "HAPPIER: Sup-H-AP with proxies."),
    "supndcg": (_rank("SupNDCGLoss"), 0.0, "Sup-NDCG on all levels."),
    "roadndcg": (_with_proxies("SupNDCGLoss"), 0.1, "Sup-NDCG with proxies (roadndcg)."),
}
"""Loss to how its settings follow from the comparator preset and the weight, the usual weight, and what it is."""

_WEIGHTS = {("dyml_animal", "happier"): 0.5}  # HAPPIER_5
_FAST_PROXIES = ("sop", "inat_base", "inat_full")


def loss_settings(data: str, loss: str) -> dict[str, Any]:
    """``source`` and ``settings`` of a loss on a data set.

    Args:
        data: a key of ``DATA_SETS``.
        loss: a key of :data:`LOSSES`.
    """
    build, weight, text = LOSSES[loss]
    preset = "inat" if data.startswith("inat") else "sop"
    settings: Settings = {"loss": build(preset, _WEIGHTS.get((data, loss), weight))}
    has_proxies = "ProxyClusterLoss" in str(settings)
    if has_proxies and data in _FAST_PROXIES:
        settings["loss_optimizer"] = {"name": "Adam", "lr": 10.0, "weight_decay": 0.0}
        options = {"eta_min": 0.1}
        settings["loss_schedule"] = {
            "name": "CosineAnnealingLR",
            "interval": "epoch",
            "options": options,
        }
        text += " The proxies have an Adam of their own, from 10 to 0.1."
    return {"source": text, "settings": settings}

"""Rank losses, hierarchical relevance and exact ranking metrics for PyTorch Metric Learning."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pml_suprank.missing import missing_name

if TYPE_CHECKING:
    from pml_suprank import functional, losses, metrics, miners, relevance, samplers, testers
    from pml_suprank.accuracy_calculator import AccuracyCalculator
    from pml_suprank.decomposability import decomposability_gap
    from pml_suprank.hierarchy import Hierarchy, HierarchyError

__version__ = "0.2.0"

__all__ = [
    "AccuracyCalculator",
    "Hierarchy",
    "HierarchyError",
    "decomposability_gap",
    "functional",
    "losses",
    "metrics",
    "miners",
    "relevance",
    "samplers",
    "testers",
]

_MODULES = (
    "functional",
    "hierarchy",
    "losses",
    "metrics",
    "miners",
    "relevance",
    "samplers",
    "testers",
)
_MEMBERS = {
    "AccuracyCalculator": "accuracy_calculator",
    "Hierarchy": "hierarchy",
    "HierarchyError": "hierarchy",
    "decomposability_gap": "decomposability",
}


def __getattr__(name: str) -> Any:
    """Load a part when it is asked for: labels, samplers and metrics need no PML, a help text no torch."""
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    if name in _MEMBERS:
        return getattr(import_module(f".{_MEMBERS[name]}", __name__), name)
    raise missing_name(__name__, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

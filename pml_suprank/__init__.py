"""Rank losses, hierarchical relevance and exact ranking metrics for PyTorch Metric Learning."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pml_suprank import functional, losses, metrics, miners, relevance, samplers
from pml_suprank.decomposability import decomposability_gap
from pml_suprank.hierarchy import Hierarchy, HierarchyError

if TYPE_CHECKING:
    from pml_suprank import testers
    from pml_suprank.accuracy_calculator import AccuracyCalculator

__version__ = "0.1.0"

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


def __getattr__(name: str) -> Any:
    """Load what imports PML's testers, and with them faiss and more, when it is asked for."""
    if name == "AccuracyCalculator":
        return import_module(".accuracy_calculator", __name__).AccuracyCalculator
    if name == "testers":
        return import_module(".testers", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), "AccuracyCalculator", "testers"])

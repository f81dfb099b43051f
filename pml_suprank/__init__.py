"""Rank losses, hierarchical relevance and exact ranking metrics for PyTorch Metric Learning."""

from . import functional, losses, metrics, relevance, testers
from .accuracy_calculator import AccuracyCalculator
from .hierarchy import Hierarchy, HierarchyError

__version__ = "0.1.0"

__all__ = [
    "AccuracyCalculator",
    "Hierarchy",
    "HierarchyError",
    "functional",
    "losses",
    "metrics",
    "relevance",
    "testers",
]

"""Rank losses, hierarchical relevance and exact ranking metrics for PyTorch Metric Learning."""

from . import functional, losses, relevance
from .hierarchy import Hierarchy, HierarchyError

__version__ = "0.1.0"

__all__ = ["Hierarchy", "HierarchyError", "functional", "losses", "relevance"]

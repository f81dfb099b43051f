"""Testers under PML's own names."""

from typing import Any

from pml_suprank.missing import missing_name
from pml_suprank.testers.hierarchical_tester import HierarchicalTester

__all__ = ["HierarchicalTester"]


def __getattr__(name: str) -> Any:
    """Say where a class of PML's is."""
    raise missing_name(__name__, name)

"""Batch samplers that respect a class tree."""

from typing import Any

from pml_suprank.missing import missing_name
from pml_suprank.samplers.hierarchical_sampler import HierarchicalSampler

__all__ = ["HierarchicalSampler"]


def __getattr__(name: str) -> Any:
    """Say where a class of PML's is."""
    raise missing_name(__name__, name)

"""Batch samplers that respect a class tree."""

from pml_suprank.samplers.hierarchical_sampler import HierarchicalSampler

__all__ = ["HierarchicalSampler"]

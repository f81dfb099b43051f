"""Testers under PML's own names."""

from pml_suprank.testers.hierarchical_tester import HierarchicalTester

__all__ = ["HierarchicalTester"]

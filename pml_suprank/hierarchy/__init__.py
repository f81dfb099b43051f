"""The class tree, and the label forms that every part of the library accepts."""

from pml_suprank.hierarchy.labels import (
    HierarchyError,
    as_joint_labels,
    as_level_labels,
    check_tree,
    common_levels,
    ignored_rows,
)
from pml_suprank.hierarchy.tree import Hierarchy

__all__ = [
    "Hierarchy",
    "HierarchyError",
    "as_joint_labels",
    "as_level_labels",
    "check_tree",
    "common_levels",
    "ignored_rows",
]

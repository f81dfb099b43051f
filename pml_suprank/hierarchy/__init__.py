"""The class tree, and the label forms that every part of the library accepts.

Each file builds on those above it:

- ``integers``, ``level_rows``, ``known_trees``: labels as integers, labels of all levels as rows of a tree;
- ``class_tree``, ``labels``: the tree with its names, and the door for label forms;
- ``chains``, ``text_tables``, ``files``, ``folder_walk``, ``folders``: readers of mappings, tables and folders;
- ``reports``, ``difference``, ``editing``, ``exports``: looking, comparing, editing, writing;
- ``tools``, ``tree``: these as methods, and ``Hierarchy`` with its constructors.
"""

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

"""A class tree as chains of names, and back from an edited table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from pml_suprank.hierarchy.builders import escaped, path_names
from pml_suprank.hierarchy.class_tree import ClassTree

__all__ = ["chain_rows", "has_path_names", "node_keys", "rebuilt"]

Tree = TypeVar("Tree", bound=ClassTree)


def chain_rows(tree: ClassTree) -> list[list[tuple[int, int]]]:
    """For each class its nodes from coarse to fine, as (level, node), without the repeats of a short branch.

    A branch is short where a node has its parent's name and is its only child; where ``class_names`` spell the
    repeated name out ("new york/new york"), it is kept.
    """
    rows = tree.table.tolist()
    children = [
        torch.bincount(pairs[:, 1]).tolist()
        for level in range(tree.num_levels - 1)
        for pairs in [tree.table[:, level : level + 2].unique(dim=0)]
    ]
    names = [tree.node_names(level) for level in range(tree.num_levels)]
    found = []
    for index, row in enumerate(rows):
        level = 0
        while level < tree.num_levels - 1:
            above = row[level + 1]
            if names[level][row[level]] != names[level + 1][above] or children[level][above] > 1:
                break
            level += 1
        chain = [(i, row[i]) for i in range(tree.num_levels - 1, -1, -1)]
        shortest = tree.num_levels - level
        if level and tree.class_names is not None:
            spelt = tree.class_names[index]
            path = [names[i][node] for i, node in chain]
            for depth in range(shortest, len(chain) + 1):
                if spelt in ("/".join(path[:depth]), "/".join(map(escaped, path[:depth]))):
                    shortest = depth
                    break
        found.append(chain[:shortest])
    return found


def node_keys(tree: ClassTree) -> dict[tuple[int, int], str]:
    r"""A text for each node (level, node), all different: its name, or its path where the name is there twice.

    Paths are joined by "/". Where the texts of two nodes would be equal, because a name holds "/" itself, "\" and "/"
    in names are written "\\" and "\/" throughout the tree.
    """
    paths: dict[tuple[int, int], tuple[str, ...]] = {}
    for chain in chain_rows(tree):
        path: tuple[str, ...] = ()
        for level, node in chain:
            path = (*path, tree.node_names(level)[node])
            paths.setdefault((level, node), path)
    counts = Counter(path[-1] for path in paths.values())
    parts = {
        place: path if counts[path[-1]] > 1 else path[-1:]  # the path, or only the name
        for place, path in paths.items()
    }
    keys = {place: "/".join(names) for place, names in parts.items()}
    if len(set(keys.values())) < len(keys):
        return {place: "/".join(map(escaped, names)) for place, names in parts.items()}
    return keys


def has_path_names(tree: ClassTree) -> bool:
    """Whether the class names are the names of the nodes from coarse to fine, joined by "/"."""
    return tree.class_names is not None and list(tree.class_names) == _paths(tree)


def _paths(tree: ClassTree) -> list[str]:
    return path_names(
        [tree.node_names(level)[node] for level, node in chain] for chain in chain_rows(tree)
    )


def rebuilt(
    tree: Tree,
    table: Tensor,
    class_ids: Tensor,
    node_names: Sequence[Sequence[str]],
    level_names: Sequence[str],
    class_names: Sequence[str] | None,
) -> Tree:
    """A tree from a table of old node ids: rows that are left, columns that are left, nodes numbered anew.

    Args:
        tree: of the wanted type.
        table: (C, L) old node ids; column 0 tells the rows apart.
        class_ids: (C,) increasing.
        node_names: for each column the names by old id.
        level_names: one for each column.
        class_names: of the rows; None makes paths of the names where ``tree`` has class names and paths are unique.
    """
    columns: list[Any] = []
    names = []
    for level, column in enumerate(table.unbind(1)):
        nodes, ids = column.unique(return_inverse=True)
        if level == 0:
            nodes, ids = column, torch.arange(len(column))
        columns.append(ids)
        names.append([node_names[level][node] for node in nodes.tolist()])
    content: dict[str, Any] = {"node_names": names, "level_names": level_names}
    fresh = type(tree)(torch.stack(columns, 1), class_ids, class_names=class_names, **content)
    if class_names is not None or tree.class_names is None:
        return fresh
    paths = _paths(fresh)
    if len(set(paths)) < len(paths):
        return fresh
    return type(tree)(fresh.table, class_ids, class_names=paths, **content)

"""Class trees with nodes taken out, levels taken out, or nodes put together. Each gives a new tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch

from pml_suprank.checks import list_of
from pml_suprank.hierarchy.chains import has_path_names, path_names_of
from pml_suprank.hierarchy.class_tree import ClassTree
from pml_suprank.hierarchy.integers import HierarchyError
from pml_suprank.hierarchy.reports import counts
from pml_suprank.values import MOST_ITEMS, as_integer, shown

Tree = TypeVar("Tree", bound=ClassTree)


def level_index(tree: ClassTree, level: int | str, name: str = "level") -> int:
    """The column of a level, given by number or name."""
    if isinstance(level, str):
        if level not in tree.level_names:
            raise HierarchyError(f"{name}: wanted one of {tree.level_names}, got {level!r}")
        return tree.level_names.index(level)
    column = as_integer(level)
    if column is None or not 0 <= column < tree.num_levels:
        raise HierarchyError(f"{name}: wanted 0..{tree.num_levels - 1}, got {shown(level)}")
    return column


def prune(tree: Tree, labels: Any, min_items: int, level: int | str = 0) -> Tree:
    """Take out the nodes of a level that have fewer items, with all their classes."""
    least = as_integer(min_items)
    if least is None or least < 1:
        raise HierarchyError(f"min_items: wanted at least 1, got {shown(min_items)}")
    min_items = min(least, MOST_ITEMS)
    column = level_index(tree, level)
    sizes = counts(tree, labels)[column]
    table = tree.table
    keep = sizes[table[:, column]] >= min_items
    if not bool(keep.any()):
        raise HierarchyError(
            f"min_items: wanted at most {int(sizes.max())}, what the largest node has, got {min_items}"
        )
    names = tree.class_names
    left = None if names is None else [names[row] for row in keep.nonzero().flatten().tolist()]
    node_names = [tree.node_names(each) for each in range(tree.num_levels)]
    return _rebuilt(tree, table[keep], tree.class_ids[keep], node_names, tree.level_names, left)


def restrict(tree: Tree, levels: Sequence[int | str]) -> Tree:
    """Keep some of the levels; the nodes of the finest one are the classes."""
    columns = sorted({level_index(tree, level, "levels") for level in list_of(levels)})
    if not columns:
        raise HierarchyError("levels: wanted at least one level, got none")
    table = tree.table[:, columns]
    ids = tree.class_ids
    if columns[0] > 0:
        found = np.unique(table[:, 0].numpy(), return_index=True)
        ids, table = torch.from_numpy(found[0]), table[found[1]]
    node_names = [tree.node_names(column) for column in columns]
    level_names = [tree.level_names[column] for column in columns]
    kept = tree.class_names if columns[0] == 0 and not has_path_names(tree) else None
    return _rebuilt(tree, table, ids, node_names, level_names, kept)


def merge(
    tree: Tree, level: int | str, groups: Mapping[str, Sequence[str | int]], parent: str | None
) -> Tree:
    """Put nodes of a level above the classes together under a new name."""
    column = level_index(tree, level)
    if not isinstance(groups, Mapping):
        raise HierarchyError(f"groups: wanted a mapping of new names to nodes, got {shown(groups)}")
    if column == 0:
        raise HierarchyError("level: wanted a level above the classes, got 0")
    if parent is not None:
        _node(tree, min(column + 1, tree.num_levels - 1), parent, "parent")
    table = tree.table
    names = [list(tree.node_names(c)) for c in range(tree.num_levels)]
    taken: dict[int, str] = {}
    for name, members in groups.items():
        if not isinstance(name, str):
            raise HierarchyError(f"groups: wanted new names, texts, got {shown(name)}")
        nodes = [_node(tree, column, member) for member in list_of(members)]
        if not nodes:
            raise HierarchyError(f"groups: wanted nodes to put into {name!r}, got none")
        for node in nodes:
            if taken.setdefault(node, name) != name:
                raise HierarchyError(
                    f"groups: wanted every node in one group, got {tree.node_names(column)[node]!r} in "
                    f"{taken[node]!r} and {name!r}"
                )
        inside = torch.isin(table[:, column], torch.tensor(nodes))
        _same_ancestors(tree, table, inside, column, name, parent)
        table[inside, column] = min(nodes)
        names[column][min(nodes)] = name
    _check_siblings(
        tree, table, names, column, [node for node in taken if node in table[:, column]]
    )
    class_names = None if has_path_names(tree) else tree.class_names
    return _rebuilt(tree, table, tree.class_ids, names, tree.level_names, class_names)


def _check_siblings(
    tree: ClassTree,
    table: torch.Tensor,
    names: Sequence[Sequence[str]],
    column: int,
    renamed: Sequence[int],
) -> None:
    """Check that a node with a new name is the only one of that name below its parent."""
    above = column + 1
    for node in renamed:
        siblings = torch.ones(len(table), dtype=torch.bool)
        where = "root"
        if above < tree.num_levels:
            parent = int(table[table[:, column] == node][0, above])
            siblings, where = table[:, above] == parent, f"node of {names[above][parent]!r}"
        others = set(table[siblings, column].tolist()) - {node}
        if any(names[column][other] == names[column][node] for other in others):
            raise HierarchyError(
                f"groups: wanted a name that no other {where} has, got {names[column][node]!r}"
            )


def _same_ancestors(
    tree: ClassTree,
    table: torch.Tensor,
    inside: torch.Tensor,
    column: int,
    name: str,
    parent: str | None,
) -> None:
    """Check that merged nodes have one parent, or give them that of ``parent``."""
    above = column + 1
    if above == tree.num_levels:
        return
    found = table[inside, above].unique().tolist()
    if len(found) == 1:
        return
    if parent is None:
        titles = [tree.node_names(above)[node] for node in found]
        raise HierarchyError(
            f"groups: wanted nodes of one parent in {name!r}, got those of {titles}; parent= says which"
        )
    node = _node(tree, above, parent, "parent")
    row = int((tree.table[:, above] == node).nonzero()[0])
    table[inside, above:] = tree.table[row, above:]


def _node(tree: ClassTree, column: int, member: str | int, argument: str = "groups") -> int:
    """A node by name or number."""
    names = tree.node_names(column)
    if isinstance(member, str):
        found = [node for node, name in enumerate(names) if name == member]
        if len(found) != 1:
            raise HierarchyError(
                f"{argument}: wanted the name of one node of the level {tree.level_names[column]!r}, "
                f"got {member!r}, of {len(found)}"
            )
        return found[0]
    node = as_integer(member)
    if node is None or not 0 <= node < len(names):
        raise HierarchyError(f"{argument}: wanted nodes 0..{len(names) - 1}, got {shown(member)}")
    return node


def _rebuilt(
    tree: Tree,
    table: torch.Tensor,
    class_ids: torch.Tensor,
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
    paths = path_names_of(fresh)
    if len(set(paths)) < len(paths):
        return fresh
    return type(tree)(fresh.table, class_ids, class_names=paths, **content)

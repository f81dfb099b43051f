"""A class tree as one chain of nodes per class, coarse to fine: what sources hold, and what a finished tree is."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from pml_suprank.checks import has_items
from pml_suprank.hierarchy.class_tree import ClassTree
from pml_suprank.hierarchy.integers import HierarchyError
from pml_suprank.values import shown

Node = int | str
Chain = tuple[Node, ...]
Place = tuple[int, int]
"""Level and number of a node of a finished tree."""


class Chains(NamedTuple):
    """A tree read from somewhere, before it is numbered."""

    chains: list[Chain]
    """Nodes from the root to each class."""
    class_ids: list[int]
    class_names: list[str]
    level_names: list[str] | None = None
    """Finest first, or None where the source names no levels."""


def chains_from_parents(parents: Mapping[Any, Any]) -> Chains:
    """Chains of the leaves of a child -> parent mapping."""
    if not isinstance(parents, Mapping):
        raise HierarchyError(
            f"parents: wanted a mapping child -> parent, got {type(parents).__name__}"
        )
    if not parents:
        raise HierarchyError("parents: wanted at least one node, got an empty mapping")
    parent_of: dict[Node, Node | None] = {}
    for child, parent in parents.items():
        parent_of[_node(child, "parents: a child")] = (
            None if parent is None else _node(parent, f"parents: the parent of {child!r}")
        )
    inner = {parent for parent in parent_of.values() if parent is not None}
    chains: dict[Node, Chain] = {}
    for node in [*parent_of, *sorted(inner - parent_of.keys(), key=repr)]:
        _climb(node, parent_of, chains)
    leaves = [node for node in parent_of if node not in inner]
    numbered = [leaf for leaf in leaves if isinstance(leaf, int)]
    if numbered and len(numbered) != len(leaves):
        named = next(leaf for leaf in leaves if isinstance(leaf, str))
        raise HierarchyError(
            "parents: wanted leaves that are all int (then they are the class ids) or all str, "
            f"got {numbered[0]!r} and {named!r}"
        )
    return Chains(
        [chains[leaf] for leaf in leaves],
        numbered or list(range(len(leaves))),
        [str(leaf) for leaf in leaves],
    )


def _node(value: Any, what: str) -> Node:
    if isinstance(value, str):
        return value
    if not isinstance(value, bool):
        try:
            return operator.index(value)
        except TypeError:
            pass
    if isinstance(value, (list, tuple, set, frozenset)):
        raise HierarchyError(f"{what}: wanted one node, got {len(value)}: {value!r}")
    raise HierarchyError(f"{what}: wanted an int or a str, got {value!r}")


def _climb(
    node: Node,
    parent_of: Mapping[Node, Node | None],
    chains: dict[Node, Chain],
) -> None:
    """Fill in the chain of a node and of all its ancestors."""
    pending: dict[Node, None] = {}
    current: Node | None = node
    while current is not None and current not in chains:
        if current in pending:
            cycle = [*pending][[*pending].index(current) :]
            text = " -> ".join(repr(step) for step in [*cycle, current])
            raise HierarchyError(f"parents: wanted a tree, got the cycle {text} (child -> parent)")
        pending[current] = None
        current = parent_of.get(current)
    above: Chain = () if current is None else chains[current]
    for step in reversed(pending):
        above = (*above, step)
        chains[step] = above


def chains_from_networkx(digraph: Any) -> Chains:
    """Chains of the leaves of a directed graph whose edges run parent -> child."""
    try:
        import networkx
    except ImportError as error:
        raise ImportError("Hierarchy.from_networkx needs networkx: pip install networkx") from error
    if not isinstance(digraph, networkx.DiGraph):
        raise HierarchyError(
            "digraph: wanted a networkx.DiGraph with edges parent -> child, "
            f"got {type(digraph).__name__}"
        )
    parents: dict[Any, Any] = {}
    for node in digraph.nodes:
        above = list(digraph.predecessors(node))
        if len(above) > 1:
            raise HierarchyError(
                f"digraph: wanted one parent per node, got {node!r} with the parents "
                f"{', '.join(repr(parent) for parent in above)}"
            )
        parents[node] = above[0] if above else None
    return chains_from_parents(parents)


def chains_from_paths(paths: Iterable[Any], sep: str) -> Chains:
    """Chains of "coarse/.../fine" strings, or of sequences of names, one class each."""
    if isinstance(paths, str) or not has_items(paths):
        raise HierarchyError(f"paths: wanted an iterable of str, got {type(paths).__name__}")
    if not isinstance(sep, str) or not sep:
        raise HierarchyError(f"sep: wanted a text that joins names, got {shown(sep)}")
    seen: dict[tuple[str, ...], int] = {}
    spelt: list[str | None] = []
    for index, path in enumerate(paths):
        names = _names(path, sep, index)
        if names in seen:
            raise HierarchyError(
                f"paths[{index}]: wanted each class once (ids are positions), got {path!r} "
                f"again after paths[{seen[names]}]"
            )
        seen[names] = index
        spelt.append(path if isinstance(path, str) else None)
    if not seen:
        raise HierarchyError("paths: wanted at least one path, got none")
    joined = [
        given or name for given, name in zip(spelt, path_names(list(seen)), strict=True)
    ]  # a path that was given as one is the name of its class
    return Chains([*seen], list(range(len(seen))), joined)


def _names(path: Any, sep: str, index: int) -> tuple[str, ...]:
    if isinstance(path, str):
        names = tuple(path.split(sep))
    elif isinstance(path, tuple | list) and path and all(isinstance(name, str) for name in path):
        names = tuple(path)
    else:
        raise HierarchyError(f"paths[{index}]: wanted a str or a sequence of str, got {path!r}")
    if "" in names:
        raise HierarchyError(
            f"paths[{index}]: wanted names joined by {sep!r}, got the empty name in {path!r}"
        )
    return names


def chain_rows(tree: ClassTree) -> list[list[Place]]:
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
                if spelt in ("/".join(path[:depth]), "/".join(map(_escaped, path[:depth]))):
                    shortest = depth
                    break
        found.append(chain[:shortest])
    return found


def children_of(tree: ClassTree) -> dict[Place | None, list[Place]]:
    """The children of each node, and under None the roots, in the order of the classes."""
    found: dict[Place | None, dict[Place, None]] = {}
    for chain in chain_rows(tree):
        above = None
        for place in chain:
            found.setdefault(above, {})[place] = None
            above = place
    return {node: list(below) for node, below in found.items()}


def node_keys(tree: ClassTree) -> dict[Place, str]:
    r"""A text for each node (level, node), all different: its name, or its path where the name is there twice.

    Paths are joined by "/". Where the texts of two nodes would be equal, because a name holds "/" itself, "\" and "/"
    in names are written "\\" and "\/" throughout the tree.
    """
    paths: dict[Place, tuple[str, ...]] = {}
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
        return {place: "/".join(map(_escaped, names)) for place, names in parts.items()}
    return keys


def has_path_names(tree: ClassTree) -> bool:
    """Whether the class names are the names of the nodes from coarse to fine, joined by "/"."""
    return tree.class_names is not None and list(tree.class_names) == path_names_of(tree)


def path_names_of(tree: ClassTree) -> list[str]:
    """The names of the nodes of each class from coarse to fine, joined by "/"."""
    return path_names(
        [tree.node_names(level)[node] for level, node in chain] for chain in chain_rows(tree)
    )


def path_names(chains: Iterable[Sequence[str]]) -> list[str]:
    r"""The names of each chain joined by "/", coarse to fine, so that no two chains give one text.

    Where a name holds "/" itself and there is something to join, "\" and "/" in names are written "\\" and "\/" in
    all of them: "rock/AC\/DC" is the name "AC/DC" under "rock".
    """
    chains = list(chains)
    is_plain = all(len(chain) == 1 for chain in chains) or not any(
        "/" in name for chain in chains for name in chain
    )
    escape = str if is_plain else _escaped
    return ["/".join(map(escape, chain)) for chain in chains]


def _escaped(name: str) -> str:
    r"""A name in which "\" and "/" are written "\\" and "\/"."""
    return name.replace("\\", "\\\\").replace("/", "\\/")

"""What each source of a tree holds, as one chain of nodes per class, coarse to fine."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pml_suprank.hierarchy.integers import HierarchyError

Node = int | str
Chain = tuple[Node, ...]


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
    if isinstance(paths, str) or not isinstance(paths, Iterable):
        raise HierarchyError(f"paths: wanted an iterable of str, got {type(paths).__name__}")
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


def path_names(chains: Iterable[Sequence[str]]) -> list[str]:
    r"""The names of each chain joined by "/", coarse to fine, so that no two chains give one text.

    Where a name holds "/" itself and there is something to join, "\" and "/" in names are written "\\" and "\/" in
    all of them: "rock/AC\/DC" is the name "AC/DC" under "rock".
    """
    chains = list(chains)
    is_plain = all(len(chain) == 1 for chain in chains) or not any(
        "/" in name for chain in chains for name in chain
    )
    escape = str if is_plain else escaped
    return ["/".join(map(escape, chain)) for chain in chains]


def escaped(name: str) -> str:
    r"""A name in which "\" and "/" are written "\\" and "\/"."""
    return name.replace("\\", "\\\\").replace("/", "\\/")

"""What two class trees over the same classes disagree on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pml_suprank.hierarchy.class_tree import ClassTree
from pml_suprank.hierarchy.integers import HierarchyError
from pml_suprank.values import shown

_SHOWN = 10


@dataclass(frozen=True)
class HierarchyDiff:
    """The differences between two trees; true where there are any.

    Attributes:
        only_left: names of the classes of the first tree alone.
        only_right: names of those of the second alone.
        moved: for each class whose ancestors have other names: its name, and the names of its ancestors in both trees,
            coarse to fine.
        level_names: of both trees, finest first.
        agreement: share of the pairs of common classes that share as many levels in both trees; 1 where there are
            fewer than two classes. Names of nodes do not count in it.
    """

    only_left: tuple[str, ...]
    only_right: tuple[str, ...]
    moved: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]
    level_names: tuple[tuple[str, ...], tuple[str, ...]]
    agreement: float

    def __bool__(self) -> bool:
        left, right = self.level_names
        return bool(self.only_left or self.only_right or self.moved or left != right)

    def __str__(self) -> str:
        left, right = self.level_names
        lines = [] if left == right else [f"levels: {', '.join(left)} | {', '.join(right)}"]
        for title, names in (("only left", self.only_left), ("only right", self.only_right)):
            if names:
                more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
                lines.append(f"{title} ({len(names):,}): {', '.join(names[:_SHOWN])}{more}")
        if self.moved:
            lines.append(f"other ancestors ({len(self.moved):,}):")
        for name, one, other in self.moved[:_SHOWN]:
            lines.append(f"  {name}: {' / '.join(one)} | {' / '.join(other)}")
        if len(self.moved) > _SHOWN:
            lines.append(f"  ... and {len(self.moved) - _SHOWN:,} more")
        lines.append(f"pairs of classes that share as many levels: {self.agreement:.1%}")
        return "\n".join(lines)


def diff(left: ClassTree, right: ClassTree, on: str = "name") -> HierarchyDiff:
    """Compare two trees class by class, matched by the finest node's name or by class id."""
    if not isinstance(right, ClassTree):
        raise HierarchyError(f"other: wanted a Hierarchy, got {shown(right)}")
    if not isinstance(on, str) or on not in ("name", "id"):
        raise HierarchyError(f"on: wanted 'name' or 'id', got {on!r}")
    rows = [_rows(tree, on, side) for tree, side in ((left, "left"), (right, "right"))]
    both = [key for key in rows[0] if key in rows[1]]
    names = [tree.node_names(0) for tree in (left, right)]
    moved = []
    for key in both:
        one, other = rows[0][key], rows[1][key]
        chains = _ancestors(left, one), _ancestors(right, other)
        if chains[0] != chains[1]:
            moved.append((names[0][one], *chains))
    places = [torch.tensor([found[key] for key in both], dtype=torch.long) for found in rows]
    return HierarchyDiff(
        tuple(names[0][row] for key, row in rows[0].items() if key not in rows[1]),
        tuple(names[1][row] for key, row in rows[1].items() if key not in rows[0]),
        tuple(moved),
        (left.level_names, right.level_names),
        _agreement(left.table[places[0]], right.table[places[1]]),
    )


def _rows(tree: ClassTree, on: str, side: str) -> dict[str | int, int]:
    keys = tree.node_names(0) if on == "name" else tree.class_ids.tolist()
    found = {key: row for row, key in enumerate(keys)}
    if len(found) < len(keys):
        raise HierarchyError(
            f"{side}: wanted classes of different names to match by name, got some twice; use on='id'"
        )
    return found


def _ancestors(tree: ClassTree, row: int) -> tuple[str, ...]:
    nodes = tree.table[row].tolist()
    return tuple(tree.node_names(level)[nodes[level]] for level in range(len(nodes) - 1, 0, -1))


def _agreement(left: Tensor, right: Tensor) -> float:
    """Share of the pairs of rows with as many equal columns on both sides, from the sizes of joint groups."""
    count = len(left)
    if count < 2:
        return 1.0
    depth = max(left.shape[1], right.shape[1])
    pairs = torch.zeros(depth + 2, depth + 2, dtype=torch.float64)
    columns = [_by_depth(side) for side in (left, right)]
    for i in range(left.shape[1] + 1):
        for j in range(right.shape[1] + 1):
            joint = columns[0][i] * (int(columns[1][j].max()) + 1) + columns[1][j]
            sizes = joint.unique(return_counts=True)[1].double()
            pairs[i, j] = (sizes * (sizes - 1) / 2).sum()  # share at least i and j levels
    exact = pairs[:-1, :-1] - pairs[1:, :-1] - pairs[:-1, 1:] + pairs[1:, 1:]
    return float(exact.diagonal().sum() / pairs[0, 0])


def _by_depth(table: Tensor) -> list[Tensor]:
    """For 0, 1, ... shared levels the column whose equality says so."""
    return [torch.zeros(len(table), dtype=torch.long), *table.flip(1).unbind(1)]

"""What a class tree looks like: drawn as text, counted, and how even it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pml_suprank.hierarchy.chains import Place, children_of
from pml_suprank.hierarchy.class_tree import ClassTree
from pml_suprank.hierarchy.labels import HierarchyError, as_level_labels
from pml_suprank.values import as_integer
from pml_suprank.values import shown as said


@dataclass(frozen=True)
class LevelBalance:
    """How items, or classes, spread over the nodes of a level.

    Attributes:
        level: name of the level.
        nodes: number of nodes, empty ones included.
        empty: nodes without items.
        single: nodes with one item.
        smallest: items of the smallest node.
        median: of the nodes.
        mean: of the nodes.
        largest: items of the largest node.
        evenness: entropy of the shares over its largest possible value: 1 where all nodes are equal, 0 where one
            has all.
        effective: exp of the entropy: the number of equal nodes that would be as uneven.
    """

    level: str
    nodes: int
    empty: int
    single: int
    smallest: int
    median: float
    mean: float
    largest: int
    evenness: float
    effective: float


@dataclass(frozen=True)
class TreeBalance:
    """One row for each level, finest first. ``str()`` gives a table."""

    rows: tuple[LevelBalance, ...]

    def __str__(self) -> str:
        names = list(LevelBalance.__dataclass_fields__)
        table = [names, *([_cell(getattr(row, name)) for name in names] for row in self.rows)]
        widths = [max(len(cells[i]) for cells in table) for i in range(len(names))]
        return "\n".join(
            "  ".join(
                cell.rjust(width) if i else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
            )
            for cells in table
        )


def _cell(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def counts(tree: ClassTree, labels: Any = None) -> tuple[Tensor, ...]:
    """Items of each node, level by level, finest first; classes where ``labels`` is None."""
    rows = tree.table if labels is None else as_level_labels(labels, tree).cpu()
    for level, column in enumerate(rows.unbind(1)):
        size = len(tree.node_names(level))
        if len(column) and not 0 <= int(column.min()) <= int(column.max()) < size:
            raise HierarchyError(
                f"labels: wanted nodes 0..{size - 1} in column {level}, got others"
            )
    return tuple(
        torch.bincount(column, minlength=len(tree.node_names(level)))
        for level, column in enumerate(rows.unbind(1))
    )


def balance(tree: ClassTree, labels: Any = None) -> TreeBalance:
    """How evenly items, or classes, spread over the nodes of each level."""
    rows = []
    for name, column in zip(tree.level_names, counts(tree, labels), strict=True):
        sizes = column.double()
        shares = sizes[sizes > 0] / sizes.sum().clamp(min=1)
        entropy = float(-(shares * shares.log()).sum())
        most = torch.tensor(float(len(sizes))).log()
        rows.append(
            LevelBalance(
                level=name,
                nodes=len(sizes),
                empty=int((sizes == 0).sum()),
                single=int((sizes == 1).sum()),
                smallest=int(sizes.min()),
                median=float(sizes.quantile(0.5)) if len(sizes) < 2**24 else float(sizes.median()),
                mean=float(sizes.mean()),
                largest=int(sizes.max()),
                evenness=entropy / float(most) if len(sizes) > 1 else 1.0,
                effective=float(torch.tensor(entropy).exp()),
            )
        )
    return TreeBalance(tuple(rows))


def text_tree(
    tree: ClassTree,
    labels: Any = None,
    max_depth: int | None = None,
    max_children: int | None = None,
) -> str:
    """The tree drawn with lines, the number of items, or classes, behind inner nodes."""
    for name, value in (("max_depth", max_depth), ("max_children", max_children)):
        if value is not None and (as_integer(value) or 0) < 1:
            raise HierarchyError(f"{name}: wanted at least 1, got {said(value)}")
    sizes = counts(tree, labels)
    children = children_of(tree)
    lines: list[str] = []

    def draw(places: Sequence[Place], prefix: str, depth: int) -> None:
        shown = places[:max_children]
        for index, (level, node) in enumerate(shown):
            is_last = index == len(places) - 1
            branch = "" if not depth else "└── " if is_last else "├── "
            inside = children.get((level, node), [])
            has_count = inside or labels is not None
            count = f" ({int(sizes[level][node]):,})" if has_count else ""
            lines.append(f"{prefix}{branch}{tree.node_names(level)[node]}{count}")
            if inside and (max_depth is None or depth + 1 < max_depth):
                draw(
                    inside, prefix + ("" if not depth else "    " if is_last else "│   "), depth + 1
                )
        if len(places) > len(shown):
            lines.append(
                f"{prefix}{'└── ' if depth else ''}... and {len(places) - len(shown):,} more"
            )

    draw(children[None], "", 0)
    return "\n".join(lines)

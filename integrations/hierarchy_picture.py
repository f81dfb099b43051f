"""A picture of a class tree, with matplotlib."""

import math
import os
from typing import Any, BinaryIO

import torch

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.integrations import require

__all__ = ["draw_hierarchy"]

_PALETTE = ("#0f766e", "#b45309", "#4338ca", "#be185d", "#4d7c0f", "#0369a1", "#a21caf", "#b91c1c")
_MOST_NAMES = 150
"""Nodes of a ring that still get a name."""


def draw_hierarchy(
    tree: Hierarchy,
    path: str | os.PathLike[str] | BinaryIO,
    *,
    labels: Any = None,
    size: float = 9.0,
) -> None:
    """Draw the tree as rings, the coarsest level innermost; a node is as wide as its share of the classes.

    A level gets names as far as its nodes are wide enough for text.

    Args:
        tree: the hierarchy.
        path: picture file, in the format of its suffix (png, svg, pdf), or an open binary file, for a png.
        labels: (B,) class ids or (B, L) rows of items; with them the widths are shares of the items.
        size: side in inches.

    Raises:
        HierarchyError: unknown class ids.
        ImportError: matplotlib is not installed.
    """
    figures: Any = require("matplotlib.figure", extra="recipes")
    agg: Any = require("matplotlib.backends.backend_agg", extra="recipes")
    patches: Any = require("matplotlib.patches", extra="recipes")
    colours: Any = require("matplotlib.colors", extra="recipes")
    figure = figures.Figure(figsize=(size, size))
    agg.FigureCanvasAgg(figure)
    axes = figure.add_axes((0.02, 0.02, 0.96, 0.96))
    axes.set_axis_off()
    axes.set_aspect("equal")
    axes.set_xlim(-1.02, 1.02)
    axes.set_ylim(-1.02, 1.02)
    table, weights = tree.table, tree.counts(labels)[0].double()
    order = _by_path(table)
    table, weights = table[order], weights[order]
    ends = weights.cumsum(0) / weights.sum().clamp(min=1)
    starts = ends - weights / weights.sum().clamp(min=1)
    inner, width = 0.16, 0.84 / tree.num_levels
    for ring, level in enumerate(range(tree.num_levels - 1, -1, -1)):
        nodes, counts = table[:, level].unique_consecutive(return_counts=True)
        last = counts.cumsum(0) - 1
        first = last - counts + 1
        root = table[first, -1].tolist()
        for place, node in enumerate(nodes.tolist()):
            begin, end = float(starts[first[place]]), float(ends[last[place]])
            if end - begin <= 0:
                continue
            colour = colours.to_rgb(_PALETTE[root[place] % len(_PALETTE)])
            fade = 0.25 + 0.5 * ring / max(tree.num_levels - 1, 1)
            colour = tuple(c + (1 - c) * (fade + 0.08 * (place % 2)) for c in colour)
            radius = inner + width * (ring + 1)
            edge = 0.6 if len(nodes) <= 400 else 0.0
            axes.add_patch(
                patches.Wedge((0, 0), radius, 360 * begin, 360 * end, width=width,
                              facecolor=colour, edgecolor="white", linewidth=edge)
            )  # fmt: skip
            if len(nodes) <= _MOST_NAMES or end - begin > 1 / _MOST_NAMES:
                middle = radius - width / 2
                _name(axes, tree.node_names(level)[node], begin, end, middle, width, size)
    figure.savefig(path, dpi=150)


def _by_path(table: torch.Tensor) -> torch.Tensor:
    """Classes ordered by their nodes, coarsest first."""
    order = torch.arange(len(table))
    for column in table.unbind(1):
        order = order[column[order].argsort(stable=True)]
    return order


def _name(
    axes: Any, text: str, begin: float, end: float, middle: float, width: float, size: float
) -> None:
    """Text along the radius, or across it where the node is wide; nothing where there is no room for it."""
    turn = (begin + end) / 2
    inch = size * 0.96 / 2.04  # of one unit
    arc = 2 * math.pi * middle * (end - begin) * inch
    along = width * inch
    is_wide = arc > along
    room = 72 * max(arc, along) * 0.92
    points = min(10.0, 72 * min(arc, along) * 0.7, max(6.0, room / (0.6 * max(len(text), 1))))
    if points < 4:
        return
    longest = int(room / (0.6 * points))
    if len(text) > longest:
        text = text[: longest - 1] + "…" if longest > 3 else ""
    degrees = 360 * turn + (90 if is_wide else 0)
    degrees = (degrees + 90) % 180 - 90  # never upside down
    x, y = (middle * f(2 * math.pi * turn) for f in (math.cos, math.sin))
    axes.text(x, y, text, rotation=degrees, ha="center", va="center", fontsize=points,
              rotation_mode="anchor", color="#1d2433")  # fmt: skip

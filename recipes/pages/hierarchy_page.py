"""A page about a finished hierarchy: counts, agreement with known labels, and the tree."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.recipes.pages.html_page import page, picture

__all__ = ["render_hierarchy"]

_STYLE = """
ul.tree, ul.tree ul { list-style: none; padding-left: 22px; margin: 4px 0; }
ul.tree small { color: var(--muted); }
ul.tree summary { cursor: pointer; padding: 2px 0; }
.leaves { color: var(--muted); font-size: 14px; padding-left: 22px; max-width: 84ch; }
"""
_MOST = 60
"""Classes of a group that are named."""


def render_hierarchy(tree: Hierarchy, report: Mapping[str, Any], png: bytes) -> str:
    """The page.

    Args:
        tree: the hierarchy.
        report: the content of ``report.json``.
        png: a picture of it.
    """
    sources = report["sources"]
    named = report["classes"] - sources["none"]
    parts = [
        "<h1>Hierarchy</h1>",
        f'<p class="lead">{named:,} of {report["classes"]:,} classes have a group: {sources["name"]:,} by their name, '
        f"{sources['images']:,} by the vote of their images, {sources['person']:,} by a person's decision.</p>",
        "<h2>Levels</h2>",
        _table(_balance(tree)),
        picture(png, "the hierarchy as rings, the coarsest level innermost"),
    ]
    if "agreement" in report:
        parts += ["<h2>Agreement with given labels</h2>", _table(report["agreement"])]
    if "queries" in report:
        kept, dropped = report["queries"]["kept"], report["queries"]["dropped"]
        rows = [{"queries": "kept", "count": kept}]
        rows += [{"queries": f"dropped: {reason}", "count": n} for reason, n in dropped.items()]
        parts += ["<h2>Queries</h2>", _table(rows)]
    if report.get("left_out"):
        rows = [
            {"left out": what, "count": len(classes), "such as": classes[0]}
            for what, classes in report["left_out"].items()
        ]
        parts += ["<h2>Left out</h2>", _table(rows)]
    parts += ["<h2>Tree</h2>", _tree(tree)]
    return page("Hierarchy", "\n".join(parts), _STYLE)


def _balance(tree: Hierarchy) -> list[dict[str, Any]]:
    """Classes of the nodes of each level, coarsest first."""
    shown = ("level", "nodes", "smallest", "median", "mean", "largest", "evenness")
    return [{name: getattr(row, name) for name in shown} for row in tree.balance().rows[::-1]]


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    heads = "".join(f"<th>{html.escape(name)}</th>" for name in rows[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(_text(cell))}</td>" for cell in row.values()) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 1 else f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _tree(tree: Hierarchy) -> str:
    table = tree.table

    def branch(rows: torch.Tensor, level: int) -> str:
        items = []
        nodes, counts = table[rows, level].unique(return_counts=True)
        for node, count in zip(nodes.tolist(), counts.tolist(), strict=True):
            inside = rows[table[rows, level] == node]
            name = html.escape(tree.node_names(level)[node])
            content = _leaves(tree, inside) if level == 1 else branch(inside, level - 1)
            opened = " open" if level == tree.num_levels - 1 and level > 1 else ""
            items.append(
                f"<li><details{opened}><summary>{name} <small>{count:,}</small></summary>{content}</details></li>"
            )
        return f'<ul class="tree">{"".join(items)}</ul>'

    rows = torch.arange(len(table))
    return branch(rows, tree.num_levels - 1) if tree.num_levels > 1 else _leaves(tree, rows)


def _leaves(tree: Hierarchy, rows: torch.Tensor) -> str:
    names = [tree.node_names(0)[row] for row in rows[:_MOST].tolist()]
    more = f" … and {len(rows) - _MOST:,} more" if len(rows) > _MOST else ""
    return f'<div class="leaves">{html.escape(", ".join(names))}{more}</div>'

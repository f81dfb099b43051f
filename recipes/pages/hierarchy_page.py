"""A page about a finished hierarchy: counts, agreement with known labels, and the tree."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.recipes.pages.html_page import page, png_picture

__all__ = ["render_hierarchy"]

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
    parts = [_table("Levels", _balance(tree))]
    if "agreement" in report:
        parts.append(_table("Agreement with given labels", report["agreement"]))
    if "queries" in report:
        kept, dropped = report["queries"]["kept"], report["queries"]["dropped"]
        rows = [{"queries": "kept", "count": kept}]
        rows += [{"queries": f"dropped: {reason}", "count": n} for reason, n in dropped.items()]
        parts.append(_table("Queries", rows))
    if report.get("left_out"):
        rows = [
            {"left out": what, "count": len(classes), "such as": classes[0]}
            for what, classes in report["left_out"].items()
        ]
        parts.append(_table("Left out", rows))
    return page(
        "hierarchy.html",
        title="Hierarchy",
        classes=report["classes"],
        named=report["classes"] - sources["none"],
        sources=sources,
        parts=parts,
        picture=png_picture(png, "the hierarchy as rings, the coarsest level innermost"),
        tree=_tree(tree),
    )


def _balance(tree: Hierarchy) -> list[dict[str, Any]]:
    """Classes of the nodes of each level, coarsest first."""
    shown = ("level", "nodes", "smallest", "median", "mean", "largest", "evenness")
    return [{name: getattr(row, name) for name in shown} for row in tree.balance().rows[::-1]]


def _table(title: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    columns = [
        {"title": name, "kind": "text" if isinstance(value, str) else "number"}
        for name, value in rows[0].items()
    ]
    cells = [[_cell(value) for value in row.values()] for row in rows]
    return {"title": title, "columns": columns, "rows": cells}


def _cell(value: Any) -> Any:
    """Numbers from 1 on with one digit behind the point."""
    if isinstance(value, float) and abs(value) >= 1:
        return {"text": f"{value:,.1f}", "value": value, "href": ""}
    return value


def _tree(tree: Hierarchy) -> dict[str, Any]:
    table = tree.table

    def node(rows: torch.Tensor, level: int) -> dict[str, Any]:
        """What lies below, with the names of the classes or with the nodes of the next finer level."""
        found: dict[str, Any] = {"children": [], "leaves": [], "more": 0}
        if level == 0:
            names = tree.node_names(0)
            found["leaves"] = [names[row] for row in rows[:_MOST].tolist()]
            found["more"] = max(0, len(rows) - _MOST)
            return found
        nodes, counts = table[rows, level].unique(return_counts=True)
        for index, count in zip(nodes.tolist(), counts.tolist(), strict=True):
            below = node(rows[table[rows, level] == index], level - 1)
            is_open = level == tree.num_levels - 1 and level > 1
            name = tree.node_names(level)[index]
            found["children"].append(below | {"name": name, "count": count, "open": is_open})
        return found

    return node(torch.arange(len(table)), tree.num_levels - 1)

"""Draw the measured tables: ``docs/images/benchmarks.png`` from ``benchmarks/results``.

Run as ``make bench``, after the measurements.
"""

import json
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.measuring import ROOT

OURS, OTHERS = "#1f6f8b", "#b8b8b8"


def read(name: str) -> dict[str, list[dict[str, Any]]]:
    """Return the tables of one benchmark, heading to rows."""
    path = ROOT / "benchmarks" / "results" / f"{name}.json"
    return json.loads(path.read_text())["tables"]


def rows_of(tables: dict[str, list[dict[str, Any]]], heading: str) -> list[dict[str, Any]]:
    """Return the rows of the table whose heading begins so."""
    return next(rows for title, rows in tables.items() if title.startswith(heading))


def growth(axes: Axes, rows: list[dict[str, Any]]) -> None:
    """Time of a loss beside that of its similarity product, as references grow."""
    sizes = [row["references"] for row in rows]
    axes.loglog(sizes, [row["s"] for row in rows], "o-", color=OURS, label="SupHAPLoss")
    product = [row["s"] / row["loss / product"] for row in rows]
    axes.loglog(sizes, product, "o--", color="#808080", label="similarity product alone")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.set(
        xlabel="references",
        ylabel="seconds",
        title="Value and gradient, 256 queries,\na third of the references positive",
    )
    axes.legend(frameon=False)


def bars(axes: Axes, rows: list[dict[str, Any]], key: str, column: str, title: str) -> None:
    """One bar for each row, on a logarithmic scale, with its value."""
    names = [str(row[key]) for row in rows]
    colors = [OURS if name in ("auto", "ours") else OTHERS for name in names]
    drawn = axes.barh(names, [row[column] for row in rows], color=colors, log=True)
    axes.bar_label(drawn, fmt="%.3g", padding=3)
    axes.set_xlim(1, axes.get_xlim()[1] * 2.5)
    axes.invert_yaxis()
    axes.minorticks_off()
    axes.set(xlabel=column, title=title)


def main() -> None:
    """Draw and write the figure."""
    losses, evaluation = read("rank_losses"), read("evaluation")
    figure = Figure(figsize=(13, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    left, middle, right = figure.subplots(1, 3)
    in_batch = rows_of(losses, "SupHAP in the batch")
    bars(left, in_batch, "backend", "ms", "SupHAPLoss in a batch of 256,\nby backend")
    growth(middle, rows_of(losses, "SupHAP against references"))
    methods = rows_of(evaluation, "20,000 items")
    title = "All metrics, 20,000 items, three levels,\none thread each"
    bars(right, methods, "method", "ns per pair", title)
    for axes in (left, middle, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(ROOT / "docs" / "images" / "benchmarks.png", dpi=110)


if __name__ == "__main__":
    main()

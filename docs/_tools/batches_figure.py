"""Draw the first picture of docs/decomposability.md: two batches that are ranked well, and the set that is not.

Run as ``python docs/_tools/batches_figure.py``. Every rank and AP in it is computed by the library.
"""

from __future__ import annotations

from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pml_suprank import metrics

IMAGE = Path(__file__).parents[1] / "images" / "two_batches.png"
POINTS = torch.tensor([[0.0, 0], [2, 0], [9, 0], [11, 0], [0, 1], [2, 1], [9, 1], [11, 1]])
CLASSES = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
BATCHES = {"batch 1": slice(0, 4), "batch 2": slice(4, 8), "the whole set": slice(0, 8)}
LOOKS = (("o", "#0f766e"), ("s", "#0f766e"), ("o", "#c2410c"), ("s", "#c2410c"))
"""Mark and colour of each class."""


def mean_ap(items: slice) -> float:
    """Mean AP of some of the points, each a query against the others."""
    found = metrics.mean_average_precision(POINTS[items], CLASSES[items], similarity="euclidean")
    return found.mean()


def ranks(items: slice) -> list[int]:
    """Ranks of some of the points for the first of them, which has 0."""
    points = POINTS[items]
    distances = (points - points[0]).norm(dim=1)
    return [int((distances < each).sum()) for each in distances]


def draw_part(axes: Axes, title: str, items: slice) -> None:
    """The points, and their ranks for the first of them."""
    for (x, y), kind, rank in zip(
        POINTS[items].tolist(), CLASSES[items].tolist(), ranks(items), strict=True
    ):
        marker, color = LOOKS[kind]
        axes.plot(x, y, marker, color=color, markersize=12)
        axes.annotate(
            str(rank) if rank else "q", (x, y), color="white", fontsize=8, ha="center", va="center"
        )
    axes.set_title(f"{title}: AP {mean_ap(items):g}", loc="left", fontsize=10)
    axes.set(xlim=(-1, 12), ylim=(-0.6, 1.6), xticks=(0, 2, 9, 11), yticks=(0, 1), aspect="equal")
    axes.tick_params(length=0, labelsize=8, colors="#667085")
    axes.spines[:].set_color("#d0d5dd")


def draw() -> Figure:
    """Both batches and the whole set, beside each other."""
    figure = Figure(figsize=(8.4, 1.3), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (title, items) in zip(figure.subplots(1, 3), BATCHES.items(), strict=True):
        draw_part(axes, title, items)
    return figure


if __name__ == "__main__":
    draw().savefig(IMAGE, dpi=150)

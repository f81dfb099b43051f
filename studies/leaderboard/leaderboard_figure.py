"""Pictures of the leaderboard; none shows an image of a data set."""

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

__all__ = ["COLOURS", "Point", "standings_figure"]

COLOURS = {
    "rank, all levels": "#0f766e",
    "rank, one level": "#5eaaa3",
    "pairs": "#b45309",
    "proxies": "#7c3aed",
    "several levels": "#475467",
}
INK, MUTED, RULE = "#1d2433", "#667085", "#e4e7ec"

Point = tuple[str, str, Sequence[float]]
"""Title, kind, and the values of the seeds."""


def standings_figure(panels: Mapping[str, Sequence[Point]], axis: str) -> bytes:
    """One panel for each data set: losses from best to worst, mean and deviation over the seeds.

    Args:
        panels: data set to its losses.
        axis: what is shown.

    Returns:
        A PNG file.
    """
    tallest = max(len(points) for points in panels.values())
    figure = Figure(figsize=(4.4 * len(panels), 0.8 + 0.24 * tallest), layout="constrained")
    FigureCanvasAgg(figure)
    for place, (data, points) in enumerate(panels.items()):
        axes = figure.add_subplot(1, len(panels), place + 1)
        ordered = sorted(points, key=lambda point: float(np.mean(point[2])))
        for row, (_, kind, values) in enumerate(ordered):
            mean, spread = float(np.mean(values)), float(np.std(values, ddof=len(values) > 1))
            axes.errorbar(
                mean, row, xerr=spread, fmt="o", color=COLOURS[kind], markersize=5, capsize=2
            )
        axes.set_yticks(range(len(ordered)), [title for title, _, _ in ordered], fontsize=8)
        axes.set_title(data, loc="left", fontsize=11, color=INK)
        axes.set_xlabel(axis, color=MUTED, fontsize=9)
        axes.tick_params(colors=MUTED, labelsize=8, length=0)
        axes.tick_params(axis="y", labelcolor=INK)
        axes.grid(color=RULE, linewidth=0.7)
        axes.set_axisbelow(True)
        for spine in axes.spines.values():
            spine.set_visible(False)
    marks = [
        figure.axes[0].plot([], [], "o", color=colour, label=kind)[0]
        for kind, colour in COLOURS.items()
    ]
    figure.legend(
        handles=marks, loc="outside lower center", ncols=len(marks), frameon=False, fontsize=9
    )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    return buffer.getvalue()

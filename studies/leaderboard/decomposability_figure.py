"""The picture of the decomposability study: gap and H-AP against batch size and against memory size."""

import io
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from studies.leaderboard.leaderboard_figure import INK, MUTED, RULE
from studies.leaderboard.memory_tables import Row, rows

__all__ = ["decomposability_figure"]

COLOURS = {"SupAP": "#b45309", "SupHAP": "#0f766e"}
EMPTY = "whole memory, empty at first"
ENDS = {"batch": "o--", "whole memory": "o-"}

Content = Mapping[str, Any]


def decomposability_figure(found: Sequence[Content], batch_size: int, steps: int) -> bytes:
    """A line of four panels for each data set with several batch sizes; means over the seeds.

    In the panels against memory size all memories start empty, but for the star: that of the whole set, filled first.

    Args:
        found: what the runs found.
        batch_size: of the panels against memory size.
        steps: of all panels.

    Returns:
        A PNG file.
    """
    shown = {
        row: runs
        for row, runs in rows(found).items()
        if row.steps == steps and not row.is_hierarchical
    }
    sizes = {data: {row.batch_size for row in shown if row.data == data} for data, *_ in shown}
    names = [data for data, own in sizes.items() if len(own) > 1] or list(sizes)
    figure = Figure(figsize=(14, 0.6 + 3.2 * len(names)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(names), 4, squeeze=False)
    for line, data in zip(grid, names, strict=True):
        own = {row: runs for row, runs in shown.items() if row.data == data}
        for axes, (value, title) in zip(
            line, [(_gap, "gap, training set"), (_h_ap, "H-AP, held out")] * 2, strict=True
        ):
            _style(axes, title, data)
            (_against_batch if axes in line[:2] else _against_memory)(axes, own, value, batch_size)
        for axes in line[:2]:
            axes.set_xscale("log", base=2)
            axes.xaxis.set_major_formatter("{x:g}")
            axes.set_xlabel("batch size", color=MUTED, fontsize=9)
        for axes in line[2:]:
            axes.set_xlabel("memory / training set", color=MUTED, fontsize=9)
    marks, labels = grid[0][0].get_legend_handles_labels()
    star = Line2D([], [], linestyle="", marker="*", color=MUTED, markersize=11)
    marks, labels = (
        [*marks, star],
        [*labels, "right: filled before the first step, where the lines start empty"],
    )
    figure.legend(marks, labels, loc="outside lower center", ncols=5, frameon=False, fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    return buffer.getvalue()


def _gap(content: Content) -> float:
    return content["gap_train"]["gap"]


def _h_ap(content: Content) -> float:
    return content["metrics"]["h_ap"]


Value = Callable[[Content], float]


def _against_batch(
    axes: Axes, own: Mapping[Row, Sequence[Content]], value: Value, batch_size: int
) -> None:
    for loss, colour in COLOURS.items():
        for arm, style in ENDS.items():
            points = sorted(
                (row.batch_size, fmean(map(value, runs)))
                for row, runs in own.items()
                if (row.loss, row.arm) == (loss, arm)
            )
            axes.plot(*zip(*points, strict=True), style, color=colour, label=f"{loss}, {arm}")


def _against_memory(
    axes: Axes, own: Mapping[Row, Sequence[Content]], value: Value, batch_size: int
) -> None:
    for loss, colour in COLOURS.items():
        of_loss = {
            row: fmean(map(value, runs))
            for row, runs in own.items()
            if (row.loss, row.batch_size) == (loss, batch_size)
        }
        points = sorted(
            (1.0 if row.arm == EMPTY else row.memory, mean)
            for row, mean in of_loss.items()
            if row.arm in ("batch", "cross-batch memory", EMPTY)
        )
        filled = [mean for row, mean in of_loss.items() if row.arm == "whole memory"]
        axes.plot(*zip(*points, strict=True), "o-", color=colour)
        axes.plot([1.0] * len(filled), filled, "*", color=colour, markersize=11)


def _style(axes: Axes, title: str, data: str) -> None:
    axes.set_title(f"{data}: {title}", loc="left", fontsize=10, color=INK)
    axes.tick_params(colors=MUTED, labelsize=8, length=0)
    axes.grid(color=RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)

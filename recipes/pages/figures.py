"""Plots, as PNG bytes; none shows a drawing of the data set."""

import io
from collections.abc import Mapping, Sequence
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

__all__ = ["bar_chart", "loss_curve"]

INK, MUTED, RULE = "#1d2433", "#667085", "#e4e7ec"
OURS, PML, BASE = "#0f766e", "#9aa4b2", "#d0d5dd"


def loss_curve(losses: Sequence[float], iterations_per_epoch: int, title: str) -> bytes:
    """Loss of every iteration and its mean per epoch.

    Args:
        losses: one per iteration.
        iterations_per_epoch: at least 1.
        title: of the loss axis.

    Returns:
        A PNG file.
    """
    figure, axes = _axes(7.2, 2.9)
    epochs = (np.arange(len(losses)) + 1) / iterations_per_epoch
    axes.plot(epochs, losses, color=BASE, linewidth=1, label="iteration")
    means = [
        float(np.mean(losses[start : start + iterations_per_epoch]))
        for start in range(0, len(losses), iterations_per_epoch)
    ]
    axes.plot(
        np.arange(len(means)) + 0.5, means, "o-", color=OURS, markersize=3.5, label="epoch mean"
    )
    axes.set_xlabel("epoch", color=MUTED)
    axes.set_ylabel(title, color=MUTED)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, labelcolor=INK)
    return _png(figure)


def bar_chart(values: Mapping[str, Sequence[float]], ours: set[str], axis: str) -> bytes:
    """Horizontal bars, longest on top, with a whisker over the range of repeated runs.

    Args:
        values: name to the values of its runs.
        ours: names drawn in the strong colour.
        axis: title of the value axis.

    Returns:
        A PNG file.
    """
    names = sorted(values, key=lambda name: float(np.mean(values[name])))
    means = np.array([np.mean(values[name]) for name in names])
    figure, axes = _axes(7.2, 0.6 + 0.34 * len(names))
    colours = [OURS if name in ours else PML for name in names]
    axes.barh([fill(name, 40) for name in names], means, color=colours, height=0.68)
    for row, (name, mean) in enumerate(zip(names, means, strict=True)):
        low, high = min(values[name]), max(values[name])
        if high > low:
            axes.plot([low, high], [row, row], color=INK, linewidth=1.2)
        axes.text(high + 0.004, row, f"{mean:.3f}", va="center", color=INK, fontsize=9)
    axes.set_xlabel(axis, color=MUTED)
    axes.set_xlim(0, 1.12 * max(max(runs) for runs in values.values()))
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.grid(visible=False, axis="y")
    return _png(figure)


def _axes(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.grid(color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, labelsize=9)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(RULE)
    return figure, axes


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    # Without the version of matplotlib, equal plots are equal files.
    figure.savefig(buffer, format="png", dpi=160, metadata={"Software": None})
    return buffer.getvalue()

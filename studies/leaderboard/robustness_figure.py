"""The place of every loss in every field, as lines."""

import io
from collections.abc import Mapping
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from studies.leaderboard.entrants import ENTRANTS
from studies.leaderboard.leaderboard_figure import COLOURS, INK, MUTED, RULE
from studies.leaderboard.robustness_tables import mean_ranks, ranks, title

__all__ = ["robustness_figure"]

STYLES = ("-", "--", ":", "-.")
"""Of the losses of one kind, first to last."""


def robustness_figure(fields: Mapping[str, Mapping[str, Any]], metric: str = "h_ap") -> bytes:
    """A line for each loss through its places in the fields, the first on top; returns a PNG file.

    Args:
        fields: as ``studies.leaderboard.robustness`` writes them.
        metric: what the places are by.
    """
    order = mean_ranks(fields, metric)
    columns = [ranks(field, metric) for field in fields.values()]
    figure = Figure(
        figsize=(3.2 + 1.15 * len(fields), 0.9 + 0.36 * len(order)), layout="constrained"
    )
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    used: dict[str, int] = {}
    for loss in order:
        kind = ENTRANTS[loss].group
        style = STYLES[used.get(kind, 0) % len(STYLES)]
        used[kind] = used.get(kind, 0) + 1
        places = [own[loss] for own in columns]
        axes.plot(places, style, marker="o", color=COLOURS[kind], linewidth=1.8, markersize=5)
        axes.annotate(
            ENTRANTS[loss].title, (len(columns) - 1, places[-1]), xytext=(10, 0),
            textcoords="offset points", va="center", color=COLOURS[kind], fontsize=9,
        )  # fmt: skip
    axes.set_xticks(
        range(len(columns)), [title(field).replace(", ", "\n") for field in fields.values()]
    )
    axes.set_xlim(-0.2, len(columns) - 1 + 0.1)
    axes.set_ylim(len(order) + 0.5, 0.5)
    axes.set_yticks(range(1, len(order) + 1))
    axes.set_ylabel("place by H-AP", color=MUTED, fontsize=9)
    axes.tick_params(colors=MUTED, labelsize=9, length=0)
    axes.tick_params(axis="x", labelcolor=INK)
    axes.grid(axis="y", color=RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    return buffer.getvalue()

"""Where lines, bars and dots of a plot stand; ``templates/charts.html`` draws them, in light and in dark."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ["COLOURS", "Points", "bars", "dot_map", "line_chart", "loss_chart"]

COLOURS = 10
"""Colours of lines and dots; more lines begin again, more groups of dots are grey."""

_WIDTH, _HEIGHT = 640, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 12, 12, 44
_MOST = 300
"""Points of a line; neighbours of a longer one are averaged."""

Line = tuple[Sequence[float], Sequence[float]]


class Points(NamedTuple):
    """Dots of a map: places, the group of each (-1 for none), and what each is."""

    x: Sequence[float]
    y: Sequence[float]
    group: Sequence[int]
    text: Sequence[str]


def line_chart(
    lines: Mapping[str, Line], x_title: str, y_title: str, faint: Line | None = None
) -> dict[str, Any]:
    """Lines with a legend.

    Args:
        lines: name to places and values.
        x_title: title of the places.
        y_title: title of the values.
        faint: a line in the background.
    """
    drawn = [_averaged(line) for line in lines.values()]
    behind = None if faint is None or not faint[0] else _averaged(faint)
    every = [line for line in (*drawn, behind) if line is not None and len(line[0])]
    x_ticks = _ticks([place for line in every for place in line[0]], whole=True)
    y_ticks = _ticks([value for line in every for value in line[1]])
    across = _Scale(x_ticks, _LEFT, _WIDTH - _RIGHT)
    up = _Scale(y_ticks, _HEIGHT - _BOTTOM, _TOP)

    def corners(line: Line) -> list[tuple[str, str]]:
        return [(across.at(place), up.at(value)) for place, value in zip(*line, strict=True)]

    return {
        "text": f"{y_title} by {x_title}",
        "x_title": x_title,
        "y_title": y_title,
        "x_ticks": across.labelled(x_ticks),
        "y_ticks": up.labelled(y_ticks),
        "faint": "" if behind is None else " ".join(f"{x},{y}" for x, y in corners(behind)),
        "lines": [
            {
                "name": name,
                "colour": place % COLOURS,
                "path": " ".join(f"{x},{y}" for x, y in corners(line)),
                "dots": [
                    {"x": x, "y": y, "text": f"{name}, {x_title} {at:g}: {value:.4g}"}
                    for (x, y), at, value in zip(corners(line), *line, strict=True)
                ]
                if len(line[0]) <= 60
                else [],
            }
            for place, (name, line) in enumerate(zip(lines, drawn, strict=True))
        ],
    }


def loss_chart(losses: Sequence[float], steps_per_epoch: int, title: str) -> dict[str, Any]:
    """Loss of every step, faint, and its mean over each epoch.

    Args:
        losses: one for each step.
        steps_per_epoch: at least 1.
        title: of the loss.
    """
    epochs = [(step + 1) / steps_per_epoch for step in range(len(losses))]
    starts = range(0, len(losses), steps_per_epoch)
    parts = [losses[start : start + steps_per_epoch] for start in starts]
    means = [sum(part) / len(part) for part in parts]
    middles = [
        (start + len(part) / 2) / steps_per_epoch for start, part in zip(starts, parts, strict=True)
    ]
    return line_chart({"mean of the epoch": (middles, means)}, "epoch", title, (epochs, losses))


def bars(values: Mapping[str, float], best: str) -> list[dict[str, Any]]:
    """Bars, longest first, the longest as long as there is room; ``best`` is marked."""
    longest = max([*values.values(), 1e-9])
    rows = sorted(values.items(), key=lambda item: -item[1])
    return [
        {"name": name, "value": value, "share": value / longest, "best": name == best}
        for name, value in rows
    ]


def dot_map(points: Points) -> dict[str, Any]:
    """Dots in a square."""
    side, edge = 560, 10
    low_x, low_y = min(points.x), min(points.y)
    span = max(max(points.x) - low_x, max(points.y) - low_y) or 1.0
    scale = (side - 2 * edge) / span
    dots = [
        {
            "x": f"{edge + (x - low_x) * scale:.1f}",
            "y": f"{edge + (y - low_y) * scale:.1f}",
            "colour": group if 0 <= group < COLOURS else "none",
            "text": text,
        }
        for x, y, group, text in zip(*points, strict=True)
    ]
    height = 2 * edge + (max(points.y) - low_y) * scale
    return {"width": side, "height": f"{height:.0f}", "dots": dots}


class _Scale:
    """From values to places on the page."""

    def __init__(self, ticks: Sequence[float], start: float, end: float):
        self.low, self.high = ticks[0], ticks[-1]
        self.start, self.end = start, end

    def at(self, value: float) -> str:
        share = (value - self.low) / (self.high - self.low)
        return f"{self.start + share * (self.end - self.start):.1f}"

    def labelled(self, ticks: Sequence[float]) -> list[dict[str, str]]:
        step = ticks[1] - ticks[0]
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        texts = [f"{tick:,.{digits}f}" if 1e-5 < step < 1e7 else f"{tick:.3g}" for tick in ticks]
        return [
            {"at": self.at(tick), "text": text} for tick, text in zip(ticks, texts, strict=True)
        ]


def _ticks(values: Sequence[float], whole: bool = False) -> list[float]:
    """About five round numbers around some values, two at least."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if high - low <= 1e-12 * max(abs(low), abs(high), 1e-290):
        margin = abs(low) / 2 or 0.5
        low, high = low - (0 if whole else margin), high + (1 if whole else margin)
    rough = (high - low) / 5 or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    step = max(step, 1.0) if whole else step
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [place * step for place in range(first, max(last, first + 1) + 1)]


def _averaged(line: Line) -> Line:
    places, values = line
    size = math.ceil(len(places) / _MOST)
    if size < 2:
        return line
    starts = range(0, len(places), size)
    return tuple(
        [sum(part[start : start + size]) / len(part[start : start + size]) for start in starts]
        for part in (places, values)
    )  # type: ignore[return-value]

"""The tables of ``python -m studies.emoji_hierarchy rebuild``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from pml_suprank.recipes.files import write_csv, write_text
from pml_suprank.recipes.hierarchies.agreement import MEASURES
from studies.emoji_hierarchy.encoders import CLASSIFIERS, ENCODERS

__all__ = ["write_tables"]

_IMAGE_TITLES = {"tower": "OpenCLIP tower", "efficientnet": "EfficientNet, ImageNet"}
_AGAINST_TITLES = {"text": "names", "images": "drawings"}


Rows = Sequence[Mapping[str, Any]]


def write_tables(folder: Path, rows: Rows, levels: Sequence[str]) -> str:
    """Write ``rebuild.csv``, every row, and ``rebuild.md``, means and standard deviations over the seeds.

    In the second table "all" are all emoji whose names are hidden, by the tie rule of the vote; "agreed" are those
    whose two drawings agree.

    Args:
        folder: of both files.
        rows: of :meth:`Study.all_names` and :meth:`Study.hidden_names`.
        levels: finest first.

    Returns:
        The Markdown.
    """
    columns = ["names", "classifier", "seed", "level", "given", "classes", "count", *MEASURES]
    write_csv(folder / "rebuild.csv", rows, columns)
    parts = ["All names:", "", *_all_names(rows, levels)]
    parts += ["", "Hidden names:", "", *_hidden_names(rows, levels)]
    text = "\n".join(parts) + "\n"
    write_text(folder / "rebuild.md", text)
    return text


def _all_names(rows: Rows, levels: Sequence[str]) -> list[str]:
    heads = [f"{measure} {level}" for level in levels for measure in MEASURES]
    lines = _head(["names", "seeds", *heads])
    for name in dict.fromkeys(row["names"] for row in rows):
        own = _chosen(rows, names=name, classifier="", classes="all")
        cells = [
            _cell([row[measure] for row in _chosen(own, level=level)])
            for level in levels
            for measure in MEASURES
        ]
        lines.append(_line([ENCODERS[name], _seeds(own), *cells]))
    return lines


def _hidden_names(rows: Rows, levels: Sequence[str]) -> list[str]:
    sets = {"every image": "all", "images": "agreed"}
    heads = [f"AMI {level}, {title}" for title in sets.values() for level in levels]
    lines = _head(["names", "drawings", "against", "rule", "seeds", *heads, "all", "agreed"])
    pairs = dict.fromkeys((row["names"], row["classifier"]) for row in rows if row["classifier"])
    for name, classifier in pairs:
        images, against, rule = CLASSIFIERS[classifier]
        own = _chosen(rows, names=name, classifier=classifier)
        values = [
            _cell([row["AMI"] for row in _chosen(own, classes=part, level=level)])
            for part in sets
            for level in levels
        ]
        counts = [
            _cell([row["count"] for row in _chosen(own, classes=part, level=levels[0])], 0)
            for part in sets
        ]
        about = [ENCODERS[name], _IMAGE_TITLES[images], _AGAINST_TITLES[against], rule, _seeds(own)]
        lines.append(_line([*about, *values, *counts]))
    return lines


def _chosen(rows: Rows, **wanted: str) -> list[Mapping[str, Any]]:
    return [row for row in rows if wanted.items() <= row.items()]


def _seeds(rows: Rows) -> str:
    return str(len({row["seed"] for row in rows}))


def _head(titles: Sequence[str]) -> list[str]:
    return [_line(titles), "|" + "---|" * len(titles)]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(values: Sequence[float], digits: int = 3) -> str:
    if not values:
        return ""
    spread = f" ± {stdev(values):.{digits}f}" if len(set(values)) > 1 else ""
    return f"{mean(values):.{digits}f}{spread}"

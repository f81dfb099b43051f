"""The tables of ``suprank emoji-hierarchy rebuild``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from pml_suprank.recipes.files import write_csv, write_text
from pml_suprank.recipes.hierarchies.agreement import MEASURES
from pml_suprank.recipes.hierarchies.emoji_encoders import CLASSIFIERS, ENCODERS

__all__ = ["write_tables"]

_IMAGE_TITLES = {"tower": "OpenCLIP tower", "efficientnet": "EfficientNet-Lite0, ImageNet"}
_AGAINST_TITLES = {"text": "names", "images": "drawings of named emoji"}


def write_tables(folder: Path, rows: Sequence[Mapping[str, Any]], levels: Sequence[str]) -> str:
    """Write ``rebuild.csv``, every row, and ``rebuild.md``, means and standard deviations over the seeds.

    Args:
        folder: of both files.
        rows: of :meth:`Study.all_names` and :meth:`Study.hidden_names`.
        levels: finest first.

    Returns:
        The Markdown.
    """
    columns = ["names", "classifier", "seed", "level", "given", "classes", "count", *MEASURES]
    write_csv(folder / "rebuild.csv", rows, columns)

    def cells(measures: Sequence[str], **wanted: str) -> list[str]:
        return [
            _cell([r[m] for r in rows if wanted.items() <= r.items() and r["level"] == level])
            for level in levels
            for m in measures
        ]

    heads = [f"{measure} {level}" for level in levels for measure in MEASURES]
    lines = ["All names:", "", *_head(["names", *heads])]
    for name in dict.fromkeys(row["names"] for row in rows):
        own = cells(MEASURES, names=name, classifier="", classes="all")
        lines.append(_line([ENCODERS[name], *own]))
    heads = [
        f"{m} {level}{t}"
        for t in ("", ", drawings agree")
        for level in levels
        for m in ("AMI", "ARI")
    ]
    lines += ["", "Hidden names:", ""]
    lines += _head(
        ["names", "drawings", "compared with", "rule", *heads, "drawings agree", "hidden"]
    )
    for name, classifier in dict.fromkeys(
        (r["names"], r["classifier"]) for r in rows if r["classifier"]
    ):
        about = {"names": name, "classifier": classifier}
        images, against, rule = CLASSIFIERS[classifier]
        own = cells(["AMI", "ARI"], **about, classes="every image")
        own += cells(["AMI", "ARI"], **about, classes="images")
        counts = [
            _cell(
                [
                    r["count"]
                    for r in rows
                    if (about | {"classes": c, "level": levels[0]}).items() <= r.items()
                ],
                0,
            )
            for c in ("images", "every image")
        ]
        start = [ENCODERS[name], _IMAGE_TITLES[images], _AGAINST_TITLES[against], f"`{rule}`"]
        lines.append(_line([*start, *own, *counts]))
    text = "\n".join(lines) + "\n"
    write_text(folder / "rebuild.md", text)
    return text


def _head(titles: Sequence[str]) -> list[str]:
    return [_line(titles), "|" + "---|" * len(titles)]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(values: Sequence[float], digits: int = 3) -> str:
    if not values:
        return ""
    spread = f" ± {stdev(values):.{digits}f}" if len(set(values)) > 1 else ""
    return f"{mean(values):.{digits}f}{spread}"

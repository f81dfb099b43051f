"""One self-contained HTML page about a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pml_suprank.recipes.data.emoji import LEVEL_NAMES, LICENCES
from pml_suprank.recipes.pages.html_page import before_after, page, png_picture
from pml_suprank.recipes.pages.sheets import frame_colours, legend

__all__ = ["Report", "render"]


@dataclass(frozen=True)
class Report:
    """What the page shows.

    Attributes:
        title: of the page.
        lead: the paragraph below it.
        before: value of each metric before training, by the names in ``rows``.
        after: the same after it.
        rows: parts of the table: heading to names, each with its label.
        tiles: the three metrics shown large: title to name.
        curve: PNG of the training curve.
        sheets: from :func:`pml_suprank.recipes.pages.quickstart_sheets.sheets`.
        setup: facts about the run.
    """

    title: str
    lead: str
    before: Mapping[str, float]
    after: Mapping[str, float]
    rows: Mapping[str, Mapping[str, str]]
    tiles: Mapping[str, str]
    curve: bytes
    sheets: Sequence[Mapping[str, Any]]
    setup: Mapping[str, str]


def render(report: Report) -> str:
    """The page."""
    tiles = [
        {"title": title, "before": report.before[name], "after": report.after[name]}
        for title, name in report.tiles.items()
    ]
    return page(
        "quickstart.html",
        title=report.title,
        lead=report.lead,
        tiles=tiles,
        parts=before_after(report.before, report.after, report.rows),
        levels=LEVEL_NAMES,
        colours=frame_colours(len(LEVEL_NAMES)),
        legend=legend(LEVEL_NAMES, ", other vendor"),
        shown=report.sheets,
        curve=png_picture(report.curve, "Training loss by epoch"),
        setup=report.setup.items(),
        licences="; ".join(f"{vendor}: {text}" for vendor, text in LICENCES.items()),
    )

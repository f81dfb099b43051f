"""One self-contained HTML page about a run."""

import html
from collections.abc import Mapping
from dataclasses import dataclass

from pml_suprank.recipes.data.emoji import LEVEL_NAMES, LICENCES
from pml_suprank.recipes.pages.html_page import before_after_table, page, picture, tile
from pml_suprank.recipes.pages.sheets import legend, sheet_style

__all__ = ["Report", "render"]


@dataclass(frozen=True)
class Report:
    """What the page shows.

    Attributes:
        title: of the page.
        lead: HTML of the paragraph below it.
        before: value of each metric before training, by the names in ``rows``.
        after: the same after it.
        rows: parts of the table: heading to names, each with its label.
        tiles: the three metrics shown large: title to name.
        curve: PNG of the training curve.
        sheets: HTML from :func:`pml_suprank.recipes.pages.quickstart_sheets.sheets`.
        setup: facts about the run.
    """

    title: str
    lead: str
    before: Mapping[str, float]
    after: Mapping[str, float]
    rows: Mapping[str, Mapping[str, str]]
    tiles: Mapping[str, str]
    curve: bytes
    sheets: str
    setup: Mapping[str, str]


def render(report: Report) -> str:
    """The page: no scripts, and nothing loaded from elsewhere."""
    emoji, subgroup, group = LEVEL_NAMES
    licences = "; ".join(f"{vendor}: {html.escape(text)}" for vendor, text in LICENCES.items())
    setup = "".join(
        f"<dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd>"
        for name, text in report.setup.items()
    )
    tiles = "".join(
        tile(title, report.before[name], report.after[name]) for title, name in report.tiles.items()
    )
    body = f"""<h1>{html.escape(report.title)}</h1>
<p class="lead">{report.lead}</p>
<div class="tiles">{tiles}</div>

<h2>Held-out emoji, before and after</h2>
{before_after_table(report.before, report.after, report.rows)}

<h2>What is retrieved</h2>
<p>One test image of each group, drawn at random, and the ten closest of all other test images.
Frames and dots show how many levels of the hierarchy {emoji} &lt; {subgroup} &lt; {group} a result
shares with the query. Only one image can share all three.</p>
{legend(LEVEL_NAMES, ", other vendor")}
{report.sheets}

<h2>Training</h2>
{picture(report.curve, "Training loss by epoch")}

<h2>Setup</h2>
<dl>{setup}</dl>

<footer>Drawings shown on this page: {licences}. Rasterised and put on white; passed on under the
same licences.</footer>"""
    return page(report.title, body, sheet_style(len(LEVEL_NAMES)))

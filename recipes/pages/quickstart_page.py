"""One self-contained HTML page about a run."""

import base64
import html
from collections.abc import Mapping
from dataclasses import dataclass

from pml_suprank.recipes.data.emoji import LEVEL_NAMES, LICENCES
from pml_suprank.recipes.pages.quickstart_sheets import STYLE as SHEET_STYLE
from pml_suprank.recipes.pages.quickstart_sheets import legend

__all__ = ["DEFINITIONS", "Report", "render"]

STYLE = """
:root { --ink: #1d2433; --muted: #667085; --rule: #e4e7ec; --ours: #0f766e; --soft: #f6f8f9; }
* { box-sizing: border-box; }
html { color-scheme: light; background: #fff; }
body { margin: 0 auto; padding: 44px 28px 72px; max-width: 1080px; color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
h1 { font-size: 31px; line-height: 1.2; margin: 0 0 8px; letter-spacing: -0.015em; }
h2 { font-size: 21px; margin: 52px 0 10px; letter-spacing: -0.01em; }
p { max-width: 74ch; margin: 0 0 12px; }
.lead { font-size: 18px; color: #475467; }
.tiles { display: grid; grid-template-columns: repeat(3, 1fr); gap: 14px; margin: 28px 0 8px; }
.tile { background: var(--soft); border-radius: 12px; padding: 16px 20px; }
.tile b { display: block; font-size: 15px; font-weight: 600; }
.tile strong { font-size: 34px; font-weight: 650; letter-spacing: -0.02em; }
.tile span { color: var(--muted); font-size: 15px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 8px 12px; border-bottom: 1px solid var(--rule);
  white-space: nowrap; }
th { color: var(--muted); font-weight: 500; font-size: 14px; }
th:first-child, td:first-child { text-align: left; padding-left: 0; white-space: normal; }
td small { color: var(--muted); font-size: 13px; display: block; line-height: 1.4; }
td.after { font-weight: 650; } td.up { color: var(--ours); } td.down { color: #b42318; }
.part td { padding-top: 20px; color: var(--muted); font-size: 14px; border-color: #98a2b3; }
.bar { width: 24%; min-width: 110px; }
.bar i { display: block; height: 5px; border-radius: 3px; background: #b6bfca; margin: 2px 0; }
.bar i + i { background: var(--ours); }
img.plot { width: 100%; max-width: 760px; display: block; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 6px 22px; margin: 0; }
dt { color: var(--muted); } dd { margin: 0; overflow-wrap: anywhere; }
footer { margin-top: 56px; padding-top: 18px; border-top: 1px solid var(--rule);
  color: var(--muted); font-size: 14px; }
@media (max-width: 720px) { .tiles { grid-template-columns: 1fr; } .bar { display: none; }
  dl { grid-template-columns: 1fr; } dt { margin-top: 6px; } }
"""

DEFINITIONS = {
    "H-AP": "hierarchical average precision: the more levels shared, the earlier it should come",
    "NDCG": "normalised discounted cumulative gain; the gain is 2^(shared levels) − 1",
    "ASI": "average set intersection with the ideal order of levels",
    "AP": "average precision; right is what shares this level with the query",
    "P@1": "share of queries whose first result is right",
}


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
    curve = base64.b64encode(report.curve).decode()
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(report.title)}</title>
<style>{STYLE}{SHEET_STYLE}</style>
</head>
<body>
<h1>{html.escape(report.title)}</h1>
<p class="lead">{report.lead}</p>
<div class="tiles">{"".join(_tile(report, *tile) for tile in report.tiles.items())}</div>

<h2>Held-out emoji, before and after</h2>
{_table(report)}

<h2>What is retrieved</h2>
<p>One test image of each group, drawn at random, and the ten closest of all other test images.
Frames and dots show how many levels of the hierarchy {emoji} &lt; {subgroup} &lt; {group} a result
shares with the query. Only one image can share all three.</p>
{legend()}
{report.sheets}

<h2>Training</h2>
<img class="plot" src="data:image/png;base64,{curve}" alt="Training loss by epoch">

<h2>Setup</h2>
<dl>{setup}</dl>

<footer>Drawings shown on this page: {licences}. Rasterised and put on white; passed on under the
same licences.</footer>
</body>
</html>
"""


def _tile(report: Report, title: str, name: str) -> str:
    return (
        f'<div class="tile"><b>{html.escape(title)}</b>'
        f"<strong>{report.after[name]:.3f}</strong> "
        f"<span>from {report.before[name]:.3f}</span></div>"
    )


def _table(report: Report) -> str:
    body, defined = [], set()
    for heading, names in report.rows.items():
        if heading:
            body.append(f'<tr class="part"><td colspan="5">same {html.escape(heading)}</td></tr>')
        for name, label in names.items():
            definition = "" if label in defined else DEFINITIONS.get(label, "")
            defined.add(label)
            body.append(_row(report, name, label, definition))
    return (
        "<table><thead><tr><th></th><th>before</th><th>after</th><th>change</th>"
        f'<th class="bar"></th></tr></thead><tbody>{"".join(body)}</tbody></table>'
    )


def _row(report: Report, name: str, label: str, definition: str) -> str:
    before, after = report.before[name], report.after[name]
    change = after - before
    direction = "up" if change > 0 else "down" if change < 0 else ""
    note = f"<small>{html.escape(definition)}</small>" if definition else ""
    bars = "".join(f'<i style="width:{100 * value:.1f}%"></i>' for value in (before, after))
    return (
        f"<tr><td>{html.escape(label)}{note}</td><td>{before:.3f}</td>"
        f'<td class="after">{after:.3f}</td><td class="{direction}">{change:+.3f}</td>'
        f'<td class="bar">{bars}</td></tr>'
    )

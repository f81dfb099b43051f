"""What the HTML pages share: no scripts, and nothing loaded from elsewhere."""

import base64
import html
from collections.abc import Mapping

__all__ = ["DEFINITIONS", "before_after_table", "page", "picture", "tile"]

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


def page(title: str, body: str, style: str = "") -> str:
    """A whole page.

    Args:
        title: text.
        body: HTML.
        style: CSS beside that of all pages.
    """
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>{STYLE}{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def picture(png: bytes, alt: str) -> str:
    """A plot, within the page."""
    source = base64.b64encode(png).decode()
    return f'<img class="plot" src="data:image/png;base64,{source}" alt="{html.escape(alt)}">'


def tile(title: str, before: float, after: float) -> str:
    """A metric shown large."""
    return (
        f'<div class="tile"><b>{html.escape(title)}</b>'
        f"<strong>{after:.3f}</strong> <span>from {before:.3f}</span></div>"
    )


def before_after_table(
    before: Mapping[str, float], after: Mapping[str, float], rows: Mapping[str, Mapping[str, str]]
) -> str:
    """Metrics before and after training, with bars; each label is defined where it first comes.

    Args:
        before: value of each metric.
        after: the same after training.
        rows: parts of the table: level, or "" for all levels, to names and their labels.
    """
    body, defined = [], set()
    for heading, names in rows.items():
        if heading:
            body.append(f'<tr class="part"><td colspan="5">same {html.escape(heading)}</td></tr>')
        for name, label in names.items():
            definition = "" if label in defined else DEFINITIONS.get(label, "")
            defined.add(label)
            body.append(_row(before[name], after[name], label, definition))
    return (
        "<table><thead><tr><th></th><th>before</th><th>after</th><th>change</th>"
        f'<th class="bar"></th></tr></thead><tbody>{"".join(body)}</tbody></table>'
    )


def _row(before: float, after: float, label: str, definition: str) -> str:
    change = after - before
    direction = "up" if change > 0 else "down" if change < 0 else ""
    note = f"<small>{html.escape(definition)}</small>" if definition else ""
    bars = "".join(f'<i style="width:{100 * value:.1f}%"></i>' for value in (before, after))
    return (
        f"<tr><td>{html.escape(label)}{note}</td><td>{before:.3f}</td>"
        f'<td class="after">{after:.3f}</td><td class="{direction}">{change:+.3f}</td>'
        f'<td class="bar">{bars}</td></tr>'
    )

"""Pages for the person who reviews groups of names, and classes that their images could not decide."""

import html
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pml_suprank.recipes.pages.html_page import page
from pml_suprank.recipes.pages.sheets import file_thumbnail, image_tag

__all__ = ["render_review", "render_uncertain"]

SHOWN = 300
"""Doubtful names, or classes, on a page."""

_STYLE = """
table.names td, table.names th { text-align: left; white-space: normal; vertical-align: top; }
table.names td.doubt { white-space: nowrap; }
td.doubt i { display: inline-block; height: 9px; border-radius: 3px; background: #f2b84b; margin-right: 8px; }
.group { border-top: 1px solid var(--rule); padding: 12px 0 10px; }
.group h3 { font-size: 16px; margin: 0 0 6px; }
.group h3 small { color: var(--muted); font-weight: 400; }
.member { display: inline-block; padding: 1px 9px; margin: 2px 3px 2px 0; border-radius: 9px; background: var(--soft);
  font-size: 14px; }
.member.unsure { background: #fdf0d2; }
details { margin: 18px 0; } summary { cursor: pointer; font-size: 19px; font-weight: 600; }
.thumbs { display: flex; gap: 6px; } .thumbs img { width: 64px; height: 64px; object-fit: contain; }
"""
_UNSURE = 0.5  # the silhouette is negative


def render_review(rows: Sequence[Any], levels: Sequence[str]) -> str:
    """The proposed groups: the most doubtful names, then every group with its members.

    Args:
        rows: ``Proposed`` rows, most doubtful first.
        levels: names of the levels, finest first.
    """
    heads = "".join(f"<th>{html.escape(level)}</th>" for level in levels)
    doubtful = "".join(
        f"<tr><td>{html.escape(row.name)}</td>"
        + "".join(f"<td>{html.escape(group)}</td>" for group in row.groups)
        + f"<td>{html.escape(row.nearest)}</td>"
        f'<td class="doubt"><i style="width:{90 * row.doubt:.0f}px"></i>{row.doubt:.2f}</td></tr>'
        for row in rows[:SHOWN]
    )
    counts = ", ".join(
        f"{len({row.groups[level] for row in rows}):,} groups of the level {html.escape(name)}"
        for level, name in enumerate(levels)
    )
    unsure = sum(row.doubt > _UNSURE for row in rows)
    body = f"""<h1>Groups to review</h1>
<p class="lead">{len(rows):,} names, {counts}. {unsure:,} names are nearer to another group than to their own.</p>
<p>Edit <b>review.csv</b>: give a name another group, rename a group in all its rows, or empty all group cells of a name
to drop it. Where a name moves to a group that is there, its coarser groups follow.</p>
<h2>Most doubtful names</h2>
<table class="names"><thead><tr><th>name</th>{heads}<th>next best</th><th>doubt</th></tr></thead>
<tbody>{doubtful}</tbody></table>
<h2>All groups</h2>
{_groups(rows, levels)}"""
    return page("Groups to review", body, _STYLE)


def _groups(rows: Sequence[Any], levels: Sequence[str]) -> str:
    """Every finest group with its members, within its coarsest group."""
    finest: dict[tuple[str, ...], list[Any]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row.groups[::-1], row.name)):
        finest[row.groups].append(row)
    sections: dict[str, list[str]] = defaultdict(list)
    for groups, members in finest.items():
        names = "".join(
            f'<span class="member{" unsure" if row.doubt > _UNSURE else ""}">{html.escape(row.name)}</span>'
            for row in members
        )
        between = " · ".join(html.escape(group) for group in groups[1:-1])
        sections[groups[-1] if len(groups) > 1 else ""].append(
            f'<div class="group"><h3>{html.escape(groups[0])} <small>{len(members)} {between}</small></h3>{names}</div>'
        )
    parts = []
    for title, inside in sections.items():
        content = "".join(inside)
        if not title:
            parts.append(content)
            continue
        parts.append(
            f"<details open><summary>{html.escape(title)} "
            f"<small>({len(inside)} groups of the level {html.escape(levels[0])})</small></summary>{content}</details>"
        )
    return "\n".join(parts)


def render_uncertain(
    rows: Sequence[Mapping[str, Any]], images_of: Callable[[str], Sequence[Path]]
) -> str:
    """Classes that a person should decide, with some of their images.

    Args:
        rows: of ``uncertain.csv``.
        images_of: image files of a class id.
    """
    lines = []
    for row in rows[:SHOWN]:
        thumbs = "".join(_thumb(path) for path in images_of(row["class_id"]))
        cells = (row["class_id"], row["group"], row["runner_up"], row["decision"])
        texts = "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells)
        share = f"{row['votes']} of {row['images']}" if row["images"] else "no image"
        lines.append(f'<tr>{texts}<td>{share}</td><td><div class="thumbs">{thumbs}</div></td></tr>')
    more = f"<p>{len(rows) - SHOWN:,} more are in the file.</p>" if len(rows) > SHOWN else ""
    titles = ("class", "most votes", "next", "decision", "votes", "images")
    heads = "".join(f"<th>{title}</th>" for title in titles)
    body = f"""<h1>Classes to decide</h1>
<p class="lead">{len(rows):,} classes have no clear majority, or no images.</p>
<p>Write a group into the column <b>decision</b> of <b>uncertain.csv</b>; classes without one get no group.</p>
<table class="names"><thead><tr>{heads}</tr></thead><tbody>{"".join(lines)}</tbody></table>{more}"""
    return page("Classes to decide", body, _STYLE)


def _thumb(path: Path) -> str:
    return image_tag(file_thumbnail(path, 64), path.name)

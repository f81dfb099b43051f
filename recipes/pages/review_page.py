"""Pages for the person who reviews groups of names, and classes that their images could not decide."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pml_suprank.recipes.pages.html_page import page
from pml_suprank.recipes.pages.sheets import shown_image
from pml_suprank.recipes.pages.thumbnails import file_thumbnail

__all__ = ["render_review", "render_uncertain"]

SHOWN = 300
"""Doubtful names, or classes, on a page."""

_UNSURE = 0.5  # the silhouette is negative


def render_review(rows: Sequence[Any], levels: Sequence[str]) -> str:
    """The proposed groups: the most doubtful names, then every group with its members.

    Args:
        rows: ``Proposed`` rows, most doubtful first.
        levels: names of the levels, finest first.
    """
    counts = [
        {"name": name, "groups": len({row.groups[level] for row in rows})}
        for level, name in enumerate(levels)
    ]
    return page(
        "review.html",
        title="Groups to review",
        total=len(rows),
        counts=counts,
        unsure=sum(row.doubt > _UNSURE for row in rows),
        doubtful=rows[:SHOWN],
        sections=_sections(rows),
    )


def _sections(rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Every finest group with its members, within its coarsest group."""
    finest: dict[tuple[str, ...], list[Any]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row.groups[::-1], row.name)):
        finest[row.groups].append(row)
    sections: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for groups, members in finest.items():
        names = [{"name": row.name, "unsure": row.doubt > _UNSURE} for row in members]
        sections[groups[-1] if len(groups) > 1 else ""].append(
            {"title": groups[0], "between": groups[1:-1], "members": names}
        )
    return [{"title": title, "groups": inside} for title, inside in sections.items()]


def render_uncertain(
    rows: Sequence[Mapping[str, Any]], images_of: Callable[[str], Sequence[Path]]
) -> str:
    """Classes that a person should decide, with some of their images.

    Args:
        rows: of ``uncertain.csv``.
        images_of: image files of a class id.
    """
    shown = [
        {
            "name": row["class_id"],
            "cells": [row[name] for name in ("group", "runner_up", "decision")],
            "votes": f"{row['votes']} of {row['images']}" if row["images"] else "no image",
            "share": row["votes"],
            "images": [
                shown_image(file_thumbnail(path), path.name) for path in images_of(row["class_id"])
            ],
        }
        for row in rows[:SHOWN]
    ]
    return page(
        "uncertain.html",
        title="Classes to decide",
        total=len(rows),
        rows=shown,
        more=max(0, len(rows) - SHOWN),
    )

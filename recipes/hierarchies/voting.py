"""Step *vote*: one group for each class, by the majority of its images, and the classes that need a person."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pml_suprank.recipes.data.paths import is_inside
from pml_suprank.recipes.files import write_csv, write_text
from pml_suprank.recipes.hierarchies.classify import PREDICTIONS, read_predictions
from pml_suprank.recipes.hierarchies.names import FILE as NAMES
from pml_suprank.recipes.hierarchies.names import read_names
from pml_suprank.recipes.hierarchies.review import GROUPS, read_groups
from pml_suprank.recipes.hierarchies.rules import vote
from pml_suprank.recipes.hierarchies.tables import TableError, read_csv
from pml_suprank.recipes.hierarchies.work_folder import WorkFolder
from pml_suprank.recipes.pages.review_page import render_uncertain

__all__ = [
    "UNCERTAIN",
    "VOTES",
    "read_decisions",
    "read_unknown",
    "read_votes",
    "vote_classes",
]

VOTES, UNCERTAIN, PAGE = "votes.csv", "uncertain.csv", "uncertain.html"
STATES = ("accepted", "review", "no images")
_COLUMNS = ("class_id", "group", "votes", "images", "confidence", "runner_up", "status")
_SHEET = (*_COLUMNS, "decision")


def vote_classes(
    work: WorkFolder, *, min_confidence: float = 0.5, min_images: int = 1, root: Path | None = None
) -> str:
    """Let the images of every class without a name vote for its group.

    Writes ``votes.csv``, all those classes; and ``uncertain.csv`` with ``uncertain.html``, those that a person should
    decide: the share of the votes is below ``min_confidence``, another group has as many, or fewer than ``min_images``
    images could be read. A person writes a group into the column ``decision``; classes left without one have no group.
    Decisions stay when the step runs again, those for classes that are accepted now, have a name now (status "named"),
    or are no longer in ``names.csv`` (status "unknown"), too.

    Args:
        work: the work folder, after *classify*.
        min_confidence: 0 to 1.
        min_images: at least 1.
        root: folder of the images, for the thumbnails of the page; None for that of *classify*.

    Returns:
        What was done, in a line.

    Raises:
        TableError: an earlier step has to run first, or ``uncertain.csv`` is malformed.
        ValueError: numbers out of range.
    """
    if not 0 <= min_confidence <= 1:
        raise ValueError(f"min_confidence: wanted 0 to 1, got {min_confidence}")
    if min_images < 1:
        raise ValueError(f"min_images: wanted at least 1, got {min_images}")
    names = read_names(work)
    _, groups = read_groups(work)
    table = read_predictions(work)
    settings = {"min_confidence": min_confidence, "min_images": min_images}
    inputs = [work / NAMES, work / GROUPS, work / PREDICTIONS]
    if work.is_done("vote", settings, inputs) and (work / UNCERTAIN).exists():
        return _told(read_votes(work))
    rows = _votes(table, [c for c, name in names.items() if name not in groups], settings)
    decisions = _kept_decisions(work)
    uncertain = sorted(
        (row for row in rows if row["status"] != "accepted" or row["class_id"] in decisions),
        key=lambda row: (row["status"] == "no images", row["confidence"], row["class_id"]),
    )
    sheet = [{**row, "decision": decisions.get(row["class_id"], "")} for row in uncertain]
    kept = [
        {
            **dict.fromkeys(_SHEET, ""),
            "class_id": class_id,
            "status": "named" if class_id in names else "unknown",
            "decision": decision,
        }
        for class_id, decision in decisions.items()
        if class_id not in names or names[class_id] in groups
    ]
    if root is None:
        root = Path((work.record_of("classify") or {})["settings"]["root"])
    write_csv(work / VOTES, rows, _COLUMNS)
    write_text(work / PAGE, render_uncertain(sheet, _images_of(table, root)))
    write_csv(work / UNCERTAIN, [*sheet, *kept], _SHEET)
    work.record("vote", settings, inputs, [work / VOTES, work / PAGE])
    return _told(rows)


def _votes(table: pd.DataFrame, classes: list[str], settings: dict[str, Any]) -> list[dict]:
    readable = table[table["group"] != ""]
    titles = sorted(set(readable["group"]))
    number = {class_id: index for index, class_id in enumerate(classes)}
    found = vote(
        readable["class_id"].map(number).to_numpy(dtype=np.int64),
        readable["group"].map({t: i for i, t in enumerate(titles)}).to_numpy(dtype=np.int64),
        readable["score"].to_numpy(dtype=np.float64),
        len(classes),
    )
    rows = []
    for index, class_id in enumerate(classes):
        group, runner_up = int(found.group[index]), int(found.runner_up[index])
        images, confidence = int(found.images[index]), float(found.confidence[index])
        sure = confidence >= settings["min_confidence"] and images >= settings["min_images"]
        sure = sure and not found.is_tied[index]
        rows.append(
            {
                "class_id": class_id,
                "group": "" if group < 0 else titles[group],
                "votes": int(found.votes[index]),
                "images": images,
                "confidence": round(confidence, 4),
                "runner_up": "" if runner_up < 0 else titles[runner_up],
                "status": "no images" if not images else "accepted" if sure else "review",
            }
        )
    return rows


def _kept_decisions(work: WorkFolder) -> dict[str, str]:
    return read_decisions(work) if (work / UNCERTAIN).exists() else {}


def read_decisions(work: WorkFolder) -> dict[str, str]:
    """Class id to the group that a person wrote into ``uncertain.csv``.

    Raises:
        TableError: the file is malformed, or decides a class twice.
    """
    found: dict[str, str] = {}
    for where, row in read_csv(work / UNCERTAIN, ["class_id", "decision"]):
        decision = " ".join(row["decision"].split())
        if found.setdefault(row["class_id"], decision) != decision:
            raise TableError(
                f"{where}: wanted one decision for class {row['class_id']!r}, "
                f"got {found[row['class_id']]!r} and {decision!r}"
            )
    return {class_id: decision for class_id, decision in found.items() if decision}


def read_unknown(work: WorkFolder) -> set[str]:
    """Classes whose decision *vote* has kept although they are no longer in ``names.csv``.

    Raises:
        TableError: ``uncertain.csv`` is malformed.
    """
    table = read_csv(work / UNCERTAIN, ["class_id"])
    return {row["class_id"] for row in table.rows if row.get("status") == "unknown"}


def read_votes(work: WorkFolder) -> list[dict[str, str]]:
    """Rows of ``votes.csv``.

    Raises:
        TableError: *vote* has to run first.
    """
    work.need("vote")
    return list(read_csv(work / VOTES, _COLUMNS).rows)


def _images_of(table: pd.DataFrame, root: Path) -> Callable[[str], list[Path]]:
    """The first readable images of a class, of those below the root: the page is passed on."""
    paths = table[table["group"] != ""].groupby("class_id")["path"].apply(lambda p: list(p[:6]))
    return lambda class_id: [root / p for p in paths.get(class_id, []) if is_inside(root, p)]


def _told(rows: Any) -> str:
    counts = {state: sum(row["status"] == state for row in rows) for state in STATES}
    return (
        f"{counts['accepted']:,} classes accepted, {counts['review']:,} for review, "
        f"{counts['no images']:,} without images; decide those in {UNCERTAIN}, look at {PAGE}"
    )

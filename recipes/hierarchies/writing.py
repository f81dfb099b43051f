"""Step *write*: the finished hierarchy, checked, counted and compared, in files that others read."""

import io
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.integrations.hierarchy_picture import draw_hierarchy
from pml_suprank.recipes.files import write_atomic, write_csv, write_json, write_text
from pml_suprank.recipes.hierarchies.agreement import agreement, read_labels
from pml_suprank.recipes.hierarchies.consistency import label_queries
from pml_suprank.recipes.hierarchies.names import FILE as NAMES
from pml_suprank.recipes.hierarchies.names import NO_GROUP, read_names
from pml_suprank.recipes.hierarchies.review import GROUPS, read_groups
from pml_suprank.recipes.hierarchies.tables import TableError, read_csv
from pml_suprank.recipes.hierarchies.voting import (
    UNCERTAIN,
    VOTES,
    read_decisions,
    read_unknown,
    read_votes,
)
from pml_suprank.recipes.hierarchies.work_folder import WorkFolder
from pml_suprank.recipes.pages.hierarchy_page import render_hierarchy

__all__ = ["HIERARCHY", "Assigned", "write_hierarchy"]

HIERARCHY, CLASSES, LANDMARKS = "hierarchy.csv", "classes.csv", "label_to_hierarchical.csv"
QUERIES, REPORT, PAGE, PICTURE = "queries.csv", "report.json", "report.html", "hierarchy.png"
LANDMARK_COLUMNS = (
    "landmark_id",
    "category",
    "supercategory",
    "hierarchical_label",
    "natural_or_human_made",
)
SOURCES = {
    "name": "its name",
    "images": "the vote of its images",
    "person": "a person's decision",
    "none": "none",
}


class Assigned(NamedTuple):
    """Where a class stands.

    Attributes:
        groups: finest first; empty for none.
        source: a key of :data:`SOURCES`.
        confidence: share of the votes for "images", 1 for "name" and "person", 0 for "none".
    """

    groups: tuple[str, ...]
    source: str
    confidence: float


def write_hierarchy(
    work: WorkFolder,
    *,
    unclassified: str = "drop",
    given: Path | None = None,
    queries: Path | None = None,
    gallery: Path | None = None,
    landmarks: bool = False,
) -> str:
    """Write the hierarchy of all classes that have a group.

    Writes ``hierarchy.csv`` (``Hierarchy.from_csv`` reads it), ``classes.csv`` (class, groups, source, confidence),
    ``report.json``, ``hierarchy.png`` and ``report.html``. A class whose name has a group keeps that group, whatever a
    person decided for it; the report names such classes, those of decisions that *vote* kept though they are no longer
    in ``names.csv``, and those that are not compared because the given labels have an empty cell.

    Args:
        work: the work folder, after *review*; where *classify* and *vote* were run, their classes come in.
        unclassified: "drop" leaves classes without a group out; "keep" makes each a branch of its own.
        given: CSV file of known labels to compare with: class_id, and a column for each level, finest first.
        queries: CSV file with the columns id and images (the relevant gallery images, separated by spaces), as Google
            Landmarks' ``retrieval_solution``; with it ``queries.csv`` gives every query its class and groups. Without
            it a ``queries.csv`` of an earlier run is removed.
        gallery: CSV file with the columns id and landmark_id (or class_id), as Google Landmarks'
            ``index_image_to_landmark.csv``. Its classes have to be those of ``names.csv``: the landmarks of the index
            have other ids than those of the training set.
        landmarks: whether to write ``label_to_hierarchical.csv`` in the columns of the public H-GLDv2 files (the finest
            and the coarsest level), too; that of an earlier run is removed otherwise.

    Returns:
        What was done, in lines.

    Raises:
        TableError: an earlier step has to run first, a decision for no known group, or a malformed file.
        ValueError: another ``unclassified``, ``landmarks`` with one level, or one of ``queries`` and ``gallery``
            without the other.
    """
    if unclassified not in ("drop", "keep"):
        raise ValueError(f"unclassified: wanted 'drop' or 'keep', got {unclassified!r}")
    if (queries is None) != (gallery is None):
        raise ValueError("queries: wanted both queries and gallery or neither, got one")
    names = read_names(work)
    levels, groups = read_groups(work)
    if landmarks and len(levels) < 2:
        raise ValueError(
            f"landmarks: wanted two levels at least for the files of H-GLDv2, got {levels}"
        )
    found, overruled, gone = _assign(work, names, groups)
    kept = {class_id: row for class_id, row in found.items() if row.groups}
    if not kept:
        raise TableError("hierarchy: wanted a class with a group, got none")
    titles = _titles(names)
    tree = _write_tree(work, levels, found, titles, unclassified)
    counts = Counter(row.source for row in found.values())
    report: dict[str, Any] = {
        "classes": len(found),
        "sources": {source: counts[source] for source in SOURCES},
        "levels": {
            name: len(tree.node_names(level)) for level, name in enumerate(tree.level_names)
        },
    }
    write_csv(
        work / CLASSES,
        [
            {
                "class_id": class_id,
                "name": names[class_id],
                **dict(zip(levels, row.groups or [""] * len(levels), strict=True)),
                "source": row.source,
                "confidence": round(row.confidence, 4),
            }
            for class_id, row in found.items()
        ],
    )
    if landmarks:
        _write_landmarks(work, found, names)
    else:
        (work / LANDMARKS).unlink(missing_ok=True)  # of an earlier hierarchy
    left_out = {
        "decisions for classes that have the group of their name": overruled,
        f"decisions for classes that are not in {NAMES}": gone,
    }
    if given is not None:
        given_levels, labels, incomplete = read_labels(given)
        left_out["classes with an empty cell in the given labels"] = incomplete
        report["agreement"] = agreement(
            {class_id: row.groups for class_id, row in kept.items()},
            labels,
            levels,
            given_levels,
            {class_id: row.source for class_id, row in kept.items()},
        )
    if queries is not None and gallery is not None:
        report["queries"] = _write_queries(work, queries, gallery, levels, kept)
    else:
        (work / QUERIES).unlink(missing_ok=True)  # of an earlier hierarchy
    report["left_out"] = {what: classes for what, classes in left_out.items() if classes}
    write_json(work / REPORT, report)
    png = io.BytesIO()
    draw_hierarchy(tree, png)
    write_atomic(work / PICTURE, lambda file: file.write(png.getvalue()))
    write_text(work / PAGE, render_hierarchy(tree, report, png.getvalue()))
    inputs = [work / NAMES, work / GROUPS, *(p for p in _voted(work) if p.exists())]
    outputs = [work / name for name in (HIERARCHY, CLASSES, REPORT, PICTURE, PAGE)]
    work.record("write", {"unclassified": unclassified}, inputs, outputs)
    return _told(work, report)


def _voted(work: WorkFolder) -> list[Path]:
    return [work / VOTES, work / UNCERTAIN]


def _assign(
    work: WorkFolder, names: Mapping[str, str], groups: Mapping[str, tuple[str, ...]]
) -> tuple[dict[str, Assigned], list[str], list[str]]:
    """The groups of every class: by its name, by a person's decision, by the vote of its images.

    Returns:
        Class id to its groups, the classes for which a person decided another group than that of their name, and
        those of kept decisions that are no longer in ``names.csv``.
    """
    voted: dict[str, tuple[str, float]] = {}
    decisions: dict[str, str] = {}
    gone: list[str] = []
    if work.record_of("vote") is not None:
        voted = {
            row["class_id"]: (row["group"], float(row["confidence"]))
            for row in read_votes(work)
            if row["status"] == "accepted"
        }
        decisions = read_decisions(work)
        unknown = read_unknown(work) - names.keys()
        gone = [class_id for class_id in decisions if class_id in unknown]
        decisions = {c: decision for c, decision in decisions.items() if c not in unknown}
    chain_of = {row[0]: row for row in groups.values()}
    wrong = {c: d for c, d in decisions.items() if d not in chain_of or c not in names}
    if wrong:
        raise TableError(
            f"{work / UNCERTAIN}: wanted decisions for known classes and groups of {GROUPS}, "
            f"got {len(wrong)} others: {list(wrong.items())[:5]}"
        )
    found = {}
    for class_id, name in names.items():
        if name in groups:
            found[class_id] = Assigned(groups[name], "name", 1.0)
        elif class_id in decisions:
            found[class_id] = Assigned(chain_of[decisions[class_id]], "person", 1.0)
        elif class_id in voted:
            group, confidence = voted[class_id]
            found[class_id] = Assigned(chain_of[group], "images", confidence)
        else:
            found[class_id] = Assigned((), "none", 0.0)
    overruled = [c for c, group in decisions.items() if group not in found[c].groups[:1]]
    return found, overruled, gone


def _are_numbers(class_ids: Mapping[str, Any]) -> bool:
    return all(class_id.isascii() and class_id.isdecimal() for class_id in class_ids)


def _titles(names: Mapping[str, str]) -> dict[str, str]:
    """What each class is called in the tree: its name where no other class has it, else its id."""
    counts = Counter(names.values())
    if not _are_numbers(names):
        return {class_id: class_id for class_id in names}
    return {
        class_id: name if name and counts[name] == 1 and name not in names else class_id
        for class_id, name in names.items()
    }


def _write_tree(
    work: WorkFolder,
    levels: list[str],
    found: Mapping[str, Assigned],
    titles: Mapping[str, str],
    unclassified: str,
) -> Hierarchy:
    """Write the classes as a tree and read it back, which checks it."""
    with_ids = _are_numbers(found)
    columns = ["class", *levels]
    rows = []
    for class_id, row in found.items():
        if row.groups:
            cells = [titles[class_id], *row.groups]
        elif unclassified == "keep":
            cells = [*[""] * len(levels), f"{NO_GROUP}{titles[class_id]}"]
        else:
            continue
        own = {"class_id": class_id} if with_ids else {}
        rows.append({**own, **dict(zip(columns, cells, strict=True))})
    write_csv(work / HIERARCHY, rows)
    return Hierarchy.from_csv(
        work / HIERARCHY,
        class_id_column="class_id" if with_ids else None,
        repeated_names=True,  # two groups may hold classes of one title
    )


def _write_landmarks(
    work: WorkFolder, found: Mapping[str, Assigned], names: Mapping[str, str]
) -> None:
    rows = []
    for class_id, row in found.items():
        fine, coarse = (row.groups[0], row.groups[-1]) if row.groups else ("", "")
        cells = (class_id, "", names[class_id], fine, coarse)
        rows.append(dict(zip(LANDMARK_COLUMNS, cells, strict=True)))
    write_csv(work / LANDMARKS, rows)


def _write_queries(
    work: WorkFolder,
    queries: Path,
    gallery: Path,
    levels: list[str],
    kept: Mapping[str, Assigned],
) -> dict[str, Any]:
    solution = _by_id(queries, "images")
    relevant = {
        query: [] if images == "None" else images.split() for query, images in solution.items()
    }
    class_of = _by_id(gallery, "landmark_id", "class_id")
    found = label_queries(relevant, class_of, {c: row.groups[0] for c, row in kept.items()})
    rows = [
        {"id": query, "class_id": each, **dict(zip(levels, kept[each].groups, strict=True))}
        for query, each in found.class_of.items()
    ]
    write_csv(work / QUERIES, rows, ["id", "class_id", *levels])
    reasons = Counter(found.dropped.values())
    return {"kept": len(rows), "dropped": dict(sorted(reasons.items()))}


def _by_id(path: Path, *columns: str) -> dict[str, str]:
    """Id to the cell of the first of the columns that the table has."""
    table = read_csv(path, ["id"])
    column = next((name for name in columns if name in table.header), None)
    if column is None:
        raise TableError(
            f"{path}: wanted the columns id and {' or '.join(columns)}, got {list(table.header)}"
        )
    found: dict[str, str] = {}
    for where, row in table:
        if row["id"] in found:
            raise TableError(f"{where}: wanted each id once, got {row['id']!r} again")
        found[row["id"]] = row[column]
    return found


def _told(work: WorkFolder, report: Mapping[str, Any]) -> str:
    sources = ", ".join(
        f"{count:,} by {SOURCES[source]}" if source != "none" else f"{count:,} have none"
        for source, count in report["sources"].items()
        if count
    )
    levels = ", ".join(f"{count:,} of {name!r}" for name, count in report["levels"].items())
    lines = [f"{report['classes']:,} classes: {sources}", f"{work / HIERARCHY}: {levels}"]
    for row in report.get("agreement", ()):
        lines.append(
            f"{row['level']} against {row['given']}, {row['classes']} ({row['count']:,}): AMI {row['AMI']:.3f}, "
            f"ARI {row['ARI']:.3f}"
        )
    if "queries" in report:
        dropped = ", ".join(f"{n:,} {reason}" for reason, n in report["queries"]["dropped"].items())
        lines.append(f"{report['queries']['kept']:,} queries kept; dropped: {dropped or 'none'}")
    lines += [
        f"left out: {len(classes):,} {what}, such as {classes[0]!r}"
        for what, classes in report["left_out"].items()
    ]
    return "\n".join([*lines, f"look at {work / PAGE}"])

"""Step *propose*: groups of names for a person to look over."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pml_suprank.recipes.files import write_csv, write_text
from pml_suprank.recipes.hierarchies.encoders import (
    encode_names,
    files_of,
    prompts_of,
    write_features,
)
from pml_suprank.recipes.hierarchies.grouping import (
    Size,
    chosen_sizes,
    group_titles,
    main_directions,
    nested_groups,
    silhouettes,
)
from pml_suprank.recipes.hierarchies.names import FILE as NAMES
from pml_suprank.recipes.hierarchies.names import classes_by_name, read_names
from pml_suprank.recipes.hierarchies.tables import TableError, read_csv
from pml_suprank.recipes.hierarchies.work_folder import WorkFolder, digest
from pml_suprank.recipes.pages.review_page import render_review

__all__ = ["COLUMNS", "FEATURES", "PROPOSAL", "REVIEW", "Proposed", "parse_levels", "propose"]

PROPOSAL, REVIEW, PAGE, FEATURES = "proposal.csv", "review.csv", "review.html", "name_features.npz"
COLUMNS = ("doubt", "nearest")
"""What the review sheet tells beside name, classes and groups."""

_MEASURED = {"sentences": ("average", 0.5)}
"""Linkage and share of the variance by encoder (``studies/grouping_names.py``); for others what was measured before."""
_LEVEL = re.compile(r"(?P<name>[^=]+)=(?:(?P<size>\d+)(?:-(?P<most>\d+))?|auto)")


@dataclass(frozen=True)
class Proposed:
    """A row of the proposal.

    Attributes:
        name: the name.
        classes: number of classes that have it.
        groups: its group at each level, finest first.
        doubt: 0 to 1, of the level that is most in doubt: half of one minus the silhouette.
        nearest: the next best group at that level, as "level: group"; empty where there is none.
    """

    name: str
    classes: int
    groups: tuple[str, ...]
    doubt: float
    nearest: str


def parse_levels(texts: Sequence[str]) -> dict[str, Size]:
    """Levels from "name=size", "name=least-most" or "name=auto", finest first, with fewer groups from level to level.

    Raises:
        ValueError: another form, a name that is a column of the sheets already, or sizes that do not decrease.
    """
    taken = {"name", "classes", "class", "class_id", "id", "source", "confidence", *COLUMNS}
    levels: dict[str, Size] = {}
    for text in texts:
        match = _LEVEL.fullmatch(text.strip())
        size = None if match is None else _size(match)
        if match is None or (size is not None and not size) or not match["name"].strip():
            raise ValueError(f"levels: wanted name=number of groups, got {text!r}")
        name = match["name"].strip()
        if name in taken | levels.keys():
            raise ValueError(
                f"levels: wanted other names than {sorted(taken | levels.keys())}, got {name!r}"
            )
        levels[name] = size
    sizes = [size for size in levels.values() if isinstance(size, int)]
    if not levels or sorted(set(sizes), reverse=True) != sizes:
        raise ValueError(f"levels: wanted finest first, with fewer groups each, got {list(texts)}")
    return levels


def _size(match: re.Match[str]) -> Size:
    """A number of groups, 0 or an empty range where there is none, or None for "auto"."""
    if match["size"] is None:
        return None
    least = int(match["size"])
    return range(max(least, 1), int(match["most"]) + 1) if match["most"] else least


def propose(
    work: WorkFolder,
    levels: Mapping[str, Size],
    encoder: str,
    prompts: Sequence[str] = (),
    linkage: str | None = None,
    *,
    variance: float | None = None,
    device: str = "cpu",
    overwrite: bool = False,
) -> str:
    """Embed the names, group them, and write the review sheet.

    Writes ``name_features.npz``; ``proposal.csv``, group by group, the most doubtful names of each first; the same as
    ``review.csv`` for a person to edit; and ``review.html`` to look at, the most doubtful names of all first.

    Args:
        work: the work folder, after *names*.
        levels: name to number of groups, finest first; see :func:`chosen_sizes` for what is not a number.
        encoder: see :func:`encode_names`.
        prompts: likewise.
        linkage: see :func:`nested_groups`; "average" by default for encoders of sentences, else "ward".
        variance: see :func:`main_directions`; 0.5 by default for encoders of sentences, else 1.
        device: where to compute.
        overwrite: whether an edited ``review.csv`` may be replaced.

    Returns:
        What was done, in a line.

    Raises:
        TableError: *names* has to run first, or ``review.csv`` holds edits.
        ValueError: more groups than names, another linkage or variance.
        EncoderError: see :func:`encode_names`.
    """
    counts = {name: len(ids) for name, ids in classes_by_name(read_names(work)).items()}
    names = list(counts)
    kind = encoder.partition(":")[0]
    usual_linkage, usual_variance = _MEASURED.get(kind, ("ward", 1.0))
    linkage = linkage or usual_linkage
    variance = usual_variance if variance is None else variance
    if len(names) < max([size for size in levels.values() if isinstance(size, int)], default=1):
        raise ValueError(
            f"levels: wanted at most {len(names)} groups, the number of names, got {dict(levels)}"
        )
    settings = {
        "levels": [
            [name, size if isinstance(size, int) else str(size)] for name, size in levels.items()
        ],
        "encoder": encoder,
        "prompts": prompts_of(encoder, prompts),
        "linkage": linkage,
        "variance": variance,
    }
    inputs = [work / NAMES, *files_of(encoder)]
    done = work.is_done("propose", settings, inputs)
    edited = _edited(work)
    if done and (work / REVIEW).exists() and not (edited and overwrite):
        return f"nothing to do: {work / REVIEW} is there"
    if edited and not overwrite:
        raise TableError(f"{work / REVIEW}: holds edits; pass --overwrite to replace them")
    embeddings = encode_names(encoder, names, prompts, device)
    points = main_directions(embeddings, variance)
    sizes = chosen_sizes(points, list(levels.values()), linkage)
    found = dict(zip(levels, sizes, strict=True))
    rows = proposed_rows(names, counts, found, points, linkage)
    write_features(work / FEATURES, names, embeddings)
    table = [
        {
            "name": row.name,
            "classes": row.classes,
            **dict(zip(levels, row.groups, strict=True)),
            "doubt": f"{row.doubt:.3f}",
            "nearest": row.nearest,
        }
        for row in sorted(rows, key=lambda row: (row.groups[::-1], -round(row.doubt, 3), row.name))
    ]
    write_csv(work / PROPOSAL, table)
    write_text(work / PAGE, render_review(rows, list(levels)))
    write_csv(work / REVIEW, table)
    work.record("propose", settings, inputs, [work / FEATURES, work / PROPOSAL, work / PAGE])
    told = ", ".join(f"{size:,} of {level!r}" for level, size in found.items())
    return f"{len(names):,} names in {told}; look at {work / PAGE}, edit {work / REVIEW}"


def proposed_rows(
    names: Sequence[str],
    counts: Mapping[str, int],
    levels: Mapping[str, int],
    embeddings: np.ndarray,
    linkage: str,
) -> list[Proposed]:
    """Rows of the proposal, most doubtful first."""
    groups = nested_groups(embeddings, list(levels.values()), linkage)
    titles = [group_titles(names, column, embeddings) for column in groups.T]
    doubts = [silhouettes(embeddings, column) for column in groups.T]
    rows = []
    for row, name in enumerate(names):
        silhouette, level = min(
            (float(found.silhouette[row]), level) for level, found in enumerate(doubts)
        )
        other = int(doubts[level].nearest[row])
        rows.append(
            Proposed(
                name,
                counts[name],
                tuple(titles[i][group] for i, group in enumerate(groups[row])),
                (1 - silhouette) / 2,
                "" if other < 0 else f"{list(levels)[level]}: {titles[level][other]}",
            )
        )
    return sorted(rows, key=lambda row: (-round(row.doubt, 3), row.name))


def _edited(work: WorkFolder) -> bool:
    """Whether ``review.csv`` is another than the last proposal, and than one that was interrupted."""
    if not (work / REVIEW).exists():
        return False
    record = work.record_of("propose")
    known = {record["outputs"].get(PROPOSAL)} if record else set()
    if (work / PROPOSAL).exists():
        known.add(digest(work / PROPOSAL))
    return digest(work / REVIEW) not in known


def read_proposal(work: WorkFolder) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    """Level names, finest first, and the proposed groups of every name.

    Raises:
        TableError: *propose* has to run first.
    """
    work.need("propose")
    table = read_csv(work / PROPOSAL)
    levels = [name for name in table.header if name not in ("name", "classes", *COLUMNS)]
    return levels, {row["name"]: tuple(row[level] for level in levels) for _, row in table}

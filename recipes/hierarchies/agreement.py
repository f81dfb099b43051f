"""How far two groupings of the same classes agree."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sklearn.metrics import (
    adjusted_mutual_info_score,
    adjusted_rand_score,
    homogeneity_completeness_v_measure,
)

from pml_suprank.recipes.hierarchies.tables import TableError, read_csv

__all__ = ["MEASURES", "GivenLabels", "agreement", "read_labels"]

MEASURES = ("AMI", "ARI", "homogeneity", "completeness")


def agreement(
    found: Mapping[str, Sequence[str]],
    given: Mapping[str, Sequence[str]],
    levels: Sequence[str],
    given_levels: Sequence[str],
    source: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Adjusted mutual information, adjusted Rand index, homogeneity and completeness, level by level.

    Levels are compared by name, those of other names in their order, finest first. Classes that lack one side are
    left out and counted.

    Args:
        found: class id to its groups, finest first.
        given: class id to the groups it is known to have, finest first.
        levels: names of the levels of ``found``.
        given_levels: names of those of ``given``.
        source: class id to where its group comes from; each source gets rows of its own.

    Returns:
        Rows of level, given level, classes ("all" or a source), count, and the measures.

    Raises:
        TableError: no class is in both.
    """
    both = sorted(found.keys() & given.keys())
    if not both:
        raise TableError("given labels: wanted a class of the hierarchy, got none")
    parts = {"all": both}
    for title in sorted(set((source or {}).values())):
        parts[title] = [class_id for class_id in both if (source or {}).get(class_id) == title]
    rows = []
    for level, given_level in _pairs(levels, given_levels):
        for title, ids in parts.items():
            if not ids or (title != "all" and len(parts) == 2):
                continue
            one = [found[class_id][levels.index(level)] for class_id in ids]
            other = [given[class_id][given_levels.index(given_level)] for class_id in ids]
            homogeneity, completeness, _ = homogeneity_completeness_v_measure(other, one)
            values = (
                adjusted_mutual_info_score(other, one),
                adjusted_rand_score(other, one),
                homogeneity,
                completeness,
            )
            rows.append(
                {
                    "level": level,
                    "given": given_level,
                    "classes": title,
                    "count": len(ids),
                    **{k: round(float(v), 4) for k, v in zip(MEASURES, values, strict=True)},
                }
            )
    return rows


def _pairs(levels: Sequence[str], given: Sequence[str]) -> list[tuple[str, str]]:
    same = [(name, name) for name in levels if name in given]
    rest = (
        [name for name in levels if name not in given],
        [name for name in given if name not in levels],
    )
    return [*same, *zip(*rest, strict=False)]


class GivenLabels(NamedTuple):
    """Labels that are known.

    Attributes:
        levels: names of the levels, finest first.
        labels: class id to its groups, finest first.
        incomplete: classes that an empty cell leaves out.
    """

    levels: list[str]
    labels: dict[str, tuple[str, ...]]
    incomplete: list[str]


def read_labels(path: Path) -> GivenLabels:
    """Labels that are known: the column class_id and one for each level, finest first.

    Raises:
        TableError: a malformed file, a class with two rows that differ, or no class without an empty cell.
    """
    table = read_csv(path, ["class_id"])
    levels = [name for name in table.header if name != "class_id"]
    if not levels:
        raise TableError(f"{path}: wanted a column for each level beside class_id, got none")
    found: dict[str, tuple[str, ...]] = {}
    for where, row in table:
        labels = tuple(row[level] for level in levels)
        if found.setdefault(row["class_id"], labels) != labels:
            raise TableError(
                f"{where}: wanted one set of labels for class {row['class_id']!r}, got "
                f"{found[row['class_id']]} and {labels}"
            )
    incomplete = [class_id for class_id, labels in found.items() if not all(labels)]
    if len(incomplete) == len(found):
        raise TableError(
            f"{path}: wanted a class with a label at every level, got none of {len(found):,}"
        )
    whole = {class_id: labels for class_id, labels in found.items() if all(labels)}
    return GivenLabels(levels, whole, incomplete)

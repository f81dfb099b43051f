"""What has been measured, as the rows and texts that ``suprank evaluate`` writes."""

from collections.abc import Sequence
from typing import Any

from pml_suprank.metrics.catalogue import split_level
from pml_suprank.recipes.labelled_search import Evaluated
from pml_suprank.recipes.levels import telling

__all__ = ["per_query", "printed", "summary", "to_json"]

_COLUMNS = (
    "query",
    "path",
    "first_wrong_rank",
    "first_wrong_path",
    "first_wrong_class",
    "first_wrong_score",
)
"""Of ``queries.csv``, beside levels and metrics."""


def summary(found: Evaluated) -> list[dict[str, Any]]:
    """Rows for ``metrics.csv``."""
    names = found.queries.names_of_levels()
    rows = []
    for key, metric in found.result.items():
        base, level = split_level(key)
        note = "" if level is None else found.levels[level].note
        rows.append(
            {
                "metric": base,
                "level": "" if level is None else names[level],
                "mean": "" if note else metric.mean(),
                "queries": metric.num_valid,
                "left_out": metric.num_left_out,
                "note": note,
            }
        )
    return rows


def to_json(found: Evaluated) -> dict[str, Any]:
    """The content of ``metrics.json``; metrics of a level that says nothing have a note in place of a mean."""
    content: dict[str, Any] = {}
    for row, (key, metric) in zip(summary(found), found.result.items(), strict=True):
        content[key] = metric.to_dict()
        if row["note"]:
            content[key] |= {"mean": None, "note": row["note"]}
    return content


def per_query(found: Evaluated) -> list[dict[str, Any]]:
    """Rows for ``queries.csv``; a metric that a query has no value of is empty.

    A level that is called as another column, such as "query", gets " (level)" behind its name.
    """
    queries, gallery = found.queries, found.gallery
    others = {*_COLUMNS, *found.result}
    levels = list(enumerate(_free_names(queries.names_of_levels(), others)))
    wrong = (found.shared < queries.num_levels).int()
    rows = []
    for row in range(len(queries)):
        first = int(wrong[row].argmax()) if bool(wrong[row].any()) else None
        index = None if first is None else int(found.indices[row, first])
        values = {
            key: float(metric.values[row]) if bool(metric.valid[row]) else ""
            for key, metric in found.result.items()
            if telling(found.levels, key)
        }
        rows.append(
            {
                "query": row,
                "path": "" if queries.paths is None else queries.paths[row],
                **{name: queries.class_name(row, level) for level, name in levels},
                **values,
                "first_wrong_rank": "" if first is None else first + 1,
                "first_wrong_path": ""
                if index is None or gallery.paths is None
                else gallery.paths[index],
                "first_wrong_class": "" if index is None else gallery.class_name(index),
                "first_wrong_score": "" if first is None else float(found.scores[row, first]),
            }
        )
    return rows


def printed(rows: Sequence[dict[str, Any]]) -> str:
    """The rows of :func:`summary` as a table for the terminal."""
    lines = [f"{'metric':<34}{'level':<16}{'mean':>8}{'queries':>10}{'left out':>10}"]
    for row in rows:
        mean = f"{'–':>8}" if row["note"] else f"{row['mean']:>8.4f}"
        line = f"{row['metric']:<34}{row['level']:<16}{mean}{row['queries']:>10,}{row['left_out']:>10,}"
        lines.append(f"{line}  {row['note']}".rstrip())
    return "\n".join(lines)


def _free_names(names: Sequence[str], taken: set[str]) -> list[str]:
    """Names that differ from those that are taken, and from each other."""
    taken, free = set(taken), []
    for name in names:
        while name in taken:
            name += " (level)"
        taken.add(name)
        free.append(name)
    return free

"""The calculator's metrics: their names, their levels, and which of them are wanted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pml_suprank.metrics import definitions
from pml_suprank.metrics.catalogue import HIERARCHICAL
from pml_suprank.metrics.ranked_lists import RankedLists

HIERARCHICAL_METRICS = tuple(name for name in HIERARCHICAL if not name.endswith("_at_k"))
"""Metrics of the whole hierarchy; all others have one value per level."""

_VARIANT = re.compile(r"(?P<base>.+)_level(?P<level>\d+)")


def split_level(name: str) -> tuple[str, int | None]:
    """A metric's name without its level, and the level if it has one.

    Example:
        >>> split_level("recall_at_4_level1"), split_level("asi")
        (('recall_at_4', 1), ('asi', None))
    """
    match = _VARIANT.fullmatch(name)
    return (match["base"], int(match["level"])) if match else (name, None)


def key_of(name: str, level: int) -> str:
    """The key of a metric at a level in the calculator's result: the finest goes without."""
    return name if level == 0 else f"{name}_level{level}"


def levels_of(name: str, num_levels: int) -> range:
    """The levels that a metric has a value for."""
    return range(1 if name in HIERARCHICAL_METRICS else num_levels)


Selection = list[tuple[Sequence[str], Sequence[str]]]
"""Pairs of names to include (empty for all) and to exclude."""


def is_selected(name: str, level: int, selection: Selection) -> bool:
    """Whether every pair of the selection leaves a metric at a level."""
    names = {name, f"{name}_level{level}"}
    return all(
        (not include or names.intersection(include)) and not names.intersection(exclude)
        for include, exclude in selection
    )


def _precision_at_1(lists: RankedLists, level: int, k: int) -> definitions.Values:
    return definitions.precision_at_k(lists, 1, level)


PML_METRICS: dict[str, Any] = {
    "mean_average_precision": definitions.average_precision,
    "mean_average_precision_at_r": definitions.mean_average_precision_at_r,
    "mean_reciprocal_rank": definitions.mean_reciprocal_rank,
    "precision_at_1": _precision_at_1,
    "r_precision": definitions.r_precision,
}
"""PML's metrics of rankings: function of lists, level and depth."""

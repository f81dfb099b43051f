"""Names of metrics, and what they stand for: the one list for ``evaluate``, ``evaluate_judged`` and the calculator.

A metric that PML has bears PML's name. A full name is a family, the depth in place of its ``k``, and the level:
``recall_at_10_level0``. The calculator names the finest level as PML does, without ``_level0``.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Any, NamedTuple

from torch import Tensor

from pml_suprank.checks import checked_depths
from pml_suprank.metrics import definitions
from pml_suprank.metrics.definitions import Metric
from pml_suprank.metrics.ranked_lists import RankedLists
from pml_suprank.relevance import PopulationRelevance, Relevance, relevance_table

HIERARCHICAL = ("hierarchical_average_precision", "ndcg", "ndcg_at_k", "asi")
"""Metrics of the whole hierarchy: one value per query."""

HIERARCHICAL_METRICS = tuple(name for name in HIERARCHICAL if not name.endswith("_at_k"))
"""Those that the calculator has."""

BINARY: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {
    "mean_average_precision": definitions.average_precision,
    "mean_average_precision_at_k": definitions.average_precision_at_k,
    "mean_average_precision_at_r": definitions.mean_average_precision_at_r,
    "mean_reciprocal_rank": definitions.mean_reciprocal_rank,
    "precision_at_k": definitions.precision_at_k,
    "r_precision": definitions.r_precision,
    "recall_at_k": definitions.recall_at_k,
}
"""Metrics of one level: one value per query and level."""

REVISITED: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {
    "revisited_average_precision": definitions.revisited_average_precision,
    "revisited_precision_at_k": definitions.revisited_precision_at_k,
}
"""Metrics of revisited Oxford and Paris."""

METRICS = (*HIERARCHICAL, *BINARY)
JUDGED_METRICS = (
    "mean_average_precision",
    "revisited_average_precision",
    "mean_average_precision_at_k",
    "precision_at_k",
    "recall_at_k",
    "revisited_precision_at_k",
)
"""Metrics of listed judgements, which have no levels."""

PML_METRICS = {
    "mean_average_precision": "mean_average_precision",
    "mean_average_precision_at_r": "mean_average_precision_at_r",
    "mean_reciprocal_rank": "mean_reciprocal_rank",
    "precision_at_1": "precision_at_k",
    "r_precision": "r_precision",
}
"""PML's metrics of rankings, to their families."""

RENAMED = {
    "average_precision": "mean_average_precision",
    "average_precision_at_k": "mean_average_precision_at_k",
}
"""Families by the names they had, which work for one release."""

_NAME = re.compile(r"(?P<family>.+?)(_at_(?P<k>\d+))?(_level(?P<level>\d+))?")


class Choice(NamedTuple):
    """One metric at one depth and level; None where it has no such thing."""

    family: str
    k: int | None
    level: int | None

    @classmethod
    def of(cls, name: Any) -> Choice | None:
        """What a name says, whether or not there is such a metric; None for what is no text.

        Example:
            >>> Choice.of("recall_at_10_level0").name, Choice.of("asi").name
            ('recall_at_10_level0', 'asi')
        """
        match = _NAME.fullmatch(name) if isinstance(name, str) else None
        if match is None:
            return None
        depth, level = (
            None if match[each] is None else int(match[each]) for each in ("k", "level")
        )
        return cls(match["family"] + ("" if depth is None else "_at_k"), depth, level)

    @property
    def name(self) -> str:
        """The name in a result: ``recall_at_10_level0``, ``ndcg_at_10``, ``asi``."""
        base = self.family if self.k is None else f"{self.family[:-1]}{self.k}"
        return base if self.level is None else f"{base}_level{self.level}"

    def metric(self, relevance: Relevance | None = None) -> Metric:
        """The function that it stands for; ``relevance`` is that of H-AP."""
        if self.family == "hierarchical_average_precision":
            return hierarchical_average_precision(relevance)
        if self.family == "asi":
            return definitions.asi
        if self.family == "ndcg_at_k" or self.family == "ndcg":
            return lambda lists: definitions.ndcg(lists, k=self.k)
        function = (BINARY | REVISITED)[self.family]
        options = {"level": self.level or 0} | ({} if self.k is None else {"k": self.k})
        return lambda lists: function(lists, **options)


def choose(metrics: Any, k: Any, num_levels: int | None) -> list[Choice]:
    """All metrics that some names stand for.

    Args:
        metrics: None for all, or names: a family ("recall_at_k": at every depth of ``k`` and
            every level), with a depth ("recall_at_10"), with a level ("recall_at_10_level0").
        k: the depths.
        num_levels: L; None for the metrics of listed judgements.

    Raises:
        ValueError: an unknown name, a depth below 1, or a level the labels do not have.
    """
    depths = checked_depths(k)
    known = JUDGED_METRICS if num_levels is None else METRICS
    names = known if metrics is None else (metrics,) if isinstance(metrics, str) else metrics
    chosen: dict[Choice, None] = {}
    for name in names:
        asked = Choice.of(current(name))
        without_level = num_levels is None or (asked is not None and asked.family in HIERARCHICAL)
        if (
            asked is None
            or asked.family not in known
            or (asked.level is not None and without_level)
        ):
            raise ValueError(f"metrics: wanted names out of {known}, got {name!r}")
        if num_levels is not None and asked.level is not None and asked.level >= num_levels:
            raise ValueError(f"metrics: wanted levels 0..{num_levels - 1}, got {name!r}")
        levels: Iterable[int | None] = (asked.level,)
        if not without_level and asked.level is None:
            levels = range(num_levels or 0)
        cuts: Iterable[int | None] = (None,)
        if asked.family.endswith("_at_k"):
            cuts = depths if asked.k is None else checked_depths(asked.k, "metrics")
        chosen.update({Choice(asked.family, cut, each): None for cut in cuts for each in levels})
    if not chosen:
        raise ValueError(f"metrics: wanted names out of {known}, got none")
    return list(chosen)


def current(name: Any) -> Any:
    """A metric's name as it is now; an old one gives a DeprecationWarning in the name of the caller's line."""
    asked = Choice.of(name)
    if asked is None or asked.family not in RENAMED:
        return name
    new = asked._replace(family=RENAMED[asked.family]).name
    inside = ("pml_suprank.", "torch.", "collections.")
    outside = (n for n in count(1) if not sys._getframe(n).f_globals["__name__"].startswith(inside))
    message = f"metrics: the name {name!r} is old and goes with the next release; write {new!r}"
    warnings.warn(message, DeprecationWarning, stacklevel=next(outside))
    return new


def hierarchical_average_precision(relevance: Relevance | None) -> Metric:
    """H-AP with a relevance that sees the counts of each query's gallery, itself excluded."""
    relevance = PopulationRelevance() if relevance is None else relevance

    def function(lists: RankedLists) -> tuple[Tensor, Tensor]:
        table = relevance_table(relevance, lists.counts)
        return definitions.hierarchical_average_precision(lists, table)

    return function


# The names of the calculator.


def split_level(name: str) -> tuple[str, int | None]:
    """A metric's name without its level, and the level if it has one.

    Example:
        >>> split_level("recall_at_4_level1"), split_level("asi")
        (('recall_at_4', 1), ('asi', None))
    """
    asked = Choice.of(name)
    return (name, None) if asked is None else (asked._replace(level=None).name, asked.level)


Selection = Sequence[tuple[Sequence[str], Sequence[str]]]
"""Pairs of names to include (empty for all) and to exclude."""


def is_selected(name: str, level: int, selection: Selection) -> bool:
    """Whether every pair of the selection leaves a metric at a level."""
    names = {name, f"{name}_level{level}"}
    return all(
        (not include or names.intersection(include)) and not names.intersection(exclude)
        for include, exclude in selection
    )


def selected(
    names: Iterable[str], num_levels: int, selection: Selection = ()
) -> dict[str, tuple[str, int]]:
    """The calculator's keys, and the metric and level of each: without a level in the name that of the finest."""
    return {
        name if level == 0 else f"{name}_level{level}": (name, level)
        for name in names
        for level in range(1 if name in HIERARCHICAL_METRICS else num_levels)
        if is_selected(name, level, selection)
    }


def check_calculator_names(
    argument: str, names: Any, known: Sequence[str], num_levels: int | None
) -> None:
    """Raise TypeError unless names are a tuple or list, ValueError unless all are of the calculator's metrics."""
    if not isinstance(names, (tuple, list)):
        raise TypeError(f"{argument}: wanted a tuple or list of names, got {type(names).__name__}")
    for name in names:
        base, level = split_level(name)
        if base not in known or (level is not None and base in HIERARCHICAL_METRICS):
            raise ValueError(f"{argument}: wanted names out of {list(known)}, got {name!r}")
        if level is not None and num_levels is not None and level >= num_levels:
            raise ValueError(f"{argument}: wanted levels 0..{num_levels - 1}, got {name!r}")


def recall_depths(names: Iterable[Any]) -> list[int]:
    """The depths of the recalls among some names."""
    asked = filter(None, map(Choice.of, names))
    return [each.k for each in asked if each.family == "recall_at_k" and each.k]


def calculator_metric(name: str, level: int, cut: int, relevance: Relevance | None) -> Metric:
    """The function of one of the calculator's metrics, PML's down to a depth ``cut``."""
    if name in PML_METRICS and name != "precision_at_1":
        return lambda lists: BINARY[name](lists, level=level, k=cut)
    asked = Choice.of(name)
    assert asked is not None
    return asked._replace(level=level).metric(relevance)

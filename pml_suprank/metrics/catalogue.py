"""Names of metrics, and what they stand for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from torch import Tensor

from pml_suprank.checks import checked_depths
from pml_suprank.metrics import definitions
from pml_suprank.metrics.ranked_lists import RankedLists
from pml_suprank.metrics.streaming import Metric
from pml_suprank.relevance import PopulationRelevance, Relevance, relevance_table

HIERARCHICAL = ("hierarchical_average_precision", "ndcg", "ndcg_at_k", "asi")
"""Metrics of the whole hierarchy: one value per query."""

BINARY: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {
    "average_precision": definitions.average_precision,
    "average_precision_at_k": definitions.average_precision_at_k,
    "mean_average_precision_at_r": definitions.mean_average_precision_at_r,
    "mean_reciprocal_rank": definitions.mean_reciprocal_rank,
    "precision_at_k": definitions.precision_at_k,
    "r_precision": definitions.r_precision,
    "recall_at_k": definitions.recall_at_k,
}
"""Metrics of one level: one value per query and level."""

METRICS = (*HIERARCHICAL, *BINARY)

_NAME = re.compile(r"(?P<family>.+?)(_at_(?P<k>\d+))?(_level(?P<level>\d+))?")


class Choice(NamedTuple):
    """One metric at one depth and level; None where it has no such thing."""

    family: str
    k: int | None
    level: int | None

    @property
    def name(self) -> str:
        """The name in a result: ``recall_at_10_level0``, ``ndcg_at_10``, ``asi``."""
        base = self.family if self.k is None else f"{self.family[:-1]}{self.k}"
        return base if self.level is None else f"{base}_level{self.level}"


def choose(metrics: Any, k: Any, num_levels: int) -> list[Choice]:
    """All metrics that some names stand for.

    Args:
        metrics: None for all, or names: a family ("recall_at_k": at every depth of ``k`` and
            every level), with a depth ("recall_at_10"), with a level ("recall_at_10_level0").
        k: the depths.
        num_levels: L.

    Raises:
        ValueError: an unknown name, a depth below 1, or a level the labels do not have.
    """
    depths = checked_depths(k)
    names = METRICS if metrics is None else (metrics,) if isinstance(metrics, str) else metrics
    chosen: dict[Choice, None] = {}
    for name in names:
        match = _NAME.fullmatch(name) if isinstance(name, str) else None
        family = match["family"] if match else ""
        depth, level = (match["k"], match["level"]) if match else (None, None)
        if depth is not None:
            family += "_at_k"
        if family not in METRICS or (level is not None and family in HIERARCHICAL):
            raise ValueError(f"metrics: wanted names out of {METRICS}, got {name!r}")
        if level is not None and int(level) >= num_levels:
            raise ValueError(f"metrics: wanted levels 0..{num_levels - 1}, got {name!r}")
        levels: Iterable[int | None]
        if family in HIERARCHICAL:
            levels = (None,)
        else:
            levels = range(num_levels) if level is None else (int(level),)
        cuts: Iterable[int | None] = (None,)
        if family.endswith("_at_k"):
            cuts = depths if depth is None else checked_depths(int(depth), "metrics")
        chosen.update({Choice(family, cut, each): None for cut in cuts for each in levels})
    if not chosen:
        raise ValueError(f"metrics: wanted names out of {METRICS}, got none")
    return list(chosen)


def metric(choice: Choice, relevance: Relevance | None) -> Metric:
    """The function that a choice stands for."""
    if choice.family == "hierarchical_average_precision":
        return hierarchical_average_precision(relevance)
    if choice.family == "asi":
        return definitions.asi
    if choice.family in HIERARCHICAL:
        return lambda lists: definitions.ndcg(lists, k=choice.k)
    options: dict[str, int] = {"level": choice.level or 0}
    if choice.k is not None:
        options["k"] = choice.k
    return lambda lists: BINARY[choice.family](lists, **options)


def hierarchical_average_precision(relevance: Relevance | None) -> Metric:
    """H-AP with a relevance that sees the counts of each query's gallery, itself excluded."""
    relevance = PopulationRelevance() if relevance is None else relevance

    def function(lists: RankedLists) -> tuple[Tensor, Tensor]:
        table = relevance_table(relevance, lists.counts)
        return definitions.hierarchical_average_precision(lists, table)

    return function

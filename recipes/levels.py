"""What the levels of a taxonomy say about some images: nothing where all agree, nothing new where two are alike."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

__all__ = [
    "LevelFact",
    "level_facts",
    "level_of",
    "level_title",
    "notes_of_levels",
    "telling",
]

ONE_NODE = "one node"


@dataclass(frozen=True)
class LevelFact:
    """A level of some images.

    Attributes:
        name: of the level.
        nodes: number of nodes that the images are of.
        note: "one node" where all images agree, "same as <level>" where the images fall into the same parts as at a
            finer level, else "". A metric of a level with a note says nothing, or nothing new.
    """

    name: str
    nodes: int
    note: str

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def level_facts(labels: Tensor, level_names: Sequence[str]) -> tuple[LevelFact, ...]:
    """One fact for each level, finest first.

    Args:
        labels: [N, L] of all images that are ranked and searched with.
        level_names: L names, finest first.
    """
    facts: list[LevelFact] = []
    for level, (name, column) in enumerate(zip(level_names, labels.unbind(1), strict=True)):
        nodes = len(column.unique())
        note = ONE_NODE if nodes < 2 else ""
        for finer, fact in enumerate(facts):
            if note or fact.note or fact.nodes != nodes:
                continue
            if len(labels[:, [finer, level]].unique(dim=0)) == nodes:
                note = f"same as {fact.name}"
        facts.append(LevelFact(name, nodes, note))
    return tuple(facts)


def telling(facts: Sequence[LevelFact], metric: str) -> bool:
    """Whether a metric such as ``recall_at_5_level0`` is of all levels, or of one that says something."""
    level = level_of(metric)
    return level is None or level >= len(facts) or not facts[level].note


def level_of(metric: str) -> int | None:
    """The level in the name of a metric, None for one of all levels."""
    match = re.search(r"_level(\d+)$", metric)
    return int(match[1]) if match else None


def level_title(level_names: Sequence[str], level: int) -> str:
    """The name of a level; where it is only a number, with what that means."""
    if level >= len(level_names):
        return f"level {level}"
    name = level_names[level]
    if name != f"level_{level}" or len(level_names) < 2:
        return name
    place = {0: "finest", len(level_names) - 1: "coarsest"}.get(level)
    return f"{name} ({place})" if place else name


def notes_of_levels(facts: Sequence[LevelFact | Mapping[str, Any]]) -> list[str]:
    """A sentence for each level with a note."""
    rows = [fact.to_dict() if isinstance(fact, LevelFact) else fact for fact in facts]
    return [
        f"level {row['name']}: {row['note']} among the held-out images, its metrics are not reported"
        for row in rows
        if row["note"]
    ]

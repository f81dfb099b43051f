"""What a person changed in the proposed groups: cell by cell for a file, group by group to read."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

__all__ = ["Change", "Groups", "changes", "told_changes"]

Groups = Mapping[str, tuple[str, ...]]
"""Name to its group at each level, finest first."""

_SHOWN = 3


class Change(NamedTuple):
    """A cell that differs from the proposal."""

    kind: str
    """"renamed" (the whole group), "merged" (the whole group, into another), "split" (a part of the group, which is a
    new group now), "moved" or "dropped"."""
    name: str
    level: str
    was: str
    now: str


def changes(proposed: Groups, now: Groups, levels: Sequence[str]) -> list[Change]:
    """Every cell that differs, in the order of the names."""
    found = []
    for level, title in enumerate(levels):
        before, after = _members(proposed, level), _members(now, level)
        for name, groups in now.items():
            was, new = proposed[name][level], groups[level]
            if was == new:
                continue
            whole = before[was] <= after[new]
            if not new:
                kind = "dropped"
            elif whole and before[was] == after[new]:
                kind = "renamed"
            elif whole:
                kind = "merged"
            else:
                is_part = new not in before and after[new] < before[was]
                kind = "split" if is_part else "moved"
            found.append(Change(kind, name, title, was, new))
    return found


def told_changes(
    found: Iterable[Change], proposed: Groups, now: Groups, levels: Sequence[str]
) -> list[str]:
    """A line for each group that was renamed, merged, split or dropped, and for names that moved or were dropped.

    Names that moved together from one group to another are one line; so is a group of the next finer level whose names
    all did.
    """
    together: dict[tuple[str, str, str, str], list[str]] = defaultdict(list)
    for change in found:
        now_in = change.now if change.kind in ("renamed", "merged", "moved") else ""
        together[change.kind, change.level, change.was, now_in].append(change.name)
    lines: dict[str, None] = {}
    for (kind, title, was, new), names in together.items():
        level = levels.index(title)
        if kind in ("renamed", "merged"):
            lines[f"{kind}: {title} {was!r} is {new!r}"] = None
        elif kind == "split":
            parts = _parts(proposed, now, level, was)
            lines[f"split: {title} {was!r} into {parts}"] = None
        elif kind == "moved":
            what = _called(names, now, levels, level)
            lines[f"moved: {what} from {title} {was!r} to {new!r}"] = None
        elif level == 0:  # a dropped name is so at all levels
            whole = len(names) > 1 and set(names) == _members(proposed, 0)[was]
            told = f"{title} {was!r} ({len(names):,} names)" if whole else _some(names)
            lines[f"dropped: {told}"] = None
    return list(lines)


def _parts(proposed: Groups, now: Groups, level: int, was: str) -> str:
    """The groups that the names of a group are in now, with their numbers."""
    counts: dict[str, int] = defaultdict(int)
    for name in _members(proposed, level)[was]:
        counts[now[name][level]] += 1
    counts.pop("", None)
    order = sorted(counts, key=lambda group: (-counts[group], group))
    return ", ".join(f"{group!r} ({counts[group]:,})" for group in order)


def _called(names: Sequence[str], now: Groups, levels: Sequence[str], level: int) -> str:
    """The finer groups that names make up, or the names."""
    if level > 0 and len(names) > 1:
        inside = {group: members for group, members in _members(now, level - 1).items()
                  if members <= set(names)}  # fmt: skip
        if sum(map(len, inside.values())) == len(names):
            return f"{levels[level - 1]} {_some(list(inside))} ({len(names):,} names)"
    return _some(names)


def _some(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(map(repr, names[:_SHOWN])) + (f" and {more:,} more" if more > 0 else "")


def _members(groups: Groups, level: int) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for name, row in groups.items():
        found[row[level]].add(name)
    return found

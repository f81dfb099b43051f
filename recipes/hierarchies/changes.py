"""What a person changed in the proposed groups: cell by cell for a file, group by group to read."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

__all__ = ["Change", "Groups", "changes", "told_changes"]

Groups = Mapping[str, tuple[str, ...]]
"""Name to its group at each level, finest first."""

Members = dict[str, set[str]]
_SHOWN = 3


class Change(NamedTuple):
    """A cell that differs from the proposal."""

    kind: str
    """"renamed" (the group), "split" (a part of the group is a new one), "merged" (the whole group, into another),
    "moved" or "dropped"."""
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
            kind = _kind(was, new, before, after) if new else "dropped"
            found.append(Change(kind, name, title, was, new))
    return found


def told_changes(
    found: Iterable[Change], proposed: Groups, now: Groups, levels: Sequence[str]
) -> list[str]:
    """A line for each group that was renamed, merged, split or dropped, and for names that moved or were dropped.

    Names that moved together from one group to another are one line; so is a group of the next finer level whose names
    all did.
    """
    together: dict[tuple[str, str, str, str], list[Change]] = defaultdict(list)
    for change in found:
        now_in = change.now if change.kind in ("renamed", "merged", "moved") else ""
        together[change.kind, change.level, change.was, now_in].append(change)
    lines: dict[str, None] = {}
    for (kind, title, was, new), cells in together.items():
        level, names = levels.index(title), [change.name for change in cells]
        if kind in ("renamed", "merged"):
            line = f"{title} {was!r} is {new!r}"
        elif kind == "split":
            line = f"{title} {was!r} into {_parts(cells, now, level)}"
        elif kind == "moved":
            line = f"{_called(names, now, levels, level)} from {title} {was!r} to {new!r}"
        elif level == 0:  # a dropped name is so at all levels
            whole = len(names) > 1 and set(names) == _members(proposed, 0)[was]
            line = f"{title} {was!r} ({len(names):,} names)" if whole else _some(names)
        else:
            continue
        lines[f"{kind}: {line}"] = None
    return list(lines)


def _kind(was: str, new: str, before: Members, after: Members) -> str:
    """What became of the group of a name that has another now; a new group is what most of its names come from."""
    here = before[was] & after[new]
    if before[was] == after[new]:
        return "renamed"
    if new not in before and 2 * len(here) > len(after[new]):
        beside = {group for group, names in after.items() if names & before[was]} - {new, ""}
        is_one = was not in beside and beside <= before.keys() and 2 * len(here) > len(before[was])
        return "renamed" if is_one else "split"
    return "merged" if here == before[was] else "moved"


def _parts(cells: Sequence[Change], now: Groups, level: int) -> str:
    """The groups that a group was split into, with the numbers of its names, and those that stayed."""
    counts = Counter(change.now for change in cells)
    stayed = sum(row[level] == cells[0].was for row in now.values())
    counts[cells[0].was] += stayed
    order = sorted(+counts, key=lambda group: (-counts[group], group))
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


def _members(groups: Groups, level: int) -> Members:
    found: Members = defaultdict(set)
    for name, row in groups.items():
        found[row[level]].add(name)
    return found

"""Step *review*: what a person made of the proposed groups, checked and reported."""

from collections import defaultdict
from collections.abc import Sequence

from pml_suprank.recipes.files import write_csv
from pml_suprank.recipes.hierarchies.changes import Change, Groups, changes, told_changes
from pml_suprank.recipes.hierarchies.proposal import PROPOSAL, REVIEW, read_proposal
from pml_suprank.recipes.hierarchies.tables import Table, TableError, read_csv
from pml_suprank.recipes.hierarchies.work_folder import WorkFolder

__all__ = ["GROUPS", "apply_review", "conflicts", "follow", "read_groups"]

GROUPS, CHANGES = "groups.csv", "changes.csv"


def apply_review(work: WorkFolder) -> str:
    """Check the edited ``review.csv`` and write ``groups.csv`` and ``changes.csv``.

    A person may change the group of a name at any level, rename groups, make new ones, or empty all group cells of a
    name: then it is dropped, and its classes count as classes without a name. Where a name is moved to another
    group and its coarser cells are left as they were, these follow the group. Doing it again changes nothing.

    Args:
        work: the work folder, after *propose*.

    Returns:
        What was changed, in lines.

    Raises:
        TableError: a malformed file, or all conflicts: names that are missing, unknown or in two groups, groups under
            two coarser ones, cells that are half empty.
    """
    levels, proposed = read_proposal(work)
    inputs = [work / PROPOSAL, work / REVIEW]
    table = read_csv(work / REVIEW, ["name", *levels])
    edited = _edited_rows(table, levels, proposed)
    edited = {name: edited[name] for name in proposed}
    followed = follow(proposed, edited)
    found = conflicts(followed, levels)
    if found:
        raise TableError(f"{table.path}: {len(found)} conflicts\n  " + "\n  ".join(found))
    outputs = [work / GROUPS, work / CHANGES]
    told = changes(proposed, followed, levels)
    if not work.is_done("review", {}, inputs):
        rows = [
            {"name": name, **dict(zip(levels, groups, strict=True))}
            for name, groups in followed.items()
        ]
        write_csv(work / GROUPS, rows)
        write_csv(work / CHANGES, [change._asdict() for change in told], Change._fields)
        work.record("review", {}, inputs, outputs)
    return "\n".join([_told(followed, levels), *told_changes(told, proposed, followed, levels)])


def _edited_rows(table: Table, levels: Sequence[str], proposed: Groups) -> dict[str, tuple]:
    """Groups of every name, or all that is wrong with the rows."""
    found: dict[str, tuple[str, ...]] = {}
    wrong = []
    listed = {row["name"] for row in table.rows}
    for where, row in table:
        name, groups = row["name"], tuple(" ".join(row[level].split()) for level in levels)
        if name not in proposed:
            wrong.append(f"{where}: wanted a name of the proposal, got {name!r}")
        elif any(groups) and not all(groups):
            wrong.append(
                f"{where}: wanted a group of {name!r} at all levels, or at none, got {groups}"
            )
        elif found.setdefault(name, groups) != groups:
            wrong.append(f"{where}: wanted {name!r} in one group, got {found[name]} and {groups}")
    wrong += [f"wanted a row for {name!r}, got none" for name in proposed if name not in listed]
    wrong = [text.removeprefix(f"{table.path}, ") for text in wrong]
    if wrong:
        raise TableError(f"{table.path}: {len(wrong)} conflicts\n  " + "\n  ".join(wrong))
    return found


def follow(proposed: Groups, edited: Groups) -> dict[str, tuple[str, ...]]:
    """Coarser groups that follow a moved name.

    Where the cell of a level was changed and the next coarser one was not, the latter becomes that of the group's
    other names, if they have one in common.
    """
    found = {name: list(groups) for name, groups in edited.items()}
    depth = len(next(iter(found.values()), []))
    for level in range(depth - 1):
        firm: dict[str, set[str]] = defaultdict(set)
        soft = []
        for name, groups in found.items():
            was = proposed[name]
            if groups[level] != was[level] and groups[level + 1] == was[level + 1]:
                soft.append(name)
            else:
                firm[groups[level]].add(groups[level + 1])
        for name in soft:
            parents = firm[found[name][level]]
            if len(parents) == 1 and found[name][level]:
                (found[name][level + 1],) = parents
    return {name: tuple(groups) for name, groups in found.items()}


def conflicts(groups: Groups, levels: Sequence[str]) -> list[str]:
    """Groups that lie under two groups of the next coarser level, one line each."""
    found = []
    for level in range(len(levels) - 1):
        members: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for name, row in groups.items():
            if row[level]:
                members[row[level]][row[level + 1]].append(name)
        for group, parents in members.items():
            if len(parents) > 1:
                text = " and ".join(
                    f"{parent!r} ({len(names)} names, such as {names[0]!r})"
                    for parent, names in parents.items()
                )
                found.append(
                    f"wanted the {levels[level]} {group!r} in one {levels[level + 1]}, got {text}"
                )
    return found


def read_groups(work: WorkFolder) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    """Level names, finest first, and the reviewed groups of every name that was not dropped.

    Raises:
        TableError: *review* has to run first.
    """
    work.need("review")
    table = read_csv(work / GROUPS, ["name"])
    levels = list(table.header[1:])
    rows = {row["name"]: tuple(row[level] for level in levels) for _, row in table}
    kept = {name: groups for name, groups in rows.items() if any(groups)}
    if not kept:
        raise TableError(f"{work / GROUPS}: wanted a name in a group, got all dropped")
    return levels, kept


def _told(groups: Groups, levels: Sequence[str]) -> str:
    kept = [row for row in groups.values() if any(row)]
    sizes = ", ".join(
        f"{len({row[level] for row in kept}):,} of {title!r}" for level, title in enumerate(levels)
    )
    return f"{len(kept):,} names in {sizes}; {len(groups) - len(kept):,} names dropped"

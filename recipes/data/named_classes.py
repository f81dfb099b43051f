"""The places of classes in a hierarchy file, found by their names: what ``build-hierarchy`` writes, for flat labels."""

import difflib
import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pml_suprank.hierarchy import HierarchyError
from pml_suprank.hierarchy.files import chains_from_csv
from pml_suprank.hierarchy.text_tables import open_table
from pml_suprank.recipes.hierarchies.names import NO_GROUP, clean

__all__ = ["Places", "find_places"]

_log = logging.getLogger(__name__)
_SHOWN = 5
_CLASS_ID = "class_id"
_OTHER_COLUMNS = ("classes", "confidence", "decision", "doubt", "nearest", "source")
"""Of other files in the work folder, whose cells would be taken for groups."""


class Places(NamedTuple):
    """Where some classes stand.

    Attributes:
        chains: label to the names from the coarsest level to the class.
        level_names: of the file, finest first; those of the levels that these classes have.
    """

    chains: dict[str, tuple[str, ...]]
    level_names: tuple[str, ...]


def find_places(
    file: str | os.PathLike[str], labels: Iterable[str], *, all_classes: bool = True
) -> Places:
    """Look up every label in a hierarchy file, by the name of its class or, if they all are, by its ``class_id``.

    Names agree if they are equal or, where that is not so, but for capitals, spaces and underscores.

    Args:
        file: a CSV file with a column for each level, finest first, and perhaps ``class_id``.
        labels: names of class folders, or values of a column.
        all_classes: whether the labels are those of all images; then rows without a label are told in the log.

    Raises:
        FileNotFoundError: no such file.
        HierarchyError: labels without a row, with the nearest names; two labels of one class; or a file that is
            malformed or another one of the work folder.
    """
    if not isinstance(file, str | os.PathLike):
        raise HierarchyError(f"hierarchy: wanted the path of a CSV file, got {file!r}")
    path = Path(file)
    if not path.is_file():
        raise FileNotFoundError(f"hierarchy: wanted a CSV file, got {str(path)!r}")
    header = open_table(path, columns=[_CLASS_ID]).header
    with_ids = _CLASS_ID in header
    if others := [column for column in header if column in _OTHER_COLUMNS]:
        raise HierarchyError(
            f"{path}: wanted class_id and the levels, as in the hierarchy.csv of build-hierarchy, got {others}, too"
        )
    found = chains_from_csv(path, None, True, _CLASS_ID if with_ids else None, None, True)
    chains = [tuple(map(str, chain)) for chain in found.chains]
    called = [chain[-1].removeprefix(NO_GROUP) for chain in chains]
    wanted = list(dict.fromkeys(labels))
    row_of = _by_name(called, wanted)
    if with_ids and len(row_of) < len(wanted):
        by_id = {str(class_id): row for row, class_id in enumerate(found.class_ids)}
        if all(label in by_id for label in wanted):
            row_of = {label: by_id[label] for label in wanted}
    _check(path, wanted, called, row_of)
    unused = sorted(set(range(len(called))) - set(row_of.values()))
    if all_classes and unused and os.environ.get("RANK", "0") == "0":
        _log.warning(
            "%s: %d of %d classes have no image: %s",
            *(path, len(unused), len(called), _some([repr(called[row]) for row in unused])),
        )
    own = {label: chains[row_of[label]] for label in wanted}
    depth = max(map(len, own.values()), default=0)
    level_names = tuple(found.level_names or ())
    return Places(own, level_names[len(level_names) - depth :])


def _by_name(called: Sequence[str], wanted: Sequence[str]) -> dict[str, int]:
    """Label to the row of that name, of those that have one and one alone."""
    exact, loose = defaultdict(set), defaultdict(set)
    for row, name in enumerate(called):
        exact[name].add(row)
        loose[_key(name)].add(row)
    rows = {label: exact.get(label) or loose.get(_key(label), set()) for label in wanted}
    return {label: next(iter(own)) for label, own in rows.items() if len(own) == 1}


def _key(name: str) -> str:
    return clean(name).casefold()


def _check(
    path: Path, wanted: Sequence[str], called: Sequence[str], row_of: Mapping[str, int]
) -> None:
    """Refuse labels without a row, and two of one row.

    Raises:
        HierarchyError: there are some.
    """
    lacking = [label for label in wanted if label not in row_of]
    unused = [name for row, name in enumerate(called) if row not in set(row_of.values())]
    if lacking:
        told = []
        for label in lacking[:_SHOWN]:
            near = difflib.get_close_matches(label, unused, 1) or difflib.get_close_matches(
                label, called, 1
            )
            twice = sum(_key(name) == _key(label) for name in called) > 1
            hint = " (twice in the file)" if twice else f" (nearest: {near[0]!r})" if near else ""
            told.append(f"{label!r}{hint}")
        rest = f"; rows without images: {_some(list(map(repr, unused)))}" if unused else ""
        raise HierarchyError(
            f"{path}: wanted one row for each of the {len(wanted):,} classes of the images, got none for "
            f"{len(lacking):,}: {_some(told, len(lacking))}{rest}"
        )
    label_of: dict[int, str] = {}
    for label, row in row_of.items():
        other = label_of.setdefault(row, label)
        if other != label:
            raise HierarchyError(
                f"{path}: wanted one label for each class, got {other!r} and {label!r} for {called[row]!r}"
            )


def _some(names: Sequence[str], total: int | None = None) -> str:
    more = (len(names) if total is None else total) - min(len(names), _SHOWN)
    return ", ".join(names[:_SHOWN]) + (f" and {more:,} more" if more else "")

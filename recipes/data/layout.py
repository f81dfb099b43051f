"""What the loaders of published data sets share: files that must be there, and tables."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from pml_suprank.hierarchy.regular_files import regular
from pml_suprank.hierarchy.text_tables import open_table

__all__ = [
    "choose",
    "need",
    "numbered_lines",
    "read_parents",
    "read_rows",
    "read_table",
]

PathLike = str | os.PathLike[str]
Value = TypeVar("Value")


def need(root: PathLike, *places: str) -> Path:
    """The first of several places that exists.

    Args:
        root: folder of the data set.
        places: files or folders below it, any of which will do.

    Raises:
        FileNotFoundError: names the root and every place.
        ValueError: it is a pipe, a socket or a device.
    """
    base = Path(root)
    if not base.is_dir():
        raise FileNotFoundError(f"root: wanted the folder of the data set, got {str(base)!r}")
    for place in places:
        if (base / place).exists():
            return regular(base / place)
    tried = " or ".join(repr(str(base / place)) for place in places)
    raise FileNotFoundError(f"root: wanted {tried}, got no such file")


def choose(name: str, value: str, options: Mapping[str, Value]) -> Value:
    """The option of that name, or a ValueError that lists the names."""
    if value not in options:
        raise ValueError(f"{name}: wanted one of {', '.join(map(repr, options))}, got {value!r}")
    return options[value]


def read_table(
    path: Path,
    columns: Sequence[str],
    delimiter: str | None = None,
    encoding: str | None = None,
) -> Iterator[tuple[str, ...]]:
    """Cells of some columns, row by row, of a table whose first line names the columns.

    Args:
        path: the file.
        columns: their names.
        delimiter: between cells; None recognises it.
        encoding: of the file; None recognises it.

    Raises:
        ValueError: a column is missing, or a row is too short or too long; names the file and the line.
    """
    for _, cells in read_rows(path, columns, delimiter, encoding):
        yield cells


def read_rows(
    path: Path,
    columns: Sequence[str],
    delimiter: str | None = None,
    encoding: str | None = None,
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """The same as :func:`read_table`, each row with the line that it ends in."""
    table = open_table(path, delimiter, encoding, columns)
    places = table.places(columns)
    for line, row in table:
        yield line, tuple(row[place] for place in places)


def numbered_lines(path: Path, kind: Callable[[str], Value]) -> dict[int, Value]:
    """The lines "number value" of a text file.

    Raises:
        ValueError: another line; names the file and the line.
    """
    found: dict[int, Value] = {}
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: wanted UTF-8 text, got {error}") from None
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        key, _, value = line.strip().partition(" ")
        try:
            found[int(key)] = kind(value.strip())
        except ValueError:
            raise ValueError(
                f"{path}, line {number}: wanted 'number value', got {line!r}"
            ) from None
    return found


def read_parents(
    path: PathLike, classes: Iterable[int]
) -> tuple[tuple[str, ...], dict[int, tuple[str, ...]]]:
    """A taxonomy over numbered classes, from a CSV file.

    Args:
        path: its columns are class_id and one per level above the classes, finer first.
        classes: the numbers that it has to hold.

    Returns:
        The level names, finer first, and the names above every class, coarse to fine.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no level column, or a class without a row.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"taxonomy: wanted a CSV file, got {str(file)!r}")
    header = open_table(file, columns=["class_id"]).header
    levels = tuple(name for name in header if name != "class_id")
    if not levels:
        raise ValueError(f"{file}: wanted class_id and a column per level, got {list(header)}")
    parents: dict[int, tuple[str, ...]] = {}
    for line, (number, *names) in read_rows(file, ["class_id", *reversed(levels)]):
        if not number.isdecimal() or "" in names:
            raise ValueError(
                f"{file}, line {line}: wanted a number in 'class_id' and a name in every other cell, "
                f"got {[number, *names]}"
            )
        if parents.setdefault(int(number), tuple(names)) != tuple(names):
            raise ValueError(f"{file}, line {line}: wanted one row for class {number}, got another")
    if missing := sorted(set(classes) - parents.keys()):
        raise ValueError(f"{file}: wanted a row for every class_id, got none for {missing[:5]}")
    return levels, parents

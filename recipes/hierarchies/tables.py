"""CSV files that people open and edit: read with the line of every row, so that an error can name it."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pml_suprank.hierarchy.text_tables import TableError, open_table

__all__ = ["Table", "TableError", "read_csv", "read_lines"]

_CONTROL = {chr(code) for code in range(32)} - {"\t"}


@dataclass(frozen=True)
class Table:
    """Rows of a CSV file.

    Attributes:
        path: the file.
        header: names of its columns.
        rows: column to cell, without spaces around it.
        lines: where each row ends in the file.
    """

    path: Path
    header: tuple[str, ...]
    rows: tuple[dict[str, str], ...]
    lines: tuple[int, ...]

    def __iter__(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Pairs of "file, line n" and row."""
        for line, row in zip(self.lines, self.rows, strict=True):
            yield f"{self.path}, line {line}", row


def read_csv(path: Path, columns: Sequence[str] = ()) -> Table:
    """A CSV file whose first line names the columns. Empty lines are left out.

    Args:
        path: its delimiter and encoding are recognised.
        columns: that it has to have, beside others.

    Raises:
        TableError: no such file, a column that is missing or there twice, a row of another length,
            or quotes that do not close.
    """
    path = Path(path)
    if path.is_dir():
        raise TableError(f"{path}: wanted a CSV file, got a folder")
    try:
        table = open_table(path, columns=columns)
    except FileNotFoundError:
        raise TableError(f"{path}: wanted a CSV file, got no such file") from None
    _check_header(path, table.header, columns)
    rows, lines = [], []
    for line, cells in table:
        rows.append(dict(zip(table.header, cells, strict=True)))
        lines.append(line)
    return Table(path, table.header, tuple(rows), tuple(lines))


def read_lines(path: Path, columns: Sequence[str]) -> list[tuple[int, str]] | None:
    """The lines of a file of one column, with their numbers; None for a table.

    A text file ("*.txt") is one of lines, whatever they hold, unless its first line has one of the columns.

    Args:
        path: the file. Empty lines are left out; quotes around a line are taken off.
        columns: that a table may have.

    Raises:
        TableError: a list that is no text.
    """
    path = Path(path)
    if not path.is_file():
        return None
    table = open_table(path, columns=columns)
    is_text = path.suffix.lower() == ".txt" and not set(columns) & set(table.header)
    if len(table.header) != 1 and not is_text:
        return None
    with path.open(encoding=table.encoding) as file:
        lines = [(number, line.strip()) for number, line in enumerate(file, 1)]
    odd = next((number for number, text in lines if _CONTROL & set(text)), None)
    if odd is not None:
        raise TableError(f"{path}, line {odd}: wanted a name in every line, got what is no text")
    return [(number, _unquoted(text)) for number, text in lines if text]


def _unquoted(text: str) -> str:
    is_quoted = len(text) > 1 and text[0] == text[-1] == '"'
    return next(csv.reader([text]))[0].strip() if is_quoted else text


def _check_header(path: Path, header: Sequence[str], columns: Sequence[str]) -> None:
    lacking = [name for name in columns if name not in header]
    if lacking:
        raise TableError(f"{path}: wanted the columns {lacking}, got {list(header)}")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise TableError(f"{path}: wanted each column once, got {twice} twice")

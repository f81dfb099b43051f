"""CSV files that people open and edit: read with the line of every row, so that an error can name it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pml_suprank.hierarchy.text_tables import TableError, open_table

__all__ = ["Table", "TableError", "read_csv"]


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


def _check_header(path: Path, header: Sequence[str], columns: Sequence[str]) -> None:
    lacking = [name for name in columns if name not in header]
    if lacking:
        raise TableError(f"{path}: wanted the columns {lacking}, got {list(header)}")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise TableError(f"{path}: wanted each column once, got {twice} twice")

"""CSV files that people open and edit: read with the line of every row, so that an error can name it."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Table", "TableError", "read_csv"]

_LONGEST_CELL = 1 << 24


class TableError(ValueError):
    """A table that is missing, malformed, or contradicts itself; the message names file and line."""


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
        path: UTF-8, with or without a byte order mark.
        columns: that it has to have, beside others.

    Raises:
        TableError: no such file, not UTF-8, a column that is missing or there twice, a row of another length,
            or quotes that do not close.
    """
    path = Path(path)
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            header = tuple(cell.strip() for cell in next(reader, []))
            _check_header(path, header, columns)
            rows, lines = [], []
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                if len(cells) != len(header):
                    raise TableError(
                        f"{path}, line {reader.line_num}: wanted {len(header)} cells, got {len(cells)}"
                    )
                rows.append({name: c.strip() for name, c in zip(header, cells, strict=True)})
                lines.append(reader.line_num)
    except FileNotFoundError:
        raise TableError(f"{path}: wanted a CSV file, got no such file") from None
    except UnicodeDecodeError as error:
        raise TableError(f"{path}: wanted UTF-8 text, got {error}") from None
    except csv.Error as error:
        raise TableError(f"{path}, line {reader.line_num}: wanted CSV, got {error}") from None
    return Table(path, header, tuple(rows), tuple(lines))


def _check_header(path: Path, header: Sequence[str], columns: Sequence[str]) -> None:
    lacking = [name for name in columns if name not in header]
    if lacking:
        raise TableError(f"{path}: wanted the columns {lacking}, got {list(header)}")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise TableError(f"{path}: wanted each column once, got {twice} twice")

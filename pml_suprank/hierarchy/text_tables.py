"""Tables as people have them: text files whose delimiter and encoding are found out, and whose rows are checked."""

from __future__ import annotations

import codecs
import csv
import difflib
import io
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pml_suprank.hierarchy.cells import read_cell
from pml_suprank.hierarchy.integers import HierarchyError
from pml_suprank.hierarchy.regular_files import regular

__all__ = ["DELIMITERS", "TableError", "TextTable", "open_table"]

DELIMITERS = (",", "\t", ";", "|")
"""Those that are recognised, by preference where several fit."""

_log = logging.getLogger(__name__)
_NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars", " ": "spaces"}
_LONGEST_CELL = 1 << 24  # Google Landmarks lists all images of a landmark in one cell
_BLOCK = 1 << 20
_SAMPLE_ROWS = 100
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark begins it
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class TableError(HierarchyError):
    """A table that is malformed or contradicts itself; the message names the file and, where there is one, the line."""


@dataclass(frozen=True)
class TextTable:
    """A table whose first line names the columns. Iterating reads the file, row by row.

    Attributes:
        path: the file.
        header: names of the columns, without spaces around them.
        delimiter: between the cells.
        encoding: of the file.
        skipped: lines before the header.
    """

    path: Path
    header: tuple[str, ...]
    delimiter: str
    encoding: str
    skipped: int = 0

    def __iter__(self) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Pairs of the line that a row ends in and its cells, without spaces around them; empty lines are left out.

        An apostrophe that keeps a spreadsheet from running a cell, as :meth:`Hierarchy.to_csv` writes it, is taken off.

        Raises:
            TableError: a row of another length than the header, quotes that do not close, text of another encoding.
        """
        with self.path.open(newline="", encoding=self.encoding) as file:
            for _ in range(self.skipped):
                file.readline()
            reader = csv.reader(file, delimiter=self.delimiter, strict=True)
            try:
                next(reader)
                for cells in reader:
                    row = tuple(read_cell(cell) for cell in cells)
                    if not any(row):
                        continue
                    line = reader.line_num + self.skipped
                    if len(row) != len(self.header):
                        raise TableError(
                            f"{self.path}, line {line}: wanted {len(self.header)} cells, got {len(row)} "
                            f"(separated by {_name(self.delimiter)}): {_short(cells)}"
                        )
                    yield line, row
            except csv.Error as error:
                line = reader.line_num + self.skipped
                raise TableError(f"{self.path}, line {line}: wanted CSV, got {error}") from None
            except UnicodeError as error:
                line = reader.line_num + self.skipped + 1
                raise TableError(
                    f"{self.path}, line {line} or soon after: wanted {self.encoding} text, got {error}"
                ) from None

    def places(self, columns: Sequence[str]) -> list[int]:
        """Where some columns stand.

        Raises:
            TableError: a column is missing, or there twice; names the nearest.
        """
        lacking = [column for column in columns if column not in self.header]
        if lacking:
            near = difflib.get_close_matches(lacking[0], self.header, 1)
            hint = f"; nearest to {lacking[0]!r}: {near[0]!r}" if near else ""
            raise TableError(
                f"{self.path}: wanted the columns {lacking}, got {list(self.header)}, "
                f"separated by {_name(self.delimiter)}{hint}"
            )
        twice = [column for column in columns if self.header.count(column) > 1]
        if twice:
            raise TableError(f"{self.path}: wanted each column once, got {twice} twice")
        return [self.header.index(column) for column in columns]


def open_table(
    path: str | os.PathLike[str],
    delimiter: str | None = None,
    encoding: str | None = None,
    columns: Sequence[str] = (),
) -> TextTable:
    """Find out how a table is written.

    Args:
        path: the file. Empty lines before the header are passed over; a first line "sep=;", as Excel writes it, names
            the delimiter.
        delimiter: between cells; None recognises :data:`DELIMITERS`.
        encoding: None recognises UTF-8 and, by their byte order mark or zeros, UTF-16 and UTF-32; what is none of
            these is read as Windows-1252 or Latin-1, with a warning in the log that says so.
        columns: that the table is thought to have.

    Raises:
        OSError: no such file.
        TableError: no regular file, text of another encoding than the given one, or a delimiter that is not one
            character.
    """
    try:
        path = regular(path)
    except ValueError as error:
        raise TableError(str(error)) from None
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
    if delimiter is not None and len(delimiter) != 1:
        raise TableError(f"delimiter: wanted one character, got {delimiter!r}")
    encoding = encoding or _encoding(path)
    try:
        with path.open(newline="", encoding=encoding) as file:
            first, skipped = file.readline(), 0
            while first and not first.strip():
                first, skipped = file.readline(), skipped + 1
            named = first.rstrip("\r\n").lower()
            is_named = len(named) == 5 and named.startswith("sep=")
            skipped += is_named
            sample = file.read(_BLOCK) if is_named else first + file.read(_BLOCK)
    except LookupError:
        raise TableError(
            f"encoding: wanted a name such as 'utf-8' or 'latin-1', got {encoding!r}"
        ) from None
    except UnicodeError as error:
        raise TableError(f"{path}: wanted {encoding} text, got {error}") from None
    if delimiter is None:
        delimiter = named[4] if is_named else _delimiter(sample, columns)
    rows = _rows(sample, delimiter)
    header = tuple(read_cell(cell) for cell in rows[0]) if rows else ()
    return TextTable(path, header, delimiter, encoding, skipped)


def _encoding(path: Path) -> str:
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        start = file.read(_BLOCK)
        for mark, name in _MARKS:
            if start.startswith(mark):
                return name
        zeros = [start[parity::2].count(0) for parity in (0, 1)]
        if max(zeros) > len(start) // 8:  # of UTF-16 text in Latin script every other byte is 0
            return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
        block = start
        try:
            while block:
                decoder.decode(block)
                block = file.read(_BLOCK)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            name = _western(path)
            _log.warning(
                "%s: not UTF-8 (byte 0x%02x), read as %s; if that is wrong, name the encoding",
                *(path, error.object[error.start], name),
            )
            return name
    return "utf-8"


def _western(path: Path) -> str:
    """Windows-1252, or Latin-1 where a byte means nothing in the former."""
    undefined = {0x81, 0x8D, 0x8F, 0x90, 0x9D}
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            if undefined & set(block):
                return "latin-1"
    return "cp1252"


def _delimiter(sample: str, columns: Sequence[str]) -> str:
    """The delimiter with which the header has the wanted columns and all rows are of one length."""

    def fitness(delimiter: str) -> tuple[int, bool, bool]:
        rows = [row for row in _rows(sample, delimiter) if any(cell.strip() for cell in row)]
        header = [read_cell(cell) for cell in rows[0]] if rows else []
        found = sum(column in header for column in columns)
        return found, len(header) > 1 and len({*map(len, rows)}) == 1, len(header) > 1

    return max(DELIMITERS, key=fitness)  # the first of equals


def _rows(sample: str, delimiter: str) -> list[list[str]]:
    """The first rows; the last may be cut off, and is left out unless it is the only one."""
    rows: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter):
            rows.append(row)
            if len(rows) == _SAMPLE_ROWS:
                break
    except csv.Error:
        pass  # reading the table names the line
    return rows[:-1] if len(rows) > 1 and len(sample) >= _BLOCK else rows


def _name(delimiter: str) -> str:
    return _NAMES.get(delimiter, repr(delimiter))


def _short(cells: Sequence[str]) -> str:
    text = repr(list(cells))
    return text if len(text) <= 120 else text[:117] + "..."

"""Files that are either whole or not there."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pml_suprank.hierarchy.cells import guarded
from pml_suprank.integrations.whole_files import write_atomic

__all__ = ["write_atomic", "write_csv", "write_json", "write_text"]


def write_text(path: Path, text: str) -> None:
    r"""Write UTF-8 text atomically.

    A byte of a file name that is not UTF-8, which Python holds as a lone surrogate, is written as ``\udcff``: JSON
    reads that back as it was, and all else stays readable.
    """
    write_atomic(path, lambda file: file.write(text.encode("utf-8", "backslashreplace")))


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically, keys in their order; NaN is refused."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def write_csv(
    path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None
) -> None:
    """Write rows atomically as CSV, of the columns ``columns``, which are the keys of the first row by default.

    People open these files in a spreadsheet: text that it would run as a formula gets an apostrophe before it, which
    ``open_table`` takes off again. Numbers stay as they are.
    """
    text = io.StringIO()
    if columns is None:
        columns = list(rows[0]) if rows else []
    plain = csv.writer(text, lineterminator="\n")
    quoted = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in (dict(zip(columns, columns, strict=True)), *rows):
        extra = row.keys() - set(columns)
        if extra:
            raise ValueError(
                f"rows: wanted the columns {list(columns)}, got {sorted(extra)} besides"
            )
        cells = [_cell(row.get(column)) for column in columns]
        has_return = any(isinstance(cell, str) and "\r" in cell for cell in cells)
        (quoted if has_return else plain).writerow(cells)
    write_text(path, text.getvalue())


def _cell(value: Any) -> Any:
    return value if value is None or isinstance(value, int | float) else guarded(str(value))

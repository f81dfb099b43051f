"""Files that are either whole or not there."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
    """Write rows atomically as CSV; without ``columns`` they are the keys of the first row."""
    text = io.StringIO()
    if columns is None:
        columns = list(rows[0]) if rows else []
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())

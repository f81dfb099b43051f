"""Files that are either whole or not there."""

import csv
import io
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

__all__ = ["tolerant_output", "write_atomic", "write_csv", "write_json", "write_text"]


def write_atomic(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write a file through a temporary neighbour, so that no reader ever sees half of it.

    Args:
        path: the file; its folder is made where needed.
        write: gets the open binary file. When it fails, ``path`` keeps what it had.

    Raises:
        OSError: the folder cannot be made or written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically; what UTF-8 has no form for (bytes in file names) is escaped, as JSON has it."""
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


def tolerant_output() -> None:
    """Print names of files that the terminal has no characters for with escapes, in place of an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

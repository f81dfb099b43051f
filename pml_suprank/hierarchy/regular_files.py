"""Files that can be read to their end."""

import os
from pathlib import Path

__all__ = ["regular"]


def regular(path: str | os.PathLike[str]) -> Path:
    """The path of a file that is read next: at a pipe a reader would wait for ever, of a device read for ever.

    A missing file and a folder pass; opening them says so.

    Raises:
        ValueError: a pipe, a socket or a device.
    """
    path = Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ValueError(f"{path}: wanted a regular file, got a pipe, a socket or a device")
    return path

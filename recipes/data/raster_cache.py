"""Arrays that are drawn once and then kept in one checked file."""

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pml_suprank.hierarchy.regular_files import regular
from pml_suprank.recipes.files import write_atomic

__all__ = ["Arrays", "cache_folder", "cached_arrays", "is_table"]

Arrays = dict[str, np.ndarray]


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/pml-suprank``, or ``~/.cache/pml-suprank`` where that is not set."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "pml-suprank"


def cached_arrays(
    name: str,
    fingerprint: Any,
    draw: Callable[[], Arrays],
    fits: Callable[[Mapping[str, np.ndarray]], bool],
    folder: Path | None = None,
) -> Arrays:
    """Arrays from the cache, or made now and cached.

    The file is written whole or not at all and checked when read (checksums, and ``fits``); one that fails the
    check is made again. Its name holds a digest of the fingerprint, so that an upgrade never shows stale arrays.

    Args:
        name: start of the file's name.
        fingerprint: all that decides the content, as JSON takes it: versions of packages, sizes, lists.
        draw: makes the arrays.
        fits: whether arrays that were read are what is wanted, such as of the right shape.
        folder: cache folder; None is :func:`cache_folder`.

    Raises:
        OSError: the cache folder cannot be written.
    """
    folder = cache_folder() if folder is None else folder
    digest = hashlib.sha256(json.dumps(fingerprint).encode()).hexdigest()[:16]
    path = folder / f"{name}-{digest}.npz"
    cached = _read(path)
    if cached is not None and fits(cached):
        return cached
    arrays = draw()
    try:
        # numpy's types take a keyword for an array as one of its flags
        write_atomic(path, lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]
    except OSError as error:
        raise OSError(f"cache folder {folder} cannot be written: {error}") from error
    return arrays


def is_table(arrays: Mapping[str, np.ndarray], size: int, *columns: str) -> bool:
    """Whether arrays are ``images`` [R, size, size], uint8, and integer columns [R], R above 0, and nothing else."""
    if set(arrays) != {"images", *columns}:
        return False
    images = arrays["images"]
    whole = images.shape == (len(images), size, size) and images.dtype == np.uint8
    found = [arrays[column] for column in columns]
    fitting = all(a.shape == (len(images),) and a.dtype.kind == "i" for a in found)
    return whole and fitting and len(images) > 0


def _read(path: Path) -> Arrays | None:
    """The cached arrays, or None when the file is missing or damaged."""
    try:
        with regular(path).open("rb") as file, np.load(file, allow_pickle=False) as content:
            return {key: content[key] for key in content.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None

"""Rasters of all drawings, kept in one checked file."""

import hashlib
import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pml_suprank.recipes.data.emoji_sources import Emoji, package_versions, rasterise
from pml_suprank.recipes.files import write_atomic

__all__ = ["cache_folder", "load_rasters"]

_LAYOUT = 1  # raise it when the content of the file changes meaning


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/pml-suprank``, or ``~/.cache/pml-suprank`` where that is not set."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "pml-suprank"


def load_rasters(
    emoji: Sequence[Emoji], size: int, folder: Path | None = None, progress: bool = True
) -> np.ndarray:
    """Every drawing of every emoji, from the cache or drawn now and cached.

    The file is written whole or not at all and checked when read (checksums, shape, list of
    emoji); one that fails the check is made again. Its name holds a digest of the package
    versions and the size, so that an upgrade never shows stale drawings.

    Args:
        emoji: what to draw.
        size: side in pixels, at least 1.
        folder: cache folder; None is :func:`cache_folder`.
        progress: show a progress bar while drawing.

    Returns:
        [len(emoji), 2, size, size, 3], uint8; the second axis is the vendor.

    Raises:
        ValueError: size below 1.
        OSError: the cache folder cannot be written.
    """
    if size < 1:
        raise ValueError(f"size: wanted at least 1 pixel, got {size}")
    folder = cache_folder() if folder is None else folder
    codes = np.array([item.code for item in emoji])
    fingerprint = json.dumps([_LAYOUT, size, package_versions(), codes.tolist()])
    digest = hashlib.sha256(fingerprint.encode()).hexdigest()[:16]
    path = folder / f"emoji-{size}px-{digest}.npz"
    cached = _read(path, codes, size)
    if cached is not None:
        return cached
    rows = tqdm(emoji, desc="drawing emoji", unit="emoji", disable=not progress)
    images = np.stack([[rasterise(drawing, size) for drawing in item.drawings] for item in rows])
    try:
        write_atomic(path, lambda file: np.savez(file, images=images, codes=codes))
    except OSError as error:
        raise OSError(f"cache folder {folder} cannot be written: {error}") from error
    return images


def _read(path: Path, codes: np.ndarray, size: int) -> np.ndarray | None:
    """The cached images, or None when the file is missing or damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            images, known = content["images"], content["codes"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    whole = images.shape == (len(codes), 2, size, size, 3) and images.dtype == np.uint8
    return images if whole and np.array_equal(known, codes) else None

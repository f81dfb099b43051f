"""Rasters of all drawings, kept in one checked file."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pml_suprank.recipes.data.emoji_sources import Emoji, package_versions, rasterise
from pml_suprank.recipes.data.raster_cache import Arrays, cache_folder, cached_arrays
from pml_suprank.recipes.progress import progress_bar

__all__ = ["cache_folder", "load_rasters"]

_LAYOUT = 1  # raise it when the content of the file changes meaning


def load_rasters(
    emoji: Sequence[Emoji], size: int, folder: Path | None = None, progress: bool = True
) -> np.ndarray:
    """Every drawing of every emoji, from the cache or drawn now and cached.

    What the file's name and its check hold: package versions, size and the list of emoji.

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
    codes = np.array([item.code for item in emoji])
    shape = (len(emoji), 2, size, size, 3)

    def draw() -> Arrays:
        rows = progress_bar("drawing emoji", "emoji", emoji, shown=progress)
        images = np.stack(
            [[rasterise(drawing, size) for drawing in item.drawings] for item in rows]
        )
        return {"images": images, "codes": codes}

    def fits(found: Mapping[str, np.ndarray]) -> bool:
        images = found.get("images")
        whole = images is not None and images.shape == shape and images.dtype == np.uint8
        return whole and np.array_equal(found.get("codes", ()), codes)

    fingerprint = [_LAYOUT, size, package_versions(), codes.tolist()]
    return cached_arrays(f"emoji-{size}px", fingerprint, draw, fits, folder)["images"]

"""Look at all image files of a data set before training, cheaply: are they there, do they begin as images do?"""

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from pml_suprank.recipes.data.images import BrokenImage, ImageDataset

__all__ = ["broken_files", "describe_broken", "has_files", "missing_files"]

_THREADS = 8


def has_files(data: ImageDataset) -> bool:
    """Whether the images are files, not drawings or rasters that a loader keeps otherwise."""
    return type(data).decode is ImageDataset.decode


def broken_files(data: ImageDataset, *, progress: bool = True) -> list[BrokenImage]:
    """Images that are missing, empty, or do not begin as an image of their format does. No pixel is decoded.

    Args:
        data: of image files.
        progress: show a progress bar.

    Returns:
        The broken images, by index.
    """
    Image.init()
    with warnings.catch_warnings(), ThreadPoolExecutor(_THREADS) as pool:
        warnings.simplefilter("ignore")  # of Pillow, of large images and odd headers
        reasons = tqdm(
            pool.map(_reason, data.paths, chunksize=256),
            total=len(data),
            desc="looking at image files",
            unit="image",
            disable=not progress,
        )
        return [
            BrokenImage(index, data.paths[index], reason)
            for index, reason in enumerate(reasons)
            if reason
        ]


def missing_files(paths: Sequence[Path], *, progress: bool = True) -> list[int]:
    """Indices of the paths where there is no file."""
    with ThreadPoolExecutor(_THREADS) as pool:
        found = tqdm(
            pool.map(Path.is_file, paths, chunksize=256),
            total=len(paths),
            desc="looking for image files",
            unit="image",
            disable=not progress,
        )
        return [index for index, is_there in enumerate(found) if not is_there]


def describe_broken(broken: Sequence[BrokenImage], total: int, most: int = 5) -> str:
    """Broken images in one text: how many files of a total, and the first with reasons."""
    first = "; ".join(f"{str(item.path)!r} ({item.reason})" for item in broken[:most])
    more = f"; and {len(broken) - most:,} more" if len(broken) > most else ""
    return f"{len(broken):,} of {total:,} files: {first}{more}"


def _reason(path: Path) -> str:
    """What is wrong with a file; empty where nothing is."""
    try:
        if not path.is_file():
            return "no such file"
        if not path.stat().st_size:
            return "an empty file"
        if path.suffix.lower() not in Image.registered_extensions():
            return ""  # of a format that others read
        with Image.open(path) as image:
            return "" if min(image.size) else "an image without pixels"
    except Exception as error:  # damaged files raise nearly anything in Pillow's plugins
        return f"{type(error).__name__}: {error}"

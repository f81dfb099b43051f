"""Look at all image files before training, cheaply: are they there, do they begin and end as images do?"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pml_suprank.recipes.data.images import BrokenImage, ImageDataset
from pml_suprank.recipes.data.pictures import BrokenImageError, check_ends
from pml_suprank.recipes.progress import progress_bar

__all__ = ["broken_files", "describe_broken", "has_files", "missing_files"]

_THREADS = 8


def has_files(data: ImageDataset) -> bool:
    """Whether the images are files, not drawings or rasters that a loader keeps otherwise."""
    return type(data).decode is ImageDataset.decode


def broken_files(data: ImageDataset, *, progress: bool = True) -> list[BrokenImage]:
    """Images that are missing, empty, cut off, too large, or of no format that is read, by :func:`check_ends`.

    Args:
        data: of image files.
        progress: show a progress bar.

    Returns:
        The broken images, by index.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        reasons = progress_bar(
            "looking at image files",
            "image",
            pool.map(_reason, data.paths, chunksize=256),
            total=len(data),
            shown=progress,
        )
        return [
            BrokenImage(index, data.paths[index], reason)
            for index, reason in enumerate(reasons)
            if reason
        ]


def missing_files(paths: Sequence[Path], *, progress: bool = True) -> list[int]:
    """Indices of the paths where there is no file."""
    with ThreadPoolExecutor(_THREADS) as pool:
        found = progress_bar(
            "looking for image files",
            "image",
            pool.map(Path.is_file, paths, chunksize=256),
            total=len(paths),
            shown=progress,
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
        check_ends(path)
    except BrokenImageError as error:
        return error.reason
    return ""

"""Decode all images of a data set before training."""

from pml_suprank.recipes.data.images import BrokenImage, BrokenImageError, ImageDataset
from pml_suprank.recipes.progress import progress_bar

__all__ = ["check_images"]


def check_images(data: ImageDataset, *, progress: bool = True) -> list[BrokenImage]:
    """Decode every image once, before training rather than in the middle of it.

    Args:
        data: with either ``on_error``; its transform is not applied.
        progress: show a progress bar.

    Returns:
        The broken images, by index.
    """
    for index in progress_bar("checking images", "image", range(len(data)), shown=progress):
        try:
            data.image(index)
        except BrokenImageError:
            continue
    return [BrokenImage(i, data.paths[i], data.broken[i]) for i in sorted(data.broken)]

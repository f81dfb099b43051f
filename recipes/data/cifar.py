"""CIFAR-100: 100 classes of 20 super-classes, in the files that torchvision keeps."""

from typing import Any

import numpy as np
from PIL import Image

from pml_suprank.recipes.data.assembly import label_chains
from pml_suprank.recipes.data.images import ImageDataset
from pml_suprank.recipes.data.layout import PathLike, choose, need
from pml_suprank.recipes.data.pickles import load_plain_pickle

__all__ = ["LEVEL_NAMES", "CifarDataset", "load_cifar100"]

LEVEL_NAMES = ("class", "super_class")
_SIDE = 32


class CifarDataset(ImageDataset):
    """Images kept in memory, [N, 32, 32, 3] uint8; ``paths`` are the names in the archive."""

    def __init__(self, pixels: np.ndarray, *args: Any, **items: Any):
        super().__init__(*args, **items)
        self.pixels = pixels

    def decode(self, index: int) -> Image.Image:
        """One image, RGB."""
        return Image.fromarray(self.pixels[index])

    def subset(self, indices: Any) -> "CifarDataset":
        """Some of the images, in the given order, with the same labels and taxonomy."""
        other = super().subset(indices)
        other.pixels = self.pixels[list(indices)]
        return other


def load_cifar100(root: PathLike, split: str = "train", **items: Any) -> CifarDataset:
    """CIFAR-100 with the levels class < super-class.

    Reads ``cifar-100-python/meta`` and ``train`` or ``test`` beside it, the Python version of the
    data set that ``torchvision.datasets.CIFAR100(root, download=True)`` leaves behind. Nothing
    is downloaded. The split is not zero-shot: training and test images are of the same classes.

    Args:
        root: the folder above ``cifar-100-python``, as for torchvision, or that folder.
        split: "train" or "test".
        **items: arguments of :class:`ImageDataset`, such as ``transform``.

    Returns:
        Images in the order of the file; classes in the order of their published numbers.

    Raises:
        ValueError: another split, or a file without these entries.
        FileNotFoundError: a missing file.
    """
    name = choose("split", split, {"train": "train", "test": "test"})
    file = need(root, f"cifar-100-python/{name}", name)
    meta = load_plain_pickle(need(file.parent, "meta"))
    batch = load_plain_pickle(file)
    try:
        fine_names, coarse_names = meta["fine_label_names"], meta["coarse_label_names"]
        pixels, names = np.asarray(batch["data"]), batch["filenames"]
        pairs = list(zip(batch["fine_labels"], batch["coarse_labels"], strict=True))
    except KeyError as error:
        raise ValueError(f"{file}: wanted the entries of CIFAR-100, got no {error}") from None
    if pixels.shape != (len(pairs), 3 * _SIDE * _SIDE) or pixels.dtype != np.uint8:
        raise ValueError(
            f"{file}: wanted data uint8 [{len(pairs)}, {3 * _SIDE * _SIDE}], "
            f"got {pixels.dtype} {list(pixels.shape)}"
        )
    chains = [(coarse_names[coarse], fine_names[fine]) for fine, coarse in pairs]
    classes = [(coarse_names[coarse], fine_names[fine]) for fine, coarse in sorted(set(pairs))]
    hierarchy, labels = label_chains(chains, LEVEL_NAMES, classes)
    pixels = pixels.reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1)
    return CifarDataset(np.ascontiguousarray(pixels), names, labels, hierarchy, **items)

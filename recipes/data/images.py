"""The data set of the recipes: images on disk, their labels at every level, and the taxonomy."""

import copy
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.hierarchy.folders import LeftOut
from pml_suprank.recipes.data.paths import IdPaths
from pml_suprank.recipes.data.pictures import (
    WHITE,
    BrokenImageError,
    check_background,
    read_picture,
)

__all__ = ["BrokenImage", "BrokenImageError", "ImageDataset"]

Self = TypeVar("Self", bound="ImageDataset")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BrokenImage:
    """One broken image that ``check_images`` found."""

    index: int
    path: Path
    reason: str


class ImageDataset(Dataset[Any]):
    """Images that are opened when asked for; PML's trainers and testers take it as it is.

    An item is ``(image, labels)``, or ``(image, labels, index)`` with ``return_index``.

    A broken image either raises, or (``on_error="skip"``) its place is taken by the next image
    in order, after the last one the first, that is whole: the same one every time. Labels and
    index of the item are those of the image shown. Each broken file is logged once by path and
    kept in ``broken``; worker processes of a loader each keep their own. To have none of this
    during training, drop what ``check_images`` finds: ``data.without(check_images(data))``.

    Args:
        paths: [N] image files; an :class:`IdPaths` is kept as it is.
        labels: [N, L] integers, column 0 finest: rows of ``hierarchy.table``.
        hierarchy: the taxonomy, with L levels.
        transform: from a PIL image (RGB) to what the model takes; None gives the PIL image.
        label_form: "levels" gives an int64 tensor [L] per item, "class" an int, the finest.
        return_index: whether an item ends with its index.
        on_error: "raise" or "skip".
        captions: [N] texts that say what the images show; None for none.
        background: colour behind the transparent parts of images, a name or "#rrggbb".

    Attributes:
        broken: index to reason, of the images found broken so far in this process.
        left_out: what the loader has found beside the images and not read.
        credits: who made the images, and their licence, where whoever shows them has to say so.
        versions: of the packages that the images come from.

    Raises:
        ValueError: another label_form, on_error or background, or labels that do not fit the paths or tree.
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        labels: Tensor,
        hierarchy: Hierarchy,
        transform: Callable[[Any], Any] | None = None,
        *,
        label_form: str = "levels",
        return_index: bool = False,
        on_error: str = "raise",
        captions: Sequence[str] | None = None,
        background: str = WHITE,
    ):
        check_background(background)
        if label_form not in ("class", "levels"):
            raise ValueError(f"label_form: wanted 'class' or 'levels', got {label_form!r}")
        if on_error not in ("raise", "skip"):
            raise ValueError(f"on_error: wanted 'raise' or 'skip', got {on_error!r}")
        shape = (len(paths), hierarchy.num_levels)
        if labels.shape != shape or labels.dtype != torch.int64:
            raise ValueError(
                f"labels: wanted int64 {list(shape)}, got {labels.dtype} {list(labels.shape)}"
            )
        classes = labels[:, 0]
        if len(classes) and not 0 <= int(classes.min()) <= int(classes.max()) < len(hierarchy):
            raise ValueError(f"labels: wanted classes 0..{len(hierarchy) - 1}, got others")
        if not torch.equal(hierarchy.table[classes], labels):
            raise ValueError("labels: wanted rows of hierarchy.table, got others")
        if captions is not None and len(captions) != len(paths):
            raise ValueError(
                f"captions: wanted {len(paths)}, one for each image, got {len(captions)}"
            )
        self.captions = None if captions is None else tuple(captions)
        self.paths: Sequence[Path] = (
            paths if isinstance(paths, IdPaths) else tuple(Path(path) for path in paths)
        )
        self.labels = labels
        self.hierarchy = hierarchy
        self.transform = transform
        self.label_form = label_form
        self.return_index = return_index
        self.on_error = on_error
        self.background = background
        self.broken: dict[int, str] = {}
        self.left_out: tuple[LeftOut, ...] = ()
        self.credits: dict[str, str] = {}
        self.versions: dict[str, str] = {}

    @property
    def level_labels(self) -> Tensor:
        """[N, L], the same as ``labels``: the name that the emoji data set uses."""
        return self.labels

    def __len__(self) -> int:
        return len(self.paths)

    def decode(self, index: int) -> Image.Image:
        """Read one image as a viewer shows it, RGB; what a data set that keeps its images otherwise overrides."""
        return read_picture(self.paths[index], self.background)

    def image(self, index: int) -> Image.Image:
        """The untransformed image.

        Raises:
            BrokenImageError: the file is missing or cannot be decoded.
        """
        try:
            return self.decode(index)
        except (OSError, ValueError) as error:
            told = f"{type(error).__name__}: {error}"
            self._report(index, getattr(error, "reason", told))
            raise BrokenImageError(
                f"image {index}: wanted a readable image, got {str(self.paths[index])!r} "
                f"({self.broken[index]})",
                self.broken[index],
            ) from error

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index: wanted -{len(self)}..{len(self) - 1}, got {index}")
        index, image = self._whole(index % len(self))
        shown = image if self.transform is None else self.transform(image)
        label: Any = self.labels[index]
        if self.label_form == "class":
            label = int(label[0])
        return (shown, label, index) if self.return_index else (shown, label)

    def _whole(self, index: int) -> tuple[int, Image.Image]:
        """The image at an index or, where that is to be skipped, the next whole one."""
        if self.on_error == "raise":
            return index, self.image(index)
        for step in range(len(self)):
            other = (index + step) % len(self)
            if other not in self.broken:
                try:
                    return other, self.image(other)
                except BrokenImageError:
                    continue
        raise BrokenImageError(f"paths: wanted a readable image, got {len(self)} broken ones")

    def _report(self, index: int, reason: str) -> None:
        if index not in self.broken:
            self.broken[index] = reason
            _log.warning("broken image %d: %s (%s)", index, self.paths[index], reason)

    def with_transform(self: Self, transform: Callable[[Any], Any] | None) -> Self:
        """The same images with another transform."""
        other = copy.copy(self)
        other.transform, other.broken = transform, dict(self.broken)
        return other

    def subset(self: Self, indices: Sequence[int]) -> Self:
        """Some of the images, in the given order, with the same labels and taxonomy."""
        other = copy.copy(self)
        paths = self.paths
        if isinstance(paths, IdPaths):
            other.paths = paths.take(indices)
        else:
            other.paths = tuple(paths[index] for index in indices)
        other.labels = self.labels[torch.as_tensor(list(indices), dtype=torch.long)]
        if self.captions is not None:
            other.captions = tuple(self.captions[index] for index in indices)
        other.broken = {}
        return other

    def without(self: Self, broken: Sequence[BrokenImage]) -> Self:
        """All images but the given ones; classes that lose all images stay in the taxonomy."""
        dropped = {item.index for item in broken}
        return self.subset([index for index in range(len(self)) if index not in dropped])

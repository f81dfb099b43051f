"""Features of a frozen trunk, computed once for a data set and a trunk: of every image, and of augmented views of it.

A split is rows of them, so that splits can be drawn again and again. An augmented view depends on its number and on the
name of the image alone, whichever split it is computed for.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.integrations.timm_backbones import build_models, build_transforms
from pml_suprank.recipes.files import write_atomic
from pml_suprank.recipes.seeding import seed_everything
from studies.data.sources import load

__all__ = [
    "BACKBONE",
    "Features",
    "Source",
    "extract",
    "load_features",
    "load_items",
    "load_views",
    "transforms",
    "view_columns",
]

BACKBONE = "tf_efficientnet_lite0"
_LAYOUT = 2  # raise it when the content of the file changes meaning


@dataclass(frozen=True)
class Source:
    """A data set as the runs see it.

    Attributes:
        data: a loader of :mod:`studies.data.sources` that needs no root.
        backbone: the trunk, a timm model with packaged weights.
        views: augmented views of a training image.
        image_size: side in pixels.
        limit: of the loader; None for all.
        seed: of the splits.
    """

    data: str
    backbone: str = BACKBONE
    views: int = 8
    image_size: int = 64
    limit: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Features:
    """A split as the frozen trunk sees it.

    Attributes:
        views: (N, V, F) float32; view 0 is the image itself, the others are augmented.
        labels: (N, L) labels, column 0 finest.
        hierarchy: of the classes of the split.
    """

    views: Tensor
    labels: Tensor
    hierarchy: Hierarchy

    def standardised(self, by: "Features", least: float = 1e-3) -> "Features":
        """The same, with mean 0 and deviation 1 in every dimension over the images of ``by``.

        Args:
            by: the training split.
            least: a smaller deviation counts as this one.
        """
        mean, deviation = by.statistics(least)
        return Features((self.views - mean) / deviation, self.labels, self.hierarchy)

    def statistics(self, least: float = 1e-3) -> tuple[Tensor, Tensor]:
        """Mean and deviation (F,) of every dimension over the images, the latter at least ``least``."""
        clean = self.views[:, 0]
        return clean.mean(0), clean.std(0).clamp(min=least)


def load_features(
    source: Source,
    split: str | None,
    folder: Path,
    *,
    augmented: bool = False,
    cache_dir: Path | None = None,
) -> Features:
    """Features of a split; those of the whole data set are in ``folder``, or computed now and kept there.

    Args:
        source: the data and the trunk.
        split: of the loader; None for all images.
        folder: of the cached features.
        augmented: whether the augmented views come along, or the images alone.
        cache_dir: where the loader keeps its rasters; None is the user's cache folder.

    Raises:
        ValueError: an unknown data set or split.
        ImportError: a package of ``studies/requirements.txt`` is missing.
    """
    whole = _whole(source.data, source.limit, cache_dir)
    path = folder / f"{source.data}-{source.backbone}-{_digest(source, whole, source.views)}.npy"
    try:
        half = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        half = extract(whole, source, source.views).numpy()
        write_atomic(path, lambda file: np.save(file, half))
    part = load_items(source, split, cache_dir)
    places = {image: row for row, image in enumerate(whole.paths)}
    rows = [places[image] for image in part.paths]
    views = half[rows] if augmented else half[rows, :1]
    return Features(torch.from_numpy(views).float(), part.labels, part.hierarchy)


def load_views(
    source: Source,
    split: str | None,
    folder: Path,
    *,
    augmented: bool = False,
    cache_dir: Path | None = None,
) -> Features:
    """The images of :func:`load_features` with the same arguments, (N, 1 + views, 3, S, S) in half precision.

    A file has the images of one split: those of the whole data set would be too many.
    """
    items = load_items(source, split, cache_dir)
    views = source.views if augmented else 0
    path = folder / f"{source.data}-{split}-images-{_digest(source, items, views)}.npy"
    try:
        half = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        half = view_columns(items, source, views).numpy()
        write_atomic(path, lambda file: np.save(file, half))
    return Features(torch.from_numpy(half), items.labels, items.hierarchy)


def load_items(source: Source, split: str | None, cache_dir: Path | None) -> Any:
    """A split as images; the arguments are those of :func:`load_features`."""
    limited = {} if source.limit is None else {"limit": source.limit}
    return load(source.data, cache_dir, split, seed=source.seed, **limited)


@lru_cache(maxsize=1)
def _whole(data: str, limit: int | None, cache_dir: Path | None) -> Any:
    return load_items(Source(data, limit=limit), None, cache_dir)


def _digest(source: Source, items: Any, views: int) -> str:
    """What decides the content of a file, in twelve letters."""
    names = "\n".join(map(_name, items.paths))
    what = [_LAYOUT, source.data, source.backbone, views, source.image_size, version("timm"), names]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:12]


def _name(path: Path) -> str:
    """The name of an image in its data set, on whatever machine."""
    return "/".join(path.parts[-2:])


@torch.no_grad()
def extract(items: Any, source: Source, views: int) -> Tensor:
    """Features of every image and of augmented views of it, (N, 1 + views, F) in half precision.

    Args:
        items: an image data set.
        source: the trunk and the size of the images.
        views: augmented views of each image.
    """
    trunk = _trunk(source)
    return _columns(items, views, source.image_size, trunk, trunk)


def view_columns(items: Any, source: Source, views: int) -> Tensor:
    """Every image and augmented views of it, as the trunk takes them: (N, 1 + views, 3, S, S) in half precision.

    Args:
        items: an image data set.
        source: the trunk and the size of the images.
        views: augmented views of each image.
    """
    return _columns(items, views, source.image_size, _trunk(source), lambda batch: batch)


def _trunk(source: Source) -> Any:
    return build_models(source.backbone, 1, weights="packaged", channels_last=True)["trunk"].eval()


def _columns(
    items: Any, views: int, image_size: int, trunk: Any, one: Callable[[Tensor], Tensor]
) -> Tensor:
    """What ``one`` makes of batches of every image and of augmented views of it, (N, 1 + views, ...)."""
    augment, plain = transforms(trunk, image_size)
    columns = []
    with tqdm(total=len(items) * (1 + views), desc="views", unit="image") as bar:
        for view in range(1 + views):
            rows = []
            seen = _View(items, augment if view else plain, view)
            for batch in DataLoader(seen, batch_size=128):
                rows.append(one(batch).half())
                bar.update(len(batch))
            columns.append(torch.cat(rows))
    return torch.stack(columns, dim=1)


class _View(Dataset[Tensor]):
    """The images of a data set through a transform that draws the same numbers for the same image and view."""

    def __init__(self, items: Any, transform: Callable[[Any], Tensor], view: int):
        self.items, self.transform, self.view = items, transform, view

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Tensor:
        seed_everything(self.view, crc32(_name(self.items.paths[index]).encode()))
        return self.transform(self.items.image(index))


def transforms(trunk: Any, image_size: int) -> tuple[Callable, Callable]:
    """Augmentation for training, without mirroring (letters and hands have a side), and none for evaluation."""
    return build_transforms(
        trunk,
        image_size,
        train_options={"scale": (0.6, 1.0), "color_jitter": 0.2, "hflip": 0.0},
        eval_options={"crop_pct": 1.0},
    )

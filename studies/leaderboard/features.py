"""Features of a frozen trunk, computed once: of every image, and of augmented views of it."""

import hashlib
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.integrations.timm_backbones import build_models, build_transforms
from pml_suprank.recipes.files import write_atomic
from pml_suprank.recipes.seeding import seed_everything
from studies.data.sources import load

__all__ = [
    "BACKBONE",
    "Features",
    "extract",
    "load_features",
    "load_items",
    "load_views",
    "transforms",
]

BACKBONE = "tf_efficientnet_lite0"
_LAYOUT = 1  # raise it when the content of the file changes meaning


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
    data: str,
    split: str,
    folder: Path,
    *,
    views: int = 0,
    image_size: int = 64,
    limit: int | None = None,
    cache_dir: Path | None = None,
) -> Features:
    """Features of a split, from ``folder`` or computed now and kept there.

    Args:
        data: a loader of :mod:`studies.data.sources` that needs no root.
        split: of that loader.
        folder: of the cached features.
        views: augmented views beside the image itself.
        image_size: side in pixels.
        limit: of the loader, for a small run; None for all.
        cache_dir: where the loader keeps its rasters; None is the user's cache folder.

    Raises:
        ValueError: an unknown data set or split.
        ImportError: a package of ``studies/requirements.txt`` is missing.
    """
    items = load_items(data, split, limit, cache_dir)
    what = [_LAYOUT, data, split, views, image_size, limit, version("timm")]
    labels = items.labels.numpy()
    digest = hashlib.sha256(json.dumps(what).encode() + labels.tobytes()).hexdigest()[:12]
    path = folder / f"{data}-{split}-{digest}.npz"
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            half = content["views"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        half = extract(items, views, image_size).half().numpy()
        write_atomic(path, lambda file: np.savez(file, views=half))
    return Features(torch.from_numpy(half).float(), items.labels, items.hierarchy)


def load_views(
    data: str,
    split: str,
    folder: Path,
    *,
    views: int,
    image_size: int,
    limit: int | None = None,
    cache_dir: Path | None = None,
) -> Features:
    """The images of :func:`load_features` with the same arguments, (N, 1 + views, 3, S, S) in half precision."""
    items = load_items(data, split, limit, cache_dir)
    what = [_LAYOUT, "images", data, split, views, image_size, limit, version("timm")]
    digest = hashlib.sha256(json.dumps(what).encode() + items.labels.numpy().tobytes()).hexdigest()
    path = folder / f"{data}-{split}-images-{digest[:12]}.npy"
    try:
        half = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        trunk = build_models(BACKBONE, 1, weights="packaged")["trunk"]
        half = _columns(items, views, image_size, trunk, lambda batch: batch.half()).numpy()
        write_atomic(path, lambda file: np.save(file, half))
    return Features(torch.from_numpy(half), items.labels, items.hierarchy)


def load_items(data: str, split: str, limit: int | None, cache_dir: Path | None) -> Any:
    """A split as images; the arguments are those of :func:`load_features`."""
    return load(data, cache_dir, split, **({} if limit is None else {"limit": limit}))


@torch.no_grad()
def extract(items: Any, views: int, image_size: int) -> Tensor:
    """Features of every image and of augmented views of it, (N, 1 + views, F).

    Args:
        items: an image data set.
        views: augmented views of each image.
        image_size: side in pixels.
    """
    trunk = build_models(BACKBONE, 1, weights="packaged", channels_last=True)["trunk"].eval()
    return _columns(items, views, image_size, trunk, trunk)


def _columns(
    items: Any, views: int, image_size: int, trunk: Any, one: Callable[[Tensor], Tensor]
) -> Tensor:
    """What ``one`` makes of batches of every image and of augmented views of it, (N, 1 + views, ...)."""
    augment, plain = transforms(trunk, image_size)
    columns = []
    with tqdm(total=len(items) * (1 + views), desc="views", unit="image") as bar:
        for view in range(1 + views):
            seed_everything(view)
            columns.append(_pass(one, items, augment if view else plain, bar))
    return torch.stack(columns, dim=1)


def transforms(trunk: Any, image_size: int) -> tuple[Callable, Callable]:
    """Augmentation for training, without mirroring (letters and hands have a side), and none for evaluation."""
    return build_transforms(
        trunk,
        image_size,
        train_options={"scale": (0.6, 1.0), "color_jitter": 0.2, "hflip": 0.0},
        eval_options={"crop_pct": 1.0},
    )


def _pass(
    one: Callable[[Tensor], Tensor], items: Any, transform: Callable[[Any], Tensor], bar: Any
) -> Tensor:
    rows = []
    for batch in DataLoader(items.with_transform(transform), batch_size=128):
        rows.append(one(batch[0]))
        bar.update(len(batch[0]))
    return torch.cat(rows)

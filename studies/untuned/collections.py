"""Small collections of pictures as people have them: few images, uneven classes, images of every class held out."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pml_suprank.hierarchy import Hierarchy
from studies.data.sources import load
from studies.leaderboard.features import Features, Source, view_columns

__all__ = ["COLLECTIONS", "SIZES", "Size", "collect", "draw_rows"]

COLLECTIONS: dict[str, tuple[Source, int]] = {
    "emoji": (Source("emoji"), 1),
    "glyphs": (Source("glyphs"), 0),
    "signwriting": (Source("signwriting"), 0),
    "elpv": (Source("elpv", image_size=96), 0),
}
"""Name to the pictures, and to the label column that is the finest level: an emoji has two pictures, too few to hold
one out, so its class is the subgroup."""
LEAST = 4
"""Images of a class, two on either side."""
MOST_CHILDREN = 6
"""Classes of a parent."""
UNEVEN = 6.0
"""Images of the largest class, as a multiple of those of the smallest."""


@dataclass(frozen=True)
class Size:
    """How large a collection is.

    Attributes:
        classes: at the finest level; all where the data has fewer.
        images: of both sides, about.
        batch_size: of its training.
    """

    classes: int
    images: int
    batch_size: int


SIZES = {"small": Size(35, 368, 32), "medium": Size(56, 1689, 64)}


def collect(
    name: str, size: Size, seed: int, cache_dir: Path | None = None
) -> tuple[Features, Features]:
    """Images to train on, with augmented views, and images of the same classes to test on.

    Args:
        name: of :data:`COLLECTIONS`.
        size: of the collection.
        seed: of its classes, its images, and which of them are held out.
        cache_dir: of the rasters.
    """
    source, finest = COLLECTIONS[name]
    items = load(source.data, cache_dir)
    labels = items.labels[:, finest:]
    rows = draw_rows(labels, size, np.random.default_rng([seed, 7]))
    train = np.concatenate([own[: (len(own) + 1) // 2] for own in rows]).tolist()
    test = np.concatenate([own[(len(own) + 1) // 2 :] for own in rows]).tolist()
    columns = [torch.unique(column, return_inverse=True)[1] for column in labels[train + test].T]
    numbered = torch.stack(columns, dim=1)
    tree = Hierarchy.from_labels(numbered)
    return (
        _part(items.subset(train), source, source.views, numbered[: len(train)], tree),
        _part(items.subset(test), source, 0, numbered[len(train) :], tree),
    )


def draw_rows(labels: Tensor, size: Size, generator: np.random.Generator) -> list[np.ndarray]:
    """Rows of the images of each class; classes come from few parents, so that they have relatives.

    Where the data has no more classes than are wanted, all of them keep their share of the images, uneven as they are.
    Else the numbers of images rise geometrically, in random order.

    Args:
        labels: (N, L) of all images, column 0 finest.
        size: of the collection.
        generator: of the drawing.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for row, label in enumerate(labels[:, 0].tolist()):
        members[label].append(row)
    members = {label: rows for label, rows in members.items() if len(rows) >= LEAST}
    if len(members) <= size.classes:
        share = size.images / sum(map(len, members.values()))
        wanted = [max(LEAST, round(len(rows) * share)) for rows in members.values()]
        chosen = list(members)
    else:
        chosen = _classes(labels, list(members), size.classes, generator)
        steps = np.geomspace(1, UNEVEN, len(chosen))
        sizes = np.maximum(np.round(steps / steps.sum() * size.images), LEAST).astype(int)
        wanted = generator.permutation(sizes).tolist()
    return [
        generator.permutation(members[label])[:number]
        for label, number in zip(chosen, wanted, strict=True)
    ]


def _classes(
    labels: Tensor, known: list[int], number: int, generator: np.random.Generator
) -> list[int]:
    """So many classes of parents in random order, those first that have several."""
    parent_of: dict[int, int] = dict(labels[:, :2].tolist())
    children: dict[int, list[int]] = defaultdict(list)
    for label in sorted(known):
        children[parent_of[label]].append(label)
    order = generator.permutation(sorted(children)).tolist()
    chosen: list[int] = []
    for parent in sorted(order, key=lambda parent: len(children[parent]) < 2):
        chosen += generator.permutation(children[parent]).tolist()[:MOST_CHILDREN]
    return chosen[:number]


def _part(items: Any, source: Source, views: int, labels: Tensor, tree: Hierarchy) -> Features:
    return Features(view_columns(items, source, views), labels, tree)

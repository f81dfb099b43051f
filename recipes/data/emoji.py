"""Emoji drawn by two vendors, with the Unicode taxonomy emoji < subgroup < group as hierarchy.

Each of 1,903 emoji is a class of two images, one by Twemoji and one by OpenMoji. To retrieve the
other drawing of an emoji a model must look through the style of the vendor; its relatives in the
subgroup ("animal-mammal") and group ("Animals & Nature") rank next.

Some emoji are drawn alike (the flags of Norway and of Svalbard, a farmer and a male farmer), so
that no model can reach an average precision of 1 at the finest level.

Licences of the drawings: Twemoji CC-BY 4.0, OpenMoji CC BY-SA 4.0. Who passes images on, a
report included, must name the authors and the licence: :data:`LICENCES`.
"""

import copy
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.recipes.choices import EMOJI_LEVELS
from pml_suprank.recipes.data.emoji_cache import load_rasters
from pml_suprank.recipes.data.emoji_sources import LICENCES, VENDORS, Emoji, list_emoji

__all__ = ["LEVEL_NAMES", "LICENCES", "VENDORS", "EmojiDataset", "load_emoji", "split_emoji"]

LEVEL_NAMES = EMOJI_LEVELS
SIZE = 72
"""Side of the rasters in pixels: the size of Twemoji's own PNG files."""


class EmojiDataset(Dataset[Any]):
    """Images of some emoji; image ``2 e + v`` is the drawing of emoji ``e`` by vendor ``v``.

    Args:
        emoji: the classes.
        rasters: [E, 2, S, S, 3], uint8.
        transform: from a PIL image to what the model takes; None gives the PIL image.
        label_form: "class" gives an int label per item (0..E-1), "levels" a LongTensor [3].
        return_index: whether an item is ``(image, label, index)`` instead of ``(image, label)``.

    Attributes:
        hierarchy: tree of the classes; labels of the finest level are 0..E-1.
        labels: [2 E] class labels.
        level_labels: [2 E, 3] labels at every level, finest first.

    Raises:
        ValueError: an unknown label_form, or rasters of another shape.
    """

    def __init__(
        self,
        emoji: Sequence[Emoji],
        rasters: np.ndarray,
        transform: Callable[[Any], Any] | None = None,
        *,
        label_form: str = "class",
        return_index: bool = False,
    ):
        if label_form not in ("class", "levels"):
            raise ValueError(f"label_form: wanted 'class' or 'levels', got {label_form!r}")
        if rasters.shape[:2] != (len(emoji), 2) or rasters.ndim != 5:
            raise ValueError(f"rasters: wanted [{len(emoji)}, 2, S, S, 3], got {rasters.shape}")
        self.emoji = tuple(emoji)
        self.rasters = rasters
        self.transform = transform
        self.label_form = label_form
        self.return_index = return_index
        paths = ("\n".join((item.group, item.subgroup, item.name)) for item in emoji)
        self.hierarchy = Hierarchy.from_paths(paths, sep="\n", level_names=LEVEL_NAMES)
        self.labels = torch.arange(len(emoji)).repeat_interleave(2)
        self.level_labels = self.hierarchy.expand(self.labels)

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> Image.Image:
        """The untransformed image."""
        return Image.fromarray(self.rasters[index // 2, index % 2])

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        image: Any = self.image(index)
        if self.transform is not None:
            image = self.transform(image)
        label: Any = int(self.labels[index])
        if self.label_form == "levels":
            label = self.level_labels[index]
        return (image, label, index) if self.return_index else (image, label)

    def with_transform(self, transform: Callable[[Any], Any] | None) -> "EmojiDataset":
        """The same images with another transform; the rasters are shared."""
        other = copy.copy(self)
        other.transform = transform
        return other

    def subset(self, classes: Sequence[int]) -> "EmojiDataset":
        """A data set of some of the emoji, with labels 0..len(classes)-1 and its own hierarchy.

        Args:
            classes: class labels of this data set.
        """
        return EmojiDataset(
            [self.emoji[c] for c in classes],
            self.rasters[list(classes)],
            self.transform,
            label_form=self.label_form,
            return_index=self.return_index,
        )


def load_emoji(
    *,
    cache_dir: Path | None = None,
    size: int = SIZE,
    limit: int | None = None,
    progress: bool = True,
) -> EmojiDataset:
    """All emoji with both drawings.

    Args:
        cache_dir: folder for the rasters; None is the user's cache folder.
        size: side of the rasters in pixels.
        limit: keep at most that many emoji, in blocks of four neighbours that are evenly spaced
            over the taxonomy; None keeps all.
        progress: show a progress bar while drawing.

    Returns:
        The data set, without transform.

    Raises:
        ImportError: a package of the ``quickstart`` extra is missing.
        ValueError: limit is below 2.
    """
    emoji, _ = list_emoji()
    data = EmojiDataset(emoji, load_rasters(emoji, size, cache_dir, progress))
    if limit is None or limit >= len(emoji):
        return data
    if limit < 2:
        raise ValueError(f"limit: wanted at least 2 emoji, got {limit}")
    starts = np.linspace(0, len(emoji) - 4, -(-limit // 4)).round().astype(int)
    return data.subset(np.unique(starts[:, None] + np.arange(4))[:limit].tolist())


def split_emoji(
    data: EmojiDataset, seed: int = 0, test_share: float = 0.5
) -> tuple[EmojiDataset, EmojiDataset]:
    """Share out the emoji of every subgroup at random: by default one half to train, the other to test.

    No emoji is in both parts. Emoji that a vendor draws alike go to the same part, so that no
    test image has been seen in training; they move as one unit. Within a subgroup the units, in
    random order but larger ones first, go one by one to the part that is further behind its share
    of that subgroup, and at a draw to the one further behind in total. A subgroup of one unit
    trains, since a test emoji would have no relative to find.

    Args:
        data: all emoji.
        seed: of the split.
        test_share: of the emoji, in (0, 1); small subgroups come as close to it as they can.

    Returns:
        Training part and test part, emoji in the order of ``data``.

    Raises:
        ValueError: a share outside (0, 1).
    """
    if not 0 < test_share < 1:
        raise ValueError(f"test_share: wanted a number in (0, 1), got {test_share}")
    generator = np.random.default_rng(seed)
    units: dict[str, list[list[int]]] = defaultdict(list)
    for unit in _drawn_alike(data.rasters):
        units[data.emoji[unit[0]].subgroup].append(unit)
    halves: tuple[list[int], list[int]] = ([], [])
    for subgroup in units.values():
        order = [subgroup[i] for i in generator.permutation(len(subgroup))]
        here = [0, 0]
        for unit in sorted(order, key=len, reverse=True):
            counts = (here[0], len(halves[0])), (here[1], len(halves[1]))
            train, test = (
                [round(share * n, 9) for n in part]
                for share, part in zip((test_share, 1 - test_share), counts, strict=True)
            )
            half = int(train > test)
            half = 0 if len(subgroup) == 1 else half
            halves[half].extend(unit)
            here[half] += len(unit)
    return data.subset(sorted(halves[0])), data.subset(sorted(halves[1]))


def _drawn_alike(rasters: np.ndarray) -> list[list[int]]:
    """Groups of emoji that are linked by identical rasters of one vendor, in order."""
    unit_of = list(range(len(rasters)))
    for vendor in range(rasters.shape[1]):
        first: dict[bytes, int] = {}
        for index, raster in enumerate(rasters[:, vendor]):
            other = first.setdefault(raster.tobytes(), index)
            old, new = unit_of[index], unit_of[other]
            if old != new:
                unit_of = [new if unit == old else unit for unit in unit_of]
    units: dict[int, list[int]] = defaultdict(list)
    for index, unit in enumerate(unit_of):
        units[unit].append(index)
    return list(units.values())

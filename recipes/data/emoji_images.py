"""The emoji of the quickstart in the form of all other data sets, with their names as captions."""

from pathlib import Path
from typing import Any

from PIL import Image

from pml_suprank.recipes.data.captions import name_in_words
from pml_suprank.recipes.data.emoji import LICENCES, VENDORS, EmojiDataset, load_emoji, split_emoji
from pml_suprank.recipes.data.emoji_sources import package_versions
from pml_suprank.recipes.data.images import ImageDataset
from pml_suprank.recipes.data.layout import PathLike, choose
from pml_suprank.recipes.data.splits import SIDES

__all__ = ["EmojiImages", "load_emoji_images"]


class EmojiImages(ImageDataset):
    """Drawings of emoji, two of each; ``paths`` are their names, not files.

    Args:
        source: the drawings.
        **items: arguments of :class:`ImageDataset`, such as ``transform``.
    """

    def __init__(self, source: EmojiDataset, **items: Any):
        self.source = source
        self.places = tuple(range(len(source)))
        names = [source.emoji[index // 2].name for index in self.places]
        paths = [f"{name}/{VENDORS[index % 2]}" for index, name in enumerate(names)]
        captions = list(map(name_in_words, names))
        super().__init__(paths, source.level_labels, source.hierarchy, captions=captions, **items)
        self.credits, self.versions = dict(LICENCES), package_versions()

    def decode(self, index: int) -> Image.Image:
        """One drawing, RGB, on white."""
        return self.source.image(self.places[index])

    def subset(self, indices: Any) -> "EmojiImages":
        """Some of the drawings, in the given order."""
        other = super().subset(indices)
        other.places = tuple(self.places[index] for index in indices)
        return other


def load_emoji_images(
    root: PathLike | None = None,
    split: str | None = None,
    *,
    limit: int | None = None,
    seed: int = 0,
    test_share: float = 0.5,
    **items: Any,
) -> EmojiImages:
    """1,903 emoji, each drawn by two vendors, with the taxonomy emoji < subgroup < group.

    The drawings come with pip packages (the extra ``quickstart``); see :mod:`pml_suprank.recipes.data.emoji`.

    Args:
        root: folder that keeps the rasters; None is the user's cache folder.
        split: "train" or "test", shares of the emoji of every subgroup; "fit" or "val", the same shares of those of
            "train"; None for all.
        limit: use at most so many emoji; None for all.
        seed: of the split.
        test_share: of the emoji of every subgroup.
        **items: arguments of :class:`ImageDataset`, such as ``transform``.

    Raises:
        ValueError: another split, or a share outside (0, 1).
        ImportError: a package of the extra ``quickstart`` is missing.
    """
    sides = () if split is None else choose("split", split, SIDES)
    data = load_emoji(cache_dir=None if root is None else Path(root), limit=limit)
    for side in sides:
        data = split_emoji(data, seed, test_share)[side]
    return EmojiImages(data, **items)

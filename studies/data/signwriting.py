"""Symbols of SignWriting, the script of sign languages, with its own taxonomy symbol < group < category.

The International SignWriting Alphabet 2010 of Valerie Sutton has 652 symbols: hand shapes, movements, faces and more.
A hand shape is written as it is seen: the palm, the side or the back of the hand, of the right or of the left one,
upright or flat, turned in eight steps. Those views are the images of a class; to find them a model must know the
shape of the hand from all sides. Other symbols have fewer forms, some a single one, which are left out.

Groups are the alphabet's own ("Index Thumb", "Mouth Lips"), and so are the categories; the names of the symbols are
those of Unicode. Within a group all symbols are drawn at one scale, for some differ by their size alone.

The drawings are a font under the SIL Open Font License 1.1 that the package ``signwriting`` carries:
:data:`LICENCE`.
"""

from pathlib import Path
from typing import Any

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.recipes.data.layout import PathLike, choose
from pml_suprank.recipes.data.splits import SIDES, split_classes, subset_of_classes
from studies.data.crossed_splits import at_most, paired_classes
from studies.data.raster_images import RasterImages
from studies.data.signwriting_symbols import FIRST, LICENCE, list_symbols, load_symbols

__all__ = ["LEVEL_NAMES", "LICENCE", "load_signwriting"]

LEVEL_NAMES = ("symbol", "group", "category")
SIZE = 64
TEST_SHARE = 0.4
"""Of the symbols of every group: the held-out ones, of the whole data and again of the training part."""
PER_CLASS = 16
"""Most images of a class in a split."""


def load_signwriting(
    root: PathLike | None = None,
    split: str | None = None,
    *,
    limit: int | None = None,
    seed: int = 0,
    size: int = SIZE,
    progress: bool = True,
    **items: Any,
) -> RasterImages:
    """643 symbols of SignWriting in several views each, with the taxonomy symbol < group < category.

    The font comes with a pip package (``studies/requirements.txt``). "test" has 40% of the symbols of every group and
    "train" the others; "fit" and "val" are parts of "train" by the same rule. A class of a split has 2 to 16 images.

    Args:
        root: folder that keeps the rasters; None is the user's cache folder.
        split: "train", "test", "fit" or "val"; None for all symbols, with at most 32 images of each.
        limit: use at most so many symbols of every group, evenly spaced; None for all.
        seed: of the splits.
        size: side of the images in pixels, at least 16.
        progress: show a progress bar while drawing.
        **items: arguments of :class:`ImageDataset`, such as ``transform``.

    Returns:
        The images; ``sources`` are the fills, which tell the side that is seen, such as "fill 2".

    Raises:
        ValueError: another split, a limit below 1, a size below 16, or a limit that leaves nothing to split.
        ImportError: it is missing.
    """
    sides = () if split is None else choose("split", split, SIDES)
    drawn = load_symbols(size, None if root is None else Path(root), progress)
    symbols = list_symbols()
    tree = Hierarchy.from_paths(map("/".join, symbols), level_names=LEVEL_NAMES)
    classes, forms = drawn["symbol"].tolist(), drawn["form"].tolist()
    data = RasterImages(
        drawn["images"],
        [
            f"S{FIRST + c:x}{form // 16:x}{form % 16:x}"
            for c, form in zip(classes, forms, strict=True)
        ],
        [f"fill {form // 16 + 1}" for form in forms],
        tree.table[classes],
        tree,
        captions=[symbols[c][-1] for c in classes],
        **items,
    )
    data = subset_of_classes(data, paired_classes(data, limit, level=0))
    for side in sides:
        data = split_classes(data, TEST_SHARE, seed)[side]
    return data if split is None else at_most(data, PER_CLASS, seed)

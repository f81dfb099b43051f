"""Letters of seven scripts as many typefaces draw them, with the taxonomy glyph < letter < script.

A class is one form of a letter, such as the small "e with acute"; each of its images is by another typeface. To find
the others a model must look through the style. Forms of the same letter, both cases and all marks, rank next, then
the letters of the script. Scripts without case (Hebrew, Arabic, Devanagari, Thai) have letters with few forms, most
with one.

Many letters look alike across scripts (A is Latin, Greek and Cyrillic) and some within one (o and O differ by their
size alone), so that no model can reach an average precision of 1.
"""

from pathlib import Path
from typing import Any

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.recipes.data.layout import PathLike, choose
from pml_suprank.recipes.data.splits import SIDES, subset_of_classes
from studies.data.crossed_splits import at_most, paired_classes, split_crossed
from studies.data.glyph_fonts import list_faces
from studies.data.glyph_letters import list_letters
from studies.data.glyph_rasters import load_glyph_rasters
from studies.data.raster_images import RasterImages

__all__ = ["LEVEL_NAMES", "load_glyphs"]

LEVEL_NAMES = ("glyph", "letter", "script")
SIZE = 64
LETTER_SHARE = 1 / 3
"""Of the letters of every script: the held-out ones, of the whole data and again of the training part."""
DESIGN_SHARE = 0.4
"""Of the designs of typefaces that every script has: the same."""
PER_CLASS = 16
"""Most images of a class in a split."""


def load_glyphs(
    root: PathLike | None = None,
    split: str | None = None,
    *,
    limit: int | None = None,
    seed: int = 0,
    size: int = SIZE,
    progress: bool = True,
    **items: Any,
) -> RasterImages:
    """Letters of seven scripts drawn by some 80 families of typefaces, with the taxonomy glyph < letter < script.

    The typefaces come with pip packages (``studies/requirements.txt``). "test" has a third of the letters of every
    script, drawn by 40% of the families that have the script; "train" has the other letters by the other families,
    and "fit" and "val" are parts of "train" cut by the same rule. No letter and no family is on both sides of a cut.
    A class has 2 to 16 images, of different families as far as there are.

    Args:
        root: folder that keeps the rasters; None is the user's cache folder.
        split: "train", "test", "fit" or "val"; None for all letters by all families.
        limit: use at most so many letters of every script, evenly spaced; None for all.
        seed: of the splits.
        size: side of the images in pixels.
        progress: show a progress bar while drawing.
        **items: arguments of :class:`ImageDataset`, such as ``transform``.

    Returns:
        The images; ``sources`` are the families.

    Raises:
        ValueError: another split, a limit below 1, or a limit that leaves nothing to split.
        ImportError: one of them is missing.
    """
    sides = () if split is None else choose("split", split, SIDES)
    faces, letters = list_faces(), list_letters()
    folder = None if root is None else Path(root)
    drawn = load_glyph_rasters(faces, letters, size, folder, progress)
    by = [faces[place] for place in drawn["face"]]
    of = [letters[place] for place in drawn["letter"]]
    tree = Hierarchy.from_paths(
        ("/".join((item.script, item.letter, item.glyph)) for item in letters),
        level_names=LEVEL_NAMES,
    )
    data = RasterImages(
        drawn["images"],
        [f"{face.name}/{item.code}" for face, item in zip(by, of, strict=True)],
        [face.design for face in by],
        tree.table[drawn["letter"].tolist()],
        tree,
        captions=[item.glyph for item in of],
        **items,
    )
    data = subset_of_classes(data, paired_classes(data, limit, level=1))
    for side in sides:
        data = split_crossed(data, node_share=LETTER_SHARE, source_share=DESIGN_SHARE, seed=seed)[
            side
        ]
    return data if split is None else at_most(data, PER_CLASS, seed)

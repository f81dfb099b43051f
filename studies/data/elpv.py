"""Photographs of solar cells, with a tree of what an expert said of each: kind < grade < verdict.

2,624 cells of 44 modules, photographed by their own glow under current (electroluminescence): cracks and dead areas
are dark. An expert was asked two things of each cell: is it functional or defective, and are you sure? The four
answers are the published probabilities of a defect, 0, 1/3, 2/3 and 1. The tree is these questions in their order.
The verdict is on top, since a wrong one costs most: a sound cell is replaced, or a broken one stays. Below it is the
grade, which says how sure the expert was. A kind is a grade of one type of cell, mono- or polycrystalline: whoever
looks for cells like this one wants the same type, but the same grade of the other type is a smaller mistake than
another grade, because the type is no judgement, and known of every module.

The photographs come with the package ``elpv-dataset``: :data:`LICENCE`. Nothing of it is shipped or copied here.

References:
    Deitsch et al., Automatic classification of defective photovoltaic module cells in electroluminescence images,
    Solar Energy 185, 2019, arXiv 1807.02894.
"""

from collections import defaultdict
from typing import Any

import numpy as np

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.recipes.data.images import ImageDataset
from pml_suprank.recipes.data.layout import PathLike, choose
from pml_suprank.recipes.data.splits import SIDES, split_images
from studies.data.packages import needed_folder

__all__ = ["LEVEL_NAMES", "LICENCE", "load_elpv"]

LEVEL_NAMES = ("kind", "grade", "verdict")
LICENCE = "CC BY-NC-SA 4.0, ZAE Bayern (elpv-dataset); not for commercial use"
GRADES = (
    ("functional", "surely functional"),
    ("functional", "perhaps functional"),
    ("defective", "perhaps defective"),
    ("defective", "surely defective"),
)
"""Verdict and grade of the probabilities 0, 1/3, 2/3 and 1."""
TYPES = ("mono", "poly")
TEST_SHARE = 0.5
"""Of the photographs of every kind: the held-out ones, of the whole data and again of the training part."""


def load_elpv(
    root: PathLike | None = None,
    split: str | None = None,
    *,
    limit: int | None = None,
    seed: int = 0,
    **items: Any,
) -> ImageDataset:
    """2,624 grey photographs of solar cells, 300 x 300, with the taxonomy kind < grade < verdict.

    They come with a pip package (``studies/requirements.txt``). "test" has half of the photographs of every kind and
    "train" the others; "fit" and "val" are the halves of "train". All eight kinds are on all sides: too few to hold
    some out. Cells of one module may be on both sides, since the package does not say which module a cell is of.

    Args:
        root: not used, as the package has the files; here because other loaders take one.
        split: "train", "test", "fit" or "val"; None for all photographs.
        limit: use at most so many photographs of every kind, evenly spaced; None for all.
        seed: of the splits.
        **items: arguments of :class:`ImageDataset`, such as ``transform``.

    Returns:
        The photographs; a caption is the name of the kind.

    Raises:
        ValueError: another split, a limit below 1, a limit that leaves nothing to split, or a table of labels that
            has other types or probabilities.
        ImportError: the package is missing.
    """
    sides = () if split is None else choose("split", split, SIDES)
    if limit is not None and limit < 1:
        raise ValueError(f"limit: wanted at least 1, got {limit}")
    folder = needed_folder("elpv_dataset") / "data"
    text = (folder / "labels.csv").read_text(encoding="utf-8")
    rows = [line.split() for line in text.splitlines() if line.strip()]
    kinds = [(verdict, grade, f"{grade}, {own}") for verdict, grade in GRADES for own in TYPES]
    tree = Hierarchy.from_paths(map("/".join, kinds), level_names=LEVEL_NAMES)
    classes = [_kind(number, row) for number, row in enumerate(rows, 1)]
    data = ImageDataset(
        [folder / row[0] for row in rows],
        tree.table[classes],
        tree,
        captions=[kinds[kind][-1] for kind in classes],
        **items,
    )
    data.credits = {"elpv": LICENCE}
    if limit is not None:
        data = data.subset(_spaced(classes, limit))
    for side in sides:
        data = split_images(data, TEST_SHARE, seed)[side]
    return data


def _kind(number: int, row: list[str]) -> int:
    """The class of a row of the table: its grade and type."""
    try:
        _, probability, own = row
        grade = round(3 * float(probability))
        if abs(3 * float(probability) - grade) > 1e-6 or not 0 <= grade < len(GRADES):
            raise ValueError(probability)
        return grade * len(TYPES) + TYPES.index(own)
    except ValueError as error:
        raise ValueError(
            f"labels.csv, line {number}: wanted a file, a probability of 0, 1/3, 2/3 or 1 and one of "
            f"{', '.join(TYPES)}, got {' '.join(row)!r}"
        ) from error


def _spaced(classes: list[int], limit: int) -> list[int]:
    """At most so many places of every class, evenly spaced, in ascending order."""
    members: dict[int, list[int]] = defaultdict(list)
    for place, kind in enumerate(classes):
        members[kind].append(place)
    kept: list[int] = []
    for places in members.values():
        chosen = np.linspace(0, len(places) - 1, min(limit, len(places))).round().astype(int)
        kept += [places[index] for index in chosen.tolist()]
    return sorted(kept)

"""CUB-200-2011: 200 species of birds."""

import re
from typing import Any

from pml_suprank.recipes.data.assembly import assemble
from pml_suprank.recipes.data.images import ImageDataset
from pml_suprank.recipes.data.layout import PathLike, choose, need, numbered_lines, read_parents

__all__ = ["load_cub"]

_SPLITS = {"train": (True,), "test": (False,), "all": (True, False)}
_LAST_TRAINING_CLASS = 100


def load_cub(
    root: PathLike,
    split: str = "train",
    *,
    taxonomy: PathLike | None = None,
    zero_shot: bool = True,
    **items: Any,
) -> ImageDataset:
    """CUB-200-2011 with the levels species < group, or those of a taxonomy.

    Reads ``images.txt``, ``image_class_labels.txt``, ``classes.txt``, without ``zero_shot`` also
    ``train_test_split.txt`` (lines "number value"), and ``images/``. The distribution has no
    taxonomy. Without one the group of a species is the last word of its name: "Albatross" of
    "001.Black_footed_Albatross". That is no biology (two families of warblers are one group).

    Args:
        root: the folder ``CUB_200_2011``, or the one above it.
        split: "train", "test" or "all".
        taxonomy: CSV file with the column class_id (1 to 200) and one column per coarser level,
            finer first, such as ``class_id,family,order``.
        zero_shot: species 1-100 train and 101-200 test, as in metric learning; otherwise the
            distribution's own split of every species.
        **items: arguments of :class:`ImageDataset`, such as ``transform``.

    Returns:
        Images in the order of ``images.txt``.

    Raises:
        ValueError: another split, a malformed line, or a class that a file does not know.
        FileNotFoundError: a missing file, or a missing first image.
    """
    sides = choose("split", split, _SPLITS)
    listing = need(root, "images.txt", "CUB_200_2011/images.txt")
    base = listing.parent
    files = numbered_lines(listing, str)
    class_of = numbered_lines(need(base, "image_class_labels.txt"), int)
    names = numbered_lines(need(base, "classes.txt"), str)
    if zero_shot:
        in_training = {image: number <= _LAST_TRAINING_CLASS for image, number in class_of.items()}
    else:
        in_training = numbered_lines(
            need(base, "train_test_split.txt"), lambda flag: bool(int(flag))
        )
    for known in (class_of, in_training):
        if missing := files.keys() - known.keys():
            raise ValueError(f"{base}: wanted a class and a side of image {min(missing)}, got none")
    levels: tuple[str, ...] = ("group",)
    parents: dict[int, tuple[str, ...]] = {
        number: (re.split(r"[._]", name)[-1],) for number, name in names.items()
    }
    if taxonomy is not None:
        levels, parents = read_parents(taxonomy, names)
    chosen = [image for image in files if in_training[image] in sides]
    if unknown := {class_of[image] for image in chosen} - names.keys():
        raise ValueError(f"{base}: wanted the classes of classes.txt, got {sorted(unknown)}")
    chains = [(*parents[class_of[image]], names[class_of[image]]) for image in chosen]
    paths = [base / "images" / files[image] for image in chosen]
    return assemble(paths, chains, ("species", *levels), listing, items, root=root)

"""Stanford Online Products: 22,634 products of 12 super-classes."""

from typing import Any

from pml_suprank.recipes.data.assembly import assemble
from pml_suprank.recipes.data.images import ImageDataset
from pml_suprank.recipes.data.layout import PathLike, choose, need, read_table

__all__ = ["LEVEL_NAMES", "load_sop"]

LEVEL_NAMES = ("product", "super_class")
_FILES = {
    "train": ("Ebay_train.txt",),
    "test": ("Ebay_test.txt",),
    "all": ("Ebay_train.txt", "Ebay_test.txt"),
}
_COLUMNS = ("class_id", "super_class_id", "path")


def load_sop(root: PathLike, split: str = "train", **items: Any) -> ImageDataset:
    """Stanford Online Products with the levels product < super-class.

    Reads ``Ebay_train.txt`` and ``Ebay_test.txt`` (columns image_id, class_id, super_class_id,
    path, apart by spaces) and the images at those paths (``bicycle_final/111085122871_0.JPG``).
    The published split is zero-shot: no product is in both files; all super-classes are.

    Args:
        root: the folder of the two files, usually ``Stanford_Online_Products``.
        split: "train", "test" or "all".
        **items: arguments of :class:`ImageDataset`, such as ``transform``.

    Returns:
        Images in the order of the files. Super-classes are named by their folders without
        "_final", products by their class_id.

    Raises:
        ValueError: another split, a missing column, a super_class_id with several folders, or a
            class_id with several super-classes.
        FileNotFoundError: a missing file, or a missing first image.
    """
    paths, chains = [], []
    name_of: dict[str, str] = {}
    parent_of: dict[str, str] = {}
    names = choose("split", split, _FILES)
    files = [need(root, name) for name in names]
    for file in files:
        for product, super_class, path in read_table(file, _COLUMNS, delimiter=" "):
            name = path.partition("/")[0].removesuffix("_final")
            if name_of.setdefault(super_class, name) != name:
                raise ValueError(
                    f"{file}: wanted one folder per super_class_id, got {name_of[super_class]!r} "
                    f"and {name!r} for {super_class}"
                )
            if parent_of.setdefault(product, super_class) != super_class:
                raise ValueError(
                    f"{file}: wanted one super_class_id per class_id, got {parent_of[product]} "
                    f"and {super_class} for {product}"
                )
            paths.append(file.parent / path)
            chains.append((name, product))
    return assemble(paths, chains, LEVEL_NAMES, files[0], items, root=root)

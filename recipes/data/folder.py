"""Anybody's images in nested folders: ``root/animal/dog/husky/*.jpg``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.hierarchy.files import IMAGE_EXTENSIONS
from pml_suprank.recipes.data.images import ImageDataset
from pml_suprank.recipes.data.layout import PathLike, need

__all__ = ["load_folder"]


def load_folder(
    root: PathLike,
    split: str | None = None,
    *,
    level_names: Sequence[str] | None = None,
    **items: Any,
) -> ImageDataset:
    """Images of nested folders; every leaf folder is a class, the folders above it its parents.

    Args:
        root: the folder above the coarsest classes, or, with a split, above the splits.
        split: name of the folder below ``root`` to read, such as "train"; None reads ``root``.
        level_names: finest first; "level_0", ... by default.
        **items: arguments of :class:`ImageDataset`, such as ``transform``.

    Returns:
        Images in the sorted order of their paths. Every split has its own taxonomy, of the
        classes that it holds.

    Raises:
        FileNotFoundError: no such folder.
        HierarchyError: no class folders, an empty one, or images beside folders
            (:meth:`Hierarchy.from_folder`).
    """
    base = need(root, split or "")
    hierarchy = Hierarchy.from_folder(base, level_names)
    paths: list[Path] = []
    classes: list[int] = []
    for index, name in enumerate(hierarchy.class_names or ()):
        files = [path for path in sorted((base / name).iterdir()) if _is_image(path)]
        paths += files
        classes += [index] * len(files)
    return ImageDataset(paths, hierarchy.table[classes], hierarchy, **items)


def _is_image(path: Path) -> bool:
    """The rule of :meth:`Hierarchy.from_folder`."""
    hidden = path.name.startswith(".")
    return not hidden and path.suffix.lower() in IMAGE_EXTENSIONS and path.is_file()

"""Anybody's images in nested folders: ``root/animal/dog/husky/*.jpg``."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from pml_suprank.hierarchy import Hierarchy, HierarchyError
from pml_suprank.hierarchy.folders import ClassFolder, LeftOut, describe, read_files, read_tree
from pml_suprank.recipes.data.captions import SUFFIX, CaptionFrom, captions_of
from pml_suprank.recipes.data.images import ImageDataset
from pml_suprank.recipes.data.layout import PathLike, need
from pml_suprank.recipes.data.named_classes import find_places
from pml_suprank.recipes.data.pictures import format_note, readable_suffixes

__all__ = ["all_images", "load_folder"]

_log = logging.getLogger(__name__)


def load_folder(
    root: PathLike,
    split: str | None = None,
    *,
    level_names: Sequence[str] | None = None,
    hierarchy: PathLike | None = None,
    stray: str = "refuse",
    links: str = "inside",
    caption_from: CaptionFrom | None = None,
    **items: Any,
) -> ImageDataset:
    """Images of nested folders; every leaf folder is a class, the folders above it its parents.

    What can be read is read: every format of Pillow for photographs and drawings, SVG where resvg-py is installed, HEIC
    where pillow-heif is. All that is left out is logged together, once, with counts and reasons, and kept as
    ``left_out`` of the data set: hidden files and folders, those of systems (``__MACOSX``, ``@eaDir``, ``Thumbs.db``),
    other formats, folders without an image, images at the root, links that leave the root, pipes and devices.

    Args:
        root: the folder above the coarsest classes, or, with a split, above the splits.
        split: name of the folder below ``root`` to read, such as "train"; None reads ``root``.
        level_names: finest first; "level_0", ... by default.
        hierarchy: CSV file with the groups of flat class folders (``root/husky/*.jpg``) by their names, as
            ``suprank build-hierarchy`` writes it; the level names are those of the file.
        stray: for a folder with images beside folders with images, whose labels are ambiguous: "refuse" lists all
            such folders in one error, "class" makes each a class of its own, "skip" leaves the images beside
            folders out.
        links: "inside" follows links that stay below ``root``, "follow" follows all.
        caption_from: texts that say what the images show: "name" takes the name of the class in words, "file" the
            text file beside the image (``fox.txt`` for ``fox.jpg``, UTF-8), where there is one; None has none.
        **items: arguments of :class:`ImageDataset`, such as ``transform``.

    Returns:
        Images in the sorted order of their classes and names. Every split has its own taxonomy, of the
        classes that it holds.

    Raises:
        FileNotFoundError: no such folder.
        HierarchyError: no image in a class folder, images beside folders with ``stray="refuse"``, or a folder that
            ``hierarchy`` does not have.
        ValueError: another ``stray`` or ``links``, or ``level_names`` with ``hierarchy``.
    """
    if hierarchy is not None and level_names is not None:
        raise ValueError(
            f"level_names: wanted none with hierarchy, which has names, got {list(level_names)}"
        )
    base = need(root, split or "")
    if caption_from not in (None, "name", "file"):
        raise ValueError(f"caption_from: wanted 'name' or 'file', got {caption_from!r}")
    classes, left_out = read_tree(
        base, readable_suffixes(), stray=stray, links=links, within=root, note=format_note
    )
    chains = [found.chain for found in classes]
    if hierarchy is not None:
        chains, level_names = _placed(classes, base, hierarchy, all_classes=split is None)
    tree = Hierarchy.from_paths(chains, level_names=level_names)
    paths = [path for found in classes for path in found.files]
    labels = [index for index, found in enumerate(classes) for _ in found.files]
    if caption_from is not None:
        names = [found.chain[-1] for found in classes for _ in found.files]
        items["captions"] = captions_of(caption_from, [Path(path) for path in paths], names)
        if caption_from == "file":
            left_out = tuple(item for item in left_out if item.reason != format_note(SUFFIX))
    data = ImageDataset(paths, tree.table[labels], tree, **items)
    return _noted(data, left_out, base)


def _placed(
    classes: Sequence[ClassFolder], base: Path, file: PathLike, *, all_classes: bool
) -> tuple[list[tuple[str, ...]], Sequence[str]]:
    """Chains of flat class folders in a hierarchy file, and its level names."""
    nested = next((found.chain for found in classes if len(found.chain) > 1), None)
    if nested is not None:
        raise HierarchyError(
            f"hierarchy: wanted class folders directly below {str(base)!r}, got {'/'.join(nested)!r}"
        )
    names = [found.chain[0] for found in classes]
    places = find_places(file, names, all_classes=all_classes)
    return [places.chains[name] for name in names], places.level_names


def all_images(folder: PathLike, links: str = "inside") -> ImageDataset:
    """Every image below a folder, in the order of the paths, all of one class; left out is what ``load_folder`` does.

    Raises:
        FileNotFoundError: no such folder, or no image in it.
        ValueError: another ``links``.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"images: wanted a folder, got {str(folder)!r}")
    paths, left_out = read_files(folder, readable_suffixes(), links=links, note=format_note)
    if not paths:
        told = f"\n{describe(left_out, str(folder))}" if left_out else ""
        raise FileNotFoundError(f"images: wanted images below {str(folder)!r}, got none{told}")
    labels = torch.zeros(len(paths), 1, dtype=torch.long)
    return _noted(ImageDataset(paths, labels, Hierarchy.from_paths(["image"])), left_out, folder)


def _noted(data: ImageDataset, left_out: tuple[LeftOut, ...], folder: Path) -> ImageDataset:
    data.left_out = left_out
    if left_out and os.environ.get("RANK", "0") == "0":  # once, not in every process that trains
        _log.warning("%s", describe(left_out, str(folder)))
    return data

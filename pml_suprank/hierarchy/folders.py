"""Trees of folders as people have them: which folders are classes, and what is left out and why."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from pml_suprank.hierarchy.chains import Chains
from pml_suprank.hierarchy.folder_walk import (
    LINKS,
    LISTED,
    Folder,
    LeftOut,
    Walk,
    describe,
    merged,
)
from pml_suprank.hierarchy.integers import HierarchyError
from pml_suprank.values import checked_items, shown

__all__ = [
    "IMAGE_EXTENSIONS",
    "LINKS",
    "STRAY",
    "ClassFolder",
    "LeftOut",
    "chains_from_folder",
    "describe",
    "merged",
    "read_files",
    "read_tree",
]

IMAGE_EXTENSIONS = frozenset(
    {
        *(".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg"),
        *(".pbm", ".pgm", ".png", ".pnm", ".ppm", ".svg", ".tif", ".tiff", ".webp"),
    }
)
STRAY = ("refuse", "class", "skip")
"""What to do with files beside folders that have files: is the folder a class of its own?"""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClassFolder:
    """A folder that is a class: its names from the root, coarse to fine, and its files."""

    chain: tuple[str, ...]
    files: tuple[Path, ...]


def read_tree(
    root: str | os.PathLike[str],
    extensions: Collection[str] | None = IMAGE_EXTENSIONS,
    *,
    stray: str = "refuse",
    links: str = "inside",
    within: str | os.PathLike[str] | None = None,
    note: Callable[[str], str] | None = None,
) -> tuple[list[ClassFolder], tuple[LeftOut, ...]]:
    """The class folders below a root, in the sorted order of their paths, and all that is left out.

    Left out are hidden files and folders, those of systems (``__MACOSX``, ``@eaDir``, ``Thumbs.db``, ...), files of
    other formats, folders without any file to read, files at the root (they belong to no class), links that leave the
    root, and what is no file: pipes, sockets, devices.

    Args:
        root: the folder above the coarsest classes.
        extensions: suffixes of the files to read, lower case; None reads all.
        stray: for a folder with files beside folders with files: "refuse" lists all of them in one error, "class"
            makes each a class of its own, a short branch of the tree, "skip" leaves the files beside folders out.
        links: "inside" follows links that stay below ``within``, "follow" follows all.
        within: folder that links must not leave; None is ``root``.
        note: from a suffix that is not read to words about it.

    Raises:
        HierarchyError: no such folder, no class in it, or, with "refuse", files beside folders.
        ValueError: another ``stray`` or ``links``.
    """
    if not isinstance(stray, str) or stray not in STRAY:
        raise ValueError(f"stray: wanted one of {', '.join(map(repr, STRAY))}, got {stray!r}")
    walk = Walk(Path(root), extensions, links, within, note)
    if walk.top.inside:
        for path in walk.top.files:
            walk.leave("at the root, so in no class", path)
    mixed = [
        folder for folder in walk.top.walk() if folder.chain and folder.files and folder.inside
    ]
    if mixed and stray == "refuse":
        raise HierarchyError(_ambiguous(mixed, walk))
    classes = []
    for folder in walk.top.walk():
        if not folder.chain or not folder.files:
            continue
        if folder.inside and stray == "skip":
            for path in folder.files:
                walk.leave("beside folders with files (stray 'skip')", path)
            continue
        classes.append(ClassFolder(folder.chain, tuple(folder.files)))
    left_out = walk.left_out()
    if not classes:
        what = f"{len(walk.top.files):,} files in no folder" if walk.top.files else "none"
        wanted = "files" if extensions is None else "image files"
        told = f"\n{describe(left_out, str(root))}" if left_out else ""
        raise HierarchyError(
            f"root: wanted class folders with {wanted} in {str(root)!r}, got {what}{told}"
        )
    return classes, left_out


def read_files(
    root: str | os.PathLike[str],
    extensions: Collection[str] | None = IMAGE_EXTENSIONS,
    *,
    links: str = "inside",
    note: Callable[[str], str] | None = None,
) -> tuple[list[Path], tuple[LeftOut, ...]]:
    """Every file below a root, sorted, and what is left out by the rules of :func:`read_tree`.

    Raises:
        HierarchyError: no such folder.
        ValueError: another ``links``.
    """
    walk = Walk(Path(root), extensions, links, None, note)
    files = sorted(path for folder in walk.top.walk() for path in folder.files)
    return files, walk.left_out()


def chains_from_folder(
    root: str | os.PathLike[str],
    extensions: Collection[str] | None,
    stray: str = "refuse",
    links: str = "inside",
) -> Chains:
    """Chains of the class folders under a root; what is left out is logged once."""
    if extensions is not None:
        what = "a set of endings such as '.png', or None"
        found = checked_items("extensions", extensions, what)
        if not all(isinstance(extension, str) for extension in found):
            raise ValueError(f"extensions: wanted {what}, got {shown(extensions)}")
        extensions = {extension.lower() for extension in found}
    classes, left_out = read_tree(root, extensions, stray=stray, links=links)
    if left_out:
        _log.warning("%s", describe(left_out, str(root)))
    names = ["/".join(folder.chain) for folder in classes]
    return Chains([folder.chain for folder in classes], list(range(len(classes))), names)


def _ambiguous(mixed: Sequence[Folder], walk: Walk) -> str:
    """One message about all folders whose files may or may not be a class."""
    lines = [
        f"  {'/'.join(folder.chain)!r}: {len(folder.files):,} files ({folder.files[0].name}, ...) beside "
        f"{len(folder.inside):,} folders ({folder.inside[0].path.name}, ...)"
        for folder in mixed[:LISTED]
    ]
    if len(mixed) > LISTED:
        lines.append(f"  and {len(mixed) - LISTED:,} other folders")
    left_out = walk.left_out()
    more = f"\nbesides, {describe(left_out, str(walk.root))}" if left_out else ""
    return (
        f"root: wanted files in a folder or in the folders below it, got both in {len(mixed):,} folders of "
        f"{str(walk.root)!r}; the option stray says whether such a folder is a class of its own ('class') or "
        "its own files are left out ('skip'):\n" + "\n".join(lines) + more
    )

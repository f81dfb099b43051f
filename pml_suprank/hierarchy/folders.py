"""Trees of folders as people have them: what is read, and what is left out and why."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pml_suprank.hierarchy.builders import Chains
from pml_suprank.hierarchy.integers import HierarchyError

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
LINKS = ("inside", "follow")
"""Which links are followed: those that stay below the root, or all."""

_SYSTEM = frozenset(
    {
        *("__macosx", "@eadir", "@recycle", "@recently-snapshot", "#recycle", "#snapshot"),
        *("$recycle.bin", "system volume information", "lost+found", "__pycache__"),
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"),
    }
)
"""What systems and storage boxes put beside people's files, in lower case."""
_TWICE = "links to folders that are read anyway"
_DEEPEST = 100
_EXAMPLES = 3
_LISTED = 20
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LeftOut:
    """What a tree of files holds and is not read, for one reason.

    Attributes:
        reason: in words.
        count: of files, or of folders that were not looked into.
        examples: the first three, below the root.
    """

    reason: str
    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class ClassFolder:
    """A folder that is a class: its names from the root, coarse to fine, and its files."""

    chain: tuple[str, ...]
    files: tuple[Path, ...]


@dataclass
class _Folder:
    path: Path
    chain: tuple[str, ...]
    files: list[Path] = field(default_factory=list)
    inside: list[_Folder] = field(default_factory=list)

    def walk(self) -> Iterator[_Folder]:
        yield self
        for folder in self.inside:
            yield from folder.walk()


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
    if stray not in STRAY:
        raise ValueError(f"stray: wanted one of {', '.join(map(repr, STRAY))}, got {stray!r}")
    walk = _Walk(Path(root), extensions, links, within, note)
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
    walk = _Walk(Path(root), extensions, links, None, note)
    files = sorted(path for folder in walk.top.walk() for path in folder.files)
    return files, walk.left_out()


def describe(left_out: Sequence[LeftOut], root: str) -> str:
    """All that was left out, in lines: how much, why, and the first of each."""
    total = sum(item.count for item in left_out)
    lines = [
        f"left out of {root!r}: {total:,} {'file or folder' if total == 1 else 'files and folders'}"
    ]
    for item in left_out[:_LISTED]:
        more = ", ..." if item.count > len(item.examples) else ""
        lines.append(f"{item.count:>8,}  {item.reason}: {', '.join(item.examples)}{more}")
    if len(left_out) > _LISTED:
        rest = left_out[_LISTED:]
        lines.append(
            f"{sum(item.count for item in rest):>8,}  for {len(rest):,} other reasons, such as {rest[0].reason}"
        )
    return "\n".join(lines)


def merged(left_out: Iterable[LeftOut]) -> tuple[LeftOut, ...]:
    """What several trees leave out, each reason once, most first."""
    found: dict[str, LeftOut] = {}
    for item in left_out:
        known = found.get(item.reason, LeftOut(item.reason, 0, ()))
        examples = (*known.examples, *item.examples)[:_EXAMPLES]
        found[item.reason] = LeftOut(item.reason, known.count + item.count, examples)
    return tuple(sorted(found.values(), key=lambda item: (-item.count, item.reason)))


def chains_from_folder(
    root: str | os.PathLike[str],
    extensions: Collection[str] | None,
    stray: str = "refuse",
    links: str = "inside",
) -> Chains:
    """Chains of the class folders under a root; what is left out is logged once."""
    if extensions is not None:
        extensions = {extension.lower() for extension in extensions}
    classes, left_out = read_tree(root, extensions, stray=stray, links=links)
    if left_out:
        _log.warning("%s", describe(left_out, str(root)))
    names = ["/".join(folder.chain) for folder in classes]
    return Chains([folder.chain for folder in classes], list(range(len(classes))), names)


class _Walk:
    """All folders below a root that have files, and what was left out on the way."""

    def __init__(
        self,
        root: Path,
        extensions: Collection[str] | None,
        links: str,
        within: str | os.PathLike[str] | None,
        note: Callable[[str], str] | None,
    ):
        if links not in LINKS:
            raise ValueError(f"links: wanted one of {', '.join(map(repr, LINKS))}, got {links!r}")
        if not root.is_dir():
            raise HierarchyError(f"root: wanted a folder, got {str(root)!r}")
        self.root, self.real = root, root.resolve()
        self.within = (
            None if links == "follow" else Path(root if within is None else within).resolve()
        )
        self.extensions = extensions
        self.note = note or (
            lambda suffix: f"files {suffix}" if suffix else "files without a suffix"
        )
        self._counts: dict[str, int] = {}
        self._examples: dict[str, list[str]] = {}
        self._seen = {self.real}
        self.top = self._folder(root, ())

    def leave(self, reason: str, path: Path) -> None:
        """Count something that is left out."""
        self._counts[reason] = self._counts.get(reason, 0) + 1
        examples = self._examples.setdefault(reason, [])
        if len(examples) < _EXAMPLES:
            examples.append(path.relative_to(self.root).as_posix())

    def left_out(self) -> tuple[LeftOut, ...]:
        """By number, most first."""
        order = sorted(self._counts, key=lambda reason: (-self._counts[reason], reason))
        return tuple(
            LeftOut(reason, self._counts[reason], tuple(self._examples[reason])) for reason in order
        )

    def _folder(self, path: Path, chain: tuple[str, ...]) -> _Folder:
        found = _Folder(path, chain)
        try:
            entries = sorted(os.scandir(path), key=lambda entry: entry.name)
        except OSError as error:
            if not chain:
                raise
            self.leave(f"folders that cannot be listed ({error.strerror})", path)
            return found
        for entry in entries:
            own = path / entry.name
            reason = _passed_over(entry.name)
            if reason:
                self.leave(reason, own)
            elif not entry.is_symlink() or self._follows(own):
                self._entry(entry, own, found)
        if chain and not found.files and not found.inside:
            self.leave("folders without a file to read", path)
        return found

    def _entry(self, entry: os.DirEntry[str], path: Path, parent: _Folder) -> None:
        try:
            is_folder, is_file = entry.is_dir(), entry.is_file()
        except OSError as error:
            self.leave(f"what cannot be looked at ({error.strerror})", path)
            return
        if is_folder:
            self._descend(path, parent)
        elif not is_file:
            self.leave("no regular files (pipes, sockets, devices)", path)
        elif self.extensions is not None and path.suffix.lower() not in self.extensions:
            self.leave(self.note(path.suffix.lower()), path)
        else:
            parent.files.append(path)

    def _descend(self, path: Path, parent: _Folder) -> None:
        real = path.resolve()
        if real in self._seen:
            self.leave(_TWICE, path)
        elif len(parent.chain) >= _DEEPEST:
            self.leave(f"below {_DEEPEST} other folders", path)
        else:
            self._seen.add(real)
            inside = self._folder(path, (*parent.chain, path.name))
            if inside.files or inside.inside:
                parent.inside.append(inside)

    def _follows(self, path: Path) -> bool:
        """Whether a link is followed; if not, it is counted."""
        try:
            real = path.resolve(strict=True)
        except (
            OSError,
            RuntimeError,
        ):  # Python 3.12 and older have the second for a circle of links
            self.leave("links to nothing", path)
            return False
        if self.within is not None and not real.is_relative_to(self.within):
            self.leave("links that leave the folder (links 'follow' reads them)", path)
            return False
        is_inside = real.is_dir() and real.is_relative_to(self.real)
        if is_inside and not any(map(_passed_over, real.relative_to(self.real).parts)):
            self.leave(_TWICE, path)
            return False
        return True


def _passed_over(name: str) -> str:
    """Why files and folders of a name are not looked at; empty for others."""
    if name.startswith("."):
        return "hidden"
    return "put there by a system" if name.lower() in _SYSTEM else ""


def _ambiguous(mixed: Sequence[_Folder], walk: _Walk) -> str:
    """One message about all folders whose files may or may not be a class."""
    lines = [
        f"  {'/'.join(folder.chain)!r}: {len(folder.files):,} files ({folder.files[0].name}, ...) beside "
        f"{len(folder.inside):,} folders ({folder.inside[0].path.name}, ...)"
        for folder in mixed[:_LISTED]
    ]
    if len(mixed) > _LISTED:
        lines.append(f"  and {len(mixed) - _LISTED:,} other folders")
    left_out = walk.left_out()
    more = f"\nbesides, {describe(left_out, str(walk.root))}" if left_out else ""
    return (
        f"root: wanted files in a folder or in the folders below it, got both in {len(mixed):,} folders of "
        f"{str(walk.root)!r}; the option stray says whether such a folder is a class of its own ('class') or "
        "its own files are left out ('skip'):\n" + "\n".join(lines) + more
    )

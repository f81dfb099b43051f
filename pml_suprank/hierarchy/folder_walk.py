"""The folders below a root: which files are read, which links followed, and what is left out on the way."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pml_suprank.hierarchy.integers import HierarchyError

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
"""Named for each reason."""
LISTED = 20
"""Reasons, or folders, listed in one message."""


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


@dataclass
class Folder:
    """A folder, the files in it that are read, and the folders in it that have any."""

    path: Path
    chain: tuple[str, ...]
    files: list[Path] = field(default_factory=list)
    inside: list[Folder] = field(default_factory=list)

    def walk(self) -> Iterator[Folder]:
        """Yield the folder and all those in it."""
        yield self
        for folder in self.inside:
            yield from folder.walk()


class Walk:
    """All folders below a root that have files, and what was left out on the way."""

    def __init__(
        self,
        root: Path,
        extensions: Collection[str] | None,
        links: str,
        within: str | os.PathLike[str] | None,
        note: Callable[[str], str] | None,
    ):
        if not isinstance(links, str) or links not in LINKS:
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

    def _folder(self, path: Path, chain: tuple[str, ...]) -> Folder:
        found = Folder(path, chain)
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

    def _entry(self, entry: os.DirEntry[str], path: Path, parent: Folder) -> None:
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

    def _descend(self, path: Path, parent: Folder) -> None:
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


def describe(left_out: Sequence[LeftOut], root: str) -> str:
    """All that was left out, in lines: how much, why, and the first of each."""
    total = sum(item.count for item in left_out)
    lines = [
        f"left out of {root!r}: {total:,} {'file or folder' if total == 1 else 'files and folders'}"
    ]
    for item in left_out[:LISTED]:
        more = ", ..." if item.count > len(item.examples) else ""
        lines.append(f"{item.count:>8,}  {item.reason}: {', '.join(item.examples)}{more}")
    if len(left_out) > LISTED:
        rest = left_out[LISTED:]
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


def _passed_over(name: str) -> str:
    """Why files and folders of a name are not looked at; empty for others."""
    if name.startswith("."):
        return "hidden"
    return "put there by a system" if name.lower() in _SYSTEM else ""

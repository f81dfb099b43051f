"""Paths of images: whether they stay below a folder, and millions of them as an array of ids."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import overload

import numpy as np

__all__ = ["IdPaths", "is_inside", "leads_out", "outside"]

PathLike = str | os.PathLike[str]


def is_inside(root: PathLike, path: PathLike) -> bool:
    """Whether a file lies below a folder: no absolute name, ``..`` or link on the way leads out of it.

    Args:
        root: the folder.
        path: below it, or absolute.
    """
    try:
        base = os.path.realpath(root)
        return Path(os.path.realpath(Path(base) / path)).is_relative_to(base)
    except (OSError, ValueError):  # no path at all
        return False


def outside(root: PathLike, paths: Iterable[PathLike]) -> list[int]:
    """Indices of the files that do not lie below a folder, see :func:`is_inside`.

    Args:
        root: the folder.
        paths: absolute, or from the folder that one stands in; each folder is looked at once.
    """
    base, here = os.path.realpath(root), os.getcwd()
    folders: dict[str, bool] = {}
    found = []
    for index, path in enumerate(paths):
        folder = os.path.join(here, os.path.dirname(path))  # links are followed before ".." is
        if folder not in folders:
            folders[folder] = is_inside(base, folder)
        if not folders[folder] or (
            os.path.islink(path) and not is_inside(base, os.path.join(here, path))
        ):
            found.append(index)
    return found


def leads_out(root: PathLike, path: Path) -> bool:
    """Whether the name of a file leads out of a folder, without a look at links on the way."""
    return not path.is_relative_to(root) or ".." in path.relative_to(root).parts


class IdPaths(Sequence[Path]):
    """Files ``base/0/1/2/0123456789abcdef.jpg``, kept as their ids: 16 bytes each instead of some 500.

    Args:
        base: folder.
        ids: [N] bytes ("S16"), three characters at least.
        suffix: of the files.
    """

    def __init__(self, base: Path, ids: np.ndarray, suffix: str = ".jpg"):
        self.base, self.ids, self.suffix = Path(base), ids, suffix

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> Path: ...

    @overload
    def __getitem__(self, index: slice) -> IdPaths: ...

    def __getitem__(self, index: int | slice) -> Path | IdPaths:
        if isinstance(index, slice):
            return IdPaths(self.base, self.ids[index], self.suffix)
        name = self.ids[index].decode()
        return self.base / name[0] / name[1] / name[2] / f"{name}{self.suffix}"

    def __iter__(self) -> Iterator[Path]:
        return (self[index] for index in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, IdPaths):
            return NotImplemented
        same = (self.base, self.suffix) == (other.base, other.suffix)
        return same and np.array_equal(self.ids, other.ids)

    __hash__ = None  # type: ignore[assignment]

    def take(self, indices: Sequence[int] | np.ndarray) -> IdPaths:
        """Some of the files, in the given order."""
        return IdPaths(self.base, self.ids[np.asarray(indices, dtype=np.int64)], self.suffix)

    def __repr__(self) -> str:
        return f"IdPaths({str(self.base)!r}, {len(self):,} ids)"

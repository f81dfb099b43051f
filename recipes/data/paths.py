"""Millions of image files as an array of ids, made into paths when asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import overload

import numpy as np

__all__ = ["IdPaths"]


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

"""Integer keys of score and common levels, and sorting rows of them by the faster of two exact ways.

A key holds the score in its high bits, best first, and the number of common levels in its low bits, lowest first:
among equal scores less relevant items come first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Collisions:
    """Counts scores, row by row, that a code does not tell from 0."""

    def __init__(self, num_queries: int) -> None:
        self._near = np.zeros(num_queries, np.int64)
        self._not_zero = np.zeros(num_queries, np.int64)

    def add(self, near: NDArray[np.bool_], bits: NDArray[np.int32]) -> None:
        """Count some columns: where the code is 0, and the bits of the scores."""
        self._near += np.count_nonzero(near, axis=1)
        # 0 is 0.0 and -1 is -0.0, which are one number.
        self._not_zero += np.count_nonzero(near & (bits != 0) & (bits != -1), axis=1)

    def found(self) -> bool:
        """Whether two different scores of a row have one code."""
        return bool(((self._near > 1) & (self._not_zero > 0)).any())


class Code(NamedTuple):
    """How a float32 score becomes an integer of the same order.

    The bits of a float32, those of the magnitude inverted where it is negative, have its order.
    Dropping the range of exponents that no score reaches, around 0, leaves room for the level.
    """

    level_bits: int
    dropped: int

    @classmethod
    def wide(cls, level_bits: int) -> Code:
        """For 64 bits: every float32 has a code of its own, and -0.0 that of 0.0."""
        return cls(level_bits, 1)

    @classmethod
    def narrow(cls, level_bits: int, bound: float) -> Code:
        """For 32 bits and scores up to a bound in magnitude."""
        largest = int(np.float32(min(bound * 1.0001, 3e38)).view(np.int32)) + 1
        return cls(level_bits, max(1, largest - 2 ** (31 - level_bits) + 2))

    def scores(self, keys: NDArray[Any]) -> NDArray[np.float32]:
        """The scores that keys stand for; 0 for those around 0 that have no code of their own."""
        code = keys >> self.level_bits
        away = np.where(code > 0, self.dropped - 1, -self.dropped)
        bits = np.where(code == 0, 0, code + away).astype(np.int32)
        return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).view(np.float32)

    def write(
        self,
        scores: NDArray[np.float32],
        keys: NDArray[Any],
        scratch: NDArray[np.int32],
        collisions: Collisions,
    ) -> None:
        """Write the keys of a block of scores without common levels, which are overwritten."""
        bits = scores.view(np.int32)
        np.right_shift(bits, 31, out=scratch)
        np.bitwise_and(scratch, 0x7FFFFFFF, out=scratch)
        np.bitwise_xor(bits, scratch, out=scratch)
        np.clip(scratch, -self.dropped, self.dropped - 1, out=bits)
        np.subtract(scratch, bits, out=scratch)
        if self.dropped > 1 and np.count_nonzero(scratch) < scratch.size:
            collisions.add(scratch == 0, bits)
        np.left_shift(scratch, self.level_bits, out=keys, dtype=keys.dtype)


def sorted_levels_of_keys(
    keys: NDArray[Any], level_bits: int, levels: NDArray[np.uint8], places: Sequence[int] = ()
) -> NDArray[Any]:
    """Sort each row of keys and write the low bits, the common levels, in that order.

    Args:
        keys: (b, N) int32 or int64; overwritten.
        level_bits: number of low bits that are the common levels, up to 8.
        levels: (b, N), written.
        places: P places of the sorted rows.

    Returns:
        (b, P) the keys at those places.

    Example:
        >>> levels = np.empty((1, 3), np.uint8)
        >>> sorted_levels_of_keys(np.array([[9, 4, -6]], np.int32), 2, levels, (0, 2)).tolist()
        [[-6, 9]]
        >>> levels.tolist()
        [[2, 0, 1]]
    """
    at = np.asarray(places, np.int64)
    mask = (1 << level_bits) - 1
    if radix_is_faster(keys.dtype.name):
        spare = np.empty_like(keys[0])
        found = np.empty((len(keys), len(at)), keys.dtype)
        for row, out, there in zip(keys, levels, found, strict=True):
            order = radix_passes(row, spare)
            row.take(order.take(at), out=there, mode="clip")
            np.bitwise_and(row.astype(np.uint8), mask).take(order, out=out, mode="clip")
    else:
        keys.sort(axis=1)
        found = keys.take(at, axis=1)
        np.bitwise_and(keys, mask, out=levels, casting="unsafe")
    return found


def radix_passes(row: NDArray[Any], spare: NDArray[Any]) -> NDArray[np.int64]:
    """Sort a row but for its highest 16 bits, and return the order by those.

    NumPy sorts integers of 16 bits by radix; one stable pass for each 16 bits sorts any.

    Args:
        row: (N,) int32 or int64; overwritten.
        spare: (N,) of the same type; overwritten.

    Example:
        >>> row = np.array([65536, 7, -65535], np.int32)
        >>> row[radix_passes(row, row.copy())].tolist()
        [-65535, 7, 65536]
    """
    words = row.dtype.itemsize // 2
    for word in range(words - 1):
        order = np.argsort((row >> 16 * word).astype(np.uint16), kind="stable")
        # Every index is in range: "clip" only saves the check.
        row.take(order, out=spare, mode="clip")
        row[:] = spare
    return np.argsort((row >> 16 * (words - 1)).astype(np.int16), kind="stable")


@cache
def radix_is_faster(dtype: str) -> bool:
    """Whether radix passes sort faster than NumPy's own sort on this processor.

    NumPy sorts whole integers with vector instructions where there are any. Processors differ by a
    factor of ten in how fast those are; both ways give the same result.
    """
    row = np.random.default_rng(0).integers(-(2**30), 2**30, 2**15).astype(dtype)
    spare = np.empty_like(row)

    def best_of_three(sort: Callable[[NDArray[Any]], object]) -> float:
        seconds = []
        for _ in range(3):
            unsorted = row.copy()
            begin = time.perf_counter()
            sort(unsorted)
            seconds.append(time.perf_counter() - begin)
        return min(seconds)

    return best_of_three(lambda each: radix_passes(each, spare)) < best_of_three(np.ndarray.sort)

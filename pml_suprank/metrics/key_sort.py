"""Sorting rows of integer keys by the faster of two exact ways."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray


def sorted_levels_of_keys(
    keys: NDArray[Any], level_bits: int, levels: NDArray[np.uint8], places: Sequence[int] = ()
) -> NDArray[Any]:
    """Sort each row of keys and write the low bits, the levels, in that order.

    Args:
        keys: (b, N) int32 or int64; overwritten.
        level_bits: number of low bits that are the level, up to 8.
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

"""Sorted rows and positions in them."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor


def argsort_rows(scores: Tensor) -> Tensor:
    """Return the stable ascending order of every row, (R, N), int64.

    On the CPU float32 rows go through two stable sorts of 16 bits, which NumPy does by radix.
    """
    if scores.device.type != "cpu" or scores.dtype != torch.float32:
        return torch.sort(scores, dim=1, stable=True).indices
    # -0.0 + 0.0 is +0.0: equal scores get equal keys
    bits = (scores + 0.0).numpy().view(np.uint32)
    order = np.empty(scores.shape, dtype=np.int64)
    _by_rows(_radix_argsort, bits, order)
    return torch.from_numpy(order)


def _radix_argsort(bits: np.ndarray[Any, Any], order: np.ndarray[Any, Any]) -> None:
    negative = (bits >> np.uint32(31)).astype(bool)
    keys = np.where(negative, ~bits, bits | np.uint32(0x80000000))
    low = np.argsort(keys.astype(np.uint16), axis=1, kind="stable")
    high = np.take_along_axis((keys >> np.uint32(16)).astype(np.uint16), low, axis=1)
    order[:] = np.take_along_axis(low, np.argsort(high, axis=1, kind="stable"), axis=1)


def first_above(values: Tensor, targets: Tensor, splits: Tensor, *, or_equal: bool) -> Tensor:
    """Return, for each target, the first position of its row with a value above it.

    Args:
        values: (R, N), ascending rows.
        targets: (T,), row by row, ascending within a row, S times over.
        splits: (S R + 1,), where the targets of each row begin and end, S times over.
        or_equal: stop at an equal value too.

    Returns:
        (T,), int64 in 0..N.
    """
    if values.device.type == "cpu":
        return _first_above_row_by_row(values, targets, splits, or_equal)
    return _first_above_at_once(values, targets, splits, or_equal)


def _first_above_row_by_row(
    values: Tensor, targets: Tensor, splits: Tensor, or_equal: bool
) -> Tensor:
    """NumPy's search makes use of ascending targets."""
    found = np.empty(len(targets), dtype=np.int64)
    side: Literal["left", "right"] = "left" if or_equal else "right"
    rows, wanted = values.numpy(), targets.numpy()
    for index, (begin, end) in enumerate(itertools.pairwise(splits.tolist())):
        row = rows[index % len(rows)]
        found[begin:end] = np.searchsorted(row, wanted[begin:end], side=side)
    return torch.from_numpy(found)


def _first_above_at_once(values: Tensor, targets: Tensor, splits: Tensor, or_equal: bool) -> Tensor:
    """One search in which short rows of targets are filled up."""
    counts = splits.diff()
    segment = torch.repeat_interleave(torch.arange(len(counts), device=values.device), counts)
    column = torch.arange(len(targets), device=values.device) - splits[segment]
    padded = values.new_full((len(counts), int(counts.max())), float("inf"))
    padded[segment, column] = targets
    repeated = values.repeat(len(counts) // len(values), 1)
    return torch.searchsorted(repeated, padded, right=not or_equal)[segment, column]


def _by_rows(function: Any, *arrays: np.ndarray[Any, Any]) -> None:
    """Call a function on runs of rows, in as many threads as torch uses."""
    threads = min(torch.get_num_threads(), len(arrays[0]))
    if threads == 1:
        function(*arrays)
        return
    parts = zip(*(np.array_split(array, threads) for array in arrays), strict=True)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda part: function(*part), parts))

"""Sorted rows and positions in them."""

import itertools
from typing import Any

import numpy as np
import torch
from torch import Tensor


def argsort_rows(scores: Tensor) -> Tensor:
    """Return the stable ascending order of every row, (R N,), int64, items numbered through.

    On the CPU float32 rows go through two stable sorts of 16 bits, which NumPy does by radix.
    """
    num_rows, num_items = scores.shape
    first = torch.arange(num_rows, device=scores.device).mul_(num_items).unsqueeze(1)
    if scores.device.type != "cpu" or scores.dtype != torch.float32:
        return torch.sort(scores, dim=1, stable=True).indices.add_(first).flatten()
    # -0.0 + 0.0 is +0.0: equal scores get equal keys
    return torch.from_numpy(_radix_argsort((scores + 0.0).numpy().view(np.int32), first.numpy()))


def _radix_argsort(bits: np.ndarray[Any, Any], first: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    # negative floats ascend when all their bits are flipped, positive ones with the sign's alone
    keys = (bits ^ ((bits >> 31) | np.int32(-(2**31)))).view(np.uint32)
    low = np.argsort(keys.astype(np.uint16), axis=1, kind="stable")
    low += first
    high = (keys >> np.uint32(16)).astype(np.uint16).ravel().take(low)
    by_high = np.argsort(high, axis=1, kind="stable")
    by_high += first
    return low.ravel().take(by_high.ravel())


def where_true(mask: Tensor) -> Tensor:
    """Return the flat indices of True, int64."""
    if mask.device.type != "cpu":
        return mask.flatten().nonzero().flatten()
    return torch.from_numpy(np.flatnonzero(mask.numpy()))


def tie_ends(values: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return where the run of equal values of every item begins and ends, or None without ties.

    Args:
        values: (R, N), ascending rows.

    Returns:
        (R N,) each, int64, items numbered through.
    """
    num_rows, num_items = values.shape
    like_next = torch.zeros(num_rows * num_items, dtype=torch.bool, device=values.device)
    torch.eq(values[:, 1:], values[:, :-1], out=like_next.view(values.shape)[:, :-1])
    tied = where_true(like_next)
    if len(tied) == 0:
        return None
    position = torch.arange(len(like_next), device=values.device)
    opens = torch.ones(len(tied), dtype=torch.bool, device=values.device)
    torch.ne(tied.diff(), 1, out=opens[1:])
    starts = tied[opens]
    closes = torch.cat([opens[1:], opens[:1]])
    ends = tied[closes] + 2
    run = opens.cumsum(0) - 1
    begin, end = position, position + 1
    begin = begin.clone()
    for offset in (0, 1):
        begin[tied + offset] = starts[run]
        end[tied + offset] = ends[run]
    return begin, end


def first_above(values: Tensor, targets: Tensor, splits: Tensor) -> Tensor:
    """Return, for each target, the first position of its row with a value above it.

    Args:
        values: (R, N), ascending rows.
        targets: (T,), row by row, ascending within a row, S times over.
        splits: (S R + 1,), where the targets of each row begin and end, S times over.

    Returns:
        (T,), int64 in 0..N.
    """
    if values.device.type == "cpu":
        return _first_above_row_by_row(values, targets, splits)
    return _first_above_at_once(values, targets, splits)


def _first_above_row_by_row(values: Tensor, targets: Tensor, splits: Tensor) -> Tensor:
    """NumPy's search makes use of ascending targets."""
    found = np.empty(len(targets), dtype=np.int64)
    rows, wanted = values.numpy(), targets.numpy()
    for index, (begin, end) in enumerate(itertools.pairwise(splits.tolist())):
        row = rows[index % len(rows)]
        found[begin:end] = np.searchsorted(row, wanted[begin:end], side="right")
    return torch.from_numpy(found)


def _first_above_at_once(values: Tensor, targets: Tensor, splits: Tensor) -> Tensor:
    """One search in which short rows of targets are filled up."""
    counts = splits.diff()
    segment = torch.repeat_interleave(torch.arange(len(counts), device=values.device), counts)
    column = torch.arange(len(targets), device=values.device) - splits[segment]
    padded = values.new_full((len(counts), int(counts.max())), float("inf"))
    padded[segment, column] = targets
    repeated = values.repeat(len(counts) // len(values), 1)
    return torch.searchsorted(repeated, padded, right=True)[segment, column]

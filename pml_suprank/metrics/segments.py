"""Ragged rows: Q rows of different lengths, one behind the other in one tensor.

On the CPU these run in NumPy, whose ``reduceat``, ``repeat`` and ``compress`` take a fifth of the time
of ``index_add_``, ``repeat_interleave`` and a boolean index.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def sums(values: Tensor, lengths: Tensor) -> Tensor:
    """Sum of each row.

    Args:
        values: (M,) numbers or bool, M the sum of ``lengths``.
        lengths: (Q,) int64; a row may be empty.

    Returns:
        (Q,) float64.

    Example:
        >>> sums(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([2, 0, 1])).tolist()
        [3.0, 0.0, 4.0]
    """
    if values.device.type == "cpu":
        return torch.from_numpy(_sums(values.numpy(), lengths.numpy()))
    return _sums_on_device(values, lengths)


def _sums_on_device(values: Tensor, lengths: Tensor) -> Tensor:
    if not len(lengths):
        return torch.zeros(0, dtype=torch.float64, device=values.device)
    # Unlike index_add_, this adds in the same order every time.
    return torch.segment_reduce(values.double(), "sum", lengths=lengths, initial=0.0)


def _sums(values: NDArray[Any], lengths: NDArray[np.int64]) -> NDArray[np.float64]:
    if values.dtype == np.bool_:
        values = values.view(np.int8)
    dtype = np.int64 if values.dtype.kind == "i" else np.float64
    starts = lengths.cumsum() - lengths
    filled = lengths > 0
    if filled.all():
        return np.add.reduceat(values, starts, dtype=dtype).astype(np.float64, copy=False)
    # reduceat gives an empty row the value behind it.
    total = np.zeros(len(lengths))
    if len(values):
        total[filled] = np.add.reduceat(values, starts[filled], dtype=dtype)
    return total


def spread(values: Tensor, lengths: Tensor, total: int) -> Tensor:
    """Each row's value, repeated over the row.

    Args:
        values: (Q,).
        lengths: (Q,) int64.
        total: the sum of ``lengths``.

    Returns:
        (total,) of the dtype of ``values``.

    Example:
        >>> spread(torch.tensor([5, 6, 7]), torch.tensor([2, 0, 1]), 3).tolist()
        [5, 5, 7]
    """
    if values.device.type == "cpu":
        return torch.from_numpy(np.repeat(values.numpy(), lengths.numpy()))
    return values.repeat_interleave(lengths, output_size=total)


def keep(values: Tensor, mask: Tensor) -> Tensor:
    """The values where the mask is True: ``values[mask]``."""
    if values.device.type == "cpu":
        return torch.from_numpy(np.compress(mask.numpy(), values.numpy()))
    return values[mask]


@lru_cache(maxsize=4)
def discounts(length: int, device: torch.device) -> Tensor:
    """1 / log2(1 + n) for n = 1..length, and 0 for n = 0."""
    ranks = torch.arange(1, length + 1, dtype=torch.float64, device=device)
    return torch.nn.functional.pad(1 / torch.log2(1 + ranks), (1, 0))


@lru_cache(maxsize=8)
def prefix_sums(kind: str, length: int, device: torch.device) -> Tensor:
    """Sums over n = 1..m for m = 0..length of 1 / log2(1 + n) ("discount") or 1 / n ("harmonic")."""
    if kind == "discount":
        return discounts(length, device).cumsum(0)
    terms = 1 / torch.arange(1, length + 1, dtype=torch.float64, device=device)
    return torch.nn.functional.pad(terms.cumsum(0), (1, 0))

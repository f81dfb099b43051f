"""Which label tensors are known to be a tree: what has been looked at is not looked at again.

A tensor is known by being the same object, unchanged by torch since; on the CPU, where NumPy may have written to its
memory, by what it holds as well. On an accelerator a change through ``labels.data`` goes unnoticed.
"""

import weakref
from typing import NamedTuple

from torch import Tensor

KEPT = 4
"""Checks remembered: the losses and the miner of one step see the same labels, with references or without."""
MOST_ON_CPU = 1 << 20
"""Labels on the CPU to remember the contents of; more are checked each time."""


class _Known(NamedTuple):
    tensors: tuple["weakref.ref[Tensor]", ...]
    marks: tuple[tuple[int, int], ...]
    ignore_index: int | None


_known: tuple[_Known, ...] = ()


def is_known(tensors: tuple[object, ...], ignore_index: int | None = None) -> bool:
    """Return whether just these labels, but for the ignored rows, have been remembered and not been changed since."""
    for known in _known:
        if known.ignore_index == ignore_index and len(known.tensors) == len(tensors):
            same = all(ref() is each for ref, each in zip(known.tensors, tensors, strict=True))
            if same and known.marks == tuple(map(_mark, tensors)):
                return True
    return False


def remember(tensors: tuple[object, ...], ignore_index: int | None = None) -> None:
    """Remember that these labels, but for the ignored rows, are a tree together; what is no tensor is not."""
    global _known
    marks = tuple(map(_mark, tensors))
    if None not in marks:
        refs = tuple(weakref.ref(each) for each in tensors)
        _known = (*_known[1 - KEPT :], _Known(refs, marks, ignore_index))  # type: ignore[arg-type]


def _mark(labels: object) -> tuple[int, int] | None:
    """Return what changes when the labels do, or None where that cannot be told."""
    if not isinstance(labels, Tensor) or labels.is_inference():
        return None
    if labels.device.type != "cpu":
        return labels._version, 0
    if labels.numel() > MOST_ON_CPU:
        return None
    try:
        return labels._version, hash(labels.numpy().tobytes())
    except (RuntimeError, TypeError):  # wrapped by torch.func, or a dtype that NumPy lacks
        return None

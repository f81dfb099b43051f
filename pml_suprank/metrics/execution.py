"""Options that change the time and memory of an evaluation, not its result."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Execution:
    """How to go about an evaluation.

    Args:
        block_size: queries ranked at a time by each thread; None for automatic.
        max_memory: bytes that may be taken beside inputs and results; None for automatic.
        distributed: whether the processes of ``torch.distributed`` share the queries.
        progress: whether to show a bar.

    Raises:
        ValueError: a size that is no integer >= 1, or both sizes.
    """

    block_size: int | None = None
    max_memory: int | None = None
    distributed: bool = False
    progress: bool = False

    def __post_init__(self) -> None:
        for name in ("block_size", "max_memory"):
            object.__setattr__(self, name, _checked_size(name, getattr(self, name)))
        if self.block_size is not None and self.max_memory is not None:
            raise ValueError("max_memory: wanted None beside block_size, which fixes the memory")


def _checked_size(name: str, value: Any) -> int | None:
    if value is None:
        return None
    try:
        size = operator.index(value)
    except TypeError:
        size = 0
    if size < 1 or isinstance(value, bool):
        raise ValueError(f"{name}: wanted an integer >= 1 or None, got {value!r}")
    return size

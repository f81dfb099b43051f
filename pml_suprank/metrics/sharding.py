"""Queries shared among the processes of ``torch.distributed``."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, distributed


class Shard:
    """This process's part of the blocks, and how the parts become one.

    Every process must have the same data; each takes every n-th block of the same division, so that the
    products, and with them the results, are those of one process.

    Args:
        active: whether to share; False makes this process do everything.
        task: what must be the same in all processes, as numbers and text.

    Raises:
        ValueError: there is no process group, or a process has another task.
    """

    def __init__(self, active: bool, task: Sequence[Any]) -> None:
        self._rank, self._processes = 0, 1
        if not active:
            return
        if not (distributed.is_available() and distributed.is_initialized()):
            raise ValueError(
                "distributed: wanted False, or torch.distributed.init_process_group called before, "
                "got True without a process group"
            )
        self._rank, self._processes = distributed.get_rank(), distributed.get_world_size()
        mine = zlib.crc32(repr(tuple(task)).encode())
        all_tasks = self.merge(
            torch.zeros(self._processes, dtype=torch.float64).index_fill_(
                0, torch.tensor(self._rank), float(mine)
            )
        )
        if not bool((all_tasks == all_tasks[0]).all()):
            raise ValueError(
                "distributed: wanted the same queries, gallery, labels and options in every process, "
                f"got different ones in processes 0 and {int((all_tasks != all_tasks[0]).nonzero()[0])}"
            )

    def part(self, blocks: Sequence[slice]) -> list[slice]:
        """The blocks of this process."""
        return list(blocks[self._rank :: self._processes])

    def merge(self, values: Tensor) -> Tensor:
        """The sum over all processes, of tensors that are 0 where another process has the value."""
        if self._processes == 1:
            return values
        on_gpu = distributed.get_backend() == "nccl"
        there = values.double().to("cuda" if on_gpu else "cpu")
        distributed.all_reduce(there)
        return there.to(values.device, values.dtype)


def least(number: int) -> int:
    """The smallest of the numbers of all processes; without a process group the number itself."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return number
    numbers = [0] * distributed.get_world_size()
    distributed.all_gather_object(numbers, number)
    return min(numbers)

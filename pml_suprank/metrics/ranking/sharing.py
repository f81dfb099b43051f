"""Queries shared among the processes of ``torch.distributed``, which agree on the task and on every failure."""

from __future__ import annotations

import contextlib
import dataclasses
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, distributed

Answer = tuple[str | None, int | None]
"""What one process tells the others: its error, if there is one, and a number."""


class Shard:
    """This process's part of the blocks, and how the parts become one.

    Every process must have the same data; each takes every n-th block of the same division, so that the
    products, and with them the results, are those of one process.

    Args:
        active: whether to share; False makes this process do everything.
        task: what must be the same in all processes, as numbers and text.

    Raises:
        ValueError: there is no process group, a process has another task, or one has failed before.
    """

    def __init__(self, active: bool, task: Sequence[Any]) -> None:
        self._rank, self._processes = 0, 1
        if not active:
            return
        if not _has_group():
            raise ValueError(
                "distributed: wanted False, or torch.distributed.init_process_group called before, "
                "got True without a process group"
            )
        self._rank, self._processes = distributed.get_rank(), distributed.get_world_size()
        tasks = _told((None, zlib.crc32(repr(tuple(task)).encode())))
        for rank, found in enumerate(tasks):
            if found != tasks[0]:
                raise ValueError(
                    "distributed: wanted the same queries, gallery, labels and options in every process, "
                    f"got different ones in processes 0 and {rank}"
                )

    def part(self, blocks: Sequence[slice]) -> list[slice]:
        """The blocks of this process."""
        return list(blocks[self._rank :: self._processes])

    def merge(self, *values: Tensor) -> tuple[Tensor, ...]:
        """The sums over all processes, of tensors that are 0 where another process has the value."""
        if self._processes == 1:
            return values
        on_gpu = distributed.get_backend() == "nccl"
        merged = []
        for each in values:
            there = each.double().to("cuda" if on_gpu else "cpu")
            distributed.all_reduce(there)
            merged.append(there.to(each.device, each.dtype))
        return tuple(merged)

    @contextlib.contextmanager
    def all_or_none(self) -> Iterator[None]:
        """Work of each process, of which none fails alone: the error of one is an error of all.

        Raises:
            ValueError: another process has failed.
        """
        with announced(self._processes > 1):
            yield
        if self._processes > 1:
            _told((None, None))


@contextlib.contextmanager
def announced(active: bool) -> Iterator[None]:
    """Tell the other processes of an error, so that they do not wait for this one.

    They hear of it where they next ask: as a ``Shard`` is made, or after ``all_or_none``.

    Args:
        active: whether there are others.
    """
    try:
        yield
    except Exception as error:
        if active and _has_group():
            with contextlib.suppress(ValueError):  # what others say matters less here
                _told((f"{type(error).__name__}: {error}", None))
        raise


def described(option: Any) -> str:
    """An option as text that is the same in all processes; of a function its name alone."""
    is_plain = option is None or isinstance(option, str | int | float | tuple)
    if is_plain or dataclasses.is_dataclass(option):
        return repr(option)
    return getattr(option, "__qualname__", type(option).__qualname__)


def fingerprint(*tensors: Tensor) -> tuple[Any, ...]:
    """Numbers that tell tensors apart, nearly surely, by every entry and its place.

    Sums of integers, which do not depend on the order in which threads add.
    """
    return tuple((tuple(each.shape), str(each.dtype), *_sums(each)) for each in tensors)


def _sums(tensor: Tensor) -> tuple[int, int]:
    if not tensor.numel():
        return 0, 0
    rows = tensor.detach().reshape(len(tensor), -1)
    if rows.is_floating_point():
        bits = {2: torch.int16, 4: torch.int32, 8: torch.int64}[rows.element_size()]
        rows = rows.contiguous().view(bits)
    columns = torch.arange(1, rows.shape[1] + 1, device=rows.device, dtype=torch.int64)
    plain, weighted = torch.zeros(2, dtype=torch.int64, device=rows.device)
    for start in range(0, len(rows), max(1, 2**20 // rows.shape[1])):
        part = rows[start : start + max(1, 2**20 // rows.shape[1])].long()
        of_row = (part * columns).sum(1)
        place = torch.arange(start + 1, start + 1 + len(part), device=rows.device)
        plain, weighted = plain + of_row.sum(), weighted + (of_row * place).sum()
    return int(plain), int(weighted)


def _told(own: Answer) -> list[int | None]:
    """What all processes have to say; the number of each.

    Raises:
        ValueError: one of the others has failed.
    """
    answers: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(answers, own)
    for rank, (error, _) in enumerate(answers):
        if error is not None and rank != distributed.get_rank():
            raise ValueError(f"process {rank}: {error}")
    return [number for _, number in answers]


def _has_group() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def least(number: int) -> int:
    """The smallest of the numbers of all processes; without a process group the number itself."""
    if not _has_group():
        return number
    return min(found for found in _told((None, number)) if found is not None)

"""Blocks of queries: how large they are, which thread or process works on them, and the bar that counts them."""

from __future__ import annotations

import bisect
import operator
import queue
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

Workspace = TypeVar("Workspace")

WORTHWHILE = 32
"""Queries per block below which fewer threads with larger blocks are the better use of memory."""


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


def blocks(length: int, size: int) -> list[slice]:
    """Slices of at most ``size`` that cover 0..length."""
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


def largest_block(
    memory: int, taken: int, most: int, threads: int, bytes_of: Callable[[int], int]
) -> tuple[int, int]:
    """Number of threads, and of queries in a block, that fit some memory.

    Args:
        memory: bytes in all.
        taken: bytes of what is there whatever the blocks.
        most: most queries in a block.
        threads: most threads.
        bytes_of: memory of a block by its number of queries.

    Returns:
        Threads and block size.

    Raises:
        ValueError: one query does not fit.

    Example:
        >>> largest_block(1100, 100, 64, 2, lambda queries: 10 * queries)
        (2, 50)
        >>> largest_block(420, 100, 64, 2, lambda queries: 10 * queries)
        (1, 32)
    """
    for number in range(threads, 0, -1):
        size = bisect.bisect_right(range(1, most + 1), (memory - taken) // number, key=bytes_of)
        if size >= min(most, WORTHWHILE) or (number == 1 and size):
            return number, size
    raise ValueError(
        f"max_memory: wanted at least {taken + bytes_of(1)} bytes, to rank one query at a time, got {memory}"
    )


def run(
    work: Callable[[slice, Workspace], None],
    jobs: Sequence[slice],
    workspace: Callable[[], Workspace],
    threads: int,
) -> Iterator[slice]:
    """Do the jobs, in one thread or several, and yield each when it is done.

    Args:
        work: called with a job and a workspace that no other thread has at the time.
        jobs: slices.
        workspace: makes a workspace.
        threads: number of threads; torch works with one thread in each of several.
    """
    if threads <= 1:
        space = workspace()
        for job in jobs:
            work(job, space)
            yield job
        return
    spaces: queue.SimpleQueue[Workspace] = queue.SimpleQueue()
    for _ in range(threads):
        spaces.put(workspace())

    def one(job: slice) -> slice:
        space = spaces.get()
        try:
            work(job, space)
        finally:
            spaces.put(space)
        return job

    # torch counts threads per thread: this does not touch the caller's.
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        for done in as_completed([pool.submit(one, job) for job in jobs]):
            yield done.result()
    finally:
        pool.shutdown(cancel_futures=True)


def progress_bar(
    done: Iterable[slice], total: int, show: bool, what: str = "ranking"
) -> Iterator[slice]:
    """The finished jobs, behind a tqdm bar that counts queries if wanted."""
    if not show:
        yield from done
        return
    from tqdm import tqdm

    with tqdm(total=total, unit="query", desc=what) as bar:
        for job in done:
            yield job
            bar.update(job.stop - job.start)

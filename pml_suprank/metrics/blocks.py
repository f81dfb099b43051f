"""Blocks of queries: who works on them, and the bar that counts them."""

from __future__ import annotations

import bisect
import queue
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

import torch

Workspace = TypeVar("Workspace")

WORTHWHILE = 32
"""Queries per block below which fewer threads with larger blocks are the better use of memory."""


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

"""Runs in several processes, with a progress bar."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from typing import Any, TypeVar

import torch
from tqdm import tqdm

__all__ = ["each"]

Item = TypeVar("Item")
Found = TypeVar("Found")


def each(
    one: Callable[[Item], Found], items: Sequence[Item], workers: int
) -> Iterator[tuple[Item, Found]]:
    """Yield every item with what ``one`` makes of it, as soon as it is there.

    Args:
        one: can be pickled, with what it returns, where there are several workers.
        items: hashable, and distinct.
        workers: processes with one thread each; 1 stays in this process.
    """
    with tqdm(total=len(items), desc="runs", unit="run", disable=not items) as bar:
        for pair in _found(one, items, workers):
            yield pair
            bar.update()


def _found(
    one: Callable[[Item], Found], items: Sequence[Item], workers: int
) -> Iterator[tuple[Item, Found]]:
    if workers == 1 or len(items) < 2:
        for item in items:
            yield item, one(item)
        return
    threads: dict[str, Any] = {"initializer": torch.set_num_threads, "initargs": (1,)}
    with ProcessPoolExecutor(workers, get_context("spawn"), **threads) as pool:
        waiting: dict[Future[Found], Item] = {pool.submit(one, item): item for item in items}
        try:
            while waiting:
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    yield waiting.pop(future), future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise

"""The progress bar of the recipes: on stderr, results alone go to stdout."""

from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

__all__ = ["progress_bar"]


def progress_bar(
    what: str,
    unit: str,
    items: Iterable[Any] | None = None,
    *,
    total: int | None = None,
    initial: int = 0,
    shown: bool = True,
) -> Any:
    """A bar that counts the items that are taken from it, or what its ``update`` is told.

    Args:
        what: is done.
        unit: of what is counted, singular.
        items: to pass on; None where ``update`` counts.
        total: number of all; None for the length of the items.
        initial: number of those that were counted before.
        shown: False shows nothing.
    """
    return tqdm(items, desc=what, unit=unit, total=total, initial=initial, disable=not shown)

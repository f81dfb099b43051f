"""Checks of a sampler's arguments; the errors say what would work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pml_suprank.checks import checked_level, has_items, list_of
from pml_suprank.values import checked_integer, shown


def checked_position(name: str, value: Any, most: int) -> int:
    """Return a number of batches, or raise a ValueError unless it is an integer in 0..most."""
    position = int(checked_integer(name, value, 0))
    if position > most:
        raise ValueError(f"{name}: wanted at most {most}, got {position}")
    return position


def checked_group_sizes(group_sizes: Any) -> tuple[int, ...]:
    """Return the group sizes as a tuple, or raise a ValueError unless they are one or more integers >= 1."""
    sizes = list_of(group_sizes) if has_items(group_sizes) else []
    if not sizes or isinstance(group_sizes, str | bytes | dict | set):
        raise ValueError(
            "group_sizes: wanted a sequence (samples_per_class, classes_per_parent, ...), "
            f"got {shown(group_sizes)}"
        )
    return tuple(
        checked_integer(f"group_sizes[{level}]", size, 1) for level, size in enumerate(sizes)
    )


def checked_columns(
    levels: Sequence[int] | None, num_groups: int, num_levels: int
) -> slice | list[int]:
    """Return the label column of each group size.

    Raises:
        ValueError: as many levels as group sizes do not exist, or levels that do not fit.
    """
    if levels is None:
        if num_groups > num_levels:
            raise ValueError(
                f"group_sizes: wanted at most {num_levels}, one for each level of the labels, "
                f"got {num_groups}"
            )
        return slice(num_groups)
    levels = list_of(levels)
    columns = [checked_level(level, num_levels, "levels") for level in levels]
    if len(columns) != num_groups or columns != sorted(set(columns)):
        raise ValueError(
            f"levels: wanted {num_groups} ascending label columns below {num_levels}, one for "
            f"each group size, got {tuple(levels)!r}"
        )
    return columns


def check_batch_size(batch_size: int, block: int, most: int, any_number: bool, where: str) -> None:
    """Raise a ValueError that names the nearest batch size that works, unless this one does.

    Args:
        batch_size: as asked for.
        block: the product of the group sizes, which divides it.
        most: samples there are.
        any_number: whether any number of samples works, or even ones only.
        where: what the limits come from, for the message.
    """
    step = block if any_number or block % 2 == 0 else 2 * block
    if batch_size % step == 0 and batch_size <= most:
        return
    below = min(batch_size, most) // step * step
    nearest = [size for size in (below, below + step) if 0 < size <= most]
    if not nearest:
        raise ValueError(
            f"batch_size: wanted a multiple of {step} of at most {most}, {where}; there is none, "
            f"so smaller group_sizes or more samples are needed, got {batch_size}"
        )
    raise ValueError(
        f"batch_size: wanted a multiple of {step} of at most {most}, {where}; nearest "
        f"{' and '.join(map(str, nearest))}, got {batch_size}"
    )

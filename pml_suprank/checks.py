"""Checks of arguments that several parts share; each error names the argument, what was wanted and what came."""

import math
import operator
from collections.abc import Iterable
from typing import Any

import torch


def check_embeddings(name: str, embeddings: Any) -> None:
    """Raise a ValueError unless ``embeddings`` is a non-empty, finite, floating (n, D) tensor."""
    if not torch.is_tensor(embeddings):
        raise ValueError(f"{name}: wanted a (n, D) tensor, got {type(embeddings).__name__}")
    if embeddings.ndim != 2 or 0 in embeddings.shape or not embeddings.is_floating_point():
        raise ValueError(
            f"{name}: wanted a floating tensor of shape (n, D), neither 0, "
            f"got {embeddings.dtype} of shape {tuple(embeddings.shape)}"
        )
    if all_finite(embeddings):
        return
    bad = (~torch.isfinite(embeddings).all(dim=1)).nonzero().flatten()
    if len(bad):
        raise ValueError(
            f"{name}: wanted finite numbers, got NaN or infinity in {len(bad)} of "
            f"{len(embeddings)} rows, first in row {int(bad[0])}"
        )


def all_finite(tensor: torch.Tensor) -> bool:
    """Return whether there is no NaN and no infinity, in one pass over the tensor."""
    # a NaN or an infinity stays in the sum; the sum of finite numbers may still overflow
    return bool(torch.isfinite(tensor.detach().sum()) or torch.isfinite(tensor).all())


def checked_depths(k: Any, name: str = "k") -> tuple[int, ...]:
    """Return one or several depths as a tuple of distinct integers.

    Raises:
        ValueError: something else than integers >= 1, or none.
    """
    try:
        given = tuple(k if isinstance(k, Iterable) else (k,))
        depths = () if bool in map(type, given) else tuple(map(operator.index, given))
    except TypeError:
        depths = ()
    if not depths or min(depths) < 1:
        raise ValueError(f"{name}: wanted one or more integers >= 1, got {k!r}")
    return tuple(dict.fromkeys(depths))


def checked_level(level: Any, num_levels: int | None = None) -> int:
    """Return ``level``, or raise a ValueError unless it is a label column."""
    try:
        column = -1 if isinstance(level, bool) else operator.index(level)
    except TypeError:
        column = -1
    if column < 0 or (num_levels is not None and column >= num_levels):
        known = "" if num_levels is None else f" below {num_levels}"
        raise ValueError(f"level: wanted an integer >= 0{known}, got {level!r}")
    return column


def checked_per_level(
    name: str, values: Any, num_levels: int | None = None, *, least: float = 0.0
) -> tuple[float, ...]:
    """Return one number for each level, finest first, from such a list or from one number for all.

    Args:
        name: the argument's name, for the message.
        values: finite numbers, or one.
        num_levels: the wanted number, if it is known.
        least: the least number allowed.

    Raises:
        ValueError: something else, or another number of them.
    """
    given = tuple(values) if has_items(values) else (values,) * (num_levels or 1)
    wrong_count = num_levels is not None and len(given) != num_levels
    try:  # float() reads strings, + does not
        numbers = tuple(math.nan if isinstance(v, bool) else float(v + 0.0) for v in given)
    except (TypeError, ValueError):
        numbers = ()
    if not numbers or wrong_count or not all(least <= x and math.isfinite(x) for x in numbers):
        levels = "each level" if num_levels is None else f"each of the {num_levels} levels"
        bound = "" if least == -math.inf else f" >= {least:g}"
        raise ValueError(
            f"{name}: wanted one finite number{bound} for {levels}, finest first, or one for all, "
            f"got {values!r}"
        )
    return numbers


def has_items(values: Any) -> bool:
    """Whether it is a list of values rather than one; a tensor without dimensions is one value."""
    return isinstance(values, Iterable) and getattr(values, "ndim", 1) > 0

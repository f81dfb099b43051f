"""Checks of single values: numbers, flags, paths; each error names the argument, what was wanted and what came."""

import math
import numbers
import operator
import os
from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeVar

import numpy as np
import torch

MOST = 1e18
"""The largest magnitude of a number that is calculated with, and 1 / MOST the least of one that is divided by: what is
made of scores by such numbers stays within float32."""
MOST_ITEMS = 2**31 - 1
"""Of anything that is made at once."""

C = TypeVar("C", bound=Callable[..., Any])


def shown(value: Any) -> str:
    """Return a value as an error says it: short, and what no error can read by its form."""
    if isinstance(value, torch.Tensor | np.ndarray) and value.ndim:
        return f"{type(value).__name__} of {value.dtype} and shape {tuple(value.shape)}"
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def as_number(value: Any) -> float:
    """Return a real number as a float, NaN for anything else: text, truth values, tensors of any dimension."""
    if isinstance(value, bool | np.bool_):
        return math.nan
    if isinstance(value, torch.Tensor):
        is_number = value.ndim == 0 and not (value.is_complex() or value.is_meta or value.is_sparse)
        is_number = is_number and value.dtype != torch.bool
    elif isinstance(value, np.ndarray):
        is_number = value.ndim == 0 and value.dtype.kind in "iuf"
    else:
        is_number = isinstance(value, numbers.Real)
    try:
        return float(value) if is_number else math.nan
    except OverflowError:
        return math.inf


def checked_number(
    name: str, value: Any, low: float = -MOST, high: float = MOST, *, optional: bool = False
) -> Any:
    """Return a finite number, an int or a float as it came.

    Args:
        name: the argument's name, for the message.
        value: a number; a NumPy one or a tensor of one becomes a float.
        low: the least number allowed.
        high: the largest.
        optional: whether None is returned as it is.

    Raises:
        ValueError: something else, NaN, infinity, or a number out of range.
    """
    if value is None and optional:
        return None
    number = as_number(value)
    if not low <= number <= high:
        wanted = "a finite number"
        if 0 < low <= 1 / MOST:
            wanted = "a positive finite number"
        elif low > -MOST and high < MOST:
            wanted = f"a number in [{low:g}, {high:g}]"
        elif low > -MOST:
            wanted += f" >= {low:g}"
        wanted += ", or None" * optional
        if abs(number) > MOST or 0 < abs(number) < 1 / MOST:
            wanted += f", of the order of {1 / MOST:g} to {MOST:g}"
        raise ValueError(f"{name}: wanted {wanted}, got {shown(value)}")
    return value if type(value) in (int, float) and abs(value) < 2**53 else number


def checked_positive(name: str, value: Any) -> Any:
    """Return a positive finite number that can be divided by, or raise a ValueError."""
    return checked_number(name, value, 1 / MOST)


def checked_integer(
    name: str, value: Any, low: int, high: int = MOST_ITEMS, *, optional: bool = False
) -> Any:
    """Return an integer within bounds, as an int, or raise a ValueError; None too where it is ``optional``."""
    if value is None and optional:
        return None
    number = as_integer(value)
    if number is None or not low <= number <= high:
        wanted = f"an integer >= {low}{', or None' * optional}"
        if number is not None and number > high:
            wanted += f", and at most {high}"
        raise ValueError(f"{name}: wanted {wanted}, got {shown(value)}")
    return number


def as_integer(value: Any) -> int | None:
    """Return an integer as an int, None for anything else: a truth value, a float, a tensor of several."""
    if isinstance(value, bool | np.bool_) or (isinstance(value, torch.Tensor) and value.is_meta):
        return None
    if isinstance(value, torch.Tensor | np.ndarray) and value.ndim:
        return None
    if isinstance(value, torch.Tensor) and value.dtype == torch.bool:
        return None
    try:
        return operator.index(value)
    except (TypeError, ValueError):
        return None


def checked_flag(name: str, value: Any) -> bool:
    """Return a truth value, or raise a ValueError for what is neither a bool nor 0 or 1."""
    if isinstance(value, bool | np.bool_) or (type(value) is int and value in (0, 1)):
        return bool(value)
    raise ValueError(f"{name}: wanted True or False, got {shown(value)}")


def checked_choice(name: str, value: Any, known: Collection[str]) -> str:
    """Return one of several texts, or raise a ValueError that lists them."""
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name}: wanted one of {', '.join(known)}, got {shown(value)}")
    return value


def checked_callable(name: str, value: C, what: str = "a function") -> C:
    """Return what can be called, or raise a ValueError; a class that was not made an object of is none."""
    if not callable(value) or isinstance(value, type):
        raise ValueError(f"{name}: wanted {what}, got {shown(value)}")
    return value


def checked_instance(name: str, value: Any, kind: type | tuple[type, ...], what: str) -> Any:
    """Return an object of a class, or raise a ValueError."""
    if not isinstance(value, kind):
        raise ValueError(f"{name}: wanted {what}, got {shown(value)}")
    return value


def checked_items(name: str, values: Any, what: str) -> list[Any]:
    """Return several things as a list, or raise a ValueError for one thing, a text or a mapping."""
    several = isinstance(values, Iterable) and not isinstance(values, str | bytes | dict)
    if not several or getattr(values, "ndim", 1) == 0 or getattr(values, "is_meta", False):
        raise ValueError(f"{name}: wanted {what}, got {shown(values)}")
    return list(values)


def checked_path(name: str, path: Any) -> str:
    """Return a path as text, or raise a ValueError: ``open`` takes an integer for a file that is open."""
    try:
        found = os.fspath(path)
    except TypeError:
        found = ""
    if not isinstance(found, str) or not found or "\0" in found:
        raise ValueError(f"{name}: wanted a path, a str or os.PathLike, got {shown(path)}")
    return found

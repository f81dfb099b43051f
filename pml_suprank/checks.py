"""Checks of arguments that several parts share; each error names the argument, what was wanted and what came."""

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch

from pml_suprank.values import MOST, MOST_ITEMS, as_integer, as_number, shown

_Action = Callable[[], None]
_Pending = list[tuple[torch.Tensor, _Action, _Action]]
_NO_ARITHMETIC = (torch.uint16, torch.uint32, torch.uint64)
"""Dtypes that torch stores, and compares or adds on few devices."""
_pending: ContextVar[_Pending | None] = ContextVar("pending", default=None)


@contextmanager
def one_look() -> Iterator[None]:
    """Look at what was demanded of an accelerator within the block when it ends, so that the host waits once.

    What stands in the block has to stand values that are not checked yet. The CPU is asked at once.
    """
    if _pending.get() is not None:
        yield
        return
    token = _pending.set([])
    try:
        yield
        look_now()
    finally:
        _pending.reset(token)


def look_now() -> None:
    """Look at what was demanded so far in :func:`one_look`, if that is where this is called."""
    pending = _pending.get()
    if not pending:
        return
    demands, pending[:] = list(pending), []
    all_hold = len(demands) > 1 and bool(_together([holds for holds, _, _ in demands]))
    for holds, complain, settle in demands:
        if all_hold or bool(holds):
            settle()
        else:
            complain()


def _together(flags: list[torch.Tensor]) -> torch.Tensor:
    devices = {flag.device for flag in flags}
    if len(devices) > 1:  # labels on another accelerator
        flags = [flag.to(flags[0].device) for flag in flags]
    return torch.stack(flags).all()


def demand(holds: bool | torch.Tensor, complain: _Action, settle: _Action = lambda: None) -> None:
    """Call ``complain``, which raises, unless a condition holds; an accelerator's may be looked at later.

    Args:
        holds: the condition, a boolean or such a tensor without dimensions.
        complain: finds out what is wrong and raises; it may find nothing.
        settle: called once it is known that the condition holds.
    """
    pending = _pending.get()
    if pending is not None and isinstance(holds, torch.Tensor) and holds.device.type != "cpu":
        pending.append((holds, complain, settle))
    elif bool(holds):
        settle()
    else:
        complain()


def check_embeddings(name: str, embeddings: Any) -> None:
    """Raise a ValueError unless ``embeddings`` is a non-empty, finite, floating (n, D) tensor."""
    if not torch.is_tensor(embeddings):
        raise ValueError(f"{name}: wanted a (n, D) tensor, got {type(embeddings).__name__}")
    _check_dense(name, embeddings)
    if embeddings.ndim != 2 or 0 in embeddings.shape or not embeddings.is_floating_point():
        raise ValueError(
            f"{name}: wanted a floating tensor of shape (n, D), neither 0, "
            f"got {embeddings.dtype} of shape {tuple(embeddings.shape)}"
        )

    def complain() -> None:
        bad = (~torch.isfinite(embeddings).all(dim=1)).nonzero().flatten()
        if len(bad):
            raise ValueError(
                f"{name}: wanted finite numbers, got NaN or infinity in {len(bad)} of "
                f"{len(embeddings)} rows, first in row {int(bad[0])}"
            )

    demand(has_finite_sum(embeddings), complain)


def check_tensor(
    name: str, value: Any, kind: str = "numbers", shape: Sequence[str] | None = None
) -> None:
    """Raise a ValueError unless ``value`` is a dense tensor with values.

    Args:
        name: the argument's name, for the message.
        value: what may be one.
        kind: "floating", "integers", "boolean", or "numbers", floating or integers.
        shape: the names of its dimensions; None for any.
    """
    sizes = "" if shape is None else f"({', '.join(shape)}{',' * (len(shape) == 1)}) "
    is_adjective = kind in ("floating", "boolean")
    what = f"a {kind} {sizes}tensor" if is_adjective else f"a {sizes}tensor of {kind}"
    if not torch.is_tensor(value):
        raise ValueError(f"{name}: wanted {what}, got {shown(value)}")
    _check_dense(name, value)
    if shape is not None and value.ndim != len(shape):
        raise ValueError(f"{name}: wanted {what}, got {value.dtype} {tuple(value.shape)}")
    if not _is_of(kind, value):
        wanted = what if is_adjective else kind
        raise ValueError(f"{name}: wanted {wanted}, got {value.dtype} {tuple(value.shape)}")


def tensor_of(name: str, values: Any, what: str) -> torch.Tensor:
    """Return a tensor as it is, and an array of any byte order and strides as one, or raise a ValueError.

    Args:
        name: the argument's name, for the message.
        values: a tensor, an array, or nested lists of numbers.
        what: is wanted, for the message.
    """
    if torch.is_tensor(values):
        return values
    try:
        array = np.asarray(values)
        if array.dtype.kind in "iuf":  # torch takes the machine's byte order alone
            array = array.astype(array.dtype.newbyteorder("="), copy=False)
        if min(array.strides, default=0) < 0:
            array = array.copy()
        with warnings.catch_warnings():
            # nobody writes to it here, and it may be the map of a large file
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            return torch.from_numpy(array)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise ValueError(f"{name}: wanted {what}, got {shown(values)}") from None


def is_integral(value: torch.Tensor) -> bool:
    """Whether a tensor is of integers that torch can compare and add on every device."""
    return _is_of("integers", value)


def _is_of(kind: str, value: torch.Tensor) -> bool:
    if kind == "boolean":
        return value.dtype == torch.bool
    if kind == "floating":
        return value.is_floating_point()
    if value.is_complex() or value.dtype == torch.bool or value.dtype in _NO_ARITHMETIC:
        return False
    return kind == "numbers" or not value.is_floating_point()


def _check_dense(name: str, value: torch.Tensor) -> None:
    if value.is_meta or value.layout != torch.strided:
        where = "on the meta device" if value.is_meta else f"of layout {value.layout}"
        raise ValueError(f"{name}: wanted a dense tensor, got one {where}")


def all_finite(tensor: torch.Tensor) -> bool:
    """Return whether there is no NaN and no infinity, in one pass over the tensor."""
    return bool(has_finite_sum(tensor)) or bool(torch.isfinite(tensor).all())


def has_finite_sum(tensor: torch.Tensor) -> bool | torch.Tensor:
    """Return whether the sum is finite, on an accelerator as a tensor; if not, finite numbers may have overflowed."""
    total = tensor.detach().sum()
    if total.device.type == "cpu":
        return math.isfinite(total.item())
    return total - total == 0  # half the kernels of isfinite


def checked_depths(k: Any, name: str = "k") -> tuple[int, ...]:
    """Return one or several depths as a tuple of distinct integers.

    Raises:
        ValueError: something else than integers >= 1, or none.
    """
    given = [as_integer(each) for each in list_of(k)]
    depths = [each for each in given if each is not None and 1 <= each <= MOST_ITEMS]
    if not depths or len(depths) < len(given):
        raise ValueError(f"{name}: wanted one or more integers >= 1, got {shown(k)}")
    return tuple(dict.fromkeys(depths))


def checked_level(level: Any, num_levels: int | None = None, name: str = "level") -> int:
    """Return ``level``, or raise a ValueError unless it is a label column."""
    column = as_integer(level)
    if column is None or not 0 <= column < (MOST_ITEMS if num_levels is None else num_levels):
        known = "" if num_levels is None else f" below {num_levels}"
        raise ValueError(f"{name}: wanted an integer >= 0{known}, got {shown(level)}")
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
    given = tuple(list_of(values)) if has_items(values) else (values,) * (num_levels or 1)
    wrong_count = num_levels is not None and len(given) != num_levels
    numbers = tuple(map(as_number, given))
    if not numbers or wrong_count or not all(least <= x and abs(x) <= MOST for x in numbers):
        levels = "each level" if num_levels is None else f"each of the {num_levels} levels"
        bound = "" if least == -math.inf else f" >= {least:g}"
        raise ValueError(
            f"{name}: wanted one finite number{bound} for {levels}, finest first, or one for all, "
            f"got {shown(values)}"
        )
    return numbers


def has_items(values: Any) -> bool:
    """Whether it is a list of values rather than one; a tensor without dimensions is one value."""
    return isinstance(values, Iterable) and getattr(values, "ndim", 1) > 0


def list_of(values: Any) -> list[Any]:
    """Return a list of values, or of the one; nothing of what holds none that can be read, such as a mapping."""
    if isinstance(values, str | bytes | Mapping) or getattr(values, "is_meta", False):
        return [values]
    return list(values) if has_items(values) else [values]

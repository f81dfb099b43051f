"""Checks of arguments that several parts share; each error names the argument, what was wanted and what came."""

import math
import operator
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch

_Action = Callable[[], None]
_Pending = list[tuple[torch.Tensor, _Action, _Action]]
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

"""Old public names, which work for one release and say the new one.

A warning is given in the name of the line that uses the old name, so that Python shows it once for that line.
"""

import functools
import sys
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
_BETWEEN = ("torch.nn.modules.", "importlib.")
"""Modules between a use of a name and its definition: ``module(...)`` calls ``forward`` through torch."""


def warn_old(what: str, instead: str) -> None:
    """Warn the caller of the function that calls this.

    Args:
        what: what is old: "levels: this keyword", say.
        instead: what to write now.
    """
    level, frame = 3, sys._getframe(2)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(_BETWEEN):
        level, frame = level + 1, frame.f_back
    message = f"{what} is old and goes with the next release; write {instead}"
    warnings.warn(message, DeprecationWarning, stacklevel=level)


def renamed_keywords(**new_names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function, or the ``__init__`` of a class, take keywords by their old names too.

    The signature shows the new names alone.

    Args:
        new_names: ``old="new"``.

    Returns:
        The decorator. What it returns raises a TypeError where an old and its new name are both given.

    Example:
        >>> @renamed_keywords(levels="common_levels")
        ... def count(common_levels):
        ...     return len(common_levels)
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     count(levels=[2, 0, 1])
        3
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        name = function.__qualname__.removesuffix(".__init__")

        @functools.wraps(function)
        def accept(*args: P.args, **kwargs: P.kwargs) -> R:
            for old in kwargs.keys() & new_names:
                new = new_names[old]
                if new in kwargs:
                    raise TypeError(f"{name}: wanted {new!r} alone, got its old name {old!r} too")
                warn_old(f"{name}: the keyword {old!r}", repr(new))
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return accept

    return decorate


def renamed_attributes(
    module: str, new_names: dict[str, str], otherwise: Callable[[str], Any] | None = None
) -> Callable[[str], Any]:
    """The ``__getattr__`` of a module in which names have changed.

    Args:
        module: its ``__name__``.
        new_names: old names to new ones of the same module.
        otherwise: what to ask for any other name; None raises an AttributeError.

    Example:
        ``__getattr__ = renamed_attributes(__name__, {"old": "new"})``, below the imports of the module.
    """

    def look_up(name: str) -> Any:
        if name in new_names:
            warn_old(f"{module}: the name {name!r}", repr(new_names[name]))
            return getattr(sys.modules[module], new_names[name])
        if otherwise is not None:
            return otherwise(name)
        raise AttributeError(f"module {module!r} has no attribute {name!r}", name=name)

    return look_up

"""Paths in the settings of a run: they mean the same wherever one stands, and photographs may move."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pml_suprank.recipes.engine.settings import DataSettings, Settings

__all__ = ["at_root", "below", "check_root", "placed", "resolved", "same_but_root", "split_root"]

_PATH_OPTIONS = ("taxonomy", "hierarchy")
"""Options of loaders that are files; others, such as the table, lie below the root."""


def resolved(settings: Settings, base: str | os.PathLike[str] = "") -> Settings:
    """Settings whose paths are absolute: folder of the images, weights, taxonomy or hierarchy.

    Args:
        settings: of a run.
        base: what relative paths start from; the current folder by default.
    """

    def absolute(path: str) -> str:
        return os.path.abspath(os.path.join(base, path))

    data, model = settings.data, settings.model
    options: dict[str, Any] = dict(data.options)
    for name in _PATH_OPTIONS:
        if isinstance(options.get(name), str):
            options[name] = absolute(options[name])
    root = None if data.root is None else absolute(data.root)
    weights = model.weights
    if weights is not None:
        kind, colon, rest = weights.rpartition("run:")
        if colon and not kind:
            weights = f"run:{absolute(rest)}"
        elif os.path.isfile(absolute(weights)):  # else the name of published ones
            weights = absolute(weights)
    return replace(
        settings,
        data=replace(data, root=root, options=options),
        model=replace(model, weights=weights),
    )


def at_root(settings: Settings, root: str | os.PathLike[str] | None) -> Settings:
    """The same settings with the images in another folder; None changes nothing."""
    if root is None:
        return settings
    return replace(settings, data=replace(settings.data, root=os.path.abspath(root)))


def split_root(words: Sequence[str]) -> tuple[str | None, list[str]]:
    """The last value of ``--data.root`` on a command line, and the other words."""
    root, rest = None, []
    remaining = iter(words)
    for word in remaining:
        option, equals, value = word.partition("=")
        if option == "--data.root":
            root = value if equals else next(remaining, "")
        else:
            rest.append(word)
    return root, rest


def same_but_root(one: Settings, other: Settings) -> bool:
    """Whether settings differ at most in the folder of the images."""
    return at_root(one, "/") == at_root(other, "/")


def below(path: str | os.PathLike[str], root: str | os.PathLike[str] | None) -> str:
    """A file as it is called below a folder; absolute where it lies elsewhere, and a name that is no file as it is."""
    path = Path(path)
    if not path.is_absolute() and not path.exists():  # images of a package have names
        return str(path)
    absolute = Path(os.path.abspath(path))
    base = None if root is None else Path(os.path.abspath(root))
    is_below = base is not None and absolute.is_relative_to(base)
    return absolute.relative_to(base).as_posix() if base and is_below else str(absolute)


def placed(
    paths: Iterable[str | os.PathLike[str]], root: str | os.PathLike[str] | None
) -> tuple[tuple[str, ...], str]:
    """Files as they are called below a folder, and that folder; "" where they are names of images in a package."""
    names = tuple(below(path, root) for path in paths)
    base = "" if root is None else os.path.abspath(root)
    return names, base if names and os.path.isfile(os.path.join(base, names[0])) else ""


def check_root(data: DataSettings) -> None:
    """Say where the images were looked for.

    Raises:
        FileNotFoundError: the folder of the images is not there.
    """
    if data.root is not None and not Path(data.root).is_dir():
        raise FileNotFoundError(
            f"data.root: wanted the folder of the images, not found at {os.path.abspath(data.root)!r}; "
            "pass --data.root with where it is"
        )

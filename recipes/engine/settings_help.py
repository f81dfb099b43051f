"""The help of the command line, from the docstrings of the settings."""

import argparse
import inspect
import json
import re
import types
import typing
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from pml_suprank.recipes.engine.settings import Settings

__all__ = ["print_help"]


def print_help(prog: str) -> None:
    """All keys, with the words of the docstrings."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Fine-tune a backbone for retrieval, evaluate it and write a run folder.",
        add_help=False,
        usage="%(prog)s [--config FILE_OR_NAME] [--GROUP.KEY VALUE ...]",
    )
    parser.add_argument(
        "--config", metavar="FILE_OR_NAME", help="YAML file, or name of published settings"
    )
    groups = _described(Settings)
    hints = typing.get_type_hints(Settings)
    for item in fields(Settings):
        hint = hints[item.name]
        cls: Any = next((h for h in (hint, *typing.get_args(hint)) if is_dataclass(h)), None)
        if cls is None:
            parser.add_argument(f"--{item.name}", metavar="TEXT", help=_escaped(groups[item.name]))
            continue
        group = parser.add_argument_group(item.name, _escaped(groups[item.name]))
        words = _described(cls)
        defaults: Any = cls() if item.default_factory is MISSING else item.default_factory()
        for inner in fields(cls):
            value = getattr(defaults, inner.name)
            shown = json.dumps(list(value) if isinstance(value, tuple) else value).strip('"')
            group.add_argument(
                f"--{item.name}.{inner.name}",
                metavar=_metavar(typing.get_type_hints(cls)[inner.name]),
                help=_escaped(f"{words[inner.name]} ({shown})"),
            )
    parser.print_help()


def _described(cls: Any) -> dict[str, str]:
    """The words of a docstring about each argument."""
    lines = (inspect.getdoc(cls) or "").partition("Args:")[2]
    found = re.findall(r"^    (\w+): (.*(?:\n      .*)*)", lines, re.MULTILINE)
    return {name: " ".join(words.split()) for name, words in found}


def _metavar(hint: Any) -> str:
    """A hint as it is read: one of several words, null, numbers."""
    if isinstance(hint, types.UnionType):
        return "|".join(_metavar(h) for h in typing.get_args(hint))
    if typing.get_origin(hint) is typing.Literal:
        return "|".join(typing.get_args(hint))
    names = {dict: "{...}", tuple: "[INT,...]", str: "TEXT", type(None): "null"}
    return names.get(typing.get_origin(hint) or hint, hint.__name__.upper())


def _escaped(words: str) -> str:
    return words.replace("%", "%%")

"""YAML and JSON of others, read as data: nothing runs, and size, depth and count are bounded.

Plain data are None, bools, integers of 64 bits, floats, text, lists, and mappings whose keys are text.
"""

import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pml_suprank.integrations import require

__all__ = [
    "PlainDataError",
    "json_data",
    "plain",
    "read_json",
    "read_yaml",
    "yaml_data",
    "yaml_text",
]

DEPTH = 32
"""Most levels of lists and mappings within each other."""
COUNT = 20_000
"""Most values of a YAML text, aliases written out."""
YAML_BYTES = 2**18
JSON_BYTES = 2**24
_EXPONENT = (
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)
"""Numbers without a point, which YAML 1.1 takes for text."""
_INTEGERS = range(-(2**63), 2**64)


class PlainDataError(ValueError):
    """A text that is no plain data, or too much of it."""


def read_yaml(path: Path) -> Any:
    """The plain data of a YAML file, see :func:`yaml_data`.

    Raises:
        OSError: the file is missing or cannot be read.
        PlainDataError: it is no regular file, or as :func:`yaml_data`; names the file.
    """
    text = _read_text(path, YAML_BYTES)
    try:
        return yaml_data(text)
    except PlainDataError as error:
        raise PlainDataError(f"{path}: {error}") from error


def read_json(path: Path, most_bytes: int = JSON_BYTES) -> Any:
    """The content of a JSON file.

    Args:
        path: the file.
        most_bytes: larger files are refused.

    Raises:
        OSError: the file is missing or cannot be read.
        PlainDataError: it is no regular file, too large or no JSON; names the file.
    """
    text = _read_text(path, most_bytes)
    try:
        return json_data(text)
    except PlainDataError as error:
        raise PlainDataError(f"{path}: {error}") from error


def yaml_data(text: str) -> Any:
    """The plain data of a YAML text; numbers such as 1e-5 are numbers, dates are text.

    Raises:
        PlainDataError: no YAML, a value that is not plain, or more than :data:`DEPTH` or :data:`COUNT` allow.
    """
    yaml: Any = require("yaml", extra="recipes")
    if len(text) > YAML_BYTES:
        raise PlainDataError(f"wanted at most {YAML_BYTES:,} characters, got {len(text):,}")
    try:
        _check_events(yaml, text)
        return plain(yaml.load(text, Loader=_loader()))
    except PlainDataError:
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise PlainDataError(f"wanted YAML of plain data, got {_one_line(error)}") from error


def yaml_text(data: Any) -> str:
    """Plain data as YAML that :func:`yaml_data` reads back unchanged: texts such as "1e5" are quoted.

    Raises:
        PlainDataError: a value that is not plain.
    """
    yaml: Any = require("yaml", extra="recipes")
    dumper = type("Dumper", (yaml.SafeDumper,), {})
    dumper.yaml_implicit_resolvers = {  # type: ignore[attr-defined]
        first: list(forms) for first, forms in yaml.SafeDumper.yaml_implicit_resolvers.items()
    }
    dumper.add_implicit_resolver(*_EXPONENT)  # type: ignore[attr-defined]
    data = plain(data)
    readable, escaped = (
        yaml.dump(data, Dumper=dumper, sort_keys=False, allow_unicode=shown)
        for shown in (True, False)
    )
    # a rare character, such as a line break of another script, does not survive as it is
    return readable if yaml.load(readable, Loader=_loader()) == data else escaped


def json_data(text: str) -> Any:
    """The content of a JSON text.

    Raises:
        PlainDataError: no JSON, or too deep.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PlainDataError(f"wanted JSON, got {_one_line(error)}") from error


def plain(value: Any, where: str = "") -> Any:
    """A copy of plain data, tuples as lists.

    Args:
        value: to copy.
        where: its key, for messages.

    Raises:
        PlainDataError: a value of another type, or too deep; names its key.
    """
    return _plain(value, where, DEPTH)


def _plain(value: Any, where: str, depth: int) -> Any:
    if value is None or type(value) in (bool, float, str):
        return value
    if type(value) is int and value in _INTEGERS:
        return value
    at = f"{where}: " if where else ""
    if isinstance(value, Mapping | list | tuple):
        if not depth:
            raise PlainDataError(f"{at}wanted at most {DEPTH} levels of lists and mappings")
        if not isinstance(value, Mapping):
            return [_plain(item, f"{where}[{i}]", depth - 1) for i, item in enumerate(value)]
        for key in value:
            if type(key) is not str:
                raise PlainDataError(
                    f"{at}wanted text as keys, got one of type {type(key).__name__}"
                )
        return {k: _plain(v, f"{where}.{k}" if where else k, depth - 1) for k, v in value.items()}
    got = "an integer of more than 64 bits" if type(value) is int else type(value).__name__
    raise PlainDataError(f"{at}wanted null, a bool, a number, text, a list or a mapping, got {got}")


def _read_text(path: Path, most_bytes: int) -> str:
    path = Path(path)
    if path.exists() and not path.is_file():  # a pipe would never end
        raise PlainDataError(f"{path}: wanted a file")
    with path.open("rb") as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise PlainDataError(f"{path}: wanted at most {most_bytes:,} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PlainDataError(f"{path}: wanted UTF-8 text, got {error}") from error


def _check_events(yaml: Any, text: str) -> None:
    """Count values and depth with each alias written out, before anything is built of them."""
    known: dict[str, tuple[int, int]] = {}  # anchor: values and depth
    above: list[tuple[str | None, int, int]] = []  # of the collections that are open
    anchor, count, depth = None, 0, 0
    for event in yaml.parse(text, Loader=_loader()):
        if isinstance(event, yaml.CollectionStartEvent):
            above.append((anchor, count, depth))
            anchor, count, depth = event.anchor, 0, 0
            values, levels = 0, 0
        elif isinstance(event, yaml.CollectionEndEvent):
            values, levels = count + 1, depth + 1
            if anchor is not None:
                known[anchor] = (values, levels)
            anchor, count, depth = above.pop()
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in known:
                raise PlainDataError(f"wanted an alias of what is above it, got *{event.anchor}")
            values, levels = known[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            values, levels = 1, 0
            if event.anchor is not None:
                known[event.anchor] = (1, 0)
        else:
            continue
        count, depth = count + values, max(depth, levels)
        if depth > DEPTH or len(above) > DEPTH:
            raise PlainDataError(f"wanted at most {DEPTH} levels of lists and mappings")
        if count > COUNT:
            raise PlainDataError(f"wanted at most {COUNT:,} values, aliases written out")


@functools.cache
def _loader() -> Any:
    """PyYAML's safe loader, with the floats of YAML 1.2 and without dates."""
    yaml: Any = require("yaml", extra="recipes")

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        pass

    Loader.yaml_implicit_resolvers = {
        first: [(tag, form) for tag, form in forms if not tag.endswith(":timestamp")]
        for first, forms in Loader.yaml_implicit_resolvers.items()
    }
    Loader.add_implicit_resolver(*_EXPONENT)
    return Loader


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]

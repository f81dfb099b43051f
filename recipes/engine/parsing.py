"""Settings from YAML files and the command line; a wrong key names the nearest right one.

Settings are data: types are checked, values that any key may have are plain (see
:mod:`pml_suprank.integrations.plain_files`), and nothing that a value names is run, read or looked up.
"""

import difflib
import functools
import reprlib
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from pml_suprank.integrations import require
from pml_suprank.integrations.plain_files import (
    PlainDataError,
    plain,
    read_yaml,
    yaml_data,
    yaml_text,
)
from pml_suprank.recipes.engine.settings import Settings
from pml_suprank.recipes.engine.settings_help import print_help
from pml_suprank.recipes.published import NAMED, named_settings

__all__ = ["ConfigError", "nearest", "parse_settings", "settings_from", "to_yaml"]


class ConfigError(ValueError):
    """A setting that is unknown or outside its range; the message names the key."""


def nearest(value: str, names: Sequence[str], count: int = 3) -> str:
    """The end of a message: the names that are like ``value``, or all where few or none are."""
    lowered = {name.lower(): name for name in names}
    close = difflib.get_close_matches(value.lower(), lowered, count, 0.5)
    if close:
        return "nearest: " + ", ".join(lowered[name] for name in close)
    return "valid: " + ", ".join(names[:40])


def settings_from(content: Mapping[str, Any], where: str = "settings") -> Settings:
    """Settings from a nested mapping, as a YAML file holds it.

    Args:
        content: keys as in :class:`Settings`; what is missing keeps its default.
        where: named in messages.

    Raises:
        ConfigError: an unknown key, or a value of another type.
    """
    pydantic: Any = require("pydantic", extra="recipes")
    whole = asdict(Settings())
    whole["model"] |= {"name": "", "weights": "default"}  # which follow from the library
    checked = _checked(content, where)
    if "name" in checked.get("loss", {}):
        whole["loss"]["options"] = {}  # a loss that is named has the defaults of its class
    _merge(whole, checked)
    try:
        return _validator().validate_python(whole)
    except pydantic.ValidationError as error:
        raise ConfigError(f"{where}: {_first_fault(error)}") from error


def parse_settings(argv: Sequence[str], prog: str = "suprank finetune") -> Settings:
    """Settings from a command line: ``--config FILE_OR_NAME`` and ``--group.key VALUE``, later ones win.

    Args:
        argv: the arguments.
        prog: name of the program in the help.

    Raises:
        ConfigError: an unknown key or file, or a value of another type.
        SystemExit: ``--help``.
    """
    content: dict[str, Any] = {}
    rest = iter(argv)
    for word in rest:
        option, equals, value = word.partition("=")
        if option in ("-h", "--help"):
            print_help(prog)
            raise SystemExit(0)
        if not option.startswith("--"):
            raise ConfigError(f"command line: wanted --config or --group.key, got {word!r}")
        if not equals:
            found = next(rest, None)
            if found is None:
                raise ConfigError(f"{option}: wanted a value, got nothing")
            value = found
        if option == "--config":
            _merge(content, _config(value))
        else:
            _set(content, option[2:], value)
    return settings_from(content, "command line")


def to_yaml(settings: Settings) -> str:
    """The settings as a YAML file that :func:`parse_settings` reads."""
    return yaml_text(asdict(settings))


@functools.cache
def _validator() -> Any:
    """Checks types and fills in defaults; pydantic builds these classes from data, and nothing else."""
    return require("pydantic", extra="recipes").TypeAdapter(Settings)


def _first_fault(error: Any) -> str:
    fault = error.errors(include_url=False)[0]
    key = ".".join(map(str, fault["loc"]))
    message = fault["msg"][0].lower() + fault["msg"][1:]
    return f"{key}: {message.replace('input should be', 'wanted')}, got {fault['input']!r}"


def _config(value: str) -> dict[str, Any]:
    """The settings of a file, or published ones, checked."""
    path = Path(value)
    if value in NAMED:
        return _checked(named_settings(value), value)
    if not path.is_file():
        raise ConfigError(
            f"--config: wanted a YAML file or the name of published settings, got {value!r}; "
            f"{nearest(value, NAMED)}"
        )
    try:
        content = read_yaml(path)
    except (OSError, PlainDataError) as error:
        raise ConfigError(f"--config: {path} cannot be read: {error}") from error
    return _checked({} if content is None else content, str(path))


def _merge(content: dict[str, Any], later: Mapping[str, Any]) -> None:
    """Values of ``later`` win; a group keeps its other keys, a mapping of options is replaced."""
    for name, value in later.items():
        if isinstance(value, dict) and isinstance(content.get(name), dict):
            content[name] = content[name] | value
        else:
            content[name] = value


def _set(content: dict[str, Any], name: str, text: str) -> None:
    """Take one option of the command line into the content."""
    known, value = _key(name, "command line", "--"), text
    if not known.is_text or (known.is_optional and text in ("null", "None")):
        try:
            value = yaml_data(text)
        except PlainDataError as error:
            raise ConfigError(f"--{name}: {error}") from error
    *above, last = name.split(".")
    group = content
    for part in above:
        if not isinstance(group.get(part), dict):
            group[part] = {}
        group = group[part]
    if known.is_group:
        _merge(group, {last: value})
    else:
        group[last] = value


def _checked(content: Any, where: str) -> dict[str, Any]:
    """A copy with known keys and plain values; groups and options that are null are left out."""
    if not isinstance(content, Mapping):
        raise ConfigError(f"{where}: wanted keys and values, got {type(content).__name__}")
    try:
        content = plain(content)
    except PlainDataError as error:
        raise ConfigError(f"{where}: {error}") from error
    return _checked_group(content, where, "")


def _checked_group(content: dict[str, Any], where: str, prefix: str) -> dict[str, Any]:
    checked: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        known = _key(name if "." not in key else f"{prefix}{key!r}", where)
        if known.is_group or known.is_free:
            if value is None and not known.is_optional:
                continue
            if not isinstance(value, dict | None):
                raise ConfigError(f"{name}: wanted keys and values, got {reprlib.repr(value)}")
            if known.is_group and value is not None:
                value = _checked_group(value, where, f"{name}.")
        elif not known.is_bool:  # pydantic takes them for 0 and 1
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, bool):
                    raise ConfigError(f"{where}: {name}: wanted no bool, got {value}")
        checked[key] = value
    return checked


@dataclass(frozen=True)
class _Key:
    """What a key takes: keys of its own, any keys, text, null or a bool; else numbers."""

    is_group: bool = False
    is_free: bool = False
    is_text: bool = False
    is_optional: bool = False
    is_bool: bool = False


@functools.cache
def _known_keys() -> dict[str, _Key]:
    """Every key, dotted."""

    def walk(cls: Any, prefix: str) -> Iterator[tuple[str, _Key]]:
        hints = typing.get_type_hints(cls)
        for item in fields(cls):
            hint, is_optional = hints[item.name], False
            if isinstance(hint, types.UnionType):
                is_optional = True
                hint = next(h for h in typing.get_args(hint) if h is not type(None))
            name, origin = f"{prefix}{item.name}", typing.get_origin(hint)
            is_text = hint is str or origin is typing.Literal
            is_group = is_dataclass(hint)
            yield name, _Key(is_group, origin is dict, is_text, is_optional, hint is bool)
            if is_group:
                yield from walk(hint, f"{name}.")

    return dict(walk(Settings, ""))


def _key(name: str, where: str, prefix: str = "") -> _Key:
    known = _known_keys()
    if name in known:
        return known[name]
    if any(key.is_free and name.startswith(f"{free}.") for free, key in known.items()):
        return _Key()
    raise ConfigError(f"{where}: unknown key {prefix}{name}; {nearest(name, list(known))}")

"""Settings from YAML files and the command line; a wrong key names the nearest right one."""

import difflib
import functools
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

import yaml

from pml_suprank.integrations import require
from pml_suprank.recipes.engine.settings import Settings
from pml_suprank.recipes.published import NAMES, published_settings

jsonargparse: Any = require("jsonargparse", extra="recipes")

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
    _check_keys(content, where)
    try:
        parser = _parser("suprank")
        return _build(parser, parser.parse_object(dict(content)))
    except (jsonargparse.ArgumentError, TypeError, KeyError) as error:
        raise ConfigError(f"{where}: {error}") from error


def parse_settings(argv: Sequence[str], prog: str = "suprank finetune") -> Settings:
    """Settings from a command line: ``--config FILE_OR_NAME`` and ``--group.key VALUE``, later ones win.

    Args:
        argv: the arguments.
        prog: name of the program in the help.

    Raises:
        ConfigError: an unknown key or file, or a value of another type.
        SystemExit: ``--help``.
    """
    words: list[str] = []
    rest = iter(argv)
    for word in rest:
        option, equals, value = word.partition("=")
        if option == "--config":
            if not equals:
                value = next(rest, "")
            words += ["--config", _config(value)]
            continue
        if option.startswith("--") and option not in ("--help", "--print_config"):
            _check_option(option[2:])
        words.append(word)
    try:
        parser = _parser(prog)
        return _build(parser, parser.parse_args(words))
    except (jsonargparse.ArgumentError, TypeError) as error:
        raise ConfigError(" ".join(str(error).split())) from error


def to_yaml(settings: Settings) -> str:
    """The settings as a YAML file that :func:`parse_settings` reads."""
    return yaml.safe_dump(_plain(asdict(settings)), sort_keys=False, allow_unicode=True)


def _parser(prog: str) -> Any:
    parser = jsonargparse.ArgumentParser(
        prog=prog,
        description="Fine-tune a backbone for retrieval, evaluate it and write a run folder.",
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config", action="config", help="YAML file, or name of published settings"
    )
    parser.add_class_arguments(Settings, None)
    return parser


def _build(parser: Any, parsed: Any) -> Settings:
    built = parser.instantiate(parsed)
    return Settings(**{field.name: built[field.name] for field in fields(Settings)})


def _config(value: str) -> str:
    """The YAML of a file, or of published settings; its keys are checked."""
    path = Path(value)
    if value in NAMES:
        return yaml.safe_dump(published_settings(value))
    if not path.is_file():
        raise ConfigError(
            f"--config: wanted a YAML file or the name of published settings, got {value!r}; "
            f"{nearest(value, NAMES)}"
        )
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"--config: {path} cannot be read: {error}") from error
    _check_keys({} if content is None else content, str(path))
    return yaml.safe_dump(content or {})


def _check_keys(content: Any, where: str) -> None:
    if not isinstance(content, Mapping):
        raise ConfigError(f"{where}: wanted keys and values, got {type(content).__name__}")
    for key in _dotted(content):
        _check_key(key, where)


def _check_option(name: str) -> None:
    _check_key(name, "command line", "--")


def _check_key(key: str, where: str, prefix: str = "") -> None:
    known = _known_keys()
    free = [name for name, is_free in known.items() if is_free]
    if key in known or any(key.startswith(f"{name}.") for name in free):
        return
    raise ConfigError(f"{where}: unknown key {prefix}{key}; {nearest(key, list(known))}")


def _dotted(content: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    known = _known_keys()
    for key, value in content.items():
        name = f"{prefix}{key}"
        yield name
        if any(other.startswith(f"{name}.") for other in known):
            if isinstance(value, Mapping):
                yield from _dotted(value, f"{name}.")
            elif value is not None:
                raise ConfigError(f"{name}: wanted keys and values, got {value!r}")


@functools.cache
def _known_keys() -> dict[str, bool]:
    """Every key, dotted, and whether it takes a mapping of any keys."""

    def walk(cls: Any, prefix: str) -> Iterator[tuple[str, bool]]:
        hints = typing.get_type_hints(cls)
        for item in fields(cls):
            hint = hints[item.name]
            if isinstance(hint, types.UnionType):
                hint = next(h for h in typing.get_args(hint) if h is not type(None))
            name = f"{prefix}{item.name}"
            yield name, typing.get_origin(hint) is dict
            if is_dataclass(hint):
                yield from walk(hint, f"{name}.")

    return dict(walk(Settings, ""))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value

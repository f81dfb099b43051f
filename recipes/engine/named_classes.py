"""Classes by name, with options that are checked against their arguments."""

import inspect
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.recipes.engine.parsing import ConfigError, nearest
from pml_suprank.recipes.engine.settings import Component

__all__ = [
    "check_level",
    "check_options",
    "class_named",
    "instance_of",
    "nested_component",
    "parameters_of",
]


def class_named(
    name: str, modules: tuple[ModuleType, ...], base: Any, key: str
) -> Callable[..., Any]:
    """A class by name, from the first module that has it.

    Raises:
        ConfigError: there is none; names the nearest.
    """
    known: dict[str, Any] = {}
    for module in modules:
        for other, value in vars(module).items():
            if (
                inspect.isclass(value)
                and issubclass(value, base)
                and not other.startswith(("_", "Base"))
            ):
                known.setdefault(other, value)
    if name not in known:
        raise ConfigError(
            f"{key}: wanted the name of a class, got {name!r}; {nearest(name, sorted(known))}"
        )
    return known[name]


def check_options(component: Component, parameters: set[str], key: str) -> None:
    """Refuse options that a class does not take.

    Raises:
        ConfigError: names the option and the nearest right ones.
    """
    for option in component.options:
        if option not in parameters:
            raise ConfigError(
                f"{key}.options.{option}: {component.name} has no such option; "
                f"{nearest(option, sorted(parameters))}"
            )


def parameters_of(cls: Any) -> set[str]:
    """Names of the arguments of a class, those of its bases where it passes ``**kwargs`` on."""
    names: set[str] = set()
    for base in inspect.getmro(cls):
        init = vars(base).get("__init__")
        if init is None:
            continue
        parameters = inspect.signature(init).parameters.values()
        names |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return names - {"self"}


def nested_component(value: Any, key: str) -> Component:
    """A component within the options of another.

    Raises:
        ConfigError: no mapping with a name and, if any, options.
    """
    if not isinstance(value, Mapping) or not {"name"} <= set(value) <= {"name", "options"}:
        raise ConfigError(f"{key}: wanted a mapping with name and options, got {value!r}")
    return Component(str(value["name"]), dict(value.get("options") or {}))


def check_level(options: Mapping[str, Any], hierarchy: Hierarchy, key: str) -> None:
    """Refuse a level that the labels do not have.

    Raises:
        ConfigError: names the levels.
    """
    for name in ("level", "cluster_level"):
        level = options.get(name)
        if level is None:
            continue
        if (
            isinstance(level, bool)
            or not isinstance(level, int)
            or not 0 <= level < hierarchy.num_levels
        ):
            names = ", ".join(f"{i} ({n})" for i, n in enumerate(hierarchy.level_names))
            raise ConfigError(f"{key}.options.{name}: wanted a level of {names}, got {level!r}")


def instance_of(
    cls: Callable[..., Any],
    options: Mapping[str, Any],
    known: Mapping[str, Callable[[], Any]],
    key: str,
) -> Any:
    """An instance of a class.

    Args:
        cls: the class.
        options: keyword arguments, as configured.
        known: what follows from the data for each other argument.
        key: of the configuration, for messages.

    Raises:
        ConfigError: the class refuses an option.
    """
    filled = {name: value() for name, value in known.items() if name not in options}
    try:
        return cls(**filled, **options)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{key}.options: {error}") from error

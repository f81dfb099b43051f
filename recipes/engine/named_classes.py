"""Classes by name, with options that are checked against their arguments."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Collection, Mapping, Sequence
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
            if other not in getattr(module, "__all__", (other,)):
                continue
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


def check_options(component: Component, parameters: Collection[str], key: str) -> None:
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


def parameters_of(cls: Any) -> dict[str, inspect.Parameter]:
    """The arguments of a class by name, ``**kwargs`` followed to where its constructors pass them on.

    A constructor may hand them to that of its base (``super().__init__(**kwargs)``) or to another class
    (``SupHAPLoss(**kwargs)``); what it gives there itself is no argument of the class.
    """
    return _from_constructor(inspect.getmro(cls))


def _from_constructor(bases: Sequence[type]) -> dict[str, inspect.Parameter]:
    place = next((i for i, base in enumerate(bases) if "__init__" in vars(base)), None)
    if place is None or bases[place] is object:
        return {}
    init: Any = vars(bases[place])["__init__"]
    parameters = list(inspect.signature(init).parameters.values())[1:]
    found = {p.name: p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    rest = next((p.name for p in parameters if p.kind is p.VAR_KEYWORD), None)
    if rest is None:
        return found
    try:
        calls, read = _uses(init, rest)
    except OSError:  # no source: a constructor hands them to its base
        return found | {
            n: p for n, p in _from_constructor(bases[place + 1 :]).items() if n not in found
        }
    for call in calls:
        match call.func:
            case ast.Attribute(attr="__init__", value=ast.Call(func=ast.Name(id="super"))):
                taken = _from_constructor(bases[place + 1 :])
            case ast.Name(id=name) if inspect.isclass(init.__globals__.get(name)):
                taken = parameters_of(init.__globals__[name])
            case _:
                continue
        given = {keyword.arg for keyword in call.keywords}
        ordered = [p.name for p in taken.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
        given |= set(ordered[: sum(not isinstance(arg, ast.Starred) for arg in call.args)])
        given -= read
        found |= {n: p for n, p in taken.items() if n not in given and n not in found}
    return found


def _uses(function: Any, rest: str) -> tuple[list[ast.Call], set[Any]]:
    """The calls in a function that pass ``**rest`` on, and the keys it takes out of ``rest`` itself."""
    calls, read = [], set()
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        if isinstance(node, ast.Call):
            passed = [keyword.value for keyword in node.keywords if keyword.arg is None]
            if any(isinstance(value, ast.Name) and value.id == rest for value in passed):
                calls.append(node)
        match node:
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=key)):
                if name == rest:
                    read.add(key)
    return calls, read


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

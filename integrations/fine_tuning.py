"""What of a backbone trains, and how fast: layers, learning rates, freezing, checkpointing."""

import re
from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from pml_suprank.integrations import require

__all__ = [
    "enable_grad_checkpointing",
    "freeze_batch_norm",
    "layer_depths",
    "parameter_groups",
    "set_trainable",
]

_IMAGE_TOWER = "clip.visual."
_OPEN_CLIP_BLOCK = re.compile(r"(?:resblocks|blocks|encoder\.layer|\blayers?)\.?(\d+)\.")


def layer_depths(trunk: nn.Module) -> dict[str, int]:
    """The layer of each parameter of a backbone, 0 next to the input.

    timm's models say so themselves; of OpenCLIP's transformers each residual block is a layer, what comes
    before belongs to the first and what comes after to the last. A text tower is counted by itself.

    Args:
        trunk: ``TimmTrunk`` or ``OpenClipTrunk``.

    Returns:
        Name of each parameter of the trunk to its depth.

    Raises:
        ValueError: neither timm nor OpenCLIP.
    """
    model = getattr(trunk, "model", None)
    if hasattr(model, "group_matcher"):
        depths = _timm_depths(model)
        last = max(depths.values(), default=0)
        found = {f"model.{name}": depth for name, depth in depths.items()}
        return {name: found.get(name, last) for name, _ in trunk.named_parameters()}
    if not hasattr(trunk, "clip"):
        raise ValueError(
            f"trunk: wanted a TimmTrunk or an OpenClipTrunk, got {type(trunk).__name__}"
        )
    names = [name for name, _ in trunk.named_parameters()]
    images = [name for name in names if name.startswith(_IMAGE_TOWER)]
    texts = [name for name in names if not name.startswith(_IMAGE_TOWER)]
    clip: Any = trunk.clip
    backbone = getattr(clip.visual, "trunk", None)
    if hasattr(backbone, "group_matcher"):
        prefix = "clip.visual.trunk."
        depths = {prefix + name: depth for name, depth in _timm_depths(backbone).items()}
        last = max(depths.values(), default=0)
        image_depths = {name: depths.get(name, last) for name in images}
    else:
        image_depths = _block_depths(images)
    return _align(image_depths, _block_depths(texts))


def _align(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    """Both towers, counted so that they end with the same depth."""
    last = max([*one.values(), *other.values()], default=0)
    return {
        name: depth + last - max(depths.values())
        for depths in (one, other)
        for name, depth in depths.items()
    }


def _timm_depths(model: Any) -> dict[str, int]:
    timm_models: Any = require("timm.models", extra="timm")
    return timm_models.group_parameters(model, model.group_matcher(coarse=False), reverse=True)


def _block_depths(names: Iterable[str]) -> dict[str, int]:
    """Depths by the number of the block in the name; names without one are input or output."""
    names = list(names)
    depths: dict[str, int] = {}
    for name in names:
        block = _OPEN_CLIP_BLOCK.search(name)
        if block:
            depths[name] = int(block[1]) + 1
    last = max(depths.values(), default=0)
    inputs = ("embedding", "conv", "bn", "ln_pre", "patch_embed")
    for name in names:
        if name not in depths:
            depths[name] = 0 if any(part in name for part in inputs) else last
    return depths


def parameter_groups(
    model: Any,
    lr: float,
    *,
    head_lr: float | None = None,
    text_lr: float | None = None,
    weight_decay: float = 0.0,
    layer_decay: float | None = None,
) -> list[dict[str, Any]]:
    """Parameter groups for any optimiser of torch.

    Args:
        model: with ``trunk`` and ``embedder``.
        lr: learning rate of the last layer of the trunk, > 0.
        head_lr: of the embedder; None for ``lr``.
        text_lr: of the last layer of a text tower; None for ``lr``.
        weight_decay: of weights; norms, biases and all other vectors and scalars have none.
        layer_decay: factor in (0, 1] for each layer before the last; None for 1.

    Returns:
        Groups with ``name``, ``params``, ``lr`` and ``weight_decay``, the input first and the head last; each
        parameter is in one of them, frozen ones too.
    """
    groups: dict[tuple[str, bool], dict[str, Any]] = {}

    def add(name: str, parameter: nn.Parameter, rate: float) -> None:
        decays = parameter.ndim > 1
        key = (name, decays)
        if key not in groups:
            label = name if decays else f"{name}, no weight decay"
            decay = weight_decay if decays else 0.0
            groups[key] = {"name": label, "params": [], "lr": rate, "weight_decay": decay}
        groups[key]["params"].append(parameter)

    parameters = dict(model.trunk.named_parameters())
    own = hasattr(model.trunk, "clip") and text_lr is not None
    texts = {name for name in parameters if own and not name.startswith(_IMAGE_TOWER)}
    rates = {name: lr if text_lr is None or name not in texts else text_lr for name in parameters}
    if layer_decay is None:
        for name, parameter in parameters.items():
            add("text" if name in texts else "trunk", parameter, rates[name])
    else:
        depths = layer_depths(model.trunk)
        last = max(depths.values(), default=0)
        for name in sorted(parameters, key=lambda name: depths[name]):
            depth, tower = depths[name], "text" if name in texts else "trunk"
            rate = rates[name] * layer_decay ** (last - depth)
            add(f"{tower}, layer {depth}", parameters[name], rate)
    for parameter in model.embedder.parameters():
        add("head", parameter, lr if head_lr is None else head_lr)
    return list(groups.values())


def set_trainable(model: Any, layers: int | None = None, *, text: bool = True) -> None:
    """Say what trains: the embedder always, of the trunk the last layers.

    Args:
        model: with ``trunk`` and ``embedder``.
        layers: layers of the trunk that train, counted from the output; None for all.
        text: whether a text tower trains too.

    Raises:
        ValueError: layers below 0.
    """
    if layers is not None and layers < 0:
        raise ValueError(f"layers: wanted an integer >= 0, got {layers}")
    depths = {} if layers is None else layer_depths(model.trunk)
    last = max(depths.values(), default=0)
    is_clip = hasattr(model.trunk, "clip")
    for name, parameter in model.trunk.named_parameters():
        trains = layers is None or depths[name] > last - layers
        parameter.requires_grad_(trains and (text or not is_clip or name.startswith(_IMAGE_TOWER)))
    for parameter in model.embedder.parameters():
        parameter.requires_grad_(True)


def freeze_batch_norm(model: nn.Module) -> nn.Module:
    """Keep all batch norm of a model in evaluation mode, also after ``model.train()``.

    Running statistics stay as they are and are what normalises; weights and biases go on training.

    Returns:
        The model.
    """
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.eval()
            module.train = lambda mode=True, module=module: module  # type: ignore[method-assign,misc]
    return model


def enable_grad_checkpointing(trunk: nn.Module) -> None:
    """Compute activations again in the backward pass instead of keeping them.

    Args:
        trunk: ``TimmTrunk`` or ``OpenClipTrunk``.

    Raises:
        ValueError: the model cannot do that.
    """
    model: Any = getattr(trunk, "clip", None) or getattr(trunk, "model", None)
    try:
        model.set_grad_checkpointing(True)
    except (AssertionError, AttributeError, NotImplementedError) as error:
        name = type(model).__name__
        raise ValueError(
            f"grad_checkpointing: wanted a model that can do it, got {name}"
        ) from error

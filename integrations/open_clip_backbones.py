"""OpenCLIP models: an image tower as PML trunk, and the text tower beside it."""

import contextlib
import difflib
import json
import logging
import os
import pickle
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pml_suprank.integrations import model_options, require
from pml_suprank.integrations.model_options import check_open_clip_config
from pml_suprank.integrations.plain_files import read_json
from pml_suprank.integrations.timm_weights import (
    WeightsError,
    load_local_weights,
    load_packaged_weights,
)

open_clip: Any = require("open_clip", extra="open-clip")
timm: Any = require("timm", extra="open-clip")

__all__ = ["NAMED_CONFIGS", "OpenClipTrunk", "build_open_clip", "check_name", "check_options"]

_TEXT = {"context_length": 32, "vocab_size": 49408, "width": 192, "heads": 3, "layers": 3}
NAMED_CONFIGS: dict[str, dict[str, Any]] = {
    "small-vit": {
        "embed_dim": 192,
        "vision_cfg": {
            "image_size": 64,
            "layers": 6,
            "width": 192,
            "head_width": 64,
            "patch_size": 8,
        },
        "text_cfg": _TEXT,
    },
    "small-efficientnet": {
        "embed_dim": 192,
        "vision_cfg": {
            "image_size": 64,
            "timm_model_name": "tf_efficientnet_lite0",
            "timm_pool": "avg",
            "timm_proj": "linear",
        },
        "text_cfg": _TEXT,
    },
}
"""Small configurations in OpenCLIP's own terms, for machines without network: names to build by.

Beside a token table of 9.5 million numbers they have 4.2 ("small-vit") and 5.0 million parameters. The image tower of
"small-efficientnet" takes the packaged ImageNet weights.
"""

_CONFIG = "open_clip_config.json"
_ELSEWHERE = ("hf-hub:", "local-dir:")
_HALF = (0.5, 0.5, 0.5)


class OpenClipTrunk(nn.Module):
    """An OpenCLIP model whose forward pass is that of its image tower: ``[B, 3, H, W]`` to ``[B, D]``.

    Args:
        clip: OpenCLIP model.
        tokenizer: from a list of strings to tokens [n, T]; None where it cannot be had offline.

    Attributes:
        out_features: D, of images and texts alike.
        preprocess: OpenCLIP's preprocessing settings of the model: size, mean, std, interpolation, ...
        source: what a model of the hub or of a folder is made of, ``{"options": {"config": ...}}`` for
            :func:`build_open_clip`, so that it can be made again without either; None where ``name`` says it all.
    """

    source: dict[str, Any] | None = None

    def __init__(self, clip: nn.Module, tokenizer: Callable[[list[str]], torch.Tensor] | None):
        super().__init__()
        self.clip: Any = clip
        self._tokenizer = tokenizer
        self.preprocess = _preprocess(clip)
        was_training = clip.training
        with torch.no_grad():  # no attribute that all towers share says how wide they are
            side = self.preprocess["size"]
            sides = (side, side) if isinstance(side, int) else tuple(side)
            self.out_features = int(self.eval()(torch.zeros(1, 3, *sides)).shape[1])
        self.train(was_training)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features ``[B, D]`` of images, not normalised."""
        return self.clip.encode_image(images)

    def encode_text(self, tokens: torch.Tensor) -> torch.Tensor:
        """Features ``[B, D]`` of tokens ``[B, T]``, not normalised."""
        return self.clip.encode_text(tokens)

    def tokenize(self, texts: Sequence[str]) -> torch.Tensor:
        """Tokens [n, T].

        Raises:
            ValueError: the model's tokenizer comes from the network, and weights="hub..." did not allow that.
        """
        if self._tokenizer is None:
            raise ValueError(
                "texts: wanted a model whose tokenizer comes with OpenCLIP, got one whose tokenizer is on the hub; "
                "build it with weights='hub:TAG'"
            )
        return self._tokenizer(list(texts))

    def image_parameters(self) -> dict[str, nn.Parameter]:
        """The parameters of the image tower, by name; the others serve text."""
        return {name: p for name, p in self.named_parameters() if name.startswith("clip.visual.")}

    def transforms(
        self,
        train_options: Mapping[str, Any] | None = None,
        eval_options: Mapping[str, Any] | None = None,
    ) -> tuple[Callable[[Any], torch.Tensor], Callable[[Any], torch.Tensor]]:
        """Training and evaluation transform, by OpenCLIP from the model's own preprocessing.

        Args:
            train_options: fields of OpenCLIP's ``AugmentationCfg``, for example ``{"scale": (0.6, 1.0)}``.
            eval_options: overrides of ``preprocess``, for example ``{"resize_mode": "squash"}``.
        """
        config = {"image_size": self.preprocess["size"]}
        config |= {
            name: self.preprocess[name]
            for name in ("mean", "std", "interpolation", "resize_mode", "fill_color")
        }
        augmentation = open_clip.AugmentationCfg(**(train_options or {}))
        train = open_clip.image_transform(is_train=True, aug_cfg=augmentation, **config)
        evaluate = open_clip.image_transform(is_train=False, **(config | dict(eval_options or {})))
        return train, evaluate


def build_open_clip(
    name: str,
    *,
    weights: str | os.PathLike[str] | None = None,
    image_size: int | None = None,
    config: Mapping[str, Any] | None = None,
    **options: Any,
) -> OpenClipTrunk:
    """An OpenCLIP model as trunk. Only weights that start with "hub" use the network.

    Args:
        name: model of OpenCLIP ("ViT-B-32"), of the hub ("hf-hub:org/model", with weights="hub"), of a folder
            ("local-dir:/folder"), or a key of :data:`NAMED_CONFIGS`.
        weights: None for random ones; "hub:TAG" for pretrained ones ("hub:laion2b_s34b_b79k"); "hub" where the
            name says which; "packaged" for "small-efficientnet"; else the path of a checkpoint of OpenCLIP.
        image_size: side of the input in pixels; None for the model's own.
        config: a model configuration in OpenCLIP's terms (embed_dim, vision_cfg, text_cfg) in place of ``name``'s.
        **options: of :data:`~pml_suprank.integrations.model_options.OPEN_CLIP_OPTIONS`, passed to OpenCLIP's model.

    Returns:
        The trunk, in training mode.

    Raises:
        ValueError: an unknown name, option or tag; names the nearest. A configuration that loads from elsewhere.
        WeightsError: the checkpoint is missing, unreadable or does not fit.

    Example:
        >>> trunk = build_open_clip("small-vit")
        >>> trunk.encode_text(trunk.tokenize(["a red fox"])).shape == (1, trunk.out_features)
        True
    """
    check_options(options)
    if config is None:
        check_name(name)
    else:
        check_open_clip_config(config, timm.is_model)
    foreign = None
    text = None if weights is None else str(weights)
    from_hub = text is not None and (text == "hub" or text.startswith("hub:"))
    if config is None and not from_hub and name.startswith("hf-hub:"):
        raise ValueError(f"weights: wanted 'hub' for {name!r}, which is on the hub, got {text!r}")
    if config is not None or name in NAMED_CONFIGS:
        config = dict(config or NAMED_CONFIGS[name])
        clip = _from_config(config, image_size, options)
        if from_hub:
            raise ValueError(
                f"weights: wanted None, 'packaged' or a file for {name!r}, got {text!r}"
            )
        tokenizer = _tokenizer_of(config, clip.context_length)
    else:
        tag = _tag(name, text) if from_hub else None
        config = foreign = _foreign_config(name)
        if name.startswith(_ELSEWHERE):
            check_open_clip_config(config, timm.is_model, network=from_hub)
        try:
            with contextlib.nullcontext() if from_hub else _quiet():
                clip = open_clip.create_model(
                    name,
                    pretrained=tag,
                    force_image_size=image_size,
                    load_weights=from_hub or name.startswith("local-dir:"),
                    pretrained_text=from_hub,
                    weights_only=True,
                    **options,
                )
        except pickle.UnpicklingError as error:
            raise WeightsError(f"weights of {name!r}: wanted tensors alone, got {error}") from error
        tokenizer = _tokenizer(name, from_hub, config)
    if text == "packaged":
        backbone = getattr(clip.visual, "trunk", None)
        if name != "small-efficientnet" or backbone is None:
            raise ValueError(
                f"weights='packaged': wanted the model small-efficientnet, got {name!r}"
            )
        load_packaged_weights(backbone)
        open_clip.set_model_preprocess_cfg(clip, _preprocess(clip) | {"mean": _HALF, "std": _HALF})
    elif text is not None and not from_hub:
        load_local_weights(clip, Path(text))
    trunk = OpenClipTrunk(clip.train(), tokenizer)
    if foreign is not None:
        vision = {n: v for n, v in foreign["vision_cfg"].items() if n != "timm_model_pretrained"}
        trunk.source = {"options": {"config": foreign | {"vision_cfg": vision}}}
    return trunk


def _from_config(config: dict[str, Any], image_size: int | None, options: Mapping[str, Any]) -> Any:
    """A model as OpenCLIP makes it of a folder with this configuration and no weights."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / _CONFIG).write_text(json.dumps({"model_cfg": config}))
        with _quiet():
            clip = open_clip.create_model(
                f"local-dir:{folder}",
                load_weights=False,
                pretrained_text=False,
                force_image_size=image_size,
                **options,
            )
    size = _preprocess(clip)["size"]
    if isinstance(size, tuple) and len(set(size)) == 1:
        open_clip.set_model_preprocess_cfg(clip, _preprocess(clip) | {"size": size[0]})
    return clip


def _tokenizer_of(config: Mapping[str, Any], context_length: int) -> Any:
    """The tokenizer of a configuration; None for one that is neither OpenCLIP's own nor on this machine already."""
    text = config["text_cfg"]
    name, options = text.get("hf_tokenizer_name"), dict(text.get("tokenizer_kwargs") or {})
    if not name:
        return open_clip.SimpleTokenizer(context_length=context_length, **options)
    options |= {"local_files_only": True, "trust_remote_code": False}
    try:
        return open_clip.tokenizer.HFTokenizer(
            name, context_length, tokenizer_mode=text.get("tokenizer_mode"), **options
        )
    except (OSError, ValueError, ImportError):
        return None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """OpenCLIP warns of models without weights, which were asked for."""
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.getLogger().setLevel(level)


def _preprocess(clip: Any) -> dict[str, Any]:
    defaults = asdict(open_clip.transform.PreprocessCfg())
    return defaults | dict(open_clip.get_model_preprocess_cfg(clip))


def _tag(name: str, weights: str | None) -> str | None:
    """The pretrained tag of weights "hub:TAG"; checked before the network is asked."""
    assert weights is not None
    tag = weights.partition(":")[2]
    if name.startswith("hf-hub:"):
        if tag:
            raise ValueError(
                f"weights: wanted 'hub' for {name!r}, which names its weights, got {weights!r}"
            )
        return None
    tags = open_clip.list_pretrained_tags_by_model(name)
    if tag not in tags:
        wanted = ", ".join(f"hub:{t}" for t in tags) or "none: it has no pretrained weights"
        raise ValueError(f"weights: wanted one of {wanted}, for {name!r}, got {weights!r}")
    return tag


def _foreign_config(name: str) -> Any:
    """The configuration of a model in a folder or on the hub; None for one of OpenCLIP's own."""
    place = name.partition(":")[2]
    if name.startswith("local-dir:"):
        path = Path(place) / _CONFIG
    elif name.startswith("hf-hub:"):
        hub: Any = require("huggingface_hub", extra="open-clip")
        path = Path(hub.hf_hub_download(place, _CONFIG))
    else:
        return None
    content = read_json(path)
    return content.get("model_cfg") if isinstance(content, dict) else None


def _tokenizer(name: str, from_hub: bool, foreign: Any) -> Any:
    """OpenCLIP's tokenizer of a model; None for one that would need the network."""
    if foreign is not None:
        has_own = bool(foreign["text_cfg"].get("hf_tokenizer_name"))
        return open_clip.get_tokenizer(name, **({"trust_remote_code": False} if has_own else {}))
    config = open_clip.get_model_config(name) or {}
    text = config.get("text_cfg", {})
    if not from_hub and (text.get("hf_tokenizer_name") or text.get("hf_model_name")):
        return None
    return open_clip.get_tokenizer(name)


def check_options(options: Iterable[str]) -> None:
    """Refuse options of a model that are not listed, see :mod:`pml_suprank.integrations.model_options`.

    Raises:
        ValueError: names the option and the list.
    """
    known = ("config", *model_options.OPEN_CLIP_OPTIONS)
    model_options.check_options(options, known, "OpenClipTrunk")


def check_name(name: str) -> None:
    """Refuse a name that OpenCLIP does not know.

    Raises:
        ValueError: names the nearest.
    """
    known = [*open_clip.list_models(), *NAMED_CONFIGS]
    if name in known or name.startswith(_ELSEWHERE):
        return
    near = difflib.get_close_matches(name, known, 5, 0.4)
    hint = f"similar names: {', '.join(near)}" if near else "see open_clip.list_models()"
    raise ValueError(f"name: wanted a model of OpenCLIP, got {name!r}; {hint}")

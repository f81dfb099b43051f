"""OpenCLIP models: an image tower as PML trunk, and the text tower beside it."""

import contextlib
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
from pml_suprank.integrations.open_clip_names import (
    ELSEWHERE,
    NAMED_CONFIGS,
    PACKAGED_CONFIGS,
    at_hand,
    check_name,
    pretrained_tag,
)
from pml_suprank.integrations.open_clip_weights import fitted, load_checkpoint, load_packaged
from pml_suprank.integrations.packaged_text import packaged_text_config, packaged_tokenizer
from pml_suprank.integrations.plain_files import read_json
from pml_suprank.integrations.timm_weights import WeightsError

open_clip: Any = require("open_clip", extra="open-clip")
timm: Any = require("timm", extra="open-clip")

__all__ = ["NAMED_CONFIGS", "OpenClipTrunk", "build_open_clip", "check_name", "check_options"]

_CONFIG = "open_clip_config.json"
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
        return self.clip.encode_text(self._without_padding(tokens))

    def _without_padding(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens up to the end of the longest text; for a tower that masks padding the rest is work for nothing."""
        config: Any = getattr(getattr(self.clip, "text", None), "config", None)
        if getattr(config, "model_type", None) != "bert":
            return tokens
        used = (tokens != config.pad_token_id).any(0).nonzero()
        return tokens[:, : int(used.max()) + 1] if len(used) else tokens

    @property
    def has_tokenizer(self) -> bool:
        """Whether texts can be taken; the tokenizer of some models is on the hub."""
        return self._tokenizer is not None

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

    def fitted(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The state of a trunk of another image size, with position embeddings resized as OpenCLIP resizes them."""
        prefix = "clip."
        inside = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
        return {prefix + name: tensor for name, tensor in fitted(self.clip, inside).items()}

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
            name says which, and for the first that were trained with the model's activation; "packaged" for
            :data:`PACKAGED_CONFIGS`; else the path of a checkpoint of OpenCLIP.
        image_size: side of the input in pixels; None for the model's own. Position embeddings of the weights are
            resized as OpenCLIP does it.
        config: a model configuration in OpenCLIP's terms (embed_dim, vision_cfg, text_cfg) in place of ``name``'s.
        **options: of :data:`~pml_suprank.integrations.model_options.OPEN_CLIP_OPTIONS`, passed to OpenCLIP's model.

    Returns:
        The trunk, in training mode.

    Raises:
        ValueError: an unknown name, option or tag; names the nearest. A configuration that loads from elsewhere.
        WeightsError: the checkpoint is missing, unreadable or does not fit, or the network does not answer.

    Example:
        >>> trunk = build_open_clip("small-vit")
        >>> trunk.encode_text(trunk.tokenize(["a red fox"])).shape == (1, trunk.out_features)
        True
    """
    check_options(options)
    text = None if weights is None else str(weights)
    from_hub = text is not None and (text == "hub" or text.startswith("hub:"))
    is_own = config is not None or name in NAMED_CONFIGS
    if config is not None:
        check_open_clip_config(config, timm.is_model)
    else:
        check_name(name)
        if not from_hub and name.startswith("hf-hub:"):
            raise ValueError(
                f"weights: wanted 'hub' for {name!r}, which is on the hub, got {text!r}"
            )
    if (is_own and from_hub) or (
        text == "packaged" and (not is_own or name not in PACKAGED_CONFIGS)
    ):
        raise ValueError(f"weights: wanted for {name!r} {at_hand(name)}, got {text!r}")
    if is_own:
        clip, tokenizer = _own(dict(config or NAMED_CONFIGS[name]), image_size, options)
        foreign = None
    else:
        clip, tokenizer, foreign = _of_open_clip(
            name, text if from_hub else None, image_size, options
        )
    if text == "packaged":
        load_packaged(clip, "packaged" in NAMED_CONFIGS[name]["text_cfg"])
        open_clip.set_model_preprocess_cfg(clip, _preprocess(clip) | {"mean": _HALF, "std": _HALF})
    elif text is not None and not from_hub:
        load_checkpoint(clip, text)
    trunk = OpenClipTrunk(clip.train(), tokenizer)
    if foreign is not None:
        vision = {n: v for n, v in foreign["vision_cfg"].items() if n != "timm_model_pretrained"}
        trunk.source = {"options": {"config": foreign | {"vision_cfg": vision}}}
    return trunk


def _own(config: dict[str, Any], image_size: int | None, options: Mapping[str, Any]) -> Any:
    """Model and tokenizer of a configuration that is not OpenCLIP's."""
    text = config["text_cfg"]
    if "packaged" not in text:
        clip = _from_config(config, image_size, options)
        return clip, _tokenizer_of(config, clip.context_length)
    length = options.get("force_context_length") or text["context_length"]
    config = config | {"text_cfg": packaged_text_config(length)}
    return _from_config(config, image_size, options), packaged_tokenizer(length)


def _of_open_clip(
    name: str, weights: str | None, image_size: int | None, options: Mapping[str, Any]
) -> Any:
    """Model, tokenizer and, where it is not OpenCLIP's, configuration by name; ``weights`` are from the network."""
    tag = None if weights is None else pretrained_tag(name, weights)
    try:
        config = _foreign_config(name)
        if name.startswith(ELSEWHERE):
            check_open_clip_config(config, timm.is_model, network=weights is not None)
        with contextlib.nullcontext() if weights else _quiet():
            clip = open_clip.create_model(
                name,
                pretrained=tag,
                force_image_size=image_size,
                load_weights=weights is not None or name.startswith("local-dir:"),
                pretrained_text=weights is not None,
                weights_only=True,
                **options,
            )
        return clip, _tokenizer(name, weights is not None, config), config
    except pickle.UnpicklingError as error:
        raise WeightsError(f"weights of {name!r}: wanted tensors alone, got {error}") from error
    except (OSError, RuntimeError) as error:  # the latter is OpenCLIP's
        if weights is None:
            raise WeightsError(
                f"name: wanted a model, {name!r}, got {_first_line(error)}"
            ) from error
        raise WeightsError(
            f"weights: wanted the pretrained weights of {name!r} from the network, got: {_first_line(error)}; "
            f"there are {at_hand(name)}"
        ) from error


def _first_line(error: Exception) -> str:
    """What went wrong in the end; OpenCLIP tells the whole story."""
    text = str(error).strip().partition("\n")[0].rpartition("Last error: ")[2]
    return text or type(error).__name__


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

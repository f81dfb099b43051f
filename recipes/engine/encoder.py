"""The model of a run: built from settings, or loaded from a run folder to embed images and text."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pml_suprank.integrations.backbones import build_retrieval_model
from pml_suprank.integrations.fine_tuning import freeze_batch_norm
from pml_suprank.integrations.model_identity import ModelIdentity
from pml_suprank.integrations.multi_scale import MultiScale
from pml_suprank.integrations.plain_files import PlainDataError, read_yaml
from pml_suprank.integrations.timm_weights import PACKAGED_MODELS
from pml_suprank.recipes.data.pictures import WHITE, as_shown
from pml_suprank.recipes.engine.checkpoints import (
    BEST,
    CheckpointError,
    part,
    read_checkpoint,
    take_part,
)
from pml_suprank.recipes.engine.hub import impatient_hub
from pml_suprank.recipes.engine.parsing import ConfigError, settings_from
from pml_suprank.recipes.engine.run_paths import resolved
from pml_suprank.recipes.engine.settings import ModelSettings, Settings

__all__ = [
    "Encoder",
    "build_model",
    "build_without_weights",
    "has_new_head",
    "is_from_hub",
    "load_best",
    "load_encoder",
    "model_identity",
    "model_transforms",
    "read_settings",
]


_SIZES = {"size", "input_size"}
"""Of images, in the preprocessing of OpenCLIP and of timm."""


def build_model(settings: ModelSettings, *, with_weights: bool = True) -> Any:
    """The retrieval model of the settings.

    Args:
        settings: of the model.
        with_weights: False leaves out the pretrained weights, where those of a checkpoint follow.

    Raises:
        ConfigError: what the library refuses.
    """
    weights = settings.weights if with_weights else None
    run = None
    if weights is not None and weights.startswith("run:"):
        run, weights = Path(weights.removeprefix("run:")), None
        settings = _as_made(settings, run / BEST, read_checkpoint(run / BEST))
    from_hub, silent = is_from_hub(settings) and weights is not None, ""
    try:
        with impatient_hub() if from_hub else contextlib.nullcontext("") as silent:
            model = build_retrieval_model(
                settings.library,
                settings.name,
                weights=weights,
                pooling=settings.pooling,
                embedding_size=settings.embedding_size,
                layer_norm=settings.layer_norm,
                image_size=settings.image_size,
                grad_checkpointing=settings.grad_checkpointing,
                **settings.options,
            )
    except (OSError, RuntimeError) as error:  # some of the hub's are ValueErrors, too
        if not from_hub:
            raise
        raise ConfigError(
            f"model.weights: wanted the pretrained weights of {settings.name} from the network"
            f"{f' ({silent})' if silent else ''}, got: {error} "
            "Without network take a file, packaged or null."
            f"{_packaged_models() if settings.library == 'timm' else ''}"
        ) from error
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"model.{error}" if str(error).startswith("weights: ") else f"model: {error}"
        ) from error
    if run is not None:
        load_best(model, run, image_size=settings.image_size)
    if settings.freeze_batch_norm:
        freeze_batch_norm(model)
    return model


def is_from_hub(settings: ModelSettings) -> bool:
    """Whether the weights come from the network."""
    return settings.weights is not None and settings.weights.startswith("hub")


def _packaged_models() -> str:
    names = [name for name in PACKAGED_MODELS if name.startswith("tf_")]
    return f" There are packaged weights for --model.name {' and '.join(names)}."


def build_without_weights(settings: ModelSettings, checkpoint: Path) -> Any:
    """The model of a run whose weights follow from a checkpoint; a model of the hub is made without the hub.

    Args:
        settings: of the model.
        checkpoint: of the run; says what a model of the hub, or of a folder, is made of.

    Raises:
        CheckpointError: the checkpoint is missing or damaged.
        ConfigError: what the library refuses.
    """
    content = read_checkpoint(checkpoint)
    model = build_model(_as_made(settings, checkpoint, content), with_weights=False)
    if "source" in content:
        model.preprocessing.update(part(checkpoint, content, "preprocessing", dict))
    return model


def _as_made(
    settings: ModelSettings, checkpoint: Path, content: Mapping[str, Any]
) -> ModelSettings:
    """The settings, with what a checkpoint says that a model of the hub is made of in place of its name there."""
    source = content.get("source")
    if source is None:
        return settings
    name = source.get("name", settings.name) if isinstance(source, Mapping) else None
    options = source.get("options") if isinstance(source, Mapping) else None
    if not isinstance(name, str) or not isinstance(options, Mapping):
        raise CheckpointError(
            f"{checkpoint}: source: wanted the name and options of a model, got {source!r:.80}"
        )
    return replace(settings, name=name, options={**options, **settings.options})


def has_new_head(settings: ModelSettings) -> bool:
    """Whether the model ends in an embedding that nobody has trained yet, so that its backbone alone ranks better."""
    is_trained = settings.weights is not None and settings.weights.startswith("run:")
    return settings.embedding_size is not None and not is_trained


def model_transforms(model: Any, settings: ModelSettings) -> tuple[Callable, Callable]:
    """Training and evaluation transform, from the model's own preprocessing."""
    try:
        return model.transforms(settings.train_transform, settings.eval_transform)
    except TypeError as error:
        raise ConfigError(f"model.train_transform or model.eval_transform: {error}") from error


def read_settings(run: Path) -> Settings:
    """The settings of a run folder; relative paths in it start from that folder, not from where one stands.

    Raises:
        CheckpointError: there are none, or they are damaged.
    """
    path = Path(run) / "config.yaml"
    try:
        content = read_yaml(path)
    except (OSError, PlainDataError) as error:
        raise CheckpointError(f"{path}: wanted the settings of a run, got {error}") from error
    return resolved(settings_from({} if content is None else content, str(path)), run)


class Encoder:
    """Images and text to normalised embeddings, with the best weights of a run.

    Args:
        model: retrieval model.
        transform: from a PIL image to its input.
        device: where to compute.
        batch_size: images or texts at a time.
        scales: factors of the image's sides; embeddings of several are averaged, see :class:`MultiScale`.
        identity: which model this is; embeddings keep it.
        background: colour behind transparent parts of images, as in training.
    """

    def __init__(
        self,
        model: Any,
        transform: Callable,
        device: str | torch.device = "cpu",
        batch_size: int = 64,
        scales: Sequence[float] = (1.0,),
        identity: ModelIdentity | None = None,
        background: str = WHITE,
    ):
        self.identity, self.background = identity, background
        self.model = model.to(device).eval()
        self.describe: Any = self.model if tuple(scales) == (1.0,) else MultiScale(model, scales)
        self.transform, self.device, self.batch_size = transform, torch.device(device), batch_size

    @torch.inference_mode()
    def encode_tensors(self, images: Tensor) -> Tensor:
        """Embeddings [n, D] of transformed images [n, 3, H, W]."""
        return _normalised([self.describe(part.to(self.device)) for part in self._parts(images)])

    def encode_images(self, images: Sequence[Any]) -> Tensor:
        """Embeddings [n, D] of PIL images of any mode."""
        parts = self._parts(images)
        shown = ([as_shown(image, self.background) for image in part] for part in parts)
        stacked = (torch.stack([self.transform(image) for image in part]) for part in shown)
        return torch.cat([self.encode_tensors(part) for part in stacked])

    @torch.inference_mode()
    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Embeddings [n, D] of texts.

        Raises:
            ValueError: the model has no text tower in the space of its image embeddings.
        """
        parts = [
            self.model.encode_text(self.model.tokenize(list(part)).to(self.device))
            for part in self._parts(texts)
        ]
        return _normalised(parts)

    def _parts(self, items: Any) -> list[Any]:
        if not len(items):
            raise ValueError("wanted at least one image or text to encode, got none")
        return [items[i : i + self.batch_size] for i in range(0, len(items), self.batch_size)]


def load_encoder(
    run: Path, device: str | torch.device = "cpu", scales: Sequence[float] = (1.0,)
) -> Encoder:
    """The encoder of a run folder, with its best weights; the network is never tried.

    Args:
        run: run folder.
        device: where to compute.
        scales: see :class:`Encoder`.

    Raises:
        CheckpointError: settings or weights are missing, damaged or do not fit each other.
    """
    settings = read_settings(run)
    model = build_without_weights(settings.model, Path(run) / BEST)
    load_best(model, Path(run))
    transform = model_transforms(model, settings.model)[1]
    identity = model_identity(model, settings, run, scales)
    return Encoder(
        model,
        transform,
        device,
        scales=scales,
        identity=identity,
        background=settings.data.background,
    )


def model_identity(
    model: Any, settings: Settings, run: Path, scales: Sequence[float] = (1.0,)
) -> ModelIdentity:
    """Which model a run has: its weights as they are, and how it prepares images.

    Args:
        model: retrieval model.
        settings: of the run.
        run: its folder, for the name.
        scales: see :class:`Encoder`.
    """
    preprocessing = {
        **model.preprocessing,
        "image_size": settings.model.image_size,
        "background": settings.data.background,
        **settings.model.eval_transform,
    }
    name = f"{settings.model.library} {settings.model.name} of {run}"
    return ModelIdentity.of(model, name, preprocessing, scales)


def load_best(model: Any, run: Path, image_size: int | None = None) -> None:
    """Give a model the best weights of a run folder, and the preprocessing that belongs to them.

    Args:
        model: retrieval model.
        run: run folder.
        image_size: of the model, where it is not that of the run; None for that of the run.

    Raises:
        CheckpointError: they are missing, damaged or of another model.
    """
    path = run / BEST
    content = read_checkpoint(path)
    weights = part(path, content, "model", dict)
    preprocessing = part(path, content, "preprocessing", dict)
    if image_size is not None:
        weights = model.fitted(weights)
        preprocessing |= {name: model.preprocessing[name] for name in _SIZES & preprocessing.keys()}
    take_part(path, "model", model.load_state_dict, weights, "weights of this model")
    model.preprocessing.update(preprocessing)


def _normalised(parts: Sequence[Tensor]) -> Tensor:
    return torch.nn.functional.normalize(torch.cat(list(parts)).float(), dim=1).cpu()

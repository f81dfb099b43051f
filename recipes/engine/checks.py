"""Everything that can be said about settings before any data is read."""

import importlib
from typing import Any

from pml_suprank.integrations import require
from pml_suprank.recipes.engine.batches import check_sampler
from pml_suprank.recipes.engine.held_out import check_monitor, monitored
from pml_suprank.recipes.engine.objective import check_objective
from pml_suprank.recipes.engine.optimization import check_optimization
from pml_suprank.recipes.engine.parsing import ConfigError
from pml_suprank.recipes.engine.sets import check_data
from pml_suprank.recipes.engine.settings import ModelSettings, Settings, TrainingSettings

__all__ = ["check_settings"]


def check_settings(settings: Settings, processes: int = 1) -> None:
    """Refuse settings that cannot work.

    Args:
        settings: to check.
        processes: number of processes that train.

    Raises:
        ConfigError: names the first wrong key, what was wanted and the nearest valid values.
        ImportError: a library is missing; names the extra that installs it.
    """
    _check_training(settings.training)
    _check_model(settings.model, settings.training.epochs)
    check_data(settings.data)
    check_objective(settings, processes)
    check_sampler(settings.sampler, settings.training.batch_size, processes)
    check_optimization(settings)
    texts = settings.model.library == "open_clip" and settings.model.embedding_size is None
    monitor = monitored(settings.training, texts)
    check_monitor(monitor, settings.training.recall_at, texts=texts)


def _check_training(training: TrainingSettings) -> None:
    for name, least in (
        ("epochs", 1),
        ("batch_size", 2),
        ("micro_batch_size", 1),
        ("evaluate_every", 1),
        ("patience", 1),
        ("checkpoint_every", 1),
        ("seed", 0),
        ("threads", 1),
    ):
        value = getattr(training, name)
        if value is not None and value < least:
            raise ConfigError(f"training.{name}: wanted an integer >= {least}, got {value}")
    if not training.recall_at or min(training.recall_at) < 1:
        raise ConfigError(f"training.recall_at: wanted integers >= 1, got {training.recall_at}")
    norm = training.clip_grad_norm
    if norm is not None and not 0 < norm < float("inf"):
        raise ConfigError(f"training.clip_grad_norm: wanted a positive finite number, got {norm}")


def _check_model(model: ModelSettings, epochs: int) -> None:
    for name, value, least in (
        ("embedding_size", model.embedding_size, 1),
        ("image_size", model.image_size, 1),
        ("trainable_layers", model.trainable_layers, 0),
    ):
        if value is not None and value < least:
            raise ConfigError(f"model.{name}: wanted an integer >= {least}, got {value}")
    if not 0 <= model.freeze_epochs < epochs:
        raise ConfigError(
            f"model.freeze_epochs: wanted 0..{epochs - 1}, below training.epochs, got {model.freeze_epochs}"
        )
    _check_name(model)


def _check_name(model: ModelSettings) -> None:
    require(model.library, extra=model.library.replace("_", "-"))
    backbones: Any = importlib.import_module(f"pml_suprank.integrations.{model.library}_backbones")
    try:
        backbones.check_name(model.name)
        backbones.check_options(model.options)
    except ValueError as error:
        raise ConfigError(f"model.{error}") from error

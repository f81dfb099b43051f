"""Optimisers and schedules by the names of their classes in torch."""

import inspect
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.optim import lr_scheduler

from pml_suprank.integrations.fine_tuning import parameter_groups
from pml_suprank.recipes.engine.named_classes import check_options, class_named
from pml_suprank.recipes.engine.parsing import ConfigError
from pml_suprank.recipes.engine.settings import (
    Component,
    OptimizerSettings,
    ScheduleSettings,
    Settings,
)

__all__ = ["build_optimizers", "build_schedulers", "check_optimization"]

HEAD_FACTOR, LOSS_FACTOR = 3.0, 10.0
"""Learning rates of the embedding and of the loss's own parameters, as multiples of the backbone's."""

Optimizer = torch.optim.Optimizer
Scheduler = lr_scheduler.LRScheduler


def check_optimization(settings: Settings) -> None:
    """What can be said about optimisers and schedules before any data is read.

    Raises:
        ConfigError: an unknown class or option, or a value outside its range.
    """
    for key, optimizer in (
        ("optimizer", settings.optimizer),
        ("loss_optimizer", settings.loss_optimizer),
    ):
        if optimizer is not None:
            _check_optimizer(key, optimizer)
    _check_schedule("schedule", settings.schedule, settings.optimizer)
    if settings.loss_schedule is not None:
        if settings.loss_optimizer is None:
            raise ConfigError("loss_schedule: wanted null without loss_optimizer")
        if settings.loss_schedule.interval != settings.schedule.interval:
            raise ConfigError(
                f"loss_schedule.interval: wanted {settings.schedule.interval} as schedule.interval, "
                f"got {settings.loss_schedule.interval}"
            )
        _check_schedule("loss_schedule", settings.loss_schedule, settings.loss_optimizer)


def build_optimizers(settings: Settings, model: Any, loss: nn.Module) -> list[Optimizer]:
    """The optimiser of the model, and that of the loss where it has one of its own.

    Args:
        settings: of the run.
        model: retrieval model with ``trunk`` and ``embedder``.
        loss: its parameters join the first optimiser, unless ``loss_optimizer`` is set.
    """
    main = settings.optimizer
    groups = parameter_groups(
        model,
        main.lr,
        head_lr=HEAD_FACTOR * main.lr if main.head_lr is None else main.head_lr,
        text_lr=main.text_lr,
        weight_decay=main.weight_decay,
        layer_decay=main.layer_decay,
    )
    own = [p for p in loss.parameters() if p.requires_grad]
    if not own:
        return [_optimizer(main, groups, "optimizer")]
    second = settings.loss_optimizer
    if second is None:
        rate = LOSS_FACTOR * main.lr if main.loss_lr is None else main.loss_lr
        groups.append(
            {"name": "loss", "params": own, "lr": rate, "weight_decay": main.weight_decay}
        )
        return [_optimizer(main, groups, "optimizer")]
    group = {"name": "loss", "params": own, "lr": second.lr, "weight_decay": second.weight_decay}
    return [_optimizer(main, groups, "optimizer"), _optimizer(second, [group], "loss_optimizer")]


def build_schedulers(
    settings: Settings, optimizers: Iterable[Optimizer], batches_per_epoch: int
) -> list[Scheduler]:
    """A schedule for each optimiser; its length is that of the training after ``freeze_epochs``."""
    length = settings.training.epochs - settings.model.freeze_epochs
    if settings.schedule.interval == "step":
        length *= batches_per_epoch
    schedules = (settings.schedule, settings.loss_schedule or settings.schedule)
    return [
        _schedule(optimizer, schedule, length)
        for optimizer, schedule in zip(optimizers, schedules, strict=False)
    ]


def _optimizer(settings: OptimizerSettings, groups: list[dict[str, Any]], key: str) -> Optimizer:
    found = class_named(settings.name, (torch.optim,), Optimizer, f"{key}.name")
    try:
        return found(groups, **settings.options)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{key}: {error}") from error


def _check_optimizer(key: str, settings: OptimizerSettings) -> None:
    found = class_named(settings.name, (torch.optim,), Optimizer, f"{key}.name")
    if settings.name == "LBFGS":
        raise ConfigError(f"{key}.name: wanted an optimiser of one gradient a step, got LBFGS")
    names = set(inspect.signature(found).parameters) - {"params", "lr", "weight_decay"}
    check_options(Component(settings.name, settings.options), names, f"{key}")
    for name in ("lr", "head_lr", "loss_lr", "text_lr"):
        value = getattr(settings, name)
        if value is not None and not 0 < value < float("inf"):
            raise ConfigError(f"{key}.{name}: wanted a positive finite number, got {value}")
    if not 0 <= settings.weight_decay < float("inf"):
        raise ConfigError(f"{key}.weight_decay: wanted a number >= 0, got {settings.weight_decay}")
    if settings.layer_decay is not None and not 0 < settings.layer_decay <= 1:
        raise ConfigError(
            f"{key}.layer_decay: wanted a number in (0, 1], got {settings.layer_decay}"
        )


def _check_schedule(key: str, schedule: ScheduleSettings, optimizer: OptimizerSettings) -> None:
    found = _scheduler_class(schedule, key)
    names = set(inspect.signature(found).parameters) - {"optimizer"}
    check_options(Component(schedule.name, schedule.options), names, key)
    if schedule.warmup < 0:
        raise ConfigError(f"{key}.warmup: wanted an integer >= 0, got {schedule.warmup}")
    group = {"params": [nn.Parameter(torch.zeros(1))], "lr": 1.0}
    _schedule(_optimizer(optimizer, [group], "optimizer"), schedule, 2)


def _scheduler_class(settings: ScheduleSettings, key: str = "schedule") -> Any:
    if settings.name == "ReduceLROnPlateau":
        raise ConfigError(
            f"{key}.name: wanted a schedule of steps or epochs, got ReduceLROnPlateau, which follows a metric; "
            "training.patience stops by one"
        )
    return class_named(settings.name, (lr_scheduler,), Scheduler, f"{key}.name")


def _schedule(optimizer: Optimizer, settings: ScheduleSettings, length: int) -> Scheduler:
    """The schedule of an optimiser, after a linear warm-up where there is one."""
    if settings.warmup:
        rest = max(1, length - settings.warmup)
        start = 1 / (settings.warmup + 1)
        warmup = lr_scheduler.LinearLR(optimizer, start, 1.0, settings.warmup)
        after = _schedule(optimizer, replace(settings, warmup=0), rest)
        return lr_scheduler.SequentialLR(optimizer, [warmup, after], [settings.warmup])
    found = _scheduler_class(settings)
    filled = {
        name: max(1, length)
        for name in ("T_max", "total_iters", "total_steps")
        if name in inspect.signature(found).parameters and name not in settings.options
    }
    if settings.name == "OneCycleLR":
        filled["max_lr"] = [group["lr"] for group in optimizer.param_groups]  # type: ignore[assignment]
    try:
        return found(optimizer, **(filled | settings.options))
    except (ValueError, TypeError) as error:
        raise ConfigError(f"schedule.options: {error}") from error

"""The state of a training run, and going on from it."""

import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pml_suprank.recipes.engine.checkpoints import CheckpointError, read_checkpoint

__all__ = ["identity", "restore", "run_state"]


def identity(trainer: Any) -> dict[str, Any]:
    """What a checkpoint belongs to, and the best evaluation so far."""
    data: Any = trainer.items.data
    settings = asdict(trainer.settings)
    settings["data"].pop("root")  # the images may have moved
    return {
        "settings": settings,
        "processes": trainer.accelerator.num_processes,
        "num_samples": len(trainer.items),
        "labels": zlib.crc32(trainer.plan.labels.numpy().tobytes()),
        "level_names": list(data.hierarchy.level_names),
        "best": trainer.best,
    }


def run_state(trainer: Any) -> dict[str, Any]:
    """Everything that a resumed run needs."""
    scaler = trainer.accelerator.scaler
    return {
        "model": trainer.model.model.state_dict(),
        "objective": trainer.objective.state_dict(),
        "optimizers": [item.state_dict() for item in trainer.optimizers],
        "schedulers": [item.state_dict() for item in trainer.schedulers],
        "scaler": None if scaler is None else scaler.state_dict(),
        "epoch": trainer.epoch,
        "step": trainer.step,
        "waited": trainer.waited,
        "history": trainer.log.history,
        "evaluations": trainer.log.evaluations,
        **identity(trainer),
    }


def restore(trainer: Any, path: Path) -> None:
    """Give a trainer the state of a checkpoint.

    Raises:
        CheckpointError: the file is damaged, or belongs to other settings, data or number of processes.
    """
    content = read_checkpoint(path)
    own = identity(trainer)
    for name in ("settings", "processes", "num_samples", "labels"):
        key, wanted, found = _first_difference(name, own[name], content.get(name))
        if key:
            raise CheckpointError(f"{path}: wanted a checkpoint with {key} {wanted}, got {found}")
    trainer.model.model.load_state_dict(content["model"])
    trainer.objective.load_state_dict(content["objective"])
    for name in ("optimizers", "schedulers"):
        for item, state in zip(getattr(trainer, name), content[name], strict=True):
            item.load_state_dict(state)
    if content["scaler"] is not None and trainer.accelerator.scaler is not None:
        trainer.accelerator.scaler.load_state_dict(content["scaler"])
    for name in ("epoch", "step", "best", "waited"):
        setattr(trainer, name, content[name])
    trainer.log.history, trainer.log.evaluations = content["history"], content["evaluations"]


def _first_difference(name: str, wanted: Any, found: Any) -> tuple[str, Any, Any]:
    """Dotted key and both values of the first difference; an empty key where there is none."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key in dict.fromkeys([*wanted, *found]):
            difference = _first_difference(f"{name}.{key}", wanted.get(key), found.get(key))
            if difference[0]:
                return difference
        return "", None, None
    return (name, wanted, found) if wanted != found else ("", None, None)

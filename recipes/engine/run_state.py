"""The state of a training run, and going on from it."""

import functools
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pml_suprank.recipes.engine.checkpoints import CheckpointError, part, read_checkpoint, take_part

__all__ = ["first_difference", "identity", "restore", "run_state"]


def identity(trainer: Any) -> dict[str, Any]:
    """What a checkpoint belongs to, and the best evaluation so far."""
    data: Any = trainer.items.data
    settings = asdict(trainer.settings)
    settings["data"].pop("root")  # the images may have moved
    model = trainer.model.model
    source = getattr(model, "source", None)
    of_the_hub = {} if source is None else {"source": source, "preprocessing": model.preprocessing}
    return {
        "settings": settings,
        "processes": trainer.accelerator.num_processes,
        "num_samples": len(trainer.items),
        "items": trainer.data.digests,
        "labels": zlib.crc32(trainer.plan.labels.numpy().tobytes()),
        "level_names": list(data.hierarchy.level_names),
        **of_the_hub,
        "best": trainer.best,
    }


def run_state(trainer: Any) -> dict[str, Any]:
    """Everything that a resumed run needs."""
    scaler = trainer.accelerator.scaler
    return {
        "model": trainer.model.model.state_dict(),
        "objective": trainer.objective.state_dict(),
        "optimizers": [item.state_dict() for item in trainer.learner.optimizers],
        "schedulers": [item.state_dict() for item in trainer.learner.schedulers],
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
    if "items" in content or "sealed" in content:  # else of an older version
        trainer.data.check(path, content.get("items"))
    for name in ("settings", "processes", "num_samples", "labels"):
        key, wanted, found = first_difference(name, own[name], content.get(name))
        if key:
            raise CheckpointError(f"{path}: wanted a checkpoint with {key} {wanted}, got {found}")
    take = functools.partial(take_part, path)
    get = functools.partial(part, path, content)
    numbers = {name: get(name, int) for name in ("epoch", "step", "waited")}
    if numbers["step"] > len(trainer):
        raise CheckpointError(
            f"{path}: step: wanted 0..{len(trainer)}, the steps of an epoch, got {numbers['step']}"
        )
    rows = {name: _rows(path, name, get(name, list)) for name in ("history", "evaluations")}
    best = _best(path, get("best", dict))
    scaler = get("scaler", dict, type(None))
    take("model", trainer.model.model.load_state_dict, get("model", dict))
    take("objective", trainer.objective.load_state_dict, get("objective", dict))
    for name in ("optimizers", "schedulers"):
        items, states = getattr(trainer.learner, name), get(name, list)
        if len(states) != len(items):
            raise CheckpointError(f"{path}: {name}: wanted {len(items)} states, got {len(states)}")
        for item, state in zip(items, states, strict=True):
            take(name, item.load_state_dict, state)
    if scaler is not None and trainer.accelerator.scaler is not None:
        take("scaler", trainer.accelerator.scaler.load_state_dict, scaler)
    for name, value in numbers.items():
        setattr(trainer, name, value)
    trainer.best = best
    trainer.log.history, trainer.log.evaluations = rows["history"], rows["evaluations"]


def _rows(path: Path, name: str, rows: list[Any]) -> list[dict[str, Any]]:
    """Rows of a CSV file."""
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or row.keys() != rows[0].keys():
            raise CheckpointError(
                f"{path}: {name}: wanted rows with the columns of the first, got {row!r:.80} at {number}"
            )
    return rows


def _best(path: Path, best: dict[str, Any]) -> dict[str, Any]:
    value, epoch = best.get("value"), best.get("epoch")
    is_none = value is None and epoch is None
    if best.keys() != {"epoch", "value"} or not (
        is_none or (isinstance(epoch, int) and isinstance(value, float))
    ):
        raise CheckpointError(f"{path}: best: wanted an epoch and its value, got {best!r:.80}")
    return best


def first_difference(name: str, wanted: Any, found: Any) -> tuple[str, Any, Any]:
    """Dotted key and both values of the first difference; an empty key where there is none."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key in dict.fromkeys([*wanted, *found]):
            difference = first_difference(f"{name}.{key}", wanted.get(key), found.get(key))
            if difference[0]:
                return difference
        return "", None, None
    return (name, wanted, found) if wanted != found else ("", None, None)

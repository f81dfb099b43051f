"""Checkpoints that are whole or not there, and a run folder that can hold them."""

import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from pml_suprank.integrations.tensor_files import read_tensors
from pml_suprank.integrations.whole_files import is_sealed, remove_unfinished, write_sealed
from pml_suprank.recipes.engine.parsing import ConfigError
from pml_suprank.recipes.files import write_atomic

__all__ = [
    "BEST",
    "LAST",
    "CheckpointError",
    "check_room",
    "holds_training",
    "part",
    "read_checkpoint",
    "take_part",
    "write_checkpoint",
]

LAST, BEST = "checkpoint.pt", "best.pt"
_SEALED = "sealed"
"""Key of checkpoints that end with a checksum: one that has lost it is damaged, one without the key is older."""


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged or of another run; the message names the file."""


def write_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint with its checksum atomically: when this fails, the one before stays as it was.

    Raises:
        CheckpointError: the disk is full or the folder cannot be written to.
    """
    try:
        write_sealed(path, lambda file: torch.save(content | {_SEALED: True}, file))
    except (OSError, RuntimeError) as error:  # torch.save raises RuntimeError on a full disk
        raise CheckpointError(
            f"{path}: wanted to write a checkpoint, got {error}; the one before is unharmed"
        ) from error


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read what :func:`write_checkpoint` wrote, onto the CPU.

    A checkpoint from before there were checksums is read with a warning.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: wanted a checkpoint, got no such file")
    try:
        has_checksum = is_sealed(path)
        content = read_tensors(path)
    except Exception as error:  # torch.load raises many classes for a damaged file
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise CheckpointError(f"{path}: wanted a whole checkpoint, got {reason}") from error
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path}: wanted a checkpoint, got a file with a {type(content).__name__}"
        )
    if not has_checksum:
        if _SEALED in content:
            raise CheckpointError(
                f"{path}: wanted a whole checkpoint, got one without its checksum"
            )
        warnings.warn(
            f"{path} is of an older version, without a checksum: damage to it would not be noticed",
            stacklevel=2,
        )
    return content


def holds_training(path: Path) -> bool:
    """Whether a checkpoint is there and knows of a step of training; a damaged one may."""
    try:
        content = read_checkpoint(path) if path.exists() else {"epoch": 0, "step": 0}
    except CheckpointError:
        return True
    return any(content.get(name) != 0 for name in ("epoch", "step"))


def part(path: Path, content: dict[str, Any], key: str, *kinds: type) -> Any:
    """What a checkpoint holds under a key.

    Args:
        path: of the checkpoint, for messages.
        content: of the checkpoint.
        key: of the part.
        kinds: types that it may have; numbers are not negative.

    Raises:
        CheckpointError: it is missing, or of another type; names the key.
    """
    names = " or ".join(kind.__name__ for kind in kinds)
    if key not in content:
        raise CheckpointError(f"{path}: {key}: wanted a part of this type: {names}, got none")
    value = content[key]
    if type(value) is bool or not isinstance(value, kinds):
        raise CheckpointError(
            f"{path}: {key}: wanted a part of this type: {names}, got {type(value).__name__}"
        )
    if isinstance(value, int) and value < 0:
        raise CheckpointError(f"{path}: {key}: wanted an integer >= 0, got {value}")
    return value


def take_part(
    path: Path,
    key: str,
    take: Callable[[Any], Any],
    value: Any,
    wanted: str = "a state that fits",
) -> None:
    """Give a part of a checkpoint to what it is the state of.

    Args:
        path: of the checkpoint, for messages.
        key: of the part.
        take: what loads it.
        value: the part.
        wanted: what it should be, for messages.

    Raises:
        CheckpointError: it does not fit; names the key.
    """
    try:
        take(value)
    except (
        Exception
    ) as error:  # optimisers and schedules raise many classes for a state that is none
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise CheckpointError(f"{path}: {key}: wanted {wanted}, got {reason}") from error


def check_room(folder: Path, content: dict[str, Any]) -> None:
    """Make the run folder, and see that it can be written to and holds the checkpoints to come.

    Args:
        folder: of the run.
        content: of a checkpoint. An optimiser that has not stepped yet is reckoned at three times the weights.

    Raises:
        ConfigError: it cannot be written to, leads elsewhere, or there is too little room.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / ".probe", lambda file: file.write(b"0"))
        (folder / ".probe").unlink()
    except OSError as error:
        raise ConfigError(
            f"--output: wanted a folder to write to, got {folder} ({error})"
        ) from error
    if (folder / "tensorboard").is_symlink():  # all other files replace a link in their place
        raise ConfigError(
            f"--output: wanted a folder of this run alone, got a link at {folder / 'tensorboard'}"
        )
    remove_unfinished(folder)
    # last and best checkpoint, and a temporary file beside them
    wanted = 3 * (_num_bytes(content) + 2 * _num_bytes(content.get("model", {})))
    free = shutil.disk_usage(folder).free + sum(
        os.path.getsize(folder / name) for name in (LAST, BEST) if (folder / name).exists()
    )
    if free < wanted:
        raise ConfigError(
            f"--output: wanted {wanted / 2**20:,.0f} MiB for checkpoints, got {free / 2**20:,.0f} MiB free in {folder}"
        )


def _num_bytes(content: Any) -> int:
    if isinstance(content, torch.Tensor):
        return content.numel() * content.element_size()
    if isinstance(content, dict):
        return sum(map(_num_bytes, content.values()))
    if isinstance(content, list | tuple):
        return sum(map(_num_bytes, content))
    return 0

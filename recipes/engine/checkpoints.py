"""Checkpoints that are whole or not there, and a run folder that can hold them."""

import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import torch

from pml_suprank.recipes.engine.parsing import ConfigError
from pml_suprank.recipes.files import write_atomic

__all__ = ["BEST", "LAST", "CheckpointError", "check_room", "read_checkpoint", "write_checkpoint"]

LAST, BEST = "checkpoint.pt", "best.pt"


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged or of another run; the message names the file."""


def write_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint atomically: when this fails, the one before stays as it was.

    Raises:
        CheckpointError: the disk is full or the folder cannot be written to.
    """
    try:
        write_atomic(path, lambda file: torch.save(content, file))
    except (OSError, RuntimeError) as error:  # torch.save raises RuntimeError on a full disk
        raise CheckpointError(
            f"{path}: wanted to write a checkpoint, got {error}; the one before is unharmed"
        ) from error


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read what :func:`write_checkpoint` wrote, onto the CPU.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: wanted a checkpoint, got no such file")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path}: wanted a whole checkpoint, got {error}") from error


def check_room(folder: Path, content: dict[str, Any]) -> None:
    """Make the run folder, and see that it can be written to and holds the checkpoints to come.

    Args:
        folder: of the run.
        content: of a checkpoint. An optimiser that has not stepped yet is reckoned at three times the weights.

    Raises:
        ConfigError: it cannot be written to, or there is too little room.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / ".probe", lambda file: file.write(b"0"))
        (folder / ".probe").unlink()
    except OSError as error:
        raise ConfigError(
            f"--output: wanted a folder to write to, got {folder} ({error})"
        ) from error
    for stale in folder.glob(".*.pt.*"):  # of a process that was killed while it wrote
        stale.unlink(missing_ok=True)
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

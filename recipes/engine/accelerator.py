"""The ``accelerate.Accelerator`` of a run: its device, precision and processes."""

from typing import Any

import torch

from pml_suprank.integrations import require
from pml_suprank.recipes.devices import choose_device
from pml_suprank.recipes.engine.parsing import ConfigError

accelerate: Any = require("accelerate", extra="recipes")

__all__ = ["make_accelerator"]


def make_accelerator(precision: str = "no", device: str | torch.device = "auto") -> Any:
    """An ``Accelerator``; on the CPU it sees the processes of ``torchrun`` too, which its default does not.

    Args:
        precision: ``training.precision``.
        device: where to train; "auto" leaves accelerate's own settings their say.

    Raises:
        ConfigError: a precision or a device that the machine does not have, or others than before in this process or
            than accelerate is set to.
    """
    try:
        wanted = choose_device(device)
    except ValueError as error:
        raise ConfigError(f"--{error}") from error
    if precision == "fp16" and wanted.type == "cpu":
        raise ConfigError("training.precision: wanted no or bf16 without a GPU, got fp16")
    if wanted.index is not None and wanted.type == "cuda":
        torch.cuda.set_device(wanted)
    try:
        found = accelerate.Accelerator(mixed_precision=precision, cpu=wanted.type == "cpu")
    except ValueError as error:
        raise ConfigError(f"training.precision, --device: {error}") from error
    if device != "auto" and found.device.type != wanted.type:
        raise ConfigError(
            f"--device: wanted {found.device.type}, as accelerate is set, got {wanted}"
        )
    if wanted.index is not None and found.num_processes > 1:
        raise ConfigError(
            f"--device: wanted {wanted.type} for {found.num_processes} processes, each of which has its own, "
            f"got {wanted}"
        )
    return found

"""Files of tensors that others may have written: read as data, never as code."""

import os
from typing import Any

import torch

__all__ = ["read_tensors"]


def read_tensors(path: str | os.PathLike[str]) -> Any:
    """The tensors and plain values of a file of ``torch.save``, on the CPU.

    From torch 2.6 on, the least that this package installs with, no format runs code.

    Args:
        path: the file.

    Raises:
        OSError, RuntimeError, pickle.UnpicklingError, EOFError, KeyError: as ``torch.load``, for a file that is damaged
            or holds more than tensors and plain values.
    """
    return torch.load(path, map_location="cpu", weights_only=True)

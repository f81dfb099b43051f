"""Files of tensors that others may have written: read as data, never as code."""

import os
import re
import zipfile
from typing import Any

import torch

__all__ = ["read_tensors"]

_FIRST_SAFE = (2, 6)
"""Before this version of torch, ``weights_only`` ran code of files in the formats from before torch 1.6."""


def read_tensors(path: str | os.PathLike[str]) -> Any:
    """The tensors and plain values of a file of ``torch.save``, on the CPU.

    Args:
        path: the file.

    Raises:
        ValueError: the file is in a format from before torch 1.6, and this torch does not read it safely.
        OSError, RuntimeError, pickle.UnpicklingError, EOFError, KeyError: as ``torch.load``, for a file that is damaged
            or holds more than tensors and plain values.
    """
    if torch_version() < _FIRST_SAFE and not zipfile.is_zipfile(path):
        raise ValueError(
            f"{path}: wanted a file in the format of torch 1.6 or newer, as torch {torch.__version__} may run code of "
            "older ones, got another; torch 2.6 reads it safely"
        )
    return torch.load(path, map_location="cpu", weights_only=True)


def torch_version() -> tuple[int, ...]:
    """Major and minor number of the torch that runs."""
    return tuple(int(number) for number in re.findall(r"\d+", torch.__version__)[:2])

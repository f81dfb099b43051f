"""Arrays and the text about them in one file with a checksum: ``.npz`` or ``.safetensors``."""

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pml_suprank.integrations import require
from pml_suprank.integrations.whole_files import (
    DamagedFileError,
    is_sealed,
    write_atomic,
    write_sealed,
)

__all__ = ["SUFFIXES", "read_arrays", "write_arrays"]

SUFFIXES = (".npz", ".safetensors")


def write_arrays(path: Path, tensors: dict[str, Tensor], content: dict[str, Any]) -> None:
    """Write tensors, and plain data about them, atomically.

    Args:
        path: whose suffix is one of :data:`SUFFIXES`.
        tensors: by name, contiguous.
        content: what is said about them.
    """
    about = json.dumps(content | {"sealed": True})
    if path.suffix == ".npz":
        arrays: dict[str, Any] = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
        write_sealed(path, lambda file: np.savez(file, about=np.array(about), **arrays))
    else:
        safetensors: Any = require("safetensors.torch", extra="recipes")
        packed = safetensors.save(tensors, {"about": about, "sha256": _digest(tensors, about)})
        write_atomic(path, lambda file: file.write(packed))


def read_arrays(path: Path) -> tuple[dict[str, Tensor], str, bool]:
    """Tensors, the text about them, and whether a checksum says that they are as they were written.

    Raises:
        Exception: the file is damaged; zip, numpy and safetensors have their own.
    """
    return _read_npz(path) if path.suffix == ".npz" else _read_safetensors(path)


def _read_npz(path: Path) -> tuple[dict[str, Tensor], str, bool]:
    if not zipfile.is_zipfile(path):  # NumPy would advise to run what is in it
        raise DamagedFileError("no archive of arrays")
    has_checksum = is_sealed(path)
    with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
        names = [name for name in content.files if name != "about"]
        about = str(content["about"]) if "about" in content.files else ""
        return {name: torch.from_numpy(content[name]) for name in names}, about, has_checksum


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], str, bool]:
    safetensors: Any = require("safetensors", extra="recipes")
    with safetensors.safe_open(path, framework="pt") as content:
        metadata = content.metadata() or {}
        tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
    about, wanted = metadata.get("about", ""), metadata.get("sha256")
    if wanted is not None and wanted != _digest(tensors, about):
        raise DamagedFileError("a damaged file: its checksum is of other content")
    return tensors, about, wanted is not None


def _digest(tensors: dict[str, Tensor], about: str) -> str:
    """SHA-256 of tensors, of their names, types and shapes, and of the text about them."""
    digest = hashlib.sha256(about.encode())
    for name, tensor in sorted(tensors.items()):
        values = tensor.detach().cpu().contiguous()
        digest.update(f"\n{name} {values.dtype} {list(values.shape)}\n".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()

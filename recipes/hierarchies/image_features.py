"""Embeddings of many images, kept on disk part by part, so that an interrupted run goes on where it was."""

import hashlib
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.hierarchy.regular_files import regular
from pml_suprank.recipes.data.images import ImageDataset
from pml_suprank.recipes.data.pictures import BrokenImageError, read_picture
from pml_suprank.recipes.embedding_set import EmbeddingError, EmbeddingSet
from pml_suprank.recipes.engine.encode_data import embed_images
from pml_suprank.recipes.engine.encoder import Encoder
from pml_suprank.recipes.files import write_atomic
from pml_suprank.recipes.progress import progress_bar

__all__ = ["can_be_read", "image_features", "stored_features"]

PART = 2048
"""Images of a file."""


def image_features(
    encoder: Encoder,
    paths: Sequence[str],
    root: Path,
    folder: Path,
    about: str,
    *,
    workers: int = 0,
    progress: bool = True,
) -> tuple[Tensor, Tensor]:
    """Normalised embeddings of images, in half precision.

    Args:
        encoder: see :func:`pml_suprank.recipes.hierarchies.encoders.clip_encoder`.
        paths: [N] image files below ``root``.
        root: folder of the images.
        folder: keeps one file for every 2,048 images. What could not be read is tried again.
        about: what else decides the embeddings, such as the encoder's name; kept parts of another are made anew.
        workers: loading processes.
        progress: whether to show a progress bar.

    Returns:
        [N, D] float16 and [N] bool: False for an image that cannot be read, with a row of zeros.

    Raises:
        EmbeddingError: no image can be read.
    """
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    starts = range(0, len(paths), PART)
    with progress_bar("embedding", "image", total=len(paths), shown=progress) as bar:
        for number, start in enumerate(starts):
            part = list(paths[start : start + PART])
            key = hashlib.sha256("\n".join([about, str(root), *part]).encode()).hexdigest()
            file = folder / f"{number:05d}.npz"
            found = _read(file, key)
            if found is None or can_be_read(
                root / path for path, ok in zip(part, found[1], strict=True) if not ok
            ):
                found = _embed(encoder, [root / path for path in part], workers)
                _write(file, key, found)
            parts.append(found)
            bar.update(len(part))
    width = max(values.shape[1] for values, _ in parts)
    if not width:
        raise EmbeddingError(
            f"images: wanted one that can be read below {str(root)!r}, got {len(paths)} that cannot"
        )
    values = torch.zeros(len(paths), width, dtype=torch.float16)
    whole = torch.zeros(len(paths), dtype=torch.bool)
    for start, (part_values, part_whole) in zip(starts, parts, strict=True):
        place = slice(start, start + len(part_whole))
        if part_values.shape[1]:
            values[place] = torch.from_numpy(part_values)
        whole[place] = torch.from_numpy(part_whole)
    return values, whole


def can_be_read(paths: Iterable[Path]) -> bool:
    """Whether any of the files is an image that can be read."""
    for path in paths:
        try:
            read_picture(path)
            return True
        except BrokenImageError:
            continue
    return False


def _embed(encoder: Encoder, paths: list[Path], workers: int) -> tuple[np.ndarray, np.ndarray]:
    """[n, D] float16 and which can be read; D is 0 where none can."""
    labels = torch.zeros(len(paths), 1, dtype=torch.long)
    tree = Hierarchy.from_paths(["image"])
    data = ImageDataset(paths, labels, tree, background=encoder.background)
    whole = np.ones(len(paths), dtype=bool)
    half = torch.autocast(encoder.device.type, torch.float16, encoder.device.type != "cpu")
    try:
        with half:
            found, broken = embed_images(
                encoder, data, labelled=False, workers=workers, progress=False
            )
    except EmbeddingError:
        return np.zeros((len(paths), 0), dtype=np.float16), np.zeros(len(paths), dtype=bool)
    whole[broken] = False
    values = np.zeros((len(paths), found.embeddings.shape[1]), dtype=np.float16)
    values[whole] = found.embeddings.half().numpy()
    return values, whole


def _write(path: Path, key: str, content: tuple[np.ndarray, np.ndarray]) -> None:
    arrays: dict[str, Any] = {"features": content[0], "whole": content[1], "key": np.array(key)}
    write_atomic(path, lambda file: np.savez(file, **arrays))


def _read(path: Path, key: str) -> tuple[np.ndarray, np.ndarray] | None:
    """A kept part; None where it is missing, damaged or of other images."""
    try:
        with np.load(regular(path), allow_pickle=False) as content:
            values, whole = content["features"], content["whole"]
            return (values, whole) if str(content["key"]) == key else None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def stored_features(path: Path, paths: Sequence[str]) -> tuple[Tensor, Tensor]:
    """The same from a file that ``suprank embed`` has written.

    Returns:
        [N, D] float16 and [N] bool: False for images that the file lacks.

    Raises:
        EmbeddingError: the file is damaged, names no images, or has none of these.
    """
    stored = EmbeddingSet.load(path)
    place = {name: row for row, name in enumerate(stored.paths or ())}
    rows = torch.tensor([place.get(name, -1) for name in paths], dtype=torch.long)
    if bool((rows < 0).all()):
        raise EmbeddingError(f"{path}: wanted embeddings of the listed images, got none of them")
    values = torch.nn.functional.normalize(stored.embeddings.float(), dim=1).half()[
        rows.clamp(min=0)
    ]
    values[rows < 0] = 0
    return values, rows >= 0

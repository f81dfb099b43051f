"""The index of a gallery in a folder: written, and searched by embeddings, images and texts."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pml_suprank.integrations.faiss_index import GalleryIndex
from pml_suprank.integrations.model_identity import (
    ModelIdentity,
    ModelMismatchError,
    check_same_model,
)
from pml_suprank.recipes.data.pictures import BrokenImageError, read_picture
from pml_suprank.recipes.embedding_set import EmbeddingSet
from pml_suprank.recipes.engine.encoder import Encoder
from pml_suprank.recipes.pages.results_page import Query

__all__ = ["build_index", "check_model", "embed_queries", "read_index", "search_index"]

GALLERY = "gallery.npz"


def build_index(gallery: EmbeddingSet, folder: Path, kind: str = "flat") -> GalleryIndex:
    """Index a gallery by cosine and write index and gallery into a folder."""
    index = GalleryIndex.build(gallery.embeddings, kind, model=gallery.model)
    gallery.save(folder / GALLERY)
    index.save(folder)
    return index


def search_index(
    folder: Path,
    queries: Tensor,
    top: int,
    *,
    model: ModelIdentity | None = None,
    allow_other_model: bool = False,
) -> tuple[EmbeddingSet, Tensor, Tensor]:
    """The gallery, and scores and indices [Q, top] of the nearest items; an index of -1 where fewer were found.

    Args:
        folder: of the index.
        queries: [Q, D].
        top: number of results.
        model: that made the queries; None where it is not known.
        allow_other_model: whether it may be another one than that of the index.

    Raises:
        IndexFileError, EmbeddingError: the folder holds no whole index.
        ModelMismatchError: queries of another model.
        ValueError: queries of another width, or ``top`` above the size of the gallery.
    """
    gallery, index = read_index(folder)
    check_model(model, index.model, allow_other_model)
    return gallery, *index.search(queries, top)


def read_index(folder: Path) -> tuple[EmbeddingSet, GalleryIndex]:
    """The gallery of a folder and its index.

    Raises:
        IndexFileError, EmbeddingError: the folder holds no whole index.
    """
    gallery = EmbeddingSet.load(folder / GALLERY)
    return gallery, GalleryIndex.load(folder, gallery.embeddings)


def check_model(
    queries: ModelIdentity | None, gallery: ModelIdentity | None, allow_other: bool
) -> None:
    """Refuse queries of another model than that of the index, or warn of it.

    Raises:
        ModelMismatchError: says what to do.
    """
    try:
        note = check_same_model(queries, gallery, allow_other=allow_other)
    except ModelMismatchError as error:
        raise ModelMismatchError(
            f"{error}; search with the model of the index, or pass --allow-other-model"
        ) from None
    if note:
        print(f"warning: {note}", file=sys.stderr)


def embed_queries(
    encoder: Encoder, images: Sequence[Path], texts: Sequence[str]
) -> tuple[Tensor, list[Query]]:
    """Embeddings of images and texts, in this order, and how each query is shown.

    Raises:
        ValueError: a broken image, or texts for a model without a text tower.
    """
    parts, shown = [], []
    if images:
        pictures: list[Any] = []
        for path in images:
            try:
                pictures.append(read_picture(path, encoder.background))
            except BrokenImageError as error:
                raise ValueError(
                    f"--image: wanted an image, got {str(path)!r} ({error.reason})"
                ) from error
            shown.append(Query(path.name, path))
        parts.append(encoder.encode_images(pictures))
    if texts:
        parts.append(encoder.encode_text(texts))
        shown += [Query(text, None) for text in texts]
    return torch.cat(parts), shown

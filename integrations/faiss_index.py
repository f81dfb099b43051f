"""A FAISS index of a gallery: build it, search it, keep it."""

import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pml_suprank.integrations import require
from pml_suprank.integrations.model_identity import ModelIdentity, check_same_model
from pml_suprank.integrations.plain_files import read_json
from pml_suprank.integrations.whole_files import write_atomic

faiss: Any = require("faiss", extra="faiss")

__all__ = ["KINDS", "GalleryIndex", "IndexFileError"]

KINDS = ("flat", "ivf", "hnsw")
SIMILARITIES = ("cosine", "dot")
_INDEX, _ABOUT = "index.faiss", "index.json"
_ABOUT_INDEX = ("kind", "similarity", "checksum")


class IndexFileError(ValueError):
    """An index folder that is missing, damaged, or of another gallery."""


class GalleryIndex:
    """Nearest items of a gallery.

    Attributes:
        kind: "flat" is exact; "ivf" and "hnsw" are faster and may miss items.
        similarity: "cosine" or "dot".
        checksum: of the embeddings it was built from.
        model: that made them; None where it is not known.
    """

    def __init__(
        self,
        index: Any,
        kind: str,
        similarity: str,
        checksum: str,
        model: ModelIdentity | None = None,
    ):
        self.index = index
        self.kind, self.similarity, self.checksum = kind, similarity, checksum
        self.model = model

    def __len__(self) -> int:
        return int(self.index.ntotal)

    @property
    def dimensions(self) -> int:
        """D of the embeddings."""
        return int(self.index.d)

    @classmethod
    def build(
        cls,
        embeddings: Tensor,
        kind: str = "flat",
        similarity: str = "cosine",
        model: ModelIdentity | None = None,
    ) -> "GalleryIndex":
        """Index embeddings.

        Args:
            embeddings: [N, D], finite.
            kind: "flat", "ivf" (about sqrt(N) cells, a sixteenth of them searched) or "hnsw" (32 links).
            similarity: "cosine" or "dot".
            model: that made the embeddings; the index remembers it.

        Raises:
            ValueError: another kind or similarity, or embeddings that are empty or not finite.
        """
        for name, value, known in (("kind", kind, KINDS), ("similarity", similarity, SIMILARITIES)):
            if value not in known:
                raise ValueError(f"{name}: wanted one of {', '.join(known)}, got {value!r}")
        vectors = _vectors("embeddings", embeddings, similarity)
        count, size = vectors.shape
        inner = faiss.METRIC_INNER_PRODUCT
        if kind == "flat":
            index = faiss.IndexFlatIP(size)
        elif kind == "hnsw":
            index = faiss.IndexHNSWFlat(size, 32, inner)
            index.hnsw.efSearch = 128
        else:
            cells = max(1, min(int(count**0.5), count // 39))
            index = faiss.IndexIVFFlat(faiss.IndexFlatIP(size), size, cells, inner)
            index.train(vectors)
            index.nprobe = max(1, cells // 16)
        index.add(vectors)
        return cls(index, kind, similarity, _checksum(embeddings), model)

    def search(
        self, queries: Tensor, k: int = 10, *, model: ModelIdentity | None = None
    ) -> tuple[Tensor, Tensor]:
        """The k nearest items of each query.

        Args:
            queries: [Q, D], finite.
            k: 1..N.
            model: that made the queries; None does not compare it with that of the index.

        Returns:
            Scores [Q, k], best first, and indices [Q, k] into the gallery; an index of -1, with a score of
            -inf, where an approximate index found fewer.

        Raises:
            ValueError: k outside 1..N, or queries of another width or not finite.
            ModelMismatchError: queries of another model than the gallery.
        """
        if model is not None:
            check_same_model(model, self.model)
        if not 1 <= k <= len(self):
            raise ValueError(f"k: wanted 1..{len(self)}, the size of the gallery, got {k}")
        if queries.ndim != 2 or queries.shape[1] != self.dimensions:
            raise ValueError(f"queries: wanted [Q, {self.dimensions}], got {list(queries.shape)}")
        scores, indices = self.index.search(_vectors("queries", queries, self.similarity), k)
        scores[indices < 0] = -np.inf
        return torch.from_numpy(scores), torch.from_numpy(indices)

    def save(self, folder: Path) -> None:
        """Write the index into a folder, which is made where needed; links in it are replaced, not followed.

        Raises:
            OSError: the folder cannot be made or written to.
        """
        folder = Path(folder)
        data = faiss.serialize_index(self.index).data
        about: dict[str, Any] = {name: getattr(self, name) for name in _ABOUT_INDEX}
        about["model"] = None if self.model is None else self.model.to_dict()
        about["index"] = hashlib.sha256(data).hexdigest()
        about["about"] = _seal(about)
        text = json.dumps(about, indent=2)  # ends with the bracket: a byte less is no JSON
        write_atomic(folder / _INDEX, lambda file: file.write(data))
        write_atomic(folder / _ABOUT, lambda file: file.write(text.encode()))

    @classmethod
    def load(cls, folder: Path, embeddings: Tensor | None = None) -> "GalleryIndex":
        """Read an index; one from before there were checksums with a warning.

        Args:
            folder: that :meth:`save` wrote to.
            embeddings: those it should be of; None does not check.

        Raises:
            IndexFileError: the folder holds no index, a damaged one, or one of other embeddings.
        """
        folder = Path(folder)
        try:
            found = cls._read(folder)
        except Exception as error:  # FAISS raises many classes for a damaged file
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise IndexFileError(f"{folder}: wanted an index, got {reason}") from error
        if embeddings is not None and _checksum(embeddings) != found.checksum:
            raise IndexFileError(
                f"{folder}: wanted the index of these embeddings, got one of others"
            )
        return found

    @classmethod
    def _read(cls, folder: Path) -> "GalleryIndex":
        about = read_json(folder / _ABOUT)
        is_older = set(about) <= {*_ABOUT_INDEX, "model"}
        if not is_older and about.get("about") != _seal(about):
            raise ValueError(f"a damaged one: {_ABOUT} is not what its checksum is of")
        for name, known in (("kind", KINDS), ("similarity", SIMILARITIES), ("checksum", None)):
            value = about[name]
            if not isinstance(value, str) or (known is not None and value not in known):
                raise ValueError(f"{name} {value!r}, which is none of {known or 'text'}")
        if not (folder / _INDEX).is_file():
            raise ValueError(f"a folder without {_INDEX}")
        data = (folder / _INDEX).read_bytes()
        if not is_older and about.get("index") != hashlib.sha256(data).hexdigest():
            raise ValueError(f"a damaged one: {_INDEX} is not what its checksum is of")
        index = faiss.deserialize_index(np.frombuffer(data, np.uint8))
        model = ModelIdentity.from_dict(about.get("model"))
        if is_older:
            warnings.warn(
                f"{folder} is of an older version, without checksums: damage to it would not be noticed; build it anew",
                stacklevel=3,
            )
        return cls(index, about["kind"], about["similarity"], about["checksum"], model)


def _seal(about: Mapping[str, Any]) -> str:
    """SHA-256 of all else that the file about an index says."""
    rest = {name: value for name, value in about.items() if name != "about"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _vectors(name: str, values: Tensor, similarity: str) -> np.ndarray:
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(f"{name}: wanted [n, D] with n and D above 0, got {list(values.shape)}")
    if not bool(values.isfinite().all()):
        raise ValueError(f"{name}: wanted finite numbers, got NaN or infinity")
    values = values.detach().float().cpu()
    if similarity == "cosine":
        values = torch.nn.functional.normalize(values, dim=1)
    return np.ascontiguousarray(values.numpy())


def _checksum(embeddings: Tensor) -> str:
    data = embeddings.detach().float().cpu().contiguous().numpy()
    return hashlib.sha256(data.tobytes() + str(data.shape).encode()).hexdigest()

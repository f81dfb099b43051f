"""Scores of query blocks against the gallery: which embeddings are usable, and exact ties."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pml_suprank.checks import check_embeddings

SIMILARITIES = ("cosine", "dot", "euclidean")


def checked_embeddings(values: Any, name: str, dim: int | None = None) -> Tensor:
    """A floating (n, D) tensor, n > 0, finite; half precision becomes float32.

    Args:
        values: tensor or NumPy array.
        name: the argument's name, for the messages.
        dim: the wanted D, if it is known.

    Raises:
        ValueError: anything else, naming the argument, what was wanted and what came.
    """
    if isinstance(values, np.ndarray):
        values = torch.from_numpy(values)
    check_embeddings(name, values)
    if dim is not None and values.shape[1] != dim:
        raise ValueError(f"{name}: wanted {dim} dimensions as in query, got {values.shape[1]}")
    values = values.detach()
    return values if values.dtype == torch.float64 else values.float()


class Scorer:
    """Scores against a fixed gallery; higher is closer.

    The score is the dot product of the rows (normalised for "cosine"), or for "euclidean" the
    dot product less half the squared norm of the item, which ranks as the negative distance does.

    Gallery rows that are equal get equal scores. A matrix product alone does not grant that: its
    rounding depends on where in the matrix an entry stands. ``copies`` and ``originals`` say which
    entries of a product repeat which.

    Args:
        gallery: (N, D) checked embeddings.
        similarity: "cosine", "dot" or "euclidean".
        order: (N,) int64, the order in which to keep the gallery; None as it is.

    Raises:
        ValueError: another similarity.
    """

    def __init__(self, gallery: Tensor, similarity: str, order: Tensor | None = None) -> None:
        if similarity not in SIMILARITIES:
            raise ValueError(f"similarity: wanted one of {SIMILARITIES}, got {similarity!r}")
        self._cosine = similarity == "cosine"
        self.gallery = self._arranged(gallery, order)
        self._copied = self.gallery is not gallery
        self.copies, self.originals = equal_rows(self.gallery)
        parts = self.gallery.split(_ROWS)
        self.offset: Tensor | None = None
        if similarity == "euclidean":
            self.offset = torch.cat([part.square().sum(1) / 2 for part in parts])
        self._largest = _largest_norm(self.gallery)

    def _arranged(self, gallery: Tensor, order: Tensor | None) -> Tensor:
        """The rows in order, as they enter the product; one copy at most, made in parts."""
        if order is None and not self._cosine:
            return gallery
        rows = torch.empty_like(gallery)
        for part in range(0, len(gallery), _ROWS):
            here = slice(part, part + _ROWS)
            rows[here] = self.rows(gallery[here] if order is None else gallery[order[here]])
        return rows

    @property
    def nbytes(self) -> int:
        """Bytes of the copy of the gallery, if there is one."""
        return self._copied * self.gallery.nbytes

    def rows(self, embeddings: Tensor) -> Tensor:
        """Embeddings as they enter the product."""
        return torch.nn.functional.normalize(embeddings, dim=1) if self._cosine else embeddings

    def bound(self, query: Tensor) -> float:
        """A number that no score of the queries (b, D) exceeds in magnitude, rounded as it is.

        Raises:
            ValueError: the products may overflow.
        """
        norm = 1.0 if self._cosine else _largest_norm(query)
        limit = torch.finfo(query.dtype).max
        if self._largest * max(norm, self._largest) > limit / 2:
            raise ValueError(
                f"query, gallery: wanted products below {limit:.1e} ({query.dtype}), got norms "
                f"up to {norm:.1e} and {self._largest:.1e}"
            )
        offset = 0.0 if self.offset is None else self._largest**2 / 2
        rounding = 2 * query.shape[1] * torch.finfo(query.dtype).eps
        return (norm * self._largest + offset) * (1 + rounding)

    def __call__(self, query: Tensor) -> Tensor:
        """Scores (b, N) of a block of queries (b, D) in the dtype of the embeddings.

        Raises:
            ValueError: the products may overflow.
        """
        self.bound(query)
        with torch.autocast(query.device.type, enabled=False):
            scores = self.rows(query) @ self.gallery.T
        if self.offset is not None:
            scores -= self.offset
        if len(self.copies):
            scores[:, self.copies] = scores[:, self.originals]
        return scores


_ROWS = 2**14
"""Rows of a gallery that are handled at a time where a pass over it needs memory of its own."""


def _largest_norm(rows: Tensor) -> float:
    norms = [torch.linalg.vector_norm(part.double(), dim=1).max() for part in rows.split(_ROWS)]
    return float(torch.stack(norms).max())


def equal_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Rows that repeat an earlier row.

    Args:
        rows: (N, D) floating.

    Returns:
        Two (M,) int64 tensors: the repeating rows, and for each the first row that equals it.

    Example:
        >>> equal_rows(torch.tensor([[1.0], [2.0], [1.0], [1.0]]))
        (tensor([2, 3]), tensor([0, 0]))
    """
    # A row's fingerprint is a fixed random integer combination of its bits, modulo 2**64. Adding
    # 0.0 turns -0.0 into 0.0, which compares equal to it.
    bits = torch.int32 if rows.dtype == torch.float32 else torch.int64
    random = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, rows.shape[1])
    factors = torch.from_numpy(random | 1).to(rows.device)
    chunks = rows.split(max(1, 2**20 // rows.shape[1]))
    prints = torch.cat([((c + 0.0).view(bits).long() * factors).sum(1) for c in chunks])
    order = prints.argsort(stable=True)
    same = prints[order[1:]] == prints[order[:-1]]
    start = torch.cat([same.new_ones(1), ~same])
    first = order[start][start.cumsum(0) - 1]
    copies, originals = order[~start], first[~start]
    true = torch.cat(
        [
            (rows[c] == rows[o]).all(1)
            for c, o in zip(copies.split(2**14), originals.split(2**14), strict=True)
        ]
    )
    copies, originals = copies[true], originals[true]
    arranged = copies.argsort()
    return copies[arranged], originals[arranged]

"""Scores of query blocks against the gallery: which embeddings are usable, and exact ties."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pml_suprank.checks import check_embeddings

SIMILARITIES = ("cosine", "dot", "euclidean")

UNITS, UNITS_OF_ONE_SIGN = 8.0, 32.0
"""Two scores that differ by less than so many 2^-24 of the product of the norms may be in the wrong order.

In products of 8 to 2,048 dimensions the rounding was .6 units on average (root mean square) and 4 at most, for
embeddings around the origin; 2.6 and 12 for embeddings whose products all have one sign, because their mean is far
from the origin.
"""


def checked_similarity(similarity: Any) -> str:
    """Return a similarity's name.

    Raises:
        ValueError: something else.
    """
    if similarity not in SIMILARITIES:
        raise ValueError(f"similarity: wanted one of {SIMILARITIES}, got {similarity!r}")
    return str(similarity)


def checked_embeddings(values: Any, name: str, dim: int | None = None) -> Tensor:
    """A floating (n, D) tensor, n > 0, finite; half precision becomes float32.

    Integers and bool become float32, or float64 where float32 does not hold them all.

    Args:
        values: tensor or NumPy array.
        name: the argument's name, for the messages.
        dim: the wanted D, if it is known.

    Raises:
        ValueError: anything else, naming the argument, what was wanted and what came.
    """
    if isinstance(values, np.ndarray):
        values = torch.from_numpy(values)
    if torch.is_tensor(values) and not (values.is_floating_point() or values.is_complex()):
        values = _exact_floats(values, name)
    check_embeddings(name, values)
    if dim is not None and values.shape[1] != dim:
        raise ValueError(f"{name}: wanted {dim} dimensions as in query, got {values.shape[1]}")
    values = values.detach()
    return values if values.dtype == torch.float64 else values.float()


def _exact_floats(values: Tensor, name: str) -> Tensor:
    """Integers as the narrowest floats that hold them."""
    exact = values.long()
    largest = max(map(abs, (int(exact.min()), int(exact.max())))) if values.numel() else 0
    if largest > 2**53:
        raise ValueError(
            f"{name}: wanted integers up to 2**53 or floats, got {values.dtype} up to {largest}"
        )
    return exact.double() if largest > 2**24 else exact.float()


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
        self._cosine = checked_similarity(similarity) == "cosine"
        self.gallery = self._arranged(gallery, order)
        self._copied = self.gallery is not gallery
        self.copies, self.originals = equal_rows(self.gallery)
        parts = self.gallery.split(_ROWS)
        self.offset: Tensor | None = None
        if similarity == "euclidean":
            self.offset = torch.cat([part.square().sum(1) / 2 for part in parts])
        self._largest, self._typical = _norms(self.gallery)
        mean = sum(part.sum(0, dtype=torch.float64) for part in parts) / len(self.gallery)
        same_sign = float(torch.linalg.vector_norm(mean)) / (self._typical or 1.0)
        self._units = UNITS + (UNITS_OF_ONE_SIGN - UNITS) * same_sign**2

    def _arranged(self, gallery: Tensor, order: Tensor | None) -> Tensor:
        """The rows in order, as they enter the product; one copy at most, made in parts."""
        if order is None and not self._cosine:
            return gallery
        rows = torch.empty_like(gallery)
        size = max(1, 2**20 // gallery.shape[1])
        for part in range(0, len(gallery), size):
            here = slice(part, part + size)
            rows[here] = self.rows(gallery[here] if order is None else gallery[order[here]])
        return rows

    @property
    def nbytes(self) -> int:
        """Bytes of the copy of the gallery, if there is one."""
        return self._copied * self.gallery.nbytes

    def rows(self, embeddings: Tensor) -> Tensor:
        """Embeddings as they enter the product."""
        return unit_rows(embeddings).to(embeddings.dtype) if self._cosine else embeddings

    def bound(self, query: Tensor) -> float:
        """A number that no score of the queries (b, D) exceeds in magnitude, rounded as it is.

        Raises:
            ValueError: the products may overflow.
        """
        norm = check_products(query.dtype, None if self._cosine else query, self._largest)
        offset = 0.0 if self.offset is None else self._largest**2 / 2
        rounding = 2 * query.shape[1] * torch.finfo(query.dtype).eps
        return (norm * self._largest + offset) * (1 + rounding)

    def resolution(self, query: Tensor) -> Tensor:
        """(b,) float64: the least difference of two scores of a query that rounding leaves in order.

        See :data:`UNITS`, of which there are the more, the farther the gallery is from
        the origin; the norm of the items is their root mean square.
        """
        norms = torch.ones(len(query), dtype=torch.float64, device=query.device)
        if not self._cosine:
            norms = torch.cat([_row_norms(part) for part in query.split(_ROWS)])
        halved = 0.0 if self.offset is None else self._typical**2 / 2
        unit = torch.finfo(query.dtype).eps / 2
        return (norms * self._typical + halved) * self._units * unit

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


def _row_norms(rows: Tensor) -> Tensor:
    return torch.linalg.vector_norm(rows.double(), dim=1)


def _norms(rows: Tensor) -> tuple[float, float]:
    """The largest norm, and the root mean square of all."""
    norms = torch.cat([_row_norms(part) for part in rows.split(_ROWS)])
    return float(norms.max()), float(norms.square().mean().sqrt())


def check_products(dtype: torch.dtype, query: Tensor | None, largest: float) -> float:
    """Return the largest norm of the queries, 1 for None, unless products may overflow.

    Args:
        dtype: of the products.
        query: (b, D), or None for unit vectors.
        largest: the largest norm in the gallery.

    Raises:
        ValueError: they may.
    """
    norm = 1.0 if query is None else _norms(query)[0]
    limit = torch.finfo(dtype).max
    if not largest * max(norm, largest) <= limit / 2:
        raise ValueError(
            f"query, gallery: wanted products below {limit:.1e} ({dtype}), got norms "
            f"up to {norm:.1e} and {largest:.1e}"
        )
    return norm


def unit_rows(rows: Tensor) -> Tensor:
    """Rows divided by their norms, in float64; however long or short they are. Rows of 0 stay.

    Example:
        >>> unit_rows(torch.tensor([[3e-30, 4e-30], [0.0, 0.0]]))
        tensor([[0.6000, 0.8000],
                [0.0000, 0.0000]], dtype=torch.float64)
    """
    rows = rows.double()
    if rows.numel() and not 1e-100 < float(rows.abs().max()) < 1e100:
        # Only float64 has such numbers; their squares would leave its range.
        rows = torch.ldexp(rows, -torch.frexp(rows.abs().amax(1, keepdim=True)).exponent)
    norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return rows / norms.where(norms > 0, 1.0)


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Products of float32 are in float32 here, whatever ``torch.set_float32_matmul_precision`` allows."""
    backends = [torch.backends.cuda.matmul, getattr(torch.backends.mkldnn, "matmul", None)]
    old = not hasattr(torch.backends.cuda.matmul, "fp32_precision")  # before torch 2.9
    if old:
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
    else:
        kept = [(each, each.fp32_precision) for each in backends if each is not None]
        for each, _ in kept:
            each.fp32_precision = "ieee"
    try:
        yield
    finally:
        if old:
            torch.set_float32_matmul_precision(before)
        else:
            for each, precision in kept:
                each.fp32_precision = precision


def equal_rows(
    rows: Tensor,
    order: Tensor | None = None,
    prepare: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Rows that repeat an earlier row.

    Args:
        rows: (N, D) floating.
        order: (N,) int64, the order in which to take them; None as they are.
        prepare: what is done to some rows before they are compared; None for nothing.

    Returns:
        Two (M,) int64 tensors: the repeating rows, and for each the first row that equals it.

    Example:
        >>> equal_rows(torch.tensor([[1.0], [2.0], [1.0], [1.0]]))
        (tensor([2, 3]), tensor([0, 0]))
    """

    # A row's fingerprint is a fixed random integer combination of its bits, modulo 2**64. Adding
    # 0.0 turns -0.0 into 0.0, which compares equal to it.
    def taken(places: Any) -> Tensor:
        some = rows[places if order is None else order[places]]
        return some if prepare is None else prepare(some)

    bits = torch.int32 if taken(slice(1)).dtype == torch.float32 else torch.int64
    random = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, rows.shape[1])
    factors = torch.from_numpy(random | 1).to(rows.device)
    size = max(1, 2**20 // rows.shape[1])
    chunks = [slice(start, start + size) for start in range(0, len(rows), size)]
    prints = torch.cat([((taken(c) + 0.0).view(bits).long() * factors).sum(1) for c in chunks])
    sorted_ = prints.argsort(stable=True)
    same = prints[sorted_[1:]] == prints[sorted_[:-1]]
    start = torch.cat([same.new_ones(1), ~same])
    first = sorted_[start][start.cumsum(0) - 1]
    copies, originals = sorted_[~start], first[~start]
    true = torch.cat(
        [
            (taken(c) == taken(o)).all(1)
            for c, o in zip(copies.split(2**14), originals.split(2**14), strict=True)
        ]
    )
    copies, originals = copies[true], originals[true]
    arranged = copies.argsort()
    return copies[arranged], originals[arranged]

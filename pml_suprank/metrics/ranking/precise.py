"""Scores in float64 about a centre, for rankings that products in float32 do not resolve."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from pml_suprank.metrics.ranking.scores import (
    check_products,
    checked_similarity,
    equal_rows,
    unit_rows,
)

_NUMBERS = 2**17
"""Numbers of a gallery that are brought to float64 at a time."""

_SHRINKS = 4
"""A centre is taken where it shortens the longest row at least so many times."""


class PreciseScorer:
    r"""Scores in float64 against a fixed gallery; higher is closer.

    Where the gallery lies far from the origin, beside its spread, one of its rows c becomes the origin. With
    x' = x - c the scores are x'.y' - |y'|^2 / 2 for "euclidean" and, of unit vectors, for "cosine"; x.y' for "dot".
    Elsewhere they are x.y - |y|^2 / 2, x.y / |y| and x.y. For each query they rank as the similarities do, and are
    within :math:`\sqrt{D} \, 2^{-50} |x'| |y'|_{max}` of exact. A row for a centre keeps the ties of embeddings
    on a grid exact; a mean would not.

    Memory stays at a few parts of the gallery: no copy is kept.

    Args:
        gallery: (N, D) checked embeddings.
        similarity: "cosine", "dot" or "euclidean".
        order: (N,) int64, the order in which to score the gallery; None as it is.
        copies: which rows repeat which, in that order, if it is known (:func:`equal_rows`).

    Raises:
        ValueError: another similarity; products that may overflow.
    """

    def __init__(
        self,
        gallery: Tensor,
        similarity: str,
        order: Tensor | None = None,
        copies: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        self._cosine = checked_similarity(similarity) == "cosine"
        self._gallery, self._order = gallery, order
        self._length = max(1, _NUMBERS // gallery.shape[1])
        self._centre = self._found_centre()
        self._halved = similarity == "euclidean" or (self._cosine and self._centre is not None)
        if copies is None or self._cosine:
            copies = equal_rows(gallery, order, _unit_scale if self._cosine else None)
        self.copies, self.originals = copies

    @property
    def nbytes(self) -> int:
        """Bytes of a copy of the gallery: there is none."""
        return 0

    def scores_in_parts(self, rows: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Scores of some columns at a time, (b, n), but for what copies of rows get.

        Args:
            rows: (b, D) from :meth:`rows`.
        """
        for start in range(0, len(self._gallery), self._length):
            places = slice(start, min(start + self._length, len(self._gallery)))
            items = self._gallery[places if self._order is None else self._order[places]]
            items = self.rows(items, of_gallery=True)
            with torch.autocast(rows.device.type, enabled=False):
                scores = rows @ items.T
            if self._halved:
                scores -= items.square().sum(1) / 2
            elif self._cosine:
                norms = items.square().sum(1).sqrt()
                scores /= norms.where(norms > 0, 1.0)
            yield places, scores

    def rows(self, embeddings: Tensor, of_gallery: bool = False) -> Tensor:
        """Queries, or items of the gallery, as they enter the product.

        Raises:
            ValueError: products that may overflow.
        """
        if self._cosine:
            # Without a centre the norms divide the products, which are exact on a grid.
            rows = unit_rows(embeddings) if self._halved else _unit_scale(embeddings)
        else:
            rows = embeddings.double()
            if not of_gallery:
                check_products(embeddings.dtype, rows, self._largest)
        if self._centre is not None and (of_gallery or self._halved):
            rows = rows - self._centre
        return rows

    def similarities(self, query: Tensor, scores: Tensor) -> Tensor:
        """Cosines, dot products or negative squared distances (b, k) from scores of queries (b, D)."""
        rows = self.rows(query)
        if self._halved:
            distances = rows.square().sum(1, keepdim=True) - 2 * scores
            return 1.0 - distances / 2 if self._cosine else -distances
        if self._cosine:
            norms = rows.square().sum(1, keepdim=True).sqrt()
            return scores / norms.where(norms > 0, 1.0)
        return scores if self._centre is None else scores + rows @ self._centre[:, None]

    def __call__(self, query: Tensor) -> Tensor:
        """Scores (b, N) in float64 of a block of queries (b, D).

        Raises:
            ValueError: the products may overflow.
        """
        rows = self.rows(query)
        scores = rows.new_empty(len(rows), len(self._gallery))
        for places, part in self.scores_in_parts(rows):
            scores[:, places] = part
        if len(self.copies):
            scores[:, self.copies] = scores[:, self.originals]
        return scores

    def _plain(self, rows: Tensor) -> Tensor:
        return unit_rows(rows) if self._cosine else rows.double()

    def _found_centre(self) -> Tensor | None:
        """The row nearest to the mean, if it is worth while; also notes the largest norm."""
        total = torch.zeros((), dtype=torch.float64, device=self._gallery.device)
        largest = torch.zeros_like(total)
        for part in self._gallery.split(self._length):
            rows = self._plain(part)
            total = total + rows.sum(0) / len(self._gallery)
            largest = torch.maximum(largest, torch.linalg.vector_norm(rows, dim=1).max())
        self._largest = float(largest)
        check_products(self._gallery.dtype, total[None], self._largest)
        if 2 * float(torch.linalg.vector_norm(total)) < self._largest:
            return None  # The mean would be within a quarter of the largest norm of the centre.
        least, centre = math.inf, total
        for part in self._gallery.split(self._length):
            rows = self._plain(part)
            near, place = torch.linalg.vector_norm(rows - total, dim=1).min(0)
            if float(near) < least:
                least, centre = float(near), rows[place]
        radius = 0.0
        for part in self._gallery.split(self._length):
            norms = torch.linalg.vector_norm(self._plain(part) - centre, dim=1)
            radius = max(radius, float(norms.max()))
        return centre if radius * _SHRINKS < self._largest else None


def _unit_scale(rows: Tensor) -> Tensor:
    """Rows times powers of two, without rounding, so that such multiples of each other are equal."""
    exponent = torch.frexp(rows.abs().amax(1, keepdim=True)).exponent
    return torch.ldexp(rows.double(), -exponent)


def products_are_exact(query: Tensor, gallery: Tensor, similarity: str) -> bool:
    """Whether float32 holds all scores without rounding: of integers, say, or of sixteenths.

    Args:
        query: (Q, D) embeddings.
        gallery: (N, D) embeddings.
        similarity: "cosine", "dot" or "euclidean".

    Example:
        >>> grid, other = torch.tensor([[0.5, -2.0]]), torch.tensor([[0.1, 3.0]])
        >>> products_are_exact(grid, grid, "dot"), products_are_exact(grid, other, "dot")
        (True, False)
    """
    if similarity == "cosine":
        return False
    largest = max(float(query.abs().max()), float(gallery.abs().max()))
    if largest == 0:
        return True
    # Sums of D products below largest^2, and half a squared norm, in units of quantum^2 / 2.
    quantum = 2.0 ** math.ceil(math.log2(largest * math.sqrt(3 * query.shape[1])) - 12)
    if not 2.0**-60 < quantum < 2.0**60:
        return False
    return all(
        bool((part / quantum == (part / quantum).round()).all())
        for rows in (query, gallery)
        for part in rows.split(2**14)
    )

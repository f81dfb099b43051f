"""Scores of pairs of embeddings: what the distance says, with bounded gradients, and faster for PML's cosine."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from pml_suprank.functional.operation import Operation, apply
from pml_suprank.pml import BaseDistance, CosineSimilarity

SHORTEST = 1e-6
"""The gradient of x / |x| is of the order of 1 / |x|. A row shorter than this gets none: it has no direction."""

_SMALLEST_NORM = 1e-12
"""As in torch's ``normalize``."""


def check_similarity(distance: BaseDistance) -> None:
    """Raise a ValueError unless larger values of ``distance`` mean closer."""
    if not getattr(distance, "is_inverted", False):
        raise ValueError(
            "distance: wanted a similarity, larger is closer, such as CosineSimilarity or "
            f"DotProductSimilarity, got {type(distance).__name__}"
        )


def distances(distance: BaseDistance, embeddings: Tensor, ref_emb: Tensor) -> Tensor:
    """Return what a distance says, (B, N), in float32 or wider, whatever autocast says."""
    dtype, same = _dtype_of(embeddings, ref_emb), ref_emb is embeddings
    with torch.autocast(device_type=embeddings.device.type, enabled=False):
        embeddings = with_direction_for(distance, embeddings.to(dtype))
        ref_emb = embeddings if same else with_direction_for(distance, ref_emb.to(dtype))
        return distance(embeddings, None if same else ref_emb)


def fast_distances(distance: BaseDistance, embeddings: Tensor, ref_emb: Tensor) -> Tensor:
    """Return what :func:`distances` does, up to rounding; for PML's cosine similarity without copies."""
    plain = type(distance) is CosineSimilarity and not distance.collect_stats
    if not plain or (distance.p, distance.power) != (2, 1):
        return distances(distance, embeddings, ref_emb)
    dtype = _dtype_of(embeddings, ref_emb)
    with torch.autocast(device_type=embeddings.device.type, enabled=False):
        if ref_emb is embeddings:
            return cosines_of(embeddings.to(dtype))
        return cosine_scores(embeddings.to(dtype), ref_emb.to(dtype))


def at_least_float32(tensor: Tensor) -> Tensor:
    """Return ``tensor`` in float32, or as it is if it is wider."""
    return tensor.to(_dtype_of(tensor))


def _dtype_of(*tensors: Tensor) -> torch.dtype:
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return dtype


def with_direction(rows: Tensor) -> Tensor:
    """Return the rows (n, D) as they are; those shorter than ``SHORTEST`` get the gradient 0."""
    if not rows.requires_grad:
        return rows
    short = torch.linalg.vector_norm(rows.detach(), dim=1, keepdim=True) < SHORTEST
    if short.device.type == "cpu" and not short.any():  # elsewhere a look costs more than a copy
        return rows
    return torch.where(short, rows.detach(), rows)


def with_direction_for(distance: BaseDistance, rows: Tensor) -> Tensor:
    """Return rows for a distance, with the gradient of :func:`with_direction` if it normalises them."""
    return with_direction(rows) if distance.normalize_embeddings else rows


def unit_rows(rows: Tensor) -> Tensor:
    """Return rows (n, D) of length 1, those of torch's ``normalize``, with a bounded gradient."""
    return normalize(with_direction(rows), dim=1)


def cosine_scores(queries: Tensor, references: Tensor) -> Tensor:
    """Return the cosine similarities, (B, N).

    The norms of the references divide the scores, not the references, so that neither direction copies (N, D)
    numbers. A query or reference shorter than ``SHORTEST`` gets no gradient.

    Args:
        queries: (B, D).
        references: (N, D), in the same dtype.

    Example:
        >>> cosine_scores(torch.tensor([[3.0, 4.0]]), torch.tensor([[2.0, 0.0], [0.0, 0.0]])).tolist()
        [[0.6..., 0.0]]
    """
    (scores,) = apply(_CosineScores(), unit_rows(queries), references)
    return scores


def cosines_of(rows: Tensor) -> Tensor:
    """Return the cosine similarities of rows (B, D) with one another, (B, B); gradients as of :func:`cosine_scores`."""
    (scores,) = apply(_CosinesOfRows(), rows)
    return scores


class _CosinesOfRows(Operation):
    """Products of unit rows, in a third of the kernels that autograd takes."""

    norm: Tensor
    unit: Tensor

    def value(self, rows: Tensor) -> tuple[Tensor]:
        """Return the scores, (B, B)."""
        norm = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
        self.norm = norm.clamp_(min=_SMALLEST_NORM)
        self.unit = rows / self.norm
        return (self.unit @ self.unit.T,)

    def gradient(
        self,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        grads: Sequence[Tensor],
        wanted: Sequence[bool],
    ) -> tuple[Tensor]:
        """Return the gradient of the rows."""
        (grad,) = grads
        pull = (grad + grad.T) @ self.unit
        along = (pull * self.unit).sum(dim=1, keepdim=True)  # a row does not gain by its length
        pull.addcmul_(self.unit, along, value=-1).div_(self.norm)
        return (pull.masked_fill_(self.norm < SHORTEST, 0.0),)

    def definition(self, rows: Tensor) -> tuple[Tensor]:
        """Return the scores in operations of torch."""
        unit = unit_rows(rows)
        return (unit @ unit.T,)


class _CosineScores(Operation):
    """Products of unit queries with references, divided by the norms of these."""

    norm: Tensor

    def value(self, queries: Tensor, references: Tensor) -> tuple[Tensor]:
        """Return the scores, (B, N)."""
        self.norm = torch.linalg.vector_norm(references, dim=1).clamp_(min=_SMALLEST_NORM)
        return ((queries @ references.T).div_(self.norm),)

    def gradient(
        self,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        grads: Sequence[Tensor],
        wanted: Sequence[bool],
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return the gradients of the unit queries and of the references."""
        (queries, references), (scores,), (grad,) = inputs, outputs, grads
        norm = self.norm
        grad_queries = grad_references = None
        buffer = grad * scores
        if wanted[1]:
            # a reference does not gain by its length
            along = buffer.sum(dim=0).div_(norm * norm).neg_()
            grad_references = references * along.unsqueeze(1)
        torch.div(grad, norm, out=buffer)
        if wanted[0]:
            grad_queries = buffer @ references
        if grad_references is not None:
            grad_references.addmm_(buffer.T, queries)
            grad_references.masked_fill_((norm < SHORTEST).unsqueeze(1), 0.0)
        return grad_queries, grad_references

    def definition(self, queries: Tensor, references: Tensor) -> tuple[Tensor]:
        """Return the scores, with copies."""
        return (queries @ unit_rows(references).T,)

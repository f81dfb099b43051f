"""Cosine similarity to many references, without a normalised copy of them."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

_SMALLEST_NORM = 1e-12
"""As in torch's ``normalize``."""


def cosine_scores(queries: Tensor, references: Tensor) -> Tensor:
    """Return the cosine similarities, (B, N).

    The norms of the references divide the scores, not the references, so that neither direction copies (N, D)
    numbers. Differentiable once.

    Args:
        queries: (B, D).
        references: (N, D), in the same dtype.

    Example:
        >>> cosine_scores(torch.tensor([[3.0, 4.0]]), torch.tensor([[2.0, 0.0], [0.0, 0.0]])).tolist()
        [[0.6..., 0.0]]
    """
    return _CosineScores.apply(normalize(queries, dim=1), references)


class _CosineScores(torch.autograd.Function):
    """Products of unit queries with references, divided by the norms of these."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, references: Tensor) -> Tensor:
        norm = torch.linalg.vector_norm(references, dim=1).clamp_(min=_SMALLEST_NORM)
        scores = (queries @ references.T).div_(norm)
        ctx.save_for_backward(queries, references, norm, scores)
        return scores

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        queries, references, norm, scores = ctx.saved_tensors
        grad_queries = grad_references = None
        buffer = grad * scores
        if ctx.needs_input_grad[1]:
            # a reference does not gain by its length
            along = buffer.sum(dim=0).div_(norm * norm).neg_()
            along.masked_fill_(norm <= _SMALLEST_NORM, 0.0)
            grad_references = references * along.unsqueeze(1)
        torch.div(grad, norm, out=buffer)
        if ctx.needs_input_grad[0]:
            grad_queries = buffer @ references
        if grad_references is not None:
            grad_references.addmm_(buffer.T, queries)
        return grad_queries, grad_references

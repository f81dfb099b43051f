"""The one entry to the rank backends."""

import torch
from torch import Tensor

from pml_suprank.functional._backends import (
    BACKENDS,
    LevelRelevance,
    RankRequest,
    Ranks,
    TargetRanks,
)
from pml_suprank.functional._backends.choice import choose
from pml_suprank.functional.operation import plain, untraced
from pml_suprank.functional.steps import HardRank, Surrogate, hard_places

__all__ = [
    "LevelRelevance",
    "Ranks",
    "backend_names",
    "check_backend",
    "ranks",
    "target_ranks",
]


MOST_PLACES = 2**24
"""Up to so many float32 holds every place of a list."""


def backend_names() -> tuple[str, ...]:
    """Return the values that ``backend`` takes."""
    return ("auto", *BACKENDS)


def check_backend(backend: str) -> str:
    """Return ``backend``, or raise a ValueError that lists the values it takes."""
    if backend not in backend_names():
        raise ValueError(f"backend: wanted one of {', '.join(backend_names())}, got {backend!r}")
    return backend


@untraced
def ranks(
    scores: Tensor,
    levels: Tensor,
    relevance: Tensor | None = None,
    mask: Tensor | None = None,
    *,
    surrogate: Surrogate,
    backend: str = "auto",
) -> Ranks:
    """Rank the items of level above 0 among all items of their query.

    Args:
        scores: (B, N), higher is closer. Half precision is ranked in float32.
        levels: (B, N), integers >= 0, levels shared with the query; -1 does what a mask does.
        relevance: (B, N), >= 0, or None when the numerator ``hrank`` is not needed.
        mask: (B, N), False for items that are not in the retrieval set of the query; None for none.
        surrogate: the comparators, see :mod:`pml_suprank.functional.steps`; ``HardRank()`` for the rank itself, in
            which a tie counts against the model.
        backend: "dense" is the definition, (B, N, N) comparisons in autograd; "blocked" is exact in O(B N)
            memory; "fast" is near-linear in N and agrees with them to 1e-5 of the largest entry; "fused" is
            "blocked" in one kernel, on CUDA devices with Triton; "auto" picks by device and size.

    Returns:
        ``rank`` (B, N), 1 where an item is not ranked, and ``hrank`` (B, N), 0 there, or None. Differentiable
        with respect to ``scores``; second derivatives are those of "dense", in its time and memory.

    Raises:
        ValueError: shapes or dtypes that do not fit, scores that are not finite, an unknown backend.

    Example:
        >>> from pml_suprank.functional import HardRank
        >>> scores, levels = torch.tensor([[0.9, 0.5, 0.1]]), torch.tensor([[0, 1, 1]])
        >>> ranks(scores, levels, surrogate=HardRank()).rank.tolist()
        [[1.0, 2.0, 3.0]]
    """
    found = target_ranks(scores, levels, relevance, mask, surrogate=surrogate, backend=backend)
    place = found.query, found.item
    rank = found.rank.new_ones(scores.shape).index_put(place, found.rank)
    if found.hrank is None:
        return Ranks(rank, None)
    return Ranks(rank, found.hrank.new_zeros(scores.shape).index_put(place, found.hrank))


@untraced
def target_ranks(
    scores: Tensor,
    levels: Tensor,
    relevance: Tensor | LevelRelevance | None = None,
    mask: Tensor | None = None,
    *,
    surrogate: Surrogate,
    backend: str = "auto",
    ties: Tensor | None = None,
) -> TargetRanks:
    """Return the ranks of :func:`ranks` as a list, of the items of level above 0 alone.

    ``ties`` (B, N) is what else decides between equal scores of one level for ``HardRank``, by default ``relevance``.
    """
    request = _checked(scores, levels, relevance, mask, surrogate)
    if isinstance(surrogate, HardRank):
        request = request._replace(scores=_without_ties(request, ties))
    if check_backend(backend) == "auto":
        backend = choose(request)
    else:
        reason = BACKENDS[backend].why_not(request)
        if reason is not None:
            raise ValueError(f"backend: {backend!r} cannot take this input: {reason}")
    return BACKENDS[backend].ranks(request)


def _checked(
    scores: Tensor,
    levels: Tensor,
    relevance: Tensor | LevelRelevance | None,
    mask: Tensor | None,
    surrogate: Surrogate,
) -> RankRequest:
    if scores.ndim != 2 or not scores.is_floating_point():
        raise ValueError(
            f"scores: wanted a floating (B, N) tensor, got {scores.dtype} {tuple(scores.shape)}"
        )
    if levels.is_floating_point() or levels.dtype == torch.bool:
        raise ValueError(f"levels: wanted integers, got {levels.dtype}")
    of_items = None if isinstance(relevance, LevelRelevance) else relevance
    for name, tensor in (("levels", levels), ("relevance", of_items), ("mask", mask)):
        if tensor is not None and tensor.shape != scores.shape:
            raise ValueError(
                f"{name}: wanted the shape of scores {tuple(scores.shape)}, got {tuple(tensor.shape)}"
            )
    if mask is not None:
        if mask.dtype != torch.bool:
            raise ValueError(f"mask: wanted a boolean tensor, got {mask.dtype}")
        levels = torch.where(mask, levels, -1)
    if scores.dtype in (torch.float16, torch.bfloat16):
        scores = scores.float()
    if isinstance(relevance, Tensor):
        relevance = plain(relevance.to(scores.dtype))
    elif relevance is not None:
        relevance = relevance._replace(table=plain(relevance.table))
    finite, lowest, highest, num_targets = _facts(scores.detach(), levels)
    if not finite:
        raise ValueError("scores: wanted finite numbers, got NaN or infinity")
    if isinstance(relevance, LevelRelevance) and (
        len(relevance.table) != len(scores) or relevance.table.shape[1] <= highest
    ):
        raise ValueError(
            f"relevance: wanted a table for {len(scores)} queries and levels 0 to {highest}, "
            f"got {tuple(relevance.table.shape)}"
        )
    if lowest > -128 and highest < 127:
        levels = levels.to(torch.int8)
    return RankRequest(
        scores, plain(levels), max(1, highest), lowest < 0, num_targets, relevance, surrogate
    )


def _without_ties(request: RankRequest, ties: Tensor | None) -> Tensor:
    """Return scores (B, N) that say the places of the items and nothing else."""
    if ties is None and isinstance(request.relevance, Tensor):
        ties = request.relevance
    scores = plain(request.scores.detach())
    places = hard_places(scores, request.levels, None if ties is None else plain(ties.detach()))
    exact = torch.float64 if scores.shape[1] > MOST_PLACES else scores.dtype
    return places.neg_().to(exact)


def _facts(scores: Tensor, levels: Tensor) -> tuple[bool, int, int, int]:
    """Return whether the scores are finite, the extreme levels and the number of targets.

    A GPU is waited for once, unless finite scores have an infinite sum.
    """
    if levels.numel() == 0:
        return True, 0, 0, 0
    # a NaN or an infinity stays in the sum; the sum of finite numbers may still overflow
    total = scores.sum()
    finite = total - total == 0  # half the kernels of isfinite
    found = torch.stack([finite, *levels.aminmax(), (levels > 0).count_nonzero()])
    finite, lowest, highest, num_targets = plain(found).tolist()
    return bool(finite or torch.isfinite(scores).all()), lowest, highest, num_targets

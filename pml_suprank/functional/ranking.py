"""The one entry to the rank backends, and which of them ``auto`` takes."""

import logging
from typing import NamedTuple

import torch
from torch import Tensor

from pml_suprank.deprecated import renamed_keywords
from pml_suprank.functional._backends import BACKENDS, blocked, fast, fused
from pml_suprank.functional._backends.definition import RankRequest, Ranks, TargetRanks
from pml_suprank.functional.inputs import check_items
from pml_suprank.functional.operation import numbers, plain, untraced
from pml_suprank.functional.steps import HardRank, Surrogate, check_surrogate, hard_places
from pml_suprank.relevance import LevelRelevance
from pml_suprank.values import checked_choice

__all__ = [
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
    return checked_choice("backend", backend, backend_names())


@renamed_keywords(levels="common_levels")
@untraced
def ranks(
    scores: Tensor,
    common_levels: Tensor,
    relevance: Tensor | None = None,
    mask: Tensor | None = None,
    *,
    surrogate: Surrogate,
    backend: str = "auto",
) -> Ranks:
    """Rank the items that share a level with their query among all items of their query.

    Args:
        scores: (B, N), higher is closer. Half precision is ranked in float32.
        common_levels: (B, N), integers >= 0, how many levels an item shares with the query; -1 outside
            the retrieval set.
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
        >>> scores, common_levels = torch.tensor([[0.9, 0.5, 0.1]]), torch.tensor([[0, 1, 1]])
        >>> ranks(scores, common_levels, surrogate=HardRank()).rank.tolist()
        [[1.0, 2.0, 3.0]]
    """
    found = target_ranks(
        scores, common_levels, relevance, mask, surrogate=surrogate, backend=backend
    )
    place = found.query, found.item
    rank = found.rank.new_ones(scores.shape).index_put(place, found.rank)
    if found.hrank is None:
        return Ranks(rank, None)
    return Ranks(rank, found.hrank.new_zeros(scores.shape).index_put(place, found.hrank))


@untraced
def target_ranks(
    scores: Tensor,
    common_levels: Tensor,
    relevance: Tensor | LevelRelevance | None = None,
    mask: Tensor | None = None,
    *,
    surrogate: Surrogate,
    backend: str = "auto",
    ties: Tensor | None = None,
) -> TargetRanks:
    """Return the ranks of :func:`ranks` as a list, of the items that share a level alone.

    ``ties`` (B, N) is what else decides, for ``HardRank``, between equal scores of items that share as many levels; by
    default ``relevance``.
    """
    request = _checked(scores, common_levels, relevance, mask, surrogate)
    if isinstance(surrogate, HardRank):
        request = request._replace(scores=_without_ties(request, ties))
    if check_backend(backend) == "auto":
        backend = choose(request)
    else:
        reason = BACKENDS[backend].why_not(request)
        if reason is not None:
            raise ValueError(f"backend: {backend!r} cannot take this input: {reason}")
    if not request.num_targets:
        nothing = torch.zeros(0, dtype=torch.long, device=scores.device)
        none = request.scores.flatten()[:0]  # with a graph
        return TargetRanks(nothing, nothing, none, None if relevance is None else none)
    return BACKENDS[backend].ranks(request)


def _checked(
    scores: Tensor,
    common_levels: Tensor,
    relevance: Tensor | LevelRelevance | None,
    mask: Tensor | None,
    surrogate: Surrogate,
) -> RankRequest:
    graded = {} if isinstance(relevance, LevelRelevance | None) else {"relevance": relevance}
    check_items(scores, finite=False, common_levels=common_levels, mask=mask, **graded)
    check_surrogate(surrogate)
    if mask is not None:
        common_levels = torch.where(mask, common_levels, -1)
    if scores.dtype in (torch.float16, torch.bfloat16):
        scores = scores.float()
    if isinstance(relevance, Tensor):
        relevance = plain(relevance.to(scores.dtype))
    elif relevance is not None:
        relevance = relevance._replace(table=plain(relevance.table))
    finite, lowest, highest, num_targets = _facts(scores.detach(), common_levels)
    if not finite:
        raise ValueError("scores: wanted finite numbers, got NaN or infinity")
    if isinstance(relevance, LevelRelevance) and (
        len(relevance.table) != len(scores) or relevance.table.shape[1] <= highest
    ):
        raise ValueError(
            f"relevance: wanted a table for {len(scores)} queries and 0 to {highest} common levels, "
            f"got {tuple(relevance.table.shape)}"
        )
    if lowest > -128 and highest < 127:
        common_levels = common_levels.to(torch.int8)
    return RankRequest(
        scores, plain(common_levels), max(1, highest), lowest < 0, num_targets, relevance, surrogate
    )


def _without_ties(request: RankRequest, ties: Tensor | None) -> Tensor:
    """Return scores (B, N) that say the places of the items and nothing else."""
    if ties is None and isinstance(request.relevance, Tensor):
        ties = request.relevance
    scores = plain(request.scores.detach())
    places = hard_places(
        scores, request.common_levels, None if ties is None else plain(ties.detach())
    )
    exact = torch.float64 if scores.shape[1] > MOST_PLACES else scores.dtype
    return places.neg_().to(exact)


def _facts(scores: Tensor, common_levels: Tensor) -> tuple[bool, int, int, int]:
    """Return whether the scores are finite, the fewest and the most common levels, and the number of targets.

    A GPU is waited for once, unless finite scores have an infinite sum.
    """
    if common_levels.numel() == 0:
        return True, 0, 0, 0
    # a NaN or an infinity stays in the sum; the sum of finite numbers may still overflow
    total = scores.sum()
    finite = total - total == 0  # half the kernels of isfinite
    found = torch.stack([finite, *common_levels.aminmax(), (common_levels > 0).count_nonzero()])
    finite, lowest, highest, num_targets = numbers(found)
    return bool(finite or torch.isfinite(scores).all()), lowest, highest, num_targets


class Limits(NamedTuple):
    """Where one backend begins to win over another."""

    fused: float
    """``fused`` up to this many comparisons of ranked items with all items."""
    dense: int
    """Else ``dense`` up to this many comparisons B N^2."""
    fast_ranked: int
    """Else ``fast`` from ``fast_ranked (L + 1) (1 + FAST_ITEMS / N)`` ranked items for each query on: its grid costs
    as much as so many items, and levels cost it passes."""
    fast_ranked_others: int
    """The same for surrogates and relevances for which ``blocked`` takes more passes."""


LIMITS = {
    # two cores of an AMD EPYC; dense wins up to about 20 queries and items
    "cpu": Limits(fused=0, dense=1 << 13, fast_ranked=5, fast_ranked_others=3),
    # an H100, 256 queries. fused: a prototype of it against fast, 4,096 to 1,048,576 items, 11 or a third of them
    # ranked. Without it, dense wins in a batch of 256 (7.9 ms, 0.5 GiB; fast 32 ms), fast against more items. These
    # times of fast are of its grid; its sums of exponentials, which it takes where fused can run, are not measured.
    "cuda": Limits(fused=4e9, dense=1 << 24, fast_ranked=0, fast_ranked_others=0),
}
"""By type of device; one that is not named takes the CPU's."""
FAST_ITEMS = 1300

_LOGGER = logging.getLogger("pml_suprank")
_logged: set[tuple[str, str]] = set()


def choose(request: RankRequest) -> str:
    """Return the fastest backend for a request, by device and size, and log each choice once."""
    device = request.scores.device.type
    backend, because = _by_size(request, LIMITS.get(device, LIMITS["cpu"]))
    if (device, backend) not in _logged:
        _logged.add((device, backend))
        num_queries, num_items = request.scores.shape
        size = f"{num_queries} queries, {num_items} items, {request.num_targets} of them to rank"
        reasons = "; ".join([size, *because])
        _LOGGER.info("backend 'auto' takes %r on %s: %s", backend, device, reasons)
    return backend


def _by_size(request: RankRequest, limits: Limits) -> tuple[str, list[str]]:
    """Return the backend, and why those that would have been faster cannot run."""
    num_queries, num_items = request.scores.shape
    comparisons = request.num_targets * num_items
    because: list[str] = []
    can_fuse = False
    if limits.fused:
        reason = fused.why_not(request)
        can_fuse = reason is None
        if can_fuse and comparisons <= limits.fused:
            return "fused", because
        if reason is not None:
            because.append(f"not 'fused', {reason}")
    if not can_fuse and num_queries * num_items * num_items <= limits.dense:
        return "dense", because
    if comparisons >= _least_for_fast(request, limits):
        reason = fast.why_not(request)
        if reason is None:
            return "fast", because
        because.append(f"not 'fast', {reason}")
    return "fused" if can_fuse else "blocked", because


def _least_for_fast(request: RankRequest, limits: Limits) -> int:
    """Return from how many comparisons of ranked items on ``fast`` is the faster one."""
    num_queries, num_items = request.scores.shape
    few = blocked.takes_few_passes(request)
    each = limits.fast_ranked if few else limits.fast_ranked_others
    return each * (request.num_levels + 1) * (num_items + FAST_ITEMS) * num_queries

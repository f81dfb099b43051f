"""The fused ranks as one operator of torch, and their gradient as another: a compiler sees one node for each.

Nothing here imports Triton before a kernel is to run.
"""

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pml_suprank.functional._backends.fused.form import BLOCKS, RUN, WARPS, ceil_div, splits_of

__all__ = ["fused_ranks", "fused_ranks_backward"]


@functools.lru_cache(maxsize=32)
def _on_device(step: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the numbers of a step where the kernels read them; a copy waits for the device, so it is kept."""
    with torch.inference_mode(False):
        return torch.tensor(step, dtype=dtype, device=device)


_INPUTS = (
    "Tensor scores, Tensor levels, Tensor? relevance, Tensor query, Tensor item, "
    "bool[] form, float[] step"
)


@torch.library.custom_op(
    "pml_suprank::fused_ranks",
    mutates_args=(),
    schema=f"({_INPUTS}) -> (Tensor, Tensor, Tensor, Tensor)",
)
def fused_ranks(
    scores: Tensor,
    levels: Tensor,
    relevance: Tensor | None,
    query: Tensor,
    item: Tensor,
    form: Sequence[bool],
    step: Sequence[float],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return rank and numerator of the targets, and the sums of the slopes of both.

    Args:
        scores: (B, N), float32 or float64.
        levels: (B, N), integers, -1 outside the retrieval set.
        relevance: in the dtype of scores, of levels (B, C) or of items (B, N); None for no numerator.
        query: (T,), int64, ascending.
        item: (T,), int64.
        form: of :class:`Form`.
        step: of :func:`step_of`.

    Returns:
        Each (T,) in the dtype of scores, or (0,) where the form or the missing relevance leaves it out.
    """
    from pml_suprank.functional._backends.fused import kernels

    smooth, every, smooth_numerator, by_level = form
    needed = _needed(relevance, form)
    num_targets, num_items = len(query), scores.shape[1]
    if num_targets == 0:
        return _empty(scores, needed, 0)
    splits, per_split = splits_of(num_targets, num_items)
    scores, levels, query, item = (t.contiguous() for t in (scores, levels, query, item))
    dtype = scores.dtype if splits == 1 else torch.float64
    sums = _empty(scores, needed, splits * num_targets, dtype)
    with torch.cuda.device_of(scores):
        kernels.rank_targets[ceil_div(num_targets, BLOCKS["BT"]), splits](
            scores,
            levels,
            scores if relevance is None else relevance.contiguous(),
            query,
            item,
            _on_device(tuple(step), scores.dtype, scores.device),
            *sums,
            num_targets,
            num_items,
            per_split,
            0 if relevance is None else relevance.shape[1],
            SMOOTH=smooth,
            EVERY=every,
            NUMERATOR=relevance is not None,
            SMOOTH_NUMERATOR=relevance is not None and smooth_numerator,
            BY_LEVEL=by_level,
            RUN=RUN,
            num_warps=WARPS,
            **BLOCKS,
        )
    if splits == 1:
        return sums
    rank, hrank, rank_slope, hrank_slope = (
        part.view(splits, -1).sum(dim=0).to(scores.dtype) for part in sums
    )
    return rank, hrank, rank_slope, hrank_slope


def _needed(relevance: Tensor | None, form: Sequence[bool]) -> tuple[bool, bool, bool, bool]:
    numerator = relevance is not None
    return True, numerator, form[0], numerator and form[2]


def _empty(
    scores: Tensor, needed: tuple[bool, bool, bool, bool], size: int, dtype: Any = None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    a, b, c, d = (scores.new_empty(size if each else 0, dtype=dtype) for each in needed)
    return a, b, c, d


@fused_ranks.register_fake
def _(
    scores: Tensor,
    levels: Tensor,
    relevance: Tensor | None,
    query: Tensor,
    item: Tensor,
    form: Sequence[bool],
    step: Sequence[float],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return _empty(scores, _needed(relevance, form), query.shape[0])


@torch.library.custom_op(
    "pml_suprank::fused_ranks_backward",
    mutates_args=(),
    schema=(
        f"({_INPUTS}, Tensor rank_slope, Tensor hrank_slope, Tensor rank_pull, Tensor hrank_pull)"
        " -> Tensor"
    ),
)
def fused_ranks_backward(
    scores: Tensor,
    levels: Tensor,
    relevance: Tensor | None,
    query: Tensor,
    item: Tensor,
    form: Sequence[bool],
    step: Sequence[float],
    rank_slope: Tensor,
    hrank_slope: Tensor,
    rank_pull: Tensor,
    hrank_pull: Tensor,
) -> Tensor:
    """Return the gradient (B, N) of the scores.

    Args:
        scores: as for :func:`fused_ranks`, which also returned the slopes; and so on to ``step``.
        levels: see there.
        relevance: see there.
        query: see there.
        item: see there.
        form: see there.
        step: see there.
        rank_slope: (T,).
        hrank_slope: (T,), or (0,).
        rank_pull: (T,), the gradient of ``rank``.
        hrank_pull: (T,), that of ``hrank``, or (0,).
    """
    from pml_suprank.functional._backends.fused import kernels

    smooth, every, smooth_numerator, by_level = form
    num_queries, num_items = scores.shape
    if len(query) == 0 or not smooth:
        return torch.zeros_like(scores, memory_format=torch.contiguous_format)
    scores, levels, query, item = (t.contiguous() for t in (scores, levels, query, item))
    rows = torch.arange(num_queries + 1, device=query.device)
    first_target = torch.searchsorted(query, rows, out_int32=True)
    place = query * num_items + item
    score_of_target, level_of_target = scores.view(-1)[place], levels.view(-1)[place]
    relevance_of_target = scores
    if relevance is not None and smooth_numerator:
        relevance = relevance.contiguous()
        at = query * relevance.shape[1] + level_of_target if by_level else place
        relevance_of_target = relevance.view(-1)[at]
    gradient = torch.empty_like(scores)
    item_blocks = ceil_div(num_items, BLOCKS["BN"])
    with torch.cuda.device_of(scores):
        # dimension 0 alone takes more than 65,535 programs
        kernels.pull_items[(num_queries * item_blocks,)](
            scores,
            levels,
            scores if relevance is None else relevance,
            first_target,
            item,
            score_of_target,
            level_of_target,
            relevance_of_target,
            _on_device(tuple(step), scores.dtype, scores.device),
            rank_pull.contiguous(),
            hrank_pull.contiguous(),
            gradient,
            num_items,
            0 if relevance is None else relevance.shape[1],
            item_blocks,
            EVERY=every,
            SMOOTH_NUMERATOR=relevance is not None and smooth_numerator,
            BY_LEVEL=by_level,
            **BLOCKS,
        )
    own = rank_pull * rank_slope
    if relevance is not None and smooth_numerator:
        own.addcmul_(hrank_pull, hrank_slope)
    # every target has a place of its own: the order of the sums does not matter
    gradient.view(-1).index_add_(0, place, own, alpha=-1)
    return gradient


@fused_ranks_backward.register_fake
def _(scores: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(scores, memory_format=torch.contiguous_format)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    scores, levels, relevance, query, item, ctx.form, ctx.step = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(scores, levels, relevance, query, item, *output[2:])


def _pull(ctx: Any, rank_pull: Tensor | None, hrank_pull: Tensor | None, *_: Any) -> Any:
    *inputs, rank_slope, hrank_slope = ctx.saved_tensors
    if rank_pull is None:
        rank_pull = torch.zeros_like(rank_slope)
    if hrank_pull is None:
        hrank_pull = torch.zeros_like(hrank_slope)
    gradient = fused_ranks_backward(
        *inputs, ctx.form, ctx.step, rank_slope, hrank_slope, rank_pull, hrank_pull
    )
    return gradient, None, None, None, None, None, None


def _refuse(ctx: Any, *_: Any) -> Any:
    raise RuntimeError(
        "pml_suprank::fused_ranks: wanted at most one derivative, got asked for a second one; "
        "functional.ranks has it"
    )


fused_ranks.register_autograd(_pull, setup_context=_keep)
fused_ranks_backward.register_autograd(_refuse)

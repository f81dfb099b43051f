"""The kernels of the fused backend, in Triton: a block of targets by a block of items at a time.

Both kernels hold pairs as [BT, BN], targets by items, and work the comparators out anew; neither keeps a pair. Sums
of a few blocks are in the dtype of the scores, sums of these in float64, each in an order that does not depend on
timing.

A target itself counts as one step: it is level with itself, so that the step gives it 1 in the rank and its own
relevance in the numerator. What is not in the retrieval set has level -1, as has what is beyond the last item, and
is taken to be far behind every target, where every comparator is 0.

``step`` holds the numbers of the surrogate, see ``form.step_of``. It is memory, not constants, so that a
temperature that changes while training compiles nothing anew.
"""

import triton
import triton.language as tl


@triton.jit
def nothing(flag):
    """Show that kernels can be built and started."""
    tl.store(flag, 1.0)


INTERPRETED = not isinstance(nothing, triton.JITFunction)
"""Whether Triton's interpreter runs the kernels: ``TRITON_INTERPRET`` was set when it was imported."""


@triton.jit
def _competitor(t, step, EVERY: tl.constexpr):
    """Return C(t) and tau C'(t): SmoothRank's for every competitor, else SupRank's for those of a lower level."""
    x = tl.abs(t) * tl.load(step)
    # beyond 50 temperatures there is no slope
    decay = tl.where(x > 72.13475204444817, 0.0, tl.exp2(-x))
    near = 1.0 / (1.0 + decay)
    tail = decay * near  # exact where it is small, as is the slope
    if EVERY:
        return tl.where(t > 0.0, near, tail), tail * near
    rho, delta = tl.load(step + 1), tl.load(step + 2)
    beyond = t > delta
    value = tl.where(t > 0.0, near + tl.load(step + 3), tail)
    value = tl.where(beyond, rho * (t - delta) + tl.load(step + 4), value)
    return value, tl.where(beyond, tl.load(step + 5), tail * near)


@triton.jit
def _numerator(t, step):
    """Return G(t) and its slope, for competitors of a higher level."""
    beta, leak = tl.load(step + 7), tl.load(step + 9)
    rising = beta * t + tl.load(step + 8)
    value = tl.where(t > 0.0, tl.minimum(rising, 1.0), leak * t)
    slope = tl.where(t > 0.0, tl.where(rising <= 1.0, beta, 0.0), leak)
    return value, slope


@triton.jit
def _is_smooth(level, own_level, column, own_item, EVERY: tl.constexpr):
    """Return for which pairs the rank is smooth, among items of the retrieval set."""
    if EVERY:
        return column != own_item
    return level < own_level


@triton.jit
def _relevance(relevance, row, place, level, num_columns, BY_LEVEL: tl.constexpr):
    """Return the relevance of items, from a table over levels or item by item; 0 outside the retrieval set."""
    if BY_LEVEL:
        place = row * num_columns + level
    return tl.load(relevance + place, mask=level >= 0, other=0.0)


@triton.jit(do_not_specialize=["num_targets", "num_columns"])
def rank_targets(
    scores,
    levels,
    relevance,
    query,
    item,
    step,
    rank,
    hrank,
    rank_slope,
    hrank_slope,
    num_targets,
    num_items,
    per_split,
    num_columns,
    SMOOTH: tl.constexpr,
    EVERY: tl.constexpr,
    NUMERATOR: tl.constexpr,
    SMOOTH_NUMERATOR: tl.constexpr,
    BY_LEVEL: tl.constexpr,
    BT: tl.constexpr,
    BN: tl.constexpr,
    RUN: tl.constexpr,
):
    """Sum up BT targets, of any queries, over one split of the items, ``RUN`` blocks of them in one sum.

    Program (i, j) has the targets from i BT on and split j. ``rank``, ``hrank`` and the sums of their slopes are
    (splits, T); those that no flag asks for are not touched.
    """
    target = tl.program_id(0).to(tl.int64) * BT + tl.arange(0, BT)
    here = target < num_targets
    row = tl.load(query + target, mask=here, other=0)
    own_item = tl.load(item + target, mask=here, other=0)
    start = row * num_items
    own_place = start + own_item
    own = tl.load(scores + own_place)
    own_level = tl.load(levels + own_place).to(tl.int32)
    if NUMERATOR:
        own_relevance = _relevance(relevance, row, own_place, own_level, num_columns, BY_LEVEL)
    sum_rank = tl.zeros([BT], tl.float64)
    sum_hrank = tl.zeros([BT], tl.float64)
    sum_rank_slope = tl.zeros([BT], tl.float64)
    sum_hrank_slope = tl.zeros([BT], tl.float64)
    far_behind = tl.load(step + 10)
    first = tl.program_id(1) * per_split
    last = tl.minimum(first + per_split, num_items)
    for run in range(first, last, RUN * BN):
        behind = tl.zeros([BT, BN], scores.dtype.element_ty)
        behind_slope = tl.zeros([BT, BN], scores.dtype.element_ty)
        ahead = tl.zeros([BT, BN], scores.dtype.element_ty)
        ahead_slope = tl.zeros([BT, BN], scores.dtype.element_ty)
        for begin in range(run, tl.minimum(run + RUN * BN, last), BN):
            column = begin + tl.arange(0, BN)
            inside = (column < num_items)[None, :]
            place = start[:, None] + column[None, :]
            level = tl.load(levels + place, mask=inside, other=-1).to(tl.int32)
            t = tl.load(scores + place, mask=inside, other=0.0) - own[:, None]
            t = tl.where(level >= 0, t, far_behind)
            steps = tl.where(t >= 0.0, 1.0, 0.0)
            if SMOOTH:
                smooth = _is_smooth(
                    level, own_level[:, None], column[None, :], own_item[:, None], EVERY
                )
                value, slope = _competitor(t, step, EVERY)
                behind += tl.where(smooth, value, steps)
                behind_slope += tl.where(smooth, slope, 0.0)
            else:
                behind += steps
            if NUMERATOR:
                shared = _relevance(relevance, row[:, None], place, level, num_columns, BY_LEVEL)
                shared = tl.minimum(shared, own_relevance[:, None])
                if SMOOTH_NUMERATOR:
                    if not EVERY:
                        smooth = level > own_level[:, None]
                        value, slope = _numerator(t, step)
                    ahead += tl.where(smooth, value, steps) * shared
                    ahead_slope += tl.where(smooth, slope, 0.0) * shared
                else:
                    ahead += steps * shared
        sum_rank += tl.sum(behind, axis=1).to(tl.float64)
        if SMOOTH:
            sum_rank_slope += tl.sum(behind_slope, axis=1).to(tl.float64)
        if NUMERATOR:
            sum_hrank += tl.sum(ahead, axis=1).to(tl.float64)
        if SMOOTH_NUMERATOR:
            sum_hrank_slope += tl.sum(ahead_slope, axis=1).to(tl.float64)
    out = tl.program_id(1).to(tl.int64) * num_targets + target
    tl.store(rank + out, sum_rank, mask=here)
    if SMOOTH:
        tl.store(rank_slope + out, sum_rank_slope * tl.load(step + 6), mask=here)
    if NUMERATOR:
        tl.store(hrank + out, sum_hrank, mask=here)
    if SMOOTH_NUMERATOR:
        if EVERY:
            sum_hrank_slope *= tl.load(step + 6)
        tl.store(hrank_slope + out, sum_hrank_slope, mask=here)


@triton.jit(do_not_specialize=["num_columns", "item_blocks"])
def pull_items(
    scores,
    levels,
    relevance,
    first_target,
    item,
    score_of_target,
    level_of_target,
    relevance_of_target,
    step,
    rank_pull,
    hrank_pull,
    gradient,
    num_items,
    num_columns,
    item_blocks,
    EVERY: tl.constexpr,
    SMOOTH_NUMERATOR: tl.constexpr,
    BY_LEVEL: tl.constexpr,
    BT: tl.constexpr,
    BN: tl.constexpr,
):
    """Sum up the gradient of BN items of one query as competitors of all targets of that query.

    Program i has block i mod ``item_blocks`` of query i / ``item_blocks``, whose targets begin at ``first_target``,
    (B + 1,).
    """
    program = tl.program_id(0)
    row = (program // item_blocks).to(tl.int64)
    column = (program % item_blocks) * BN + tl.arange(0, BN)
    inside = column < num_items
    place = row * num_items + column
    score = tl.load(scores + place, mask=inside, other=0.0)
    level = tl.load(levels + place, mask=inside, other=-1).to(tl.int32)
    if SMOOTH_NUMERATOR:
        own_relevance = _relevance(relevance, row, place, level, num_columns, BY_LEVEL)
    total = tl.zeros([BN], tl.float64)
    numerator = tl.zeros([BN], tl.float64)
    end = tl.load(first_target + row + 1)
    for begin in range(tl.load(first_target + row), end, BT):
        target = begin + tl.arange(0, BT)
        here = target < end
        t = score[None, :] - tl.load(score_of_target + target, mask=here, other=0.0)[:, None]
        target_level = tl.load(level_of_target + target, mask=here, other=127).to(tl.int32)
        own_item = target_level
        if EVERY:
            own_item = tl.load(item + target, mask=here, other=0)
        smooth = _is_smooth(
            level[None, :], target_level[:, None], column[None, :], own_item[:, None], EVERY
        )
        _, slope = _competitor(t, step, EVERY)
        weight = tl.load(rank_pull + target, mask=here, other=0.0)[:, None]
        total += tl.sum(tl.where(smooth, slope * weight, 0.0), axis=0).to(tl.float64)
        if SMOOTH_NUMERATOR:
            shared = tl.load(relevance_of_target + target, mask=here, other=0.0)[:, None]
            shared = tl.minimum(own_relevance[None, :], shared)
            if not EVERY:
                smooth = level[None, :] > target_level[:, None]
                _, slope = _numerator(t, step)
            weight = tl.load(hrank_pull + target, mask=here, other=0.0)[:, None]
            pull = tl.where(smooth, slope * shared * weight, 0.0)
            numerator += tl.sum(pull, axis=0).to(tl.float64)
    if EVERY:
        total += numerator
    total *= tl.load(step + 6)
    if not EVERY:
        total += numerator
    tl.store(gradient + place, tl.where(level >= 0, total, 0.0), mask=inside)

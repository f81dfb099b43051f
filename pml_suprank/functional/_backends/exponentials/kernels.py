r"""Sums of comparators over sorted rows, in Triton: blocks by themselves, a walk over the blocks, and every item.

Every kernel serves both ways. Forward, items of the retrieval set are sources (as competitors) and targets receive a
value and its slope; on the way back, targets are sources, with their weights, and items receive the slope.

A state sums the sources behind, or ahead, of an edge of a block, at distances d from that edge, for one level of
receivers. Its columns:

* 0: their weights; 1 to K: weights times :math:`e^{-k d / \tau}`, see :mod:`.series`;
* K + 1: weights of those that tie with the edge, the limit of k without end. Forward, behind: of the steps;
* K + 2: weights times d;
* K + 3: forward, ahead: weights of the steps.

Every exponent is <= 0, whatever tau and the range of the scores. Within a block, and within the one that delta ends in,
the comparators are worked out pair by pair. Nothing depends on timing.

``numbers`` holds the comparator, see :func:`.comparators.numbers_of`, and from 16 on the coefficients of the columns
for the value, then for the slope. It is memory, not constants, so that a new temperature compiles nothing.
"""

import triton
import triton.language as tl

from pml_suprank.functional._backends.exponentials import comparators

LOWER = tl.constexpr(comparators.LOWER)
EVERY = tl.constexpr(comparators.EVERY)
HIGHER = tl.constexpr(comparators.HIGHER)


@triton.jit
def _split(
    target, competitor, target_relevance, relevance, SMOOTH: tl.constexpr, WEIGHTED: tl.constexpr
):
    """Return the weights of pairs of levels in the smooth sum, and in the sum of steps."""
    weight = tl.where((target > 0) & (competitor >= 0), 1.0, 0.0).to(relevance.dtype)
    if WEIGHTED:
        weight *= tl.minimum(target_relevance, relevance)
    if SMOOTH == LOWER:
        is_smooth = competitor < target
    elif SMOOTH == HIGHER:
        is_smooth = competitor > target
    elif SMOOTH == EVERY:
        is_smooth = competitor >= 0
    else:
        is_smooth = competitor < -1
    return tl.where(is_smooth, weight, 0.0), tl.where(is_smooth, 0.0, weight)


@triton.jit
def _decay(distance, k, numbers, K: tl.constexpr):
    """Return what moving by a distance makes of the columns of a state, but for column K + 2."""
    x = distance * tl.load(numbers)
    decay = tl.where((k > 0) & (k <= K), tl.exp2(-k.to(x.dtype) * x), 1.0)
    return tl.where((k == K + 1) & (distance != 0.0), 0.0, decay)


@triton.jit
def _column(state, k, column: tl.constexpr):
    """Return one column of states [..., C]."""
    return tl.sum(tl.where(k == column, state, 0.0), axis=1)


@triton.jit
def _is_beyond(t, numbers):
    """Whether the last piece of the comparator begins before t; so written that it is exact, as in the definition."""
    return t * tl.load(numbers + 8) + tl.load(numbers + 9) > tl.load(numbers + 10)


@triton.jit
def _before(t, numbers, SIGMOID: tl.constexpr):
    """Return the comparator up to its last piece, and its slope."""
    ahead = t > 0.0
    leak, rise = tl.load(numbers + 2), tl.load(numbers + 4)
    value = tl.where(ahead, rise * t + tl.load(numbers + 3), leak * t)
    slope = tl.where(ahead, rise, leak)
    if SIGMOID:
        decay = tl.exp2(-tl.abs(t) * tl.load(numbers))
        near = 1.0 / (1.0 + decay)
        tail = decay * near
        value += tl.where(ahead, near, tail)
        slope += tail * near * tl.load(numbers + 1)
    return value, slope


@triton.jit
def _beyond(t, numbers):
    """Return the last piece of the comparator, and its slope."""
    rho = tl.load(numbers + 5)
    return rho * (t - tl.load(numbers + 6)) + tl.load(numbers + 7), rho


@triton.jit(do_not_specialize=["num_states", "first_state", "num_columns"])
def sum_blocks(
    values,
    levels,
    weights,
    relevance,
    numbers,
    sums,
    edges,
    num_items,
    num_blocks,
    num_states,
    first_state,
    num_columns,
    BACK: tl.constexpr,
    SMOOTH: tl.constexpr,
    WEIGHTED: tl.constexpr,
    BLOCK: tl.constexpr,
    K: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Sum up each block by itself: at its last score for those ahead of it, at its first for those behind.

    Program i has block i mod ``num_blocks`` of row i / ``num_blocks``. State x is that of receivers of level
    ``first_state`` + x. ``sums`` is (rows, 2, states, blocks, COLUMNS), ``edges`` (rows, 2, blocks).
    """
    program = tl.program_id(0)
    row, block = (program // num_blocks).to(tl.int64), program % num_blocks
    position = block * BLOCK + tl.arange(0, BLOCK)
    inside = position < num_items
    start = row * num_items
    first = tl.load(values + start + block * BLOCK)
    last = tl.load(values + start + tl.minimum(block * BLOCK + BLOCK - 1, num_items - 1))
    tl.store(edges + 2 * row * num_blocks + block, first)
    tl.store(edges + (2 * row + 1) * num_blocks + block, last)
    # what is beyond the last item stands with it, and counts for nothing
    score = tl.load(values + start + tl.minimum(position, num_items - 1))
    level = tl.load(levels + start + position, mask=inside, other=-1).to(tl.int32)
    relevant = tl.zeros([BLOCK], values.dtype.element_ty)
    if WEIGHTED:
        relevant = tl.load(relevance + row * num_columns + level, mask=level > 0, other=0.0)
    k = tl.arange(0, COLUMNS)[None, :]
    to_last, to_first = (last - score)[:, None], (score - first)[:, None]
    at_last = tl.where(k == K + 2, to_last, _decay(to_last, k, numbers, K))
    at_first = tl.where(k == K + 2, to_first, _decay(to_first, k, numbers, K))
    for state in range(0, num_states):
        receiver = first_state + state
        own = relevant
        if WEIGHTED:
            own = tl.load(relevance + row * num_columns + receiver)
        if BACK:
            smooth, steps = _split(level, receiver, relevant, own, SMOOTH, WEIGHTED)
            smooth *= tl.load(weights + start + position, mask=inside, other=0.0)
            steps = smooth
        else:
            smooth, steps = _split(receiver, level, own, relevant, SMOOTH, WEIGHTED)
        smooth, steps = smooth[:, None], steps[:, None]
        place = ((2 * row * num_states + state) * num_blocks + block) * COLUMNS + k
        behind = tl.where(k == K + 1, steps, smooth) * at_last
        tl.store(sums + place, tl.sum(behind, axis=0)[None, :])
        ahead = tl.where(k == K + 3, steps, smooth) * at_first
        place = (((2 * row + 1) * num_states + state) * num_blocks + block) * COLUMNS + k
        tl.store(sums + place, tl.sum(ahead, axis=0)[None, :])


@triton.jit(do_not_specialize=["num_states"])
def walk(
    sums,
    edges,
    numbers,
    num_blocks,
    num_states,
    STRIDE: tl.constexpr,
    K: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Turn sums of blocks into states, in place: behind at the first score of a block, ahead at its last.

    Program i walks through the i-th run of ``sums``, upwards or downwards, ``STRIDE`` blocks at a time.
    """
    program = tl.program_id(0).to(tl.int64)
    side = program // num_states
    down = side % 2 == 1
    base = program * num_blocks * COLUMNS
    entries, exits = edges + side * num_blocks, edges + (side ^ 1) * num_blocks
    k = tl.arange(0, COLUMNS)[None, :]
    k3 = tl.arange(0, COLUMNS)[None, None, :]
    carry = tl.zeros([1, COLUMNS], tl.float64)
    end = num_blocks - 1
    for begin in range(0, num_blocks, STRIDE):
        visit = begin + tl.arange(0, STRIDE)
        inside = visit < num_blocks
        block = tl.where(down, end - visit, visit)
        entry = tl.load(entries + block, mask=inside, other=0.0)
        leave = tl.load(exits + block, mask=inside, other=0.0)
        at = tl.load(entries + tl.where(down, end - begin, begin))
        after = tl.minimum(begin + STRIDE, end)
        at_next = tl.load(entries + tl.where(down, end - after, after))
        place = base + block.to(tl.int64)[:, None] * COLUMNS + k
        own = tl.load(sums + place, mask=inside[:, None], other=0.0)
        number = _column(own, k, 0)
        # the blocks before, each by itself
        gap = tl.abs(entry[:, None] - leave[None, :])
        before = visit[None, :] < visit[:, None]
        moved = _decay(gap[:, :, None], k3, numbers, K) * own[None, :, :]
        state = tl.sum(tl.where(before[:, :, None], moved, 0.0), axis=1)
        distance = tl.sum(tl.where(before, gap * number[None, :], 0.0), axis=1)
        # all before these
        gap = tl.abs(entry - at)
        carried = carry.to(own.dtype)
        number_carried = _column(carried, k, 0)
        state += _decay(gap[:, None], k, numbers, K) * carried
        distance += gap * number_carried
        state += tl.where(k == K + 2, distance[:, None], 0.0)
        tl.debug_barrier()
        tl.store(sums + place, state, mask=inside[:, None])
        gap = tl.where(inside, tl.abs(at_next - leave), 0.0)
        moved = _decay(gap[:, None], k, numbers, K) * own
        moved += tl.where(k == K + 2, (gap * number)[:, None], 0.0)
        step = tl.abs(at_next - at)
        across = _decay(tl.zeros_like(carried) + step, k, numbers, K)
        carry = carry * across + tl.where(k == K + 2, step * number_carried[:, None], 0.0)
        carry += tl.sum(moved, axis=0)[None, :].to(tl.float64)


@triton.jit
def _cut(score, inside, block, edges, numbers, num_blocks, num_halvings, BACK: tl.constexpr):
    """Return the block in which the last piece of the comparator begins, for each receiver.

    Forward it is the first block whose last score is beyond, ``num_blocks`` if none is; on the way back the last one
    whose first score has the receiver beyond, -1 if none has.
    """
    low = tl.zeros_like(score).to(tl.int32)
    high = low + num_blocks
    if BACK:
        high = low + block + 1
    else:
        low += block
    for _ in range(0, num_halvings):
        middle = (low + high) // 2
        open_ = inside & (low < high)
        edge = tl.load(edges + middle, mask=open_, other=0.0)
        if BACK:
            found = _is_beyond(score - edge, numbers)
            low, high = (
                tl.where(open_ & found, middle + 1, low),
                tl.where(open_ & (found == 0), middle, high),
            )
        else:
            found = _is_beyond(edge - score, numbers)
            low, high = (
                tl.where(open_ & (found == 0), middle + 1, low),
                tl.where(open_ & found, middle, high),
            )
    if BACK:
        low -= 1
    return low


@triton.jit(do_not_specialize=["num_states", "first_state", "num_columns", "num_halvings"])
def finish(
    values,
    levels,
    order,
    weights,
    relevance,
    numbers,
    states,
    edges,
    value,
    slope,
    num_items,
    num_blocks,
    num_states,
    first_state,
    num_columns,
    num_halvings,
    BACK: tl.constexpr,
    SMOOTH: tl.constexpr,
    WEIGHTED: tl.constexpr,
    LINE: tl.constexpr,
    BLOCK: tl.constexpr,
    K: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Sum up for every receiver: its own block, what is behind and ahead, and the part beyond.

    Program i has block i mod ``num_blocks`` of row i / ``num_blocks``. Results go to the places of the items before
    they were sorted: forward those of targets alone, on the way back the slopes of all, 0 for those that get none.
    """
    program = tl.program_id(0)
    row, block = (program // num_blocks).to(tl.int64), program % num_blocks
    position = block * BLOCK + tl.arange(0, BLOCK)
    inside = position < num_items
    start = row * num_items
    score = tl.load(values + start + tl.minimum(position, num_items - 1))
    level = tl.load(levels + start + position, mask=inside, other=-1).to(tl.int32)
    own = tl.zeros([BLOCK], values.dtype.element_ty)
    if WEIGHTED:
        own = tl.load(relevance + row * num_columns + level, mask=level > 0, other=0.0)
    state = tl.minimum(tl.maximum(level - first_state, 0), num_states - 1)
    receives = inside & (level >= 0)
    if WEIGHTED or SMOOTH == LOWER:  # else one state is for all
        receives = inside & (level == first_state + state)
    # its own block
    if BACK:
        weight = tl.load(weights + start + position, mask=inside, other=0.0)
        t = score[:, None] - score[None, :]
        smooth, steps = _split(
            level[None, :], level[:, None], own[None, :], own[:, None], SMOOTH, WEIGHTED
        )
        smooth *= weight[None, :]
    else:
        receives = receives & (level > 0)
        t = score[None, :] - score[:, None]
        smooth, steps = _split(
            level[:, None], level[None, :], own[:, None], own[None, :], SMOOTH, WEIGHTED
        )
    near, near_slope = _before(t, numbers, K > 0)
    if LINE:
        line, rho = _beyond(t, numbers)
        beyond = _is_beyond(t, numbers)
        near, near_slope = tl.where(beyond, line, near), tl.where(beyond, rho, near_slope)
    itself = position[:, None] == position[None, :]
    near, near_slope = tl.where(itself, 1.0, near), tl.where(itself, 0.0, near_slope)
    total = tl.sum(smooth * near + tl.where(t >= 0.0, steps, 0.0), axis=1)
    total_slope = tl.sum(smooth * near_slope, axis=1)
    # the other blocks
    k = tl.arange(0, COLUMNS)[None, :]
    coefficient = tl.load(numbers + 16 + k)
    steep = tl.load(numbers + 16 + COLUMNS + k) * tl.load(numbers + 1)
    leak, jump, rise = tl.load(numbers + 2), tl.load(numbers + 3), tl.load(numbers + 4)
    firsts, lasts = edges + 2 * row * num_blocks, edges + (2 * row + 1) * num_blocks
    base = (2 * row * num_states + state) * num_blocks * COLUMNS
    ahead_base = ((2 * row + 1) * num_states + state) * num_blocks * COLUMNS
    to_first = score - tl.load(firsts + block)
    to_last = tl.load(lasts + block) - score
    here = block * COLUMNS + k
    behind = tl.load(states + base[:, None] + here, mask=receives[:, None], other=0.0)
    ahead = tl.load(states + ahead_base[:, None] + here, mask=receives[:, None], other=0.0)
    n_behind, n_ahead = _column(behind, k, 0), _column(ahead, k, 0)
    far_behind = behind * _decay(to_first[:, None], k, numbers, K)
    far_ahead = ahead * _decay(to_last[:, None], k, numbers, K)
    tied_behind, tied_ahead = _column(far_behind, k, K + 1), _column(far_ahead, k, K + 1)
    if K > 0:
        total_slope += tl.sum((far_behind + far_ahead) * steep, axis=1)
    if BACK:
        total_slope += rise * (n_behind - tied_behind) + leak * (tied_behind + n_ahead)
    else:
        total_slope += leak * (n_behind + tied_ahead) + rise * (n_ahead - tied_ahead)
        length_behind = _column(behind, k, K + 2) + n_behind * to_first
        length_ahead = _column(ahead, k, K + 2) + n_ahead * to_last
        total += jump * (n_ahead - tied_ahead) + rise * length_ahead - leak * length_behind
        total += tied_behind + _column(ahead, k, K + 3)
        if K > 0:
            total += n_ahead + tl.sum((far_behind - far_ahead) * coefficient, axis=1)
    if LINE:
        cut = _cut(
            score,
            receives,
            block,
            firsts if BACK else lasts,
            numbers,
            num_blocks,
            num_halvings,
            BACK,
        )
        has_cut = receives & (cut >= 0) & (cut < num_blocks)
        cut = tl.minimum(tl.maximum(cut, 0), num_blocks - 1)
        # the block in which it begins
        column = (cut * BLOCK)[:, None] + tl.arange(0, BLOCK)[None, :]
        there = (has_cut & (cut != block))[:, None] & (column < num_items)
        other_score = tl.load(values + start + column, mask=there, other=0.0)
        other_level = tl.load(levels + start + column, mask=there, other=-1).to(tl.int32)
        other = tl.zeros([BLOCK, BLOCK], values.dtype.element_ty)
        if WEIGHTED:
            other = tl.load(
                relevance + row * num_columns + other_level, mask=other_level > 0, other=0.0
            )
        if BACK:
            t = score[:, None] - other_score
            smooth, steps = _split(
                other_level, level[:, None], other, own[:, None], SMOOTH, WEIGHTED
            )
            smooth *= tl.load(weights + start + column, mask=there, other=0.0)
            edge, state_base = tl.load(firsts + cut), base
        else:
            t = other_score - score[:, None]
            smooth, steps = _split(
                level[:, None], other_level, own[:, None], other, SMOOTH, WEIGHTED
            )
            edge, state_base = tl.load(lasts + cut), ahead_base
        smooth = tl.where(there & _is_beyond(t, numbers), smooth, 0.0)
        near, near_slope = _before(t, numbers, K > 0)
        line, rho = _beyond(t, numbers)
        total += tl.sum(smooth * (line - near), axis=1)
        total_slope += tl.sum(smooth * (rho - near_slope), axis=1)
        # those after it
        to_edge = tl.where(has_cut, tl.abs(edge - score), 0.0)
        place = (state_base + cut * COLUMNS)[:, None] + k
        after = tl.load(states + place, mask=has_cut[:, None], other=0.0)
        number = _column(after, k, 0)
        far = after * _decay(to_edge[:, None], k, numbers, K)
        total_slope += (rho - rise) * number
        if K > 0:
            total_slope -= tl.sum(far * steep, axis=1)
        if not BACK:
            from_cut = _column(after, k, K + 2) + number * (to_edge - tl.load(numbers + 6))
            length = _column(after, k, K + 2) + number * to_edge
            total += rho * from_cut - rise * length + (tl.load(numbers + 7) - jump) * number
            if K > 0:
                total += tl.sum(far * coefficient, axis=1) - number
    out = start + tl.load(order + start + position, mask=inside, other=0)
    if BACK:
        tl.store(slope + out, tl.where(receives, total_slope, 0.0), mask=inside)
    else:
        tl.store(value + out, total, mask=receives)
        tl.store(slope + out, total_slope, mask=receives)

"""The last kernel of the sums of exponentials: from the states to the value and the slope of every item."""

import triton
import triton.language as tl

from pml_suprank.functional._backends.exponentials.pairs import (
    LOWER,
    column_of,
    decay,
    is_beyond,
    split,
    value_before,
    value_beyond,
)


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
            found = is_beyond(score - edge, numbers)
            low, high = (
                tl.where(open_ & found, middle + 1, low),
                tl.where(open_ & (found == 0), middle, high),
            )
        else:
            found = is_beyond(edge - score, numbers)
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
        smooth, steps = split(
            level[None, :], level[:, None], own[None, :], own[:, None], SMOOTH, WEIGHTED
        )
        smooth *= weight[None, :]
    else:
        receives = receives & (level > 0)
        t = score[None, :] - score[:, None]
        smooth, steps = split(
            level[:, None], level[None, :], own[:, None], own[None, :], SMOOTH, WEIGHTED
        )
    near, near_slope = value_before(t, numbers, K > 0)
    if LINE:
        line, rho = value_beyond(t, numbers)
        beyond = is_beyond(t, numbers)
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
    n_behind, n_ahead = column_of(behind, k, 0), column_of(ahead, k, 0)
    far_behind = behind * decay(to_first[:, None], k, numbers, K)
    far_ahead = ahead * decay(to_last[:, None], k, numbers, K)
    tied_behind, tied_ahead = column_of(far_behind, k, K + 1), column_of(far_ahead, k, K + 1)
    if K > 0:
        total_slope += tl.sum((far_behind + far_ahead) * steep, axis=1)
    if BACK:
        total_slope += rise * (n_behind - tied_behind) + leak * (tied_behind + n_ahead)
    else:
        total_slope += leak * (n_behind + tied_ahead) + rise * (n_ahead - tied_ahead)
        length_behind = column_of(behind, k, K + 2) + n_behind * to_first
        length_ahead = column_of(ahead, k, K + 2) + n_ahead * to_last
        total += jump * (n_ahead - tied_ahead) + rise * length_ahead - leak * length_behind
        total += tied_behind + column_of(ahead, k, K + 3)
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
            smooth, steps = split(
                other_level, level[:, None], other, own[:, None], SMOOTH, WEIGHTED
            )
            smooth *= tl.load(weights + start + column, mask=there, other=0.0)
            edge, state_base = tl.load(firsts + cut), base
        else:
            t = other_score - score[:, None]
            smooth, steps = split(
                level[:, None], other_level, own[:, None], other, SMOOTH, WEIGHTED
            )
            edge, state_base = tl.load(lasts + cut), ahead_base
        smooth = tl.where(there & is_beyond(t, numbers), smooth, 0.0)
        near, near_slope = value_before(t, numbers, K > 0)
        line, rho = value_beyond(t, numbers)
        total += tl.sum(smooth * (line - near), axis=1)
        total_slope += tl.sum(smooth * (rho - near_slope), axis=1)
        # those after it
        to_edge = tl.where(has_cut, tl.abs(edge - score), 0.0)
        place = (state_base + cut * COLUMNS)[:, None] + k
        after = tl.load(states + place, mask=has_cut[:, None], other=0.0)
        number = column_of(after, k, 0)
        far = after * decay(to_edge[:, None], k, numbers, K)
        total_slope += (rho - rise) * number
        if K > 0:
            total_slope -= tl.sum(far * steep, axis=1)
        if not BACK:
            from_cut = column_of(after, k, K + 2) + number * (to_edge - tl.load(numbers + 6))
            length = column_of(after, k, K + 2) + number * to_edge
            total += rho * from_cut - rise * length + (tl.load(numbers + 7) - jump) * number
            if K > 0:
                total += tl.sum(far * coefficient, axis=1) - number
    out = start + tl.load(order + start + position, mask=inside, other=0)
    if BACK:
        tl.store(slope + out, tl.where(receives, total_slope, 0.0), mask=inside)
    else:
        tl.store(value + out, total, mask=receives)
        tl.store(slope + out, total_slope, mask=receives)

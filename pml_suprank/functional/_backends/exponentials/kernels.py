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

from pml_suprank.functional._backends.exponentials.finish import finish
from pml_suprank.functional._backends.exponentials.pairs import column_of, decay, split

__all__ = ["finish", "sum_blocks", "walk"]


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
    at_last = tl.where(k == K + 2, to_last, decay(to_last, k, numbers, K))
    at_first = tl.where(k == K + 2, to_first, decay(to_first, k, numbers, K))
    for state in range(0, num_states):
        receiver = first_state + state
        own = relevant
        if WEIGHTED:
            own = tl.load(relevance + row * num_columns + receiver)
        if BACK:
            smooth, steps = split(level, receiver, relevant, own, SMOOTH, WEIGHTED)
            smooth *= tl.load(weights + start + position, mask=inside, other=0.0)
            steps = smooth
        else:
            smooth, steps = split(receiver, level, own, relevant, SMOOTH, WEIGHTED)
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
        number = column_of(own, k, 0)
        # the blocks before, each by itself
        gap = tl.abs(entry[:, None] - leave[None, :])
        before = visit[None, :] < visit[:, None]
        moved = decay(gap[:, :, None], k3, numbers, K) * own[None, :, :]
        state = tl.sum(tl.where(before[:, :, None], moved, 0.0), axis=1)
        distance = tl.sum(tl.where(before, gap * number[None, :], 0.0), axis=1)
        # all before these
        gap = tl.abs(entry - at)
        carried = carry.to(own.dtype)
        number_carried = column_of(carried, k, 0)
        state += decay(gap[:, None], k, numbers, K) * carried
        distance += gap * number_carried
        state += tl.where(k == K + 2, distance[:, None], 0.0)
        tl.debug_barrier()
        tl.store(sums + place, state, mask=inside[:, None])
        gap = tl.where(inside, tl.abs(at_next - leave), 0.0)
        moved = decay(gap[:, None], k, numbers, K) * own
        moved += tl.where(k == K + 2, (gap * number)[:, None], 0.0)
        step = tl.abs(at_next - at)
        across = decay(tl.zeros_like(carried) + step, k, numbers, K)
        carry = carry * across + tl.where(k == K + 2, step * number_carried[:, None], 0.0)
        carry += tl.sum(moved, axis=0)[None, :].to(tl.float64)

"""What the kernels work out of one pair, or one state: weights, decay, and the comparator before and beyond delta."""

import triton
import triton.language as tl

from pml_suprank.functional._backends.exponentials import comparators

LOWER = tl.constexpr(comparators.LOWER)
EVERY = tl.constexpr(comparators.EVERY)
HIGHER = tl.constexpr(comparators.HIGHER)


@triton.jit
def split(
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
def decay(distance, k, numbers, K: tl.constexpr):
    """Return what moving by a distance makes of the columns of a state, but for column K + 2."""
    x = distance * tl.load(numbers)
    decay = tl.where((k > 0) & (k <= K), tl.exp2(-k.to(x.dtype) * x), 1.0)
    return tl.where((k == K + 1) & (distance != 0.0), 0.0, decay)


@triton.jit
def column_of(state, k, column: tl.constexpr):
    """Return one column of states [..., C]."""
    return tl.sum(tl.where(k == column, state, 0.0), axis=1)


@triton.jit
def is_beyond(t, numbers):
    """Whether the last piece of the comparator begins before t; so written that it is exact, as in the definition."""
    return t * tl.load(numbers + 8) + tl.load(numbers + 9) > tl.load(numbers + 10)


@triton.jit
def value_before(t, numbers, SIGMOID: tl.constexpr):
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
def value_beyond(t, numbers):
    """Return the last piece of the comparator, and its slope."""
    rho = tl.load(numbers + 5)
    return rho * (t - tl.load(numbers + 6)) + tl.load(numbers + 7), rho

"""The kernels of evaluation on a GPU, in Triton: scores and labels to keys, and sorted keys to sums of all metrics.

Both take what grows with queries or items in dimension 0 of the grid, have fixed block sizes and no atomics: a result
does not depend on timing.
"""

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["num_items", "num_queries", "dropped"])
def pack(
    scores,
    query_ids,
    gallery_ids,
    self_indices,
    keys,
    near_zero,
    num_items,
    num_queries,
    item_blocks,
    dropped,
    LEVELS: tl.constexpr,
    LEVEL_BITS: tl.constexpr,
    LARGEST: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Write keys (b, N): ``_Code.write`` of the negated scores, and the number of equal ids of (L, b) and (L, N).

    ``near_zero`` (2, b, blocks) gets, block by block, how many scores have code 0, and how many of them are not 0.
    """
    program = tl.program_id(0).to(tl.int64)
    row, block = program // item_blocks, program % item_blocks
    item = block * BLOCK + tl.arange(0, BLOCK)
    inside = item < num_items
    score = tl.load(scores + row * num_items + item, mask=inside, other=1.0)
    bits = (-score).to(tl.int32, bitcast=True)
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    code = ordered - tl.minimum(tl.maximum(ordered, -dropped), dropped - 1)
    level = tl.zeros([BLOCK], tl.int32)
    for column in tl.static_range(LEVELS):
        wanted = tl.load(query_ids + column * num_queries.to(tl.int64) + row)
        found = tl.load(gallery_ids + column * num_items.to(tl.int64) + item, mask=inside, other=-1)
        level += (found == wanted).to(tl.int32)
    key = (code.to(keys.dtype.element_ty) << LEVEL_BITS) + level.to(keys.dtype.element_ty)
    itself = item == tl.load(self_indices + row)
    key = tl.where(itself, LARGEST, key)
    tl.store(keys + row * num_items + item, key, mask=inside)
    near = inside & (code == 0)
    zero = (ordered == 0) | (ordered == -1)
    tl.store(near_zero + program, tl.sum(near.to(tl.int32), 0))
    place = num_queries.to(tl.int64) * item_blocks + program
    tl.store(near_zero + place, tl.sum((near & (zero == 0)).to(tl.int32), 0))


@triton.jit(do_not_specialize=["row_stride", "num_rows", "table_stride"])
def measure(
    keys,
    rows,
    sets,
    depths,
    lengths,
    deeper,
    tables,
    sums,
    counts,
    intersections,
    row_stride,
    num_rows,
    table_stride,
    LEVEL_MASK: tl.constexpr,
    SETS: tl.constexpr,
    LEVELS: tl.constexpr,
    ASI: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Read each sorted row once, for several sets of numbers of common levels, each down to its own depth.

    Args:
        keys: sorted, with the number of common levels in the low bits.
        rows: (R,) which rows to read.
        sets: (R, SETS), a bit for each number of common levels that is in the set.
        depths: (R, SETS), ranks beyond which nothing counts.
        lengths: (2, R) items of a row, without the query itself, which is last, and those that share a level.
        deeper: (R, LEVELS) number of items that share x + 1 levels or more, for x = 1..LEVELS.
        tables: (3, N + 1) of 1 / n, 1 / log2(1 + n) and the sum of 1 / m for m <= n.
        sums: (2, R, SETS) written: precisions at the members of a set, and their discounts.
        counts: (2, R, SETS) written: number of members, and the rank of the first, 0 for none.
        intersections: (R,) written where ASI is.
        row_stride: of ``keys``.
        num_rows: R.
        table_stride: N + 1.
        LEVEL_MASK: the low bits.
        SETS: a power of 2; those that are not needed have depth 0.
        LEVELS: a power of 2, L or more.
        ASI: whether to sum intersections, which needs all of the row.
        BLOCK: items read at a time.
    """
    program = tl.program_id(0).to(tl.int64)
    key_row = keys + tl.load(rows + program) * row_stride
    own_set = program * SETS + tl.arange(0, SETS)
    levels_of_set = tl.load(sets + own_set)[:, None]
    depth = tl.load(depths + own_set)
    length = tl.load(lengths + program)
    precision = tl.zeros([SETS], tl.float64)
    discounted = tl.zeros([SETS], tl.float64)
    count = tl.zeros([SETS], tl.int32)
    within = tl.zeros([SETS], tl.int32)
    first = tl.zeros([SETS], tl.int32) + 2147483647
    exact_level = tl.arange(0, LEVELS) + 1
    exact = tl.zeros([LEVELS], tl.int32)
    above = tl.load(deeper + program * LEVELS + tl.arange(0, LEVELS))
    intersection = tl.zeros([LEVELS], tl.float64)
    end = tl.minimum(tl.max(depth, 0), length)
    whole = tl.zeros([1], tl.float64)
    if ASI:
        related = tl.load(lengths + num_rows.to(tl.int64) + program)
        whole += tl.load(tables + 2 * table_stride.to(tl.int64) + related)
        end = length
    for begin in range(0, end, BLOCK):
        item = begin + tl.arange(0, BLOCK)
        inside = item < length
        key = tl.load(key_row + item, mask=inside, other=0)
        level = (key & LEVEL_MASK).to(tl.int32)
        if tl.max(level, 0) > 0:
            rank = item + 1
            inverse = tl.load(tables + rank, mask=inside, other=0.0)
            discount = tl.load(tables + table_stride + rank, mask=inside, other=0.0)
            member = (levels_of_set >> level[None, :]) & 1
            member = tl.where(level[None, :] > 0, member, 0)
            order = count[:, None] + tl.cumsum(member, 1)
            counted = (member == 1) & (rank[None, :] <= depth[:, None])
            share = order.to(tl.float64) * inverse[None, :]
            precision += tl.sum(tl.where(counted, share, 0.0), 1)
            discounted += tl.sum(tl.where(counted, discount[None, :], 0.0), 1)
            within += tl.sum(counted.to(tl.int32), 1)
            first = tl.minimum(first, tl.min(tl.where(counted, rank[None, :], 2147483647), 1))
            count += tl.sum(member, 1)
            if ASI:
                same = (level[None, :] == exact_level[:, None]).to(tl.int32)
                place = above[:, None] + exact[:, None] + tl.cumsum(same, 1)
                enters = tl.maximum(rank[None, :], place) - 1
                harmonic = tables + 2 * table_stride.to(tl.int64) + enters
                gone = tl.load(harmonic, mask=same == 1, other=float("inf"))
                gain = tl.maximum(whole[None, :] - gone, 0.0)
                intersection += tl.sum(gain, 1)
                exact += tl.sum(same, 1)
    places = num_rows.to(tl.int64) * SETS + own_set
    tl.store(sums + own_set, precision)
    tl.store(sums + places, discounted)
    tl.store(counts + own_set, within)
    tl.store(counts + places, tl.where(first == 2147483647, 0, first))
    if ASI:
        tl.store(intersections + program, tl.sum(intersection, 0))

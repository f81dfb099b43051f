"""Triplets of a batch whose positive shares more levels with the anchor than the negative.

``distances`` are (B, N), smaller is closer; ``common_levels`` are (B, N), how many levels anchor and item share, -1 for
an item outside the retrieval set. The gap of a triplet is the distance of its negative minus that of its
positive. Whether it is selected depends on its gap and on the level of its positive: low < gap <= high.

Nothing here is as large as all triplets, but for the result: the work goes in blocks.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

Triplets = tuple[Tensor, Tensor, Tensor]

BLOCK = 2**20
"""Comparisons made at a time."""

TYPES = ("all", "hard", "semihard", "easy")


class GapRule(NamedTuple):
    """Which gaps are selected, by the number of levels x that anchor and positive share."""

    margin: Tensor
    """(L+1,); entry x is for positives that share x levels, entry 0 is for none."""
    low: Tensor
    """(L+1,), the gap must be larger."""
    high: Tensor
    """(L+1,), the gap must not be larger."""


def gap_rule(type_of_triplets: str, margin: Tensor) -> GapRule:
    """Return PML's types of triplets as bounds of the gap.

    Args:
        type_of_triplets: ``"all"`` up to the margin, ``"hard"`` up to 0, ``"semihard"`` from 0 to the margin,
            ``"easy"`` above the margin; lower bounds are not included.
        margin: (L+1,), >= 0.
    """
    zero, infinite = torch.zeros_like(margin), torch.full_like(margin, torch.inf)
    low, high = {
        "all": (-infinite, margin),
        "hard": (-infinite, zero),
        "semihard": (zero, margin),
        "easy": (margin, infinite),
    }[type_of_triplets]
    return GapRule(margin, low, high)


def all_triplets(
    distances: Tensor, common_levels: Tensor, rule: GapRule, block: int = BLOCK
) -> Iterator[Triplets]:
    """Yield the selected triplets in order of anchor, positive and negative.

    Args:
        distances: (B, N), smaller is closer.
        common_levels: (B, N), -1..L.
        rule: the gaps to select.
        block: comparisons made at a time, and at most as many triplets in what is yielded (but one row at least).
    """
    anchors, positives = (common_levels > 0).nonzero(as_tuple=True)
    # short integers halve the time; what is outside the set is never less than a positive
    negative_levels = common_levels.short().masked_fill(
        common_levels < 0, torch.iinfo(torch.short).max
    )
    rows = max(1, block // distances.shape[1])
    for anchor, positive in zip(anchors.split(rows), positives.split(rows), strict=True):
        shared = common_levels[anchor, positive]
        gap = distances[anchor] - distances[anchor, positive].unsqueeze(1)
        chosen = gap <= rule.high[shared].unsqueeze(1)
        chosen &= gap > rule.low[shared].unsqueeze(1)
        chosen &= negative_levels[anchor] < shared.short().unsqueeze(1)
        row, negative = chosen.nonzero(as_tuple=True)
        yield anchor[row], positive[row], negative


def nearest_first_triplets(
    distances: Tensor, common_levels: Tensor, rule: GapRule, per_anchor: int, block: int = BLOCK
) -> Iterator[Triplets]:
    """Yield the first ``per_anchor`` selected triplets of each anchor, in order of anchor, positive, negative.

    First are those whose negative shares most levels with the anchor; among these, the largest violations
    (margin - gap); among equal ones, the lowest index of the positive; for one positive, the closest negative; among
    equally close ones, the lowest index.

    The negatives of an anchor are sorted once, by levels and distance. Those that make a triplet with a given
    positive are then a range of each level's, whose ends are found by bisection.

    Args:
        distances: (B, N), smaller is closer.
        common_levels: (B, N), -1..L.
        rule: the gaps to select.
        per_anchor: the most triplets of an anchor, >= 1.
        block: pairs and triplets looked at at a time (but an anchor's pairs at least).
    """
    size = distances.shape[1]
    rows = max(1, block // size)
    for start in range(0, len(distances), rows):
        part = slice(start, start + rows)
        chosen = _nearest_first(distances[part], common_levels[part], rule, per_anchor, block)
        anchor, positive, negative = chosen
        order = ((anchor * size + positive) * size + negative).argsort()
        yield anchor[order] + start, positive[order], negative[order]


def keep_one_role(
    blocks: list[Triplets], distances: Tensor, common_levels: Tensor, rule: GapRule
) -> None:
    """Take out the triplets in which an item plays the lesser of two roles for its anchor.

    An item that is a positive of an anchor in some triplets and a negative of it in others keeps the role in which it
    has the largest violation; a positive's, if they are equal.

    Args:
        blocks: triplets; changed in place, block by block, so that they are never there twice.
        distances: (B, N), smaller is closer.
        common_levels: (B, N), -1..L.
        rule: gives the margins.
    """
    as_positive = torch.full_like(distances, -torch.inf).flatten()
    as_negative = as_positive.clone()
    for anchor, positive, negative in blocks:
        violation = violations(distances, common_levels, rule, (anchor, positive, negative))
        row = anchor * distances.shape[1]
        as_positive.scatter_reduce_(0, row + positive, violation, "amax")
        as_negative.scatter_reduce_(0, row + negative, violation, "amax")
    is_positive = (as_positive >= as_negative).view_as(distances)
    for number, (anchor, positive, negative) in enumerate(blocks):
        chosen = is_positive[anchor, positive] & ~is_positive[anchor, negative]
        blocks[number] = (anchor[chosen], positive[chosen], negative[chosen])


def joined(blocks: list[Triplets]) -> Triplets:
    """Return all blocks as one, and empty the list; a member at a time, so that all are never there twice."""
    columns = [list(column) for column in zip(*blocks, strict=True)]
    blocks.clear()
    anchor, positive, negative = (torch.cat(columns.pop(0)) for _ in range(3))
    return anchor, positive, negative


def violations(
    distances: Tensor, common_levels: Tensor, rule: GapRule, triplets: Triplets
) -> Tensor:
    """Return margin - gap of given triplets."""
    anchor, positive, negative = triplets
    gap = distances[anchor, negative] - distances[anchor, positive]
    return rule.margin[common_levels[anchor, positive]] - gap


def _nearest_first(
    distances: Tensor, common_levels: Tensor, rule: GapRule, per_anchor: int, block: int
) -> Triplets:
    order = distances.argsort(dim=1, stable=True)
    order = order.gather(
        1, common_levels.gather(1, order).argsort(dim=1, descending=True, stable=True)
    )
    arranged = distances.gather(1, order)
    room = torch.full_like(order[:, 0], per_anchor)
    found = []
    for depth in range(len(rule.margin) - 2, -1, -1):
        start, end = (common_levels > depth).sum(dim=1), (common_levels >= depth).sum(dim=1)
        is_open = (room > 0) & (end > start)
        anchor, positive = ((common_levels > depth) & is_open.unsqueeze(1)).nonzero(as_tuple=True)
        shared, origin = common_levels[anchor, positive], distances[anchor, positive]
        ends = (start[anchor], end[anchor])
        first = _place(arranged, anchor, ends, origin, rule.low[shared])
        last = _place(arranged, anchor, ends, origin, rule.high[shared])
        counts = torch.minimum(last - first, room[anchor]).clamp(min=0)
        margin = rule.margin[shared]
        best = [anchor.new_empty(0), anchor.new_empty(0), margin.new_empty(0)]
        for pairs in _chunks(counts, block):
            number = counts[pairs]
            pair = pairs.repeat_interleave(number)
            offset = (number.cumsum(0) - number).repeat_interleave(number)
            place = first[pair] + torch.arange(len(pair), device=pair.device) - offset
            violation = margin[pair] - (arranged[anchor[pair], place] - origin[pair])
            new = (pair, place, violation)
            best = _largest([torch.cat(both) for both in zip(best, new, strict=True)], anchor, room)
        pair, place, _ = best
        found.append((anchor[pair], positive[pair], order[anchor[pair], place]))
        room -= anchor[pair].bincount(minlength=len(room))
    anchor, positive, negative = map(torch.cat, zip(*found, strict=True))
    return anchor, positive, negative


def _place(
    arranged: Tensor, row: Tensor, ends: tuple[Tensor, Tensor], origin: Tensor, bound: Tensor
) -> Tensor:
    """Return the first place from ends[0] on whose distance is more than ``bound`` above ``origin``, or ends[1]."""
    low, high = ends
    for _ in range(arranged.shape[1].bit_length()):
        middle = (low + high) // 2
        gap = arranged[row, middle.clamp(max=arranged.shape[1] - 1)] - origin
        is_later = (gap <= bound) & (low < high)
        low, high = torch.where(is_later, middle + 1, low), torch.where(is_later, high, middle)
    return low


def _chunks(counts: Tensor, block: int) -> Iterator[Tensor]:
    """Yield the indices of ``counts`` that are not 0, in chunks that sum to about ``block``."""
    indices = counts.nonzero().flatten()
    sizes = (counts[indices].cumsum(0) // block).unique(return_counts=True)[1]
    yield from indices.split(sizes.tolist())


def _largest(candidates: list[Tensor], anchor: Tensor, room: Tensor) -> list[Tensor]:
    """Return as many candidates (pair, place, violation) of each anchor as it has room for, by violation.

    Among equal violations the earlier ones go first.
    """
    order = candidates[2].argsort(descending=True, stable=True)
    owner = anchor[candidates[0][order]]
    order = order[owner.argsort(stable=True)]
    owner = anchor[candidates[0][order]]
    start = torch.searchsorted(owner, owner)
    kept = torch.arange(len(owner), device=owner.device) - start < room[owner]
    return [column[order[kept]] for column in candidates]

"""Pairs of a batch by the levels they share: too far apart for what they share, or too close for what they do not.

``distances`` are (B, N), smaller is closer; ``common_levels`` are (B, N), how many levels anchor and item share, -1 for
an item outside the retrieval set. Both functions return two (B, N) tensors: by how much each item violates what is
asked of it as a positive, and as a negative; where nothing is asked, minus infinity. What is above 0 is mined.
"""

import torch
from torch import Tensor


def margin_violations(
    distances: Tensor, common_levels: Tensor, pos_margins: Tensor, neg_margins: Tensor
) -> tuple[Tensor, Tensor]:
    """Return how far positives are beyond, and negatives within, the margin of their level.

    Args:
        distances: (B, N), smaller is closer.
        common_levels: (B, N), -1..L.
        pos_margins: (L,); entry l is for items whose finest common column with the anchor is l.
        neg_margins: (L,); entry l is for items whose coarsest column that differs is l.
    """
    none = pos_margins.new_full((1,), torch.inf)
    # slot 0 for what is outside, 1 + x for x levels shared: L - x is the finest common column, L - 1 - x the
    # coarsest other one
    far = torch.cat([none, none, pos_margins.flip(0)])
    near = torch.cat([-none, neg_margins.flip(0), -none])
    slot = common_levels + 1
    return distances - far[slot], near[slot] - distances


def ranking_violations(
    distances: Tensor, common_levels: Tensor, num_levels: int, epsilon: float
) -> tuple[Tensor, Tensor]:
    """Return how far positives are behind the closest item of fewer levels, negatives before the farthest of more.

    Args:
        distances: (B, N), smaller is closer.
        common_levels: (B, N), -1..L.
        num_levels: L.
        epsilon: how far ahead a positive has to be, and behind a negative.
    """
    slot = common_levels + 1
    shape = len(distances), num_levels + 2
    nearest = distances.new_full(shape, torch.inf).scatter_reduce(1, slot, distances, "amin")
    farthest = distances.new_full(shape, -torch.inf).scatter_reduce(1, slot, distances, "amax")
    nearest[:, 0], farthest[:, 0] = torch.inf, -torch.inf
    # in slot 1 + x: the nearest of those that share fewer than x levels, the farthest of those that share more
    nearest_of_fewer = nearest.cummin(dim=1).values.roll(1, dims=1)
    farthest_of_more = farthest.flip(1).cummax(dim=1).values.flip(1).roll(-1, dims=1)
    nearest_of_fewer[:, 0], farthest_of_more[:, 0] = torch.inf, -torch.inf
    farthest_of_more[:, -1] = -torch.inf
    positive = (distances + epsilon) - nearest_of_fewer.gather(1, slot)
    negative = farthest_of_more.gather(1, slot) - (distances - epsilon)
    return positive, negative


def one_role(positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
    """Return both violations, minus infinity where the other role's is larger; equal ones leave the positive's."""
    is_positive = positive >= negative
    return (
        positive.masked_fill(~is_positive, -torch.inf),
        negative.masked_fill(is_positive, -torch.inf),
    )

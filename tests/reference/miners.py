"""What the miners select, by enumeration in loops. Distances are as given, similarities with ``inverted``."""

import itertools

import numpy as np


def shared(labels, ref_labels):
    """Return how many columns each pair of rows has in common."""
    return [[sum(a == b for a, b in zip(x, y, strict=True)) for y in ref_labels] for x in labels]


def closer_by(near, far, inverted):
    """Return by how much ``near`` is closer than ``far``, in the dtype of the distances."""
    return near - far if inverted else far - near


def triplets(mat, common, own, margins, kind, inverted, per_anchor=None, one_role=True):
    """Return the set of triplets; ``own`` says which column is each anchor's own, -1 for none."""
    num_levels = len(margins)
    chosen = []
    for a, (row, levels) in enumerate(zip(mat, common, strict=True)):
        mine = []
        for p, n in itertools.product(range(len(row)), repeat=2):
            if own[a] in (p, n) or not levels[p] > levels[n]:
                continue
            gap = closer_by(row[p], row[n], inverted)
            margin = mat.dtype.type(margins[num_levels - levels[p]])
            wanted = {
                "all": gap <= margin,
                "hard": gap <= margin and gap <= 0,
                "semihard": gap <= margin and gap > 0,
                "easy": gap > margin,
            }
            if wanted[kind]:
                # negatives of one positive at different distances may have equal violations, by rounding
                near = -row[n] if inverted else row[n]
                mine.append(((-levels[n], gap - margin, p, near, n), (a, p, n)))
        mine = sorted(mine)[:per_anchor]
        if one_role:
            worst = {}
            for (_, less, *_), (_, p, n) in mine:
                worst["p", p] = max(worst.get(("p", p), -np.inf), -less)
                worst["n", n] = max(worst.get(("n", n), -np.inf), -less)
            mine = [
                (key, (a, p, n))
                for key, (a, p, n) in mine
                if worst["p", p] >= worst.get(("n", p), -np.inf)
                and worst["n", n] > worst.get(("p", n), -np.inf)
            ]
        chosen += [triplet for _, triplet in mine]
    return sorted(chosen)


def margin_pairs(mat, common, own, pos_margins, neg_margins, inverted):
    """Return the positive and the negative pairs beyond their margins."""
    num_levels = len(pos_margins)
    positive, negative = [], []
    for a, x in np.ndindex(*mat.shape):
        if x == own[a]:
            continue
        depth = common[a][x]
        if depth > 0:
            margin = mat.dtype.type(pos_margins[num_levels - depth])
            if mat[a, x] < margin if inverted else mat[a, x] > margin:
                positive.append((a, x))
        if depth < num_levels:
            margin = mat.dtype.type(neg_margins[num_levels - 1 - depth])
            if mat[a, x] > margin if inverted else mat[a, x] < margin:
                negative.append((a, x))
    return positive, negative


def overtaken_pairs(mat, common, own, num_levels, epsilon, inverted):
    """Return what is mined level by level with that level's positives and negatives, put together.

    A pair in both roles keeps the one with the larger violation.
    """
    epsilon = mat.dtype.type(epsilon)
    positive, negative = {}, {}
    for least in range(1, num_levels + 1):
        for a, row in enumerate(mat):
            near = -row if inverted else row
            others = [x for x in range(len(row)) if x != own[a]]
            same = [x for x in others if common[a][x] >= least]
            different = [x for x in others if common[a][x] < least]
            for p, n in itertools.product(same, different):
                if near[p] + epsilon > near[n]:
                    by = near[p] + epsilon - near[n]
                    positive[a, p] = max(positive.get((a, p), by), by)
                if near[n] - epsilon < near[p]:
                    by = near[p] - (near[n] - epsilon)
                    negative[a, n] = max(negative.get((a, n), by), by)
    return (
        sorted(pair for pair, by in positive.items() if by >= negative.get(pair, by)),
        sorted(pair for pair, by in negative.items() if by > positive.get(pair, -np.inf)),
    )

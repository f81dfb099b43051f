"""Baseline losses by loops over items, in float64, from the formulas of the papers; shares no code with the library."""

import math


def rank(scores, item, among):
    return sum(scores[j] >= scores[item] for j in among)


def blackbox_ap(scores, positive, keep, lambda_val, margin):
    """Return the AP of one query and its gradient by the difference of two rankings."""
    items = [i for i in range(len(scores)) if keep[i]]
    chosen = [i for i in items if positive[i]]
    if not chosen:
        return 0.0, [0.0] * len(scores)
    moved = [s - margin / 2 if i in chosen else s + margin / 2 for i, s in enumerate(scores)]
    before = {i: rank(moved, i, items) for i in items}
    within = {i: rank(moved, i, chosen) for i in chosen}
    ranked = [i in chosen for i in sorted(items, key=lambda i: (-moved[i], i in chosen))]
    hits = [n for n, hit in enumerate(ranked, 1) if hit]
    value = sum(k / n for k, n in enumerate(hits, 1)) / len(chosen)
    perturbed = list(moved)
    for i in chosen:
        loss_slope = within[i] / (len(chosen) * before[i] ** 2)
        perturbed[i] = moved[i] + lambda_val * loss_slope
    gradient = [0.0] * len(scores)
    for i in items:
        gradient[i] = (before[i] - rank(perturbed, i, items)) / lambda_val
    return value, gradient


def soft_bin_ap(scores, positive, keep, num_bins, low, high):
    """Return the AP of one query on triangular bins, each of them evaluated at each score."""
    width = (high - low) / (num_bins - 1)
    items = [i for i in range(len(scores)) if keep[i]]
    count = sum(bool(positive[i]) for i in items)
    total = found = value = 0.0
    for m in range(num_bins):
        center = high - m * width
        for i in items:
            score = min(max(scores[i], low), high)
            weight = max(0.0, 1 - abs(score - center) / width)
            total += weight
            found += weight * bool(positive[i])
        inside = sum(
            max(0.0, 1 - abs(min(max(scores[i], low), high) - center) / width)
            for i in items
            if positive[i]
        )
        if total:
            value += inside / count * found / total if count else 0.0
    return value


def hmce(scores, levels, keep, weights, temperature, constrained):
    """Return the loss of every query of a batch: the constraint goes over all of its pairs."""
    pairs = {}
    for q, row in enumerate(scores):
        items = [i for i in range(len(row)) if keep[q][i]]
        total = sum(math.exp(row[a] / temperature) for a in items)
        for p in items:
            pairs[q, p] = -math.log(math.exp(row[p] / temperature) / total)
    losses = [0.0] * len(scores)
    for column, weight in enumerate(weights):
        finer = [
            loss
            for (q, p), loss in pairs.items()
            if levels[q][p] > len(weights) - column and constrained
        ]
        for q in range(len(scores)):
            own = [
                loss
                for (query, p), loss in pairs.items()
                if query == q and levels[q][p] == len(weights) - column
            ]
            if own:
                bounded = [max([loss, *finer]) for loss in own]
                losses[q] += weight / len(weights) * sum(bounded) / len(own)
    return losses


def triplets(scores, levels, keep, margins):
    """Return {(anchor, positive, negative): hinge} of every triplet across the levels."""
    result = {}
    for a, row in enumerate(scores):
        items = [i for i in range(len(row)) if keep[a][i]]
        for p in items:
            for n in items:
                if levels[a][p] > levels[a][n]:
                    margin = margins[len(margins) - levels[a][p]]
                    result[a, p, n] = max(0.0, row[n] - row[p] + margin)
    return result

"""Baseline losses by loops over items, in float64, from the formulas of the papers; shares no code with the library."""

import math

import numpy as np

from tests.reference.retrieval import (
    common_levels,
    cosines,
    mean_over_queries,
    minus_distances,
    related,
)


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


def blackbox_loss(lambda_val, margin):
    def query_loss(scores, common, keep, num_levels):
        return 1 - blackbox_ap(scores, [c > 0 for c in common], keep, lambda_val, margin)[0]

    return mean_over_queries(query_loss, level=0)


def blackbox_slope(lambda_val, margin):
    """Return the derivative by the scores, (B, N), that the paper puts in place of the one that is 0."""

    def slope(batch, level=None):
        scores, (common, _) = cosines(batch), common_levels(batch, level or 0)
        found = related(common, batch.keep)
        result = np.zeros((len(scores), len(scores[0])))
        for q in found:
            positive = [c > 0 for c in common[q]]
            _, gradient = blackbox_ap(scores[q], positive, batch.keep[q], lambda_val, margin)
            result[q] = -np.array(gradient) / len(found)
        return result

    return slope


def soft_bin_loss(num_bins, low, high):
    def query_loss(scores, common, keep, num_levels):
        return 1 - soft_bin_ap(scores, [c > 0 for c in common], keep, num_bins, low, high)

    return mean_over_queries(query_loss, level=0)


def hmce_loss(temperature, constrained):
    def reference(batch, level=None):
        common, num_levels = common_levels(batch, level)
        found = related(common, batch.keep)
        weights = [math.exp(1 / (column + 1)) for column in range(num_levels)]
        of_queries = hmce(cosines(batch), common, batch.keep, weights, temperature, constrained)
        return sum(of_queries[q] for q in found) / max(1, len(found))

    return reference


def triplet_loss(margins):
    def reference(batch, level=None):
        common, num_levels = common_levels(batch, level)
        hinges = triplets(minus_distances(batch), common, batch.keep, margins[:num_levels])
        violated = [hinge for hinge in hinges.values() if hinge > 0]
        return sum(violated) / max(1, len(violated))

    return reference


def calibration(pos_margin, neg_margin):
    """Mean over the pairs beyond their threshold, of positives and of negatives; no query is its own pair."""

    def reference(batch, level=None):
        scores, (common, _) = cosines(batch), common_levels(batch, level or 0)
        positive, negative = [], []
        for q, row in enumerate(scores):
            for i, score in enumerate(row):
                if i == batch.own[q] or not batch.keep[q][i]:
                    continue
                if common[q][i]:
                    positive.append(max(0.0, pos_margin - score))
                else:
                    negative.append(max(0.0, score - neg_margin))
        means = [
            sum(part) / max(1, sum(hinge > 0 for hinge in part)) for part in (positive, negative)
        ]
        return sum(means)

    return reference


def softmax_over_proxies(weight, temperature, level):
    """Mean over the queries; ``weight`` names the parameter, (D, C)."""

    def reference(batch, at=None):
        proxies = np.asarray(batch.weights[weight]).T
        proxies = proxies / np.linalg.norm(proxies, axis=1, keepdims=True)
        column = level if at is None else at
        total = 0.0
        for point, row in zip(batch.queries, batch.rows, strict=True):
            logits = [float(point @ proxy) / math.hypot(*point) / temperature for proxy in proxies]
            total += math.log(sum(map(math.exp, logits))) - logits[row[column]]
        return total / len(batch.rows)

    return reference


def fixed_level(reference):
    """Return a reference that keeps its own level, whatever that of the rank loss beside it is."""
    return lambda batch, level=None: reference(batch)


def cross_scale(table, margins, scale):
    """Mean over the queries; one proxy for every row of the table, (C, D)."""

    def reference(batch, level=None):
        proxies = np.asarray(batch.weights["W"])
        proxies = proxies / np.linalg.norm(proxies, axis=1, keepdims=True)
        total = 0.0
        for point, row in zip(batch.queries, batch.rows, strict=True):
            scores = [float(point @ proxy) / math.hypot(*point) for proxy in proxies]
            own = scores[next(c for c, other in enumerate(table) if other[0] == row[0])]
            for column, margin in enumerate(margins):
                others = [
                    score
                    for score, other in zip(scores, table, strict=True)
                    if other[column] != row[column]
                ]
                total += math.log1p(sum(math.exp(scale * (s - own + margin)) for s in others))
        return total / len(batch.rows)

    return reference

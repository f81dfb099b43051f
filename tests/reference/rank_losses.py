"""Rank losses by loops over items, in float64, from the formulas of the papers; shares no code with the library."""

import math

import numpy as np


def sigmoid(t, tau):
    return 1.0 / (1.0 + math.exp(-max(-50.0, min(50.0, t / tau))))


def sup_step(t, tau=0.01, rho=100.0, delta=0.05, start=0.5, offset=None):
    if offset is None:
        offset = start + sigmoid(delta, tau)
    if t <= 0:
        return sigmoid(t, tau)
    if t <= delta:
        return start + sigmoid(t, tau)
    return rho * (t - delta) + offset


def hrank_step(t, beta, gamma, leak):
    if t <= 0:
        return leak * t
    return 1.0 if gamma > 1 else min(1.0, beta * t + gamma)


def comparator(family, t, own, other, step):
    if family == "sup" and other >= own:
        return 1.0 if t >= 0 else 0.0
    if family == "smooth":
        return sigmoid(t, step.get("tau", 0.01))
    return sup_step(t, **step)


def numerator(family, t, own, other, step, hrank):
    if family == "smooth":
        return sigmoid(t, step.get("tau", 0.01))
    if family == "sup" and hrank is not None and other > own:
        return hrank_step(t, **hrank)
    return 1.0 if t >= 0 else 0.0


def ranks(family, scores, levels, relevance, keep, hrank=None, **step):
    """Return {item: (rank, numerator)} of one query, for the kept items of level above 0."""
    result = {}
    items = [j for j in range(len(scores)) if keep[j]]
    if (
        family == "hard"
    ):  # the metrics' rank: a place in the list, less relevant items first among equal scores
        items.sort(key=lambda i: (-scores[i], levels[i], relevance[i]))
        for place, i in enumerate(items):
            above = sum(min(relevance[i], relevance[j]) for j in items[: place + 1])
            result[i] = place + 1.0, float(above)
        return {i: found for i, found in result.items() if levels[i]}
    for i in items:
        if levels[i] == 0:
            continue
        rank, above = 1.0, float(relevance[i])
        for j in items:
            if j != i:
                t = scores[j] - scores[i]
                rank += comparator(family, t, levels[i], levels[j], step)
                share = min(relevance[i], relevance[j])
                above += numerator(family, t, levels[i], levels[j], step, hrank) * share
        result[i] = rank, above
    return result


def hap(family, scores, levels, relevance, keep, **kwargs):
    total = sum(relevance[i] for i in range(len(scores)) if keep[i])
    if total == 0:
        return 0.0
    found = ranks(family, scores, levels, relevance, keep, **kwargs)
    return sum(above / rank for rank, above in found.values()) / total


def ap(family, scores, positive, keep, **kwargs):
    binary = [int(p) for p in positive]
    return hap(family, scores, binary, binary, keep, **kwargs)


def recall(family, scores, positive, keep, k, temperature, **kwargs):
    binary = [int(p) for p in positive]
    found = ranks(family, scores, binary, binary, keep, **kwargs)
    if not found:
        return 0.0
    total = 0.0
    for cut in k:
        within = sum(sigmoid(cut - rank, temperature) for rank, _ in found.values())
        total += within / min(len(found), cut)
    return total / len(k)


def ndcg(family, scores, levels, gains, keep, **kwargs):
    gains = [g if kept else 0.0 for g, kept in zip(gains, keep, strict=True)]
    ideal = sum(g / math.log2(2 + n) for n, g in enumerate(sorted(gains, reverse=True)))
    if ideal == 0:
        return 0.0
    found = ranks(family, scores, levels, gains, keep, **kwargs)
    return sum(gains[i] / math.log2(1 + rank) for i, (rank, _) in found.items()) / ideal


def exponential_gain(levels, keep, num_levels):
    return [2.0**level - 1 for level in levels]


def population_relevance(levels, keep, num_levels, alpha=1.0):
    counts = [0] * (num_levels + 1)
    for level, kept in zip(levels, keep, strict=True):
        counts[level] += bool(kept)
    return np.array(
        [
            (level / num_levels) ** alpha / counts[level] if kept and level else 0.0
            for level, kept in zip(levels, keep, strict=True)
        ]
    )


def weighted_relevance(levels, keep, weights):
    result = []
    for level, kept in zip(levels, keep, strict=True):
        value = 0.0
        for depth in range(1, level + 1):
            at_least = sum(1 for x, k in zip(levels, keep, strict=True) if k and x >= depth)
            value += weights[depth - 1] / at_least if kept else 0.0
        result.append(value)
    return np.array(result)

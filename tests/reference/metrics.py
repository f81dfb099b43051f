"""The metrics as loops over items, written from their formulas; float64, sharing no code with the library.

A ranking is a list of levels, best rank first, of the items of one query; the query is not in it.
Every function returns None where nothing is relevant.
"""

import math


def ranking(scores, levels, own=None):
    """Levels by decreasing score, lower levels first among equals, item ``own`` left out."""
    items = [
        (-float(s), int(x)) for i, (s, x) in enumerate(zip(scores, levels, strict=True)) if i != own
    ]
    return [level for _, level in sorted(items)]


def common(row, other):
    """Number of equal columns."""
    return sum(int(a == b) for a, b in zip(row, other, strict=True))


def hits(ranked, num_levels, column):
    """1 for the items that share label column ``column`` (0 finest) with the query."""
    return [int(level >= num_levels - column) for level in ranked]


def precision(binary, n):
    return sum(binary[:n]) / n


def average_precision(binary, k=None):
    if not sum(binary):
        return None
    depth = len(binary) if k is None else min(k, len(binary))
    return sum(precision(binary, n) for n in range(1, depth + 1) if binary[n - 1]) / sum(binary)


def average_precision_at_k(binary, k):
    if not sum(binary):
        return None
    summed = sum(precision(binary, n) for n in range(1, min(k, len(binary)) + 1) if binary[n - 1])
    return summed / min(sum(binary), k)


def mean_average_precision_at_r(binary):
    return average_precision(binary, k=sum(binary))


def r_precision(binary):
    return precision(binary, sum(binary)) if sum(binary) else None


def precision_at_k(binary, k):
    return precision(binary, min(k, len(binary))) if sum(binary) else None


def recall_at_k(binary, k):
    return float(any(binary[:k])) if sum(binary) else None


def mean_reciprocal_rank(binary):
    return 1 / (binary.index(1) + 1) if sum(binary) else None


def population_relevance(ranked, num_levels, alpha=1.0):
    """Relevance of every item: (level / L)^alpha over the number of items of that level."""
    return [
        (level / num_levels) ** alpha / ranked.count(level) if level else 0.0 for level in ranked
    ]


def weighted_relevance(ranked, weights):
    """Relevance of every item: sum of w_p / N_p over the levels p up to its own, coarsest first."""
    reached = [sum(level >= p for level in ranked) for p in range(1, len(weights) + 1)]
    return [sum(weights[p] / reached[p] for p in range(level)) for level in ranked]


def hierarchical_average_precision(relevance):
    if not sum(relevance):
        return None
    total = 0.0
    for n in range(1, len(relevance) + 1):
        total += sum(min(relevance[n - 1], relevance[m]) for m in range(n)) / n
    return total / sum(relevance)


def dcg(ranked, k=None):
    depth = len(ranked) if k is None else min(k, len(ranked))
    return sum((2 ** ranked[n - 1] - 1) / math.log2(1 + n) for n in range(1, depth + 1))


def ndcg(ranked, k=None):
    ideal = dcg(sorted(ranked, reverse=True), k)
    return dcg(ranked, k) / ideal if ideal else None


def asi(ranked):
    related = sum(level > 0 for level in ranked)
    if not related:
        return None
    ideal = sorted(ranked, reverse=True)
    total = 0.0
    for depth in range(1, related + 1):
        one, other = ranked[:depth], ideal[:depth]
        total += sum(min(one.count(x), other.count(x)) for x in set(one)) / depth
    return total / related


def all_metrics(ranked, num_levels, depths, relevance):
    """Every metric under the name the library gives it, None where it is not defined."""
    values = {
        "hierarchical_average_precision": hierarchical_average_precision(relevance),
        "ndcg": ndcg(ranked),
        "asi": asi(ranked),
    }
    values |= {f"ndcg_at_{k}": ndcg(ranked, k) for k in depths}
    for column in range(num_levels):
        binary = hits(ranked, num_levels, column)
        end = f"_level{column}"
        values |= {
            f"mean_average_precision{end}": average_precision(binary),
            f"mean_average_precision_at_r{end}": mean_average_precision_at_r(binary),
            f"r_precision{end}": r_precision(binary),
            f"mean_reciprocal_rank{end}": mean_reciprocal_rank(binary),
        }
        for k in depths:
            values |= {
                f"mean_average_precision_at_{k}{end}": average_precision_at_k(binary, k),
                f"precision_at_{k}{end}": precision_at_k(binary, k),
                f"recall_at_{k}{end}": recall_at_k(binary, k),
            }
    return values

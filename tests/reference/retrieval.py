"""A batch as retrieval, and losses over it, by loops in float64; shares no code with the library.

A reference is a function of a :class:`Batch` and of the label column that makes an item positive (None for all of
them), and returns the loss of the whole batch.
"""

from typing import Any, NamedTuple

import numpy as np


class Batch(NamedTuple):
    queries: np.ndarray
    """(B, D)."""
    items: np.ndarray
    """(N, D)."""
    rows: list[list[int]]
    """(B, L), labels of the queries, finest first."""
    item_rows: list[list[int]]
    keep: list[list[bool]]
    """(B, N), the items in the retrieval set of each query."""
    own: list[int]
    """(B,), where each query stands among the items, -1 for nowhere."""
    weights: dict[str, Any]
    """The parameters of the loss, by name."""


def batch_of(
    embeddings,
    rows,
    ref_emb=None,
    ref_rows=None,
    *,
    pairs=None,
    include_self=False,
    own=None,
    weights=None,
):
    """Return the batch; ``pairs`` is a set of (query, item) that a miner keeps, None for all."""
    in_batch = ref_emb is None
    items, item_rows = (embeddings, rows) if in_batch else (ref_emb, ref_rows)
    if own is None:
        own = list(range(len(rows))) if in_batch else [-1] * len(rows)
    keep = [
        [
            include_self if i == own[q] else pairs is None or (q, i) in pairs
            for i in range(len(item_rows))
        ]
        for q in range(len(rows))
    ]
    return Batch(embeddings, items, rows, item_rows, keep, own, weights or {})


def moved(batch, by, items_by=None):
    """Return the batch with its queries moved, and its items: with the queries, or by themselves."""
    return batch._replace(
        queries=batch.queries + by, items=batch.items + (by if items_by is None else items_by)
    )


def cosines(batch):
    queries = batch.queries / np.linalg.norm(batch.queries, axis=1, keepdims=True)
    items = batch.items / np.linalg.norm(batch.items, axis=1, keepdims=True)
    return (queries @ items.T).tolist()


def minus_distances(batch):
    """Minus the Euclidean distances of the normalised embeddings."""
    queries = batch.queries / np.linalg.norm(batch.queries, axis=1, keepdims=True)
    items = batch.items / np.linalg.norm(batch.items, axis=1, keepdims=True)
    return (-np.linalg.norm(queries[:, None] - items[None], axis=2)).tolist()


def common_levels(batch, level=None):
    """Return how many columns each pair has in common, (B, N), and how many there are."""
    if level is not None:
        return [[int(x[level] == y[level]) for y in batch.item_rows] for x in batch.rows], 1
    shared = [
        [sum(int(a == b) for a, b in zip(x, y, strict=True)) for y in batch.item_rows]
        for x in batch.rows
    ]
    return shared, len(batch.rows[0])


def related(common, keep):
    """Return the queries with something to find."""
    return [
        q
        for q, row in enumerate(common)
        if any(c > 0 and k for c, k in zip(row, keep[q], strict=True))
    ]


def mean_over_queries(query_loss, level=None):
    """Return the mean of what the queries with something to find lose, 0 if there are none.

    ``query_loss(scores, common, keep, num_levels)`` is of one query; ``level`` is the one unless another is asked for.
    """

    default = level

    def reference(batch, level=None):
        level = default if level is None else level
        scores, (common, num_levels) = cosines(batch), common_levels(batch, level)
        found = related(common, batch.keep)
        total = sum(query_loss(scores[q], common[q], batch.keep[q], num_levels) for q in found)
        return total / max(1, len(found))

    return reference


def one_minus(metric, relevance=None, **options):
    """Return one minus a metric by loops, of a positive or not, or of graded items where there is a ``relevance``."""

    def query_loss(scores, common, keep, num_levels):
        if relevance is None:
            return 1 - metric(scores, [c > 0 for c in common], keep, **options)
        weights = relevance(common, keep, num_levels)
        return 1 - metric(scores, common, weights, keep, **options)

    return mean_over_queries(query_loss, level=0 if relevance is None else None)


def weighted_sum(first, second, weight):
    """Return (1 - weight) first + weight second."""

    def reference(batch, level=None):
        return (1 - weight) * first(batch, level) + weight * second(batch, level)

    return reference

"""Rankings from the labels of neighbours, as PML hands them to the methods of its calculator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pml_suprank.hierarchy import Hierarchy, as_level_labels
from pml_suprank.metrics.ranked_lists import RankedLists


def lists_from_labels(
    name: str,
    knn_labels: Tensor,
    query_labels: Tensor,
    label_counts: Any = None,
    reference_labels: Tensor | None = None,
    ref_includes_query: bool = False,
    *,
    comparison: Callable[[Tensor, Tensor], Tensor] | None = None,
    hierarchy: Hierarchy | None = None,
) -> RankedLists:
    """The rankings that neighbours' labels stand for.

    Args:
        name: the metric's, for the messages.
        knn_labels: (Q, k) labels of the neighbours, nearest first, without the query itself; or (Q, k, L).
        query_labels: (Q,), or (Q, L).
        label_counts: the distinct labels of queries and how many references have each, as PML counts them.
        reference_labels: (N,) or (N, L) labels of all references, which say more than ``label_counts``.
        ref_includes_query: whether each query is one of those counted.
        comparison: what tells equal labels of one level; None for equality.
        hierarchy: the class tree of 1-D labels.

    Raises:
        ValueError: neither labels nor counts of the references, or counts where there are several levels.
    """
    if knn_labels.ndim != query_labels.ndim + 1 or len(knn_labels) != len(query_labels):
        raise ValueError(
            f"knn_labels: wanted labels of k neighbours for each of query_labels "
            f"{tuple(query_labels.shape)}, got {tuple(knn_labels.shape)}"
        )
    own = int(ref_includes_query)
    several = hierarchy is not None or query_labels.ndim > 1
    if reference_labels is None and (several or label_counts is None):
        raise ValueError(
            f"reference_labels: wanted the labels of all references, for the populations that {name} needs, got "
            f"None; get_accuracy computes it from embeddings"
        )
    if comparison is not None and not several:
        levels = comparison(query_labels[:, None], knn_labels).to(torch.int8)
    else:
        levels = _shared(query_labels, knn_labels, hierarchy)
    num_levels = 1 if not several else int(as_level_labels(query_labels, hierarchy).shape[1])
    if reference_labels is not None:
        against = reference_labels[None].expand(len(query_labels), *reference_labels.shape)
        if comparison is not None and not several:
            known = comparison(query_labels[:, None], against).to(torch.int8)
        else:
            known = _shared(query_labels, against, hierarchy)
        counts = torch.stack([(known == level).sum(1) for level in range(num_levels + 1)], 1)
        counts[:, -1] -= own
    else:
        positives = torch.zeros(len(query_labels), dtype=torch.long, device=levels.device)
        for label, count in zip(*label_counts, strict=True):
            positives[query_labels == label] = int(count) - own
        others = (levels.shape[1] - (levels > 0).sum(1)).clamp(min=0)
        counts = torch.stack([others, positives], 1)
    return RankedLists.from_sorted(levels, num_levels, counts)


def _shared(query: Tensor, others: Tensor, hierarchy: Hierarchy | None) -> Tensor:
    """(Q, n) levels that each query shares with labels of its own (Q, n) or (Q, n, L)."""
    if query.ndim == 1 and hierarchy is None:
        return (query[:, None] == others).to(torch.int8)
    shape = others.shape[:2]
    rows = as_level_labels(query, hierarchy, name="query_labels")
    flat = as_level_labels(others.flatten(0, 1), hierarchy, name="knn_labels")
    return (rows[:, None] == flat.view(*shape, rows.shape[1])).sum(2)

"""Ranks, rank surrogates and ranking objectives: tensors in, tensors out."""

from pml_suprank.functional.objectives import (
    average_precision,
    hierarchical_average_precision,
    ndcg,
    recall_at_k,
)
from pml_suprank.functional.ranks import Ranks, backend_names, ranks
from pml_suprank.functional.steps import (
    PRESETS,
    HardRank,
    HRankStep,
    SmoothRank,
    SupRank,
    Surrogate,
)

__all__ = [
    "PRESETS",
    "HRankStep",
    "HardRank",
    "Ranks",
    "SmoothRank",
    "SupRank",
    "Surrogate",
    "average_precision",
    "backend_names",
    "hierarchical_average_precision",
    "ndcg",
    "ranks",
    "recall_at_k",
]

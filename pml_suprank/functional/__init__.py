"""Ranks, rank surrogates and ranking objectives: tensors in, tensors out."""

from .objectives import average_precision, hierarchical_average_precision, ndcg, recall_at_k
from .ranks import Ranks, backend_names, ranks
from .steps import PRESETS, HardRank, HRankStep, SmoothRank, SupRank, Surrogate

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

"""Ranks, rank surrogates and ranking objectives: tensors in, tensors out."""

from pml_suprank.functional.blackbox import blackbox_average_precision
from pml_suprank.functional.contrastive import hierarchical_contrastive
from pml_suprank.functional.objectives import (
    average_precision,
    hierarchical_average_precision,
    ndcg,
    recall_at_k,
    recall_surrogate,
)
from pml_suprank.functional.presets import PRESETS
from pml_suprank.functional.ranking import Ranks, backend_names, ranks
from pml_suprank.functional.soft_bins import soft_bin_average_precision
from pml_suprank.functional.steps import (
    HardRank,
    HRankStep,
    SmoothRank,
    SupRank,
    Surrogate,
)
from pml_suprank.functional.triplets import TripletSums, triplet_hinge_sums

__all__ = [
    "PRESETS",
    "HRankStep",
    "HardRank",
    "Ranks",
    "SmoothRank",
    "SupRank",
    "Surrogate",
    "TripletSums",
    "average_precision",
    "backend_names",
    "blackbox_average_precision",
    "hierarchical_average_precision",
    "hierarchical_contrastive",
    "ndcg",
    "ranks",
    "recall_at_k",
    "recall_surrogate",
    "soft_bin_average_precision",
    "triplet_hinge_sums",
]

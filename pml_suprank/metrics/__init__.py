"""Exact retrieval metrics, streamed over blocks of queries.

``evaluate`` computes any of them in one ranking pass; one function per metric is there for those
who want just one.
"""

from pml_suprank.deprecated import renamed_attributes
from pml_suprank.metrics.catalogue import RENAMED
from pml_suprank.metrics.evaluation import evaluate
from pml_suprank.metrics.judged import evaluate_judged
from pml_suprank.metrics.result import EvaluationResult, MetricResult
from pml_suprank.metrics.single import (
    asi,
    hierarchical_average_precision,
    mean_average_precision,
    mean_average_precision_at_k,
    mean_average_precision_at_r,
    mean_reciprocal_rank,
    ndcg,
    precision_at_k,
    r_precision,
    recall_at_k,
)

__all__ = [
    "EvaluationResult",
    "MetricResult",
    "asi",
    "evaluate",
    "evaluate_judged",
    "hierarchical_average_precision",
    "mean_average_precision",
    "mean_average_precision_at_k",
    "mean_average_precision_at_r",
    "mean_reciprocal_rank",
    "ndcg",
    "precision_at_k",
    "r_precision",
    "recall_at_k",
]

__getattr__ = renamed_attributes(__name__, RENAMED)

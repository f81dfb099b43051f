"""A maker of a right value for every parameter of a public callable, by its name."""

import functools
import tempfile
from importlib.util import find_spec
from pathlib import Path

import torch
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.reducers import MeanReducer
from pytorch_metric_learning.regularizers import LpRegularizer

from pml_suprank import AccuracyCalculator, Hierarchy, losses, metrics, miners
from pml_suprank import functional as F
from pml_suprank import relevance as rel
from pml_suprank.samplers import HierarchicalSampler

TREE = Hierarchy.from_paths(["a/b/c", "a/b/d", "a/e/f", "g/h/i", "g/h/j", "g/k/l"])
CLASSES = torch.tensor([0, 1, 2, 3, 4, 5, 0, 3])
ROWS = TREE.expand(CLASSES)
TWICE = TREE.expand([0, 0, 1, 1, 3, 3, 4, 4])


def _random(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5))


def _points():
    return _random(8, 4).requires_grad_()


def _scores():
    return _random(3, 8).requires_grad_()


def _shared():
    return TREE.common_levels(CLASSES[:3], CLASSES)


def _pairs():
    return torch.tensor([0, 1]), torch.tensor([6, 0]), torch.tensor([0, 2]), torch.tensor([3, 4])


@functools.cache
def folder() -> Path:
    """Return a folder with a tree of classes and its table."""
    root = Path(tempfile.mkdtemp(prefix="fuzz"))
    for name in ("images/a/b", "images/a/c"):
        (root / name).mkdir(parents=True)
        (root / name / "0.png").write_bytes(b"")
    TREE.to_csv(root / "tree.csv")
    return root


RIGHT = {
    # numbers and choices
    **dict.fromkeys(("tau", "temperature", "center_temperature", "alpha", "gamma", "leak"), 0.5),
    **dict.fromkeys(("weight", "embedding_reg_weight", "batch_weight", "epsilon"), 0.1),
    **dict.fromkeys(("rho", "beta", "lambda_val", "scale"), 4.0),
    **dict.fromkeys(("delta", "margin", "start", "whole"), 0.05),
    **dict.fromkeys(("pos_margin", "pos_margins"), 0.2),
    **dict.fromkeys(("neg_margin", "neg_margins"), 0.8),
    **dict.fromkeys(("level", "cluster_level", "warmup", "seed", "epoch", "rank"), 0),
    **dict.fromkeys(("k", "per_anchor", "centers_per_class", "world_size", "per_class"), 1),
    **dict.fromkeys(("num_left_out", "num_left_out_whole", "max_depth", "max_children"), 1),
    **dict.fromkeys(("min_items", "batches_per_epoch", "max_pairs_per_class", "dim"), 1),
    **dict.fromkeys(("length", "batch_size", "num_samples", "memory_size", "block_size"), 8),
    **dict.fromkeys(("embedding_size", "num_bins"), 4),
    **dict.fromkeys(
        ("include_self", "constrained", "one_role", "collect_stats", "references", "progress"),
        True,
    ),
    **dict.fromkeys(
        ("finest_first", "repeated_names", "avg_of_avgs", "return_per_class", "check", "average"),
        True,
    ),
    **dict.fromkeys(("distributed", "efficient", "ref_includes_query", "mixup"), False),
    "num_levels": 3,
    "batches_done": 0,
    "num_classes": 6,
    "drop_last": True,
    "ignore_index": -1,
    "offset": 1.0,
    "max_memory": 2**24,
    "backend": "dense",
    "similarity": "cosine",
    "preset": "smooth",
    "reduce_levels": "sum",
    "type_of_triplets": "hard",
    "storage_dtype": torch.float16,
    "dtype": torch.int64,
    "device": "cpu",
    "score_range": (-1.0, 1.0),
    # metrics
    "metric": "mean_average_precision",
    "metrics": ["ndcg", "recall_at_k"],
    "include": ["ndcg"],
    "exclude": ["r_precision"],
    "recall_at": (1, 2),
    "label_comparison_fn": None,
    "knn_func": None,
    "kmeans_func": None,
    "results": lambda: {"ndcg": metrics.MetricResult(torch.ones(3), torch.ones(3).bool())},
    "values": lambda: torch.ones(3),
    "valid": lambda: torch.ones(3, dtype=torch.bool),
    "groups": lambda: torch.tensor([0, 1, 0]),
    "relevant": lambda: [torch.tensor([0]), torch.tensor([1, 2])] * 4,
    "ignored": lambda: [torch.tensor([3]), torch.tensor([4])] * 4,
    "batches": lambda: [torch.arange(4), torch.arange(8)],
    "per_batch": (0.5, None),
    # objects
    "hierarchy": TREE,
    "other": TREE,
    "relevance": rel.PopulationRelevance,
    "hrank": lambda: {"beta": 4.0},
    "surrogate": F.SmoothRank,
    "objective": lambda: losses.Objective(F.average_precision),
    "distance": CosineSimilarity,
    "reducer": MeanReducer,
    "embedding_regularizer": LpRegularizer,
    "loss": losses.SupAPLoss,
    "rank_loss": losses.SupAPLoss,
    "decomposability_loss": losses.CalibrationLoss,
    "miner": miners.HierarchicalPairMiner,
    "accuracy_calculator": AccuracyCalculator,
    "label_hierarchy_level": "all",
    "state": lambda: HierarchicalSampler(TWICE, 4, (2,)).state_dict(),
    "sampler": None,
    "embed": lambda: lambda data: data,
    "loader": lambda: [(_random(4, 4), CLASSES[:4], torch.arange(4))],
    "get_batch": lambda: lambda batch: batch,
    # tensors
    **dict.fromkeys(("embeddings", "query"), _points),
    **dict.fromkeys(("ref_emb", "gallery", "reference"), lambda: _points() * 0.5 + 0.1),
    **dict.fromkeys(
        ("labels", "ref_labels", "query_labels", "gallery_labels", "reference_labels"),
        ROWS.clone,
    ),
    "indices": lambda: torch.arange(8),
    "enqueue_mask": lambda: torch.arange(8) >= 4,
    "self_indices": lambda: torch.arange(8),
    "indices_tuple": _pairs,
    "class_ids": lambda: torch.arange(6),
    "scores": _scores,
    "positive": lambda: _shared() == 3,
    "common_levels": _shared,
    "mask": lambda: _scores() < 1,
    "gains": lambda: _shared().double(),
    "level_counts": lambda: torch.tensor([[2, 0, 3, 1]]),
    "counts": lambda: torch.tensor([[2, 0, 3, 1]]),
    "level_weights": (3.0, 2.0, 1.0),
    "margins": (0.1, 0.2, 0.3),
    "weights": (3.0, 2.0, 1.0),
    "by_level": (3.0, 2.0, 1.0),
    "t": lambda: _random(3, 4),
    "lower": lambda: _random(3, 4) > 0,
    "higher": lambda: _random(3, 4) > 0,
    "mean": lambda: _random(4),
    "projection": lambda: _random(4, 2),
    "pairs": lambda: torch.tensor([[0, 6], [3, 7]]),
    "total": lambda: torch.ones(3),
    "num_violations": lambda: torch.ones(3).long(),
    "num_triplets": lambda: torch.ones(3).long(),
    "group_sizes": (2,),
    "levels": (1,),
    # trees
    "table": lambda: TREE.table,
    "node_names": lambda: [[*"abcdef"], [*"abcd"], [*"ab"]],
    "class_names": lambda: [*"abcdef"],
    "level_names": lambda: ["fine", "middle", "coarse"],
    "name": "labels",
    "names": lambda: ["a/b/c"],
    "on": "name",
    "root": lambda: folder() / "images",
    "path": lambda: folder() / "tree.csv",
    "extensions": lambda: {".png"},
    "stray": "refuse",
    "links": "inside",
    "parents": lambda: {"a": "b", "c": "b", "b": None},
    "paths": lambda: ["a/b", "a/c", "d/e"],
    "sep": "/",
    "delimiter": ",",
    "class_id_column": None,
    "encoding": "utf-8",
    "digraph": TREE.to_networkx if find_spec("networkx") else None,
    "parent": None,
    "lengths": (8, 8),
}
"""By the parameter's name: the value, or the function that makes it anew."""

SPECIAL = {
    ("functional.SupRank", "hrank"): F.HRankStep,
    ("losses.Objective", "hrank"): F.HRankStep,
    ("functional.Ranks", "rank"): lambda: torch.ones(2, 3),
    ("functional.Ranks", "hrank"): lambda: torch.ones(2, 3),
    ("losses.Objective", "metric"): lambda: F.average_precision,
    ("relevance.LevelRelevance", "table"): lambda: torch.ones(2, 3),
    ("relevance.LevelRelevance", "counts"): lambda: torch.ones(2, 3).long(),
    ("functional.ranks", "relevance"): lambda: _shared().float(),
    ("functional.hierarchical_average_precision", "relevance"): lambda: _shared().float(),
    ("functional.triplet_hinge_sums", "margins"): (0.1, 0.2, 0.3),
    ("hierarchy.Hierarchy.class_id", "name"): "a/b/c",
    ("hierarchy.Hierarchy.merge", "groups"): lambda: {"x": ["b", "e"]},
    ("hierarchy.Hierarchy.merge", "level"): 1,
    ("hierarchy.Hierarchy.to_csv", "path"): lambda: folder() / "copy.csv",
    ("hierarchy.Hierarchy.from_paths", "level_names"): lambda: ["fine", "coarse"],
    ("hierarchy.Hierarchy.from_parents", "level_names"): lambda: ["fine", "coarse"],
    ("hierarchy.Hierarchy.from_folder", "level_names"): lambda: ["fine", "coarse"],
    ("decomposability.DecomposabilityGap.plot", "path"): lambda: folder() / "gap.png",
    ("samplers.HierarchicalSampler", "batch_size"): 4,
    ("samplers.HierarchicalSampler", "labels"): TWICE.clone,
    ("samplers.HierarchicalSampler", "num_samples"): 8,
    ("metrics.MetricResult", "values"): lambda: torch.ones(3).double(),
    ("miners.HierarchicalTripletMiner", "margins"): 0.2,
    ("losses.CSLLoss", "margins"): (0.1, 0.2, 0.3),
    ("whitening.Whitening", "projection"): lambda: _random(2, 4),
    ("whitening.pair_whitening", "pairs"): lambda: torch.arange(16).view(8, 2) % 7,
    ("whitening.random_pairs", "labels"): CLASSES.clone,
    ("losses.RankLoss", "surrogate"): F.HardRank,
    ("losses.DistributedLossWrapper", "loss"): losses.SupAPLoss,
    ("hierarchy.as_joint_labels", "hierarchy"): TREE,
    ("whitening.pair_whitening", "dim"): 2,
}
"""Where a name means something else: by callable and parameter."""


def right_value(callable_name: str, parameter: str):
    """Return a right value, made anew."""
    found = SPECIAL.get((callable_name, parameter), RIGHT.get(parameter))
    return found() if callable(found) else found

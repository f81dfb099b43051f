"""Evaluation of a model with PML's tester and this library's calculator."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pml_suprank import AccuracyCalculator
from pml_suprank.metrics.selection import HIERARCHICAL_METRICS
from pml_suprank.recipes.engine.parsing import ConfigError, nearest
from pml_suprank.testers import HierarchicalTester

__all__ = ["METRICS", "Evaluation", "check_monitor", "evaluate_model"]

METRICS = (
    "hierarchical_average_precision",
    "ndcg",
    "asi",
    "mean_average_precision",
    "mean_average_precision_at_r",
    "precision_at_1",
)
"""What every evaluation reports, beside recall."""


class Evaluation(NamedTuple):
    """What an evaluation gives.

    Attributes:
        metrics: name to value; those of one level end with ``_level<column>``.
        embeddings: [N, D] of the queries, normalised, on the CPU.
        labels: [N, L].
    """

    metrics: dict[str, float]
    embeddings: Tensor
    labels: Tensor


def evaluate_model(
    model: Any,
    queries: Any,
    gallery: Any = None,
    *,
    recall_at: Sequence[int] = (1, 5, 10),
    epoch: int = 0,
    batch_size: int = 64,
    workers: int = 0,
    device: torch.device | None = None,
) -> Evaluation:
    """Every query against the gallery, or against all other queries.

    Args:
        model: with ``trunk`` and ``embedder``; its mode is restored afterwards.
        queries: data set of (image, labels [L]) with a transform.
        gallery: another such data set, with the same taxonomy; None for the queries themselves.
        recall_at: depths of recall.
        epoch: for PML's records.
        batch_size: images embedded at a time.
        workers: loading processes.
        device: where to compute; None for the CPU.
    """
    device = device or torch.device("cpu")
    kept: dict[str, Any] = {}
    names = (*METRICS, *(f"recall_at_{k}" for k in recall_at))
    tester = HierarchicalTester(
        batch_size=batch_size,
        dataloader_num_workers=workers,
        data_device=device,
        accuracy_calculator=AccuracyCalculator(include=names, device=device, similarity="cosine"),
        end_of_testing_hook=lambda tester: kept.update(tester.embeddings_and_labels),
    )
    sets = {"test": queries} | ({} if gallery is None else {"gallery": gallery})
    splits = [("test", ["test"] if gallery is None else ["gallery"])]
    was_training = model.training
    try:
        found = tester.test(sets, epoch, model.trunk, model.embedder, splits)["test"]
    finally:
        model.train(was_training)
    metrics = {
        name: float(value)
        for name, value in found.items()
        if name != "epoch" and not name.startswith("AVERAGE_")
    }
    embeddings, labels = kept["test"]
    return Evaluation(metrics, embeddings.float().cpu(), labels.cpu())


def check_monitor(name: str, recall_at: Sequence[int] = (), num_levels: int | None = None) -> None:
    """Refuse a metric that the evaluation does not give.

    Args:
        name: ``training.monitor``.
        recall_at: ``training.recall_at``.
        num_levels: of the test labels; None where they are not known yet.

    Raises:
        ConfigError: names the nearest.
    """
    levels = range(20 if num_levels is None else num_levels)
    names = [
        f"{metric}_level{level}"
        for metric in (*METRICS, *(f"recall_at_{k}" for k in recall_at))
        if metric not in HIERARCHICAL_METRICS
        for level in levels
    ]
    names += [metric for metric in METRICS if metric in HIERARCHICAL_METRICS]
    if name not in names:
        raise ConfigError(
            f"training.monitor: wanted a metric, got {name!r}; {nearest(name, names)}"
        )

"""Evaluation of a model on the held-out images, with PML's tester and this library's calculator."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pml_suprank import AccuracyCalculator
from pml_suprank.metrics.catalogue import HIERARCHICAL_METRICS
from pml_suprank.recipes.devices import float64_device
from pml_suprank.recipes.engine.parsing import ConfigError, nearest
from pml_suprank.recipes.engine.settings import TrainingSettings
from pml_suprank.recipes.engine.text_evaluation import (
    DIRECTIONS,
    TEXT_METRICS,
    reads_captions,
    text_metrics,
)
from pml_suprank.recipes.levels import LevelFact, level_facts, level_of, telling
from pml_suprank.testers import HierarchicalTester

__all__ = ["METRICS", "Evaluation", "check_monitor", "evaluate_model", "facts_of_sets", "monitored"]

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
        metrics: name to value; those of one level end with ``_level<column>``. A level that says nothing about the
            images (:func:`pml_suprank.recipes.levels.level_facts`) has none.
        embeddings: [N, D] of the queries, normalised, on the CPU.
        labels: [N, L].
        levels: what each level says about queries and gallery, finest first.
        gallery: embeddings [M, D] and labels [M, L] of where was searched; None for the queries.
    """

    metrics: dict[str, float]
    embeddings: Tensor
    labels: Tensor
    levels: tuple[LevelFact, ...] = ()
    gallery: tuple[Tensor, Tensor] | None = None


def evaluate_model(
    model: Any,
    queries: Any,
    gallery: Any = None,
    *,
    recall_at: Sequence[int] = (1, 5, 10),
    batch_size: int = 64,
    workers: int = 0,
    device: torch.device | None = None,
    of_trunk: bool = False,
) -> Evaluation:
    """Every query against the gallery, or against all other queries.

    Args:
        model: with ``trunk`` and ``embedder``; its mode is restored afterwards.
        queries: data set of (image, labels [L]) with a transform.
        gallery: another such data set, with the same taxonomy; None for the queries themselves.
        recall_at: depths of recall.
        batch_size: images embedded at a time.
        workers: loading processes.
        device: of the model; embeddings stay there for the metrics if it has float64. None for the CPU.
        of_trunk: rank by what ``trunk`` gives, without ``embedder``.
    """
    device = device or torch.device("cpu")
    kept: dict[str, Any] = {}
    names = (*METRICS, *(f"recall_at_{k}" for k in recall_at))
    calculator = AccuracyCalculator(
        include=names, device=float64_device(device), similarity="cosine"
    )
    tester = HierarchicalTester(
        batch_size=batch_size,
        dataloader_num_workers=workers,
        data_device=device,
        accuracy_calculator=calculator,
        use_trunk_output=of_trunk,
        end_of_testing_hook=lambda tester: kept.update(tester.embeddings_and_labels),
    )
    sets = {"test": queries} | ({} if gallery is None else {"gallery": gallery})
    splits = [("test", ["test"] if gallery is None else ["gallery"])]
    was_training = model.training
    try:
        found = tester.test(sets, 0, model.trunk, model.embedder, splits)["test"]
    finally:
        model.train(was_training)
    embeddings, labels = kept["test"]
    facts = facts_of_sets(queries, gallery)
    if not of_trunk and reads_captions(model, queries):
        found |= _by_text(model, queries, kept, recall_at)
    metrics = {
        name: float(value)
        for name, value in found.items()
        if name != "epoch" and not name.startswith("AVERAGE_") and telling(facts, name)
    }
    searched = None
    if gallery is not None:
        items, item_labels = kept["gallery"]
        searched = (items.float().cpu(), item_labels.cpu())
    return Evaluation(metrics, embeddings.float().cpu(), labels.cpu(), facts, searched)


def _by_text(
    model: Any, queries: Any, kept: dict[str, Any], recall_at: Sequence[int]
) -> dict[str, float]:
    was_training = model.training
    model.eval()
    try:
        images = kept["test"]
        gallery = kept.get("gallery", images)
        return text_metrics(model, queries, images, gallery, recall_at=recall_at)
    finally:
        model.train(was_training)


def facts_of_sets(queries: Any, gallery: Any = None) -> tuple[LevelFact, ...]:
    """What the levels say about the images of an evaluation.

    Args:
        queries: data set with ``labels`` [N, L] and ``hierarchy``.
        gallery: another, with the same taxonomy; None for the queries themselves.
    """
    labels = [part.labels for part in (queries, gallery) if part is not None]
    return level_facts(torch.cat(labels), queries.hierarchy.level_names)


def monitored(training: TrainingSettings, texts: bool) -> str:
    """The metric that ``training.monitor`` names or, where it is null, stands for.

    Args:
        training: settings.
        texts: whether captions are measured too.
    """
    if training.monitor is not None:
        return training.monitor
    is_joint = texts and training.captions == "joint"
    return (next(iter(DIRECTIONS)) if is_joint else "") + "hierarchical_average_precision"


def check_monitor(
    name: str,
    recall_at: Sequence[int] = (),
    levels: Sequence[LevelFact] | None = None,
    *,
    texts: bool = False,
) -> None:
    """Refuse a metric that the evaluation does not give.

    Args:
        name: of the metric, see :func:`monitored`.
        recall_at: ``training.recall_at``.
        levels: of the held-out images; None where they are not known yet.
        texts: whether captions are measured too.

    Raises:
        ConfigError: no such metric, which names the nearest, or one of a level that says nothing.
    """
    columns = range(20 if levels is None else len(levels))
    recalls = [f"recall_at_{k}" for k in recall_at]
    metrics = [*METRICS, *recalls]
    if texts:
        metrics += [way + metric for way in DIRECTIONS for metric in (*TEXT_METRICS, *recalls)]
    names = []
    for metric in metrics:
        is_of_all = metric.endswith(tuple(HIERARCHICAL_METRICS))
        names += [metric] if is_of_all else [f"{metric}_level{level}" for level in columns]
    if name not in names:
        raise ConfigError(
            f"training.monitor: wanted a metric, got {name!r}; {nearest(name, names)}"
        )
    if levels is not None and not telling(levels, name):
        fact = levels[level_of(name) or 0]
        raise ConfigError(
            f"training.monitor: wanted a metric that tells held-out images apart, got {name!r}: {fact.name} is "
            f"{fact.note} among them"
        )

"""Rank losses with and without what stands against non-decomposability."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pml_suprank import decomposability_gap, losses
from pml_suprank.integrations.plain_files import read_json
from pml_suprank.recipes.files import write_json
from pml_suprank.relevance import PopulationRelevance
from studies.leaderboard.features import Features
from studies.leaderboard.heads import (
    PROXY_FACTOR,
    Budget,
    hierarchical_batches,
    measure,
    new_head,
    optimise,
    parameter_groups,
)
from studies.leaderboard.log_precision import log_precision
from studies.leaderboard.references import (
    HALF_LIFE,
    IDEALS,
    MOMENTUM,
    NUM_BATCHES,
    REMEDIES,
    references,
)

__all__ = ["ARMS", "LOG", "LOG_ARMS", "MemoryRun", "read_arm", "run_arm"]

TAU = 0.05  # of the step, for all
TEMPERATURE, WEIGHT = 0.1, 0.1  # of the proxies
BATCH_WEIGHT = 0.25  # of the arm that ranks the batch, too
ARMS = (
    "batch",
    "calibration",
    "proxies",
    "cross-batch memory",
    "whole memory, empty at first",
    "whole memory",
    "whole memory and batch",
)
"""What a loss ranks, or has beside it. Where nothing else is said a pass over the training set fills the whole memory
before the first step."""
LOG = ", logarithm"
LOG_ARMS = tuple(
    arm + LOG
    for arm in (
        "batch",
        "whole memory",
        "whole memory and batch",
        "four batches, with gradient",
        "whole set, with gradient",
    )
)
"""Arms of which SupHAP trains -log of the precision at each item in place of 1 - precision: the gradient of an item
that is ranked far behind does not fade."""


@dataclass(frozen=True)
class MemoryRun:
    """What decides the numbers of a run, beside the data and the constants of this module.

    Attributes:
        data: a data set of the leaderboard.
        loss: "SupAP" on the finest level, or "SupHAP".
        arm: one of :data:`ARMS`, ``IDEALS``, ``REMEDIES`` or :data:`LOG_ARMS`. SupHAP has no calibration, SupAP no
            logarithm.
        batch_size: images of a batch.
        memory: share of the training set that a cross-batch memory holds.
        seed: of weights, batches and views.
        steps: optimiser steps.
        lr: learning rate of the head.
        group_sizes: of :class:`HierarchicalSampler`; None for shuffled batches.
        splits: to train and to evaluate on.
    """

    data: str
    loss: str
    arm: str
    batch_size: int
    memory: float
    seed: int
    steps: int
    lr: float = 1e-3
    group_sizes: tuple[int, ...] | None = None
    splits: tuple[str, str] = ("train", "test")

    @property
    def ranked(self) -> str:
        """The arm without what it trains."""
        return self.arm.removesuffix(LOG)

    def content(self) -> dict[str, Any]:
        """Everything above and the constants, ready for JSON."""
        constants = {
            "tau": TAU,
            "temperature": TEMPERATURE,
            "weight": WEIGHT,
            "share": BATCH_WEIGHT,
        }
        if self.ranked in REMEDIES:
            constants |= {"momentum": MOMENTUM, "half_life": HALF_LIFE, "batches": NUM_BATCHES}
        return json.loads(json.dumps(asdict(self) | {"constants": constants}))

    def path(self, folder: Path) -> Path:
        """The file of the run."""
        digest = hashlib.sha256(json.dumps(self.content()).encode()).hexdigest()[:12]
        return folder / "decomposability" / self.data / f"{self.loss}-{digest}.json"


def read_arm(run: MemoryRun, folder: Path) -> dict[str, Any] | None:
    """What a finished run found; None where there is no whole file of it."""
    try:
        content = read_json(run.path(folder))
    except (OSError, ValueError):
        return None
    return content if content.get("run") == run.content() else None


def run_arm(run: MemoryRun, train: Features, test: Features, folder: Path) -> dict[str, Any]:
    """Metrics on the held-out split and gaps of both splits, made now and written to the file of the run.

    Args:
        run: what to do.
        train: standardised training split.
        test: standardised held-out split.
        folder: of the files.

    Returns:
        "run", "metrics" as :func:`measure` gives them, "gap_train" and "gap_test": batch average minus whole, of AP at
        the finest level for SupAP and of H-AP for SupHAP, in batches like those of the training.

    Raises:
        ValueError: an unknown loss or arm.
    """
    budget = Budget(steps=run.steps, batch_size=run.batch_size)
    head = new_head(train, budget, run.seed)
    loss_fn = _loss(run, train, budget)
    labels = train.labels if run.loss == "SupHAP" else train.labels[:, 0]
    takes_indices = isinstance(loss_fn, losses.DatasetMemory)
    if isinstance(loss_fn, losses.DatasetMemory) and run.arm != "whole memory, empty at first":
        everything = (train.views[:, 0], labels, torch.arange(len(labels)))
        loss_fn.fill([everything], head)

    more = None
    if run.ranked in IDEALS + REMEDIES:
        drawn_batches = _batches(train, replace(run, seed=run.seed + 1_000))
        more = references(run.ranked, head, train, labels, drawn_batches, run.seed)

    def batch_loss(embeddings: Tensor, rows: Tensor) -> Tensor:
        if more is not None:
            return loss_fn(embeddings, labels[rows], **more(embeddings, rows))
        return loss_fn(embeddings, labels[rows], **({"indices": rows} if takes_indices else {}))

    batches = _batches(train, run)
    groups = parameter_groups((head, run.lr), (loss_fn, run.lr * PROXY_FACTOR))
    optimise(head, train, batch_loss, batches, groups, run.seed, run.steps)
    content = {
        "run": run.content(),
        "metrics": measure(head, test),
        "gap_train": _gap(head, train, run),
        "gap_test": _gap(head, test, run),
    }
    write_json(run.path(folder), content)
    return content


def _loss(run: MemoryRun, train: Features, budget: Budget) -> nn.Module:
    makers: dict[str, Callable[..., Any]] = {"SupAP": losses.SupAPLoss, "SupHAP": losses.SupHAPLoss}
    if run.loss not in makers:
        raise ValueError(f"loss: wanted one of {', '.join(makers)}, got {run.loss!r}")
    if run.arm not in _arms(run.loss):
        raise ValueError(
            f"arm: wanted one of {'; '.join(_arms(run.loss))} for {run.loss}, got {run.arm!r}"
        )
    rank_loss, size = makers[run.loss](tau=TAU), budget.embedding_size
    if run.arm in LOG_ARMS:
        objective = losses.Objective(log_precision, PopulationRelevance(alpha=1.0))
        rank_loss = losses.SupRankLoss(objective, tau=TAU)
    if run.arm == "calibration":
        return losses.DecomposableRankLoss(rank_loss, losses.CalibrationLoss(), WEIGHT)
    if run.arm == "proxies":
        proxies = losses.ProxyClusterLoss(train.hierarchy.num_classes, size, TEMPERATURE)
        return losses.DecomposableRankLoss(rank_loss, proxies, WEIGHT)
    if run.arm == "cross-batch memory":
        slots = max(run.batch_size, round(run.memory * len(train.labels)))
        return losses.CrossBatchMemory(rank_loss, size, slots)
    if run.ranked in ARMS and run.ranked.startswith("whole memory"):
        weight = BATCH_WEIGHT if run.ranked == "whole memory and batch" else 0.0
        return losses.DatasetMemory(rank_loss, len(train.labels), size, batch_weight=weight)
    return rank_loss


def _arms(loss: str) -> tuple[str, ...]:
    """The arms that a loss has."""
    known = ARMS + IDEALS + REMEDIES
    if loss == "SupAP":
        return known
    return tuple(arm for arm in known if arm != "calibration") + LOG_ARMS


def _batches(split: Features, run: MemoryRun) -> Iterator[Any]:
    """Rows of the batches of a run, without end."""
    if run.group_sizes is None:
        return _shuffled(len(split.labels), run.batch_size, run.seed)
    budget = Budget(batch_size=run.batch_size, group_sizes=run.group_sizes)
    return hierarchical_batches(split, budget, run.seed)


def _shuffled(count: int, batch_size: int, seed: int) -> Iterator[Tensor]:
    """Batches of a data loader with ``shuffle=True, drop_last=True``, without end."""
    draw = torch.Generator().manual_seed(seed + 1_000_003)
    while True:
        order = torch.randperm(count, generator=draw)
        yield from order[: count - count % batch_size].split(batch_size)


@torch.no_grad()
def _gap(head: nn.Module, split: Features, run: MemoryRun) -> dict[str, float]:
    batches = _batches(split, run)
    one_pass = [torch.as_tensor(next(batches)) for _ in range(len(split.labels) // run.batch_size)]
    metric = "mean_average_precision" if run.loss == "SupAP" else "hierarchical_average_precision"
    found = decomposability_gap(head(split.views[:, 0]), split.labels, one_pass, metric)
    return {
        "gap": found.gap,
        "whole": found.whole,
        "batch": found.batch_average,
        "without_positives": found.num_left_out / sum(map(len, one_pass)),
    }

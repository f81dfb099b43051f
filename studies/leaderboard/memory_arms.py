"""Rank losses with and without what stands against non-decomposability."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pml_suprank import decomposability_gap, losses
from pml_suprank.integrations.plain_files import read_json
from pml_suprank.recipes.files import write_json
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

__all__ = ["ARMS", "IDEALS", "MemoryRun", "read_arm", "run_arm"]

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
IDEALS = (
    "batch, references detached",
    "whole set, embedded anew",
    "whole set, with gradient",
)
"""What a memory lacks, on its own: gradients of the references, and embeddings of the present weights. They take a pass
over the training set in each step, which frozen features allow."""


@dataclass(frozen=True)
class MemoryRun:
    """What decides the numbers of a run, beside the data and the constants of this module.

    Attributes:
        data: a data set of the leaderboard.
        loss: "SupAP" on the finest level, or "SupHAP".
        arm: one of :data:`ARMS` or :data:`IDEALS`; SupHAP has no calibration.
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

    def content(self) -> dict[str, Any]:
        """Everything above and the constants, ready for JSON."""
        constants = {
            "tau": TAU,
            "temperature": TEMPERATURE,
            "weight": WEIGHT,
            "share": BATCH_WEIGHT,
        }
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

    drawn = torch.Generator().manual_seed(run.seed + 2_000_003)

    def batch_loss(embeddings: Tensor, rows: Tensor) -> Tensor:
        more: dict[str, Any] = {"indices": rows} if takes_indices else {}
        if run.arm == "batch, references detached":
            own = torch.arange(len(rows))
            more = _references(embeddings.detach().clone(), labels[rows], own)
        elif run.arm in IDEALS:
            view = torch.randint(train.views.shape[1], (len(labels),), generator=drawn)
            with torch.set_grad_enabled(run.arm == "whole set, with gradient"):
                every = head(train.views[torch.arange(len(labels)), view])
                more = _references(every.index_copy(0, rows, embeddings), labels, rows)
        return loss_fn(embeddings, labels[rows], **more)

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


def _references(embeddings: Tensor, labels: Tensor, own: Tensor) -> dict[str, Tensor]:
    return {"ref_emb": embeddings, "ref_labels": labels, "self_indices": own}


def _loss(run: MemoryRun, train: Features, budget: Budget) -> nn.Module:
    makers: dict[str, Callable[..., Any]] = {"SupAP": losses.SupAPLoss, "SupHAP": losses.SupHAPLoss}
    if run.loss not in makers:
        raise ValueError(f"loss: wanted one of {', '.join(makers)}, got {run.loss!r}")
    rank_loss, size = makers[run.loss](tau=TAU), budget.embedding_size
    if run.arm in ("batch", *IDEALS):
        return rank_loss
    if run.arm == "calibration" and run.loss == "SupAP":
        return losses.DecomposableRankLoss(rank_loss, losses.CalibrationLoss(), WEIGHT)
    if run.arm == "proxies":
        proxies = losses.ProxyClusterLoss(train.hierarchy.num_classes, size, TEMPERATURE)
        return losses.DecomposableRankLoss(rank_loss, proxies, WEIGHT)
    if run.arm == "cross-batch memory":
        slots = max(run.batch_size, round(run.memory * len(train.labels)))
        return losses.CrossBatchMemory(rank_loss, size, slots)
    if run.arm in ARMS and run.arm.startswith("whole memory"):
        weight = BATCH_WEIGHT if run.arm == "whole memory and batch" else 0.0
        return losses.DatasetMemory(rank_loss, len(train.labels), size, batch_weight=weight)
    raise ValueError(
        f"arm: wanted one of {', '.join(ARMS + IDEALS)} for {run.loss}, got {run.arm!r}"
    )


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

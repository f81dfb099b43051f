"""Training of a linear head on cached features, the same for every loss, and its evaluation."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from pml_suprank import metrics
from pml_suprank.recipes.seeding import seed_everything
from pml_suprank.samplers import HierarchicalSampler
from studies.leaderboard.entrants import Entrant, Problem
from studies.leaderboard.features import Features

__all__ = [
    "Budget",
    "hierarchical_batches",
    "learning_rate_factor",
    "measure",
    "new_head",
    "on_raw_features",
    "optimise",
    "parameter_groups",
    "step_loss",
    "train_head",
]

WARM_UP = 0.05  # share of the steps
PROXY_FACTOR = 10.0
"""Learning rate of a loss's own parameters, as a multiple of the head's."""


@dataclass(frozen=True)
class Budget:
    """What every loss gets alike.

    Attributes:
        steps: optimiser steps.
        batch_size: of a step.
        embedding_size: D.
        group_sizes: of :class:`HierarchicalSampler`.
    """

    steps: int = 300
    batch_size: int = 128
    embedding_size: int = 128
    group_sizes: tuple[int, ...] = (2, 8)


def train_head(
    train: Features,
    entrant: Entrant,
    options: Mapping[str, Any],
    lr: float,
    seed: int,
    budget: Budget,
) -> tuple[nn.Linear, nn.Module, float]:
    """A linear head trained with a loss, the loss with its own parameters, and the seconds that it took.

    Initial weights, batches and views depend on the seed alone, so that the runs of one seed are pairs.

    Args:
        train: training split.
        entrant: the loss.
        options: one of its settings.
        lr: learning rate of the head.
        seed: of the run.
        budget: the same for all.
    """
    head, batches = new_head(train, budget, seed), hierarchical_batches(train, budget, seed)
    problem = Problem(train.hierarchy, budget.embedding_size)
    loss_fn = entrant.build(problem, options)
    miner = None if entrant.miner is None else entrant.miner(problem, options)

    def batch_loss(embeddings: Tensor, rows: Tensor) -> Tensor:
        return step_loss(entrant, loss_fn, miner, embeddings, train.labels[rows])

    groups = parameter_groups((head, lr), (loss_fn, lr * PROXY_FACTOR))
    seconds = optimise(head, train, batch_loss, batches, groups, seed, budget.steps)
    return head.eval(), loss_fn, seconds


def optimise(
    network: nn.Module,
    train: Features,
    batch_loss: Callable[[Tensor, Tensor], Tensor],
    batches: Iterator[Any],
    groups: Sequence[dict[str, Any]],
    seed: int,
    steps: int,
) -> float:
    """Train in place; returns the seconds that it took.

    Args:
        network: from views to embeddings.
        train: training split.
        batch_loss: from embeddings and rows of the training split.
        batches: of rows.
        groups: what is trained, as :func:`parameter_groups` gives it.
        seed: of the views.
        steps: optimiser steps.
    """
    optimizer = torch.optim.AdamW(groups, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step, steps)
    )
    draw = torch.Generator().manual_seed(seed)
    start = perf_counter()
    for _ in range(steps):
        rows = torch.as_tensor(next(batches))
        view = torch.randint(train.views.shape[1], (len(rows),), generator=draw)
        loss = batch_loss(network(train.views[rows, view].float()), rows)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return perf_counter() - start


def parameter_groups(*parts: tuple[nn.Module, float]) -> list[dict[str, Any]]:
    """Groups for an optimiser, of modules and their learning rates; modules without parameters are left out."""
    groups = [{"params": [*part.parameters()], "lr": lr} for part, lr in parts]
    return [group for group in groups if group["params"]]


def new_head(train: Features, budget: Budget, seed: int) -> nn.Linear:
    """A linear head; its weights depend on the seed alone."""
    seed_everything(seed)
    head = nn.Linear(train.views.shape[2], budget.embedding_size)
    seed_everything(seed, 1)  # a loss with parameters does not move what comes after it
    return head


@torch.no_grad()
def on_raw_features(head: nn.Linear, train: Features, least: float) -> nn.Linear:
    """The head for features as the trunk gives them, of one for ``train.standardised(train, least)``."""
    mean, deviation = train.statistics(least)
    raw = nn.Linear(head.in_features, head.out_features)
    raw.weight.copy_(head.weight / deviation)
    raw.bias.copy_(head.bias - raw.weight @ mean)
    return raw


def hierarchical_batches(train: Features, budget: Budget, seed: int) -> Iterator[Any]:
    """Rows of the batches of a run, without end."""
    sampler = HierarchicalSampler(
        train.labels, budget.batch_size, budget.group_sizes, seed=seed, rank=0, world_size=1
    )
    while True:
        yield from sampler


def step_loss(
    entrant: Entrant, loss_fn: nn.Module, miner: Any, embeddings: Tensor, labels: Tensor
) -> Tensor:
    """The loss of a batch, on the labels that the entrant sees.

    Args:
        entrant: what the loss is.
        loss_fn: the loss.
        miner: of its tuples; None for none.
        embeddings: (B, D).
        labels: (B, L), column 0 finest.
    """
    if not entrant.all_levels:
        labels = labels[:, 0]
    found = None if miner is None else miner(embeddings, labels)
    if labels.ndim == 2 and miner is not None:
        labels = labels[:, 0]  # the tuples say what is positive
    return loss_fn(embeddings, labels, found)


def learning_rate_factor(step: int, steps: int) -> float:
    """Linear warm-up, then a cosine to 0."""
    return (
        min(1.0, (step + 1) / max(1.0, WARM_UP * steps))
        * 0.5
        * (1 + math.cos(math.pi * step / max(1, steps)))
    )


@torch.no_grad()
def measure(head: nn.Module | None, test: Features) -> dict[str, float]:
    """Each image as a query against all others; means over the queries.

    Args:
        head: None measures the features of the trunk.
        test: held-out split.

    Returns:
        "h_ap", "ndcg", "asi", and for each level l "ap_l" and "r1_l".
    """
    embeddings: Tensor = test.views[:, 0] if head is None else head(test.views[:, 0])
    levels = range(test.labels.shape[1])
    names = {"h_ap": "hierarchical_average_precision", "ndcg": "ndcg", "asi": "asi"}
    names |= {f"ap_{level}": f"mean_average_precision_level{level}" for level in levels}
    names |= {f"r1_{level}": f"recall_at_1_level{level}" for level in levels}
    found = metrics.evaluate(embeddings, test.labels, metrics=list(names.values()), k=1).mean()
    return {short: found[name] for short, name in names.items()}

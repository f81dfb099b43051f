"""Training of the whole network instead of a head: fewer runs, each some hundred times as long."""

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from pml_suprank.integrations.fine_tuning import freeze_batch_norm
from pml_suprank.integrations.timm_backbones import build_models
from pml_suprank.recipes.leaderboards.entrants import Entrant, Problem
from pml_suprank.recipes.leaderboards.features import BACKBONE, Features, transforms
from pml_suprank.recipes.leaderboards.heads import Budget, learning_rate_factor, step_loss
from pml_suprank.recipes.seeding import seed_everything
from pml_suprank.samplers import HierarchicalSampler

__all__ = ["FullBudget", "embed", "fine_tune"]

LR_FACTORS = {"trunk": 1.0, "embedder": 3.0, "loss": 10.0}
"""Learning rates of the parts, as multiples of the run's."""


@dataclass(frozen=True)
class FullBudget(Budget):
    """What every loss gets alike where the trunk is trained, too."""

    steps: int = 150
    batch_size: int = 64
    trains_trunk: bool = True


def fine_tune(
    items: Any,
    entrant: Entrant,
    options: Mapping[str, Any],
    lr: float,
    seed: int,
    budget: FullBudget,
    image_size: int,
) -> tuple[nn.Module, float]:
    """Trunk and embedder trained with a loss, and the seconds that it took.

    Args:
        items: training split, an image data set.
        entrant: the loss.
        options: one of its settings.
        lr: learning rate of the trunk.
        seed: of the embedder, the batches and the augmentation.
        budget: the same for all.
        image_size: side in pixels.
    """
    seed_everything(seed)
    models = build_models(BACKBONE, budget.embedding_size, weights="packaged", channels_last=True)
    problem = Problem(items.hierarchy, budget.embedding_size)
    loss_fn = entrant.build(problem, options)
    miner = None if entrant.miner is None else entrant.miner(problem, options)
    parts = {**models, "loss": loss_fn}
    groups = [
        {"params": list(part.parameters()), "lr": lr * LR_FACTORS[name]}
        for name, part in parts.items()
        if any(True for _ in part.parameters())
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step, budget.steps)
    )
    sampler = HierarchicalSampler(
        items.labels, budget.batch_size, budget.group_sizes, batches_per_epoch=budget.steps,
        seed=seed, rank=0, world_size=1,
    )  # fmt: skip
    network = nn.Sequential(models["trunk"], models["embedder"]).train()
    freeze_batch_norm(models["trunk"])
    augment = transforms(models["trunk"], image_size)[0]
    start = perf_counter()
    seed_everything(seed, 1)
    for images, labels in DataLoader(items.with_transform(augment), batch_sampler=sampler):
        loss = step_loss(entrant, loss_fn, miner, network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval(), perf_counter() - start


@torch.no_grad()
def embed(network: nn.Module, items: Any, image_size: int) -> Features:
    """Embeddings of a split, in the form of features with one view."""
    plain = transforms(network[0], image_size)[1]  # type: ignore[index]
    rows = [network(batch[0]) for batch in DataLoader(items.with_transform(plain), batch_size=128)]
    return Features(torch.cat(rows)[:, None], items.labels, items.hierarchy)

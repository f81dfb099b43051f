"""Training of the whole network: a head on the frozen features first, then everything from there."""

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
from pml_suprank.recipes.leaderboards.heads import (
    Budget,
    learning_rate_factor,
    on_raw_features,
    step_loss,
    train_head,
)
from pml_suprank.recipes.seeding import seed_everything
from pml_suprank.samplers import HierarchicalSampler

__all__ = ["FullBudget", "embed", "fine_tune"]

LR_FACTORS = {"trunk": 1.0, "embedder": 3.0, "loss": 10.0}
"""Learning rates of the parts, as multiples of the run's."""


@dataclass(frozen=True)
class FullBudget(Budget):
    """What every loss gets alike where the trunk is trained, too.

    Attributes:
        probe_steps: of the head on the frozen features; then come ``steps`` of the whole network.
        probe_batch_size: of such a step.
        probe_lr: learning rate of the head on the frozen features.
    """

    steps: int = 150
    batch_size: int = 64
    probe_steps: int = Budget.steps
    probe_batch_size: int = Budget.batch_size
    probe_lr: float = 1e-3

    def probe(self) -> Budget:
        """The budget of the head on the frozen features."""
        return Budget(
            self.probe_steps, self.probe_batch_size, self.embedding_size, self.group_sizes
        )


def fine_tune(
    items: Any,
    features: Features,
    entrant: Entrant,
    options: Mapping[str, Any],
    lr: float,
    seed: int,
    budget: FullBudget,
    image_size: int,
) -> tuple[nn.Module, float]:
    """Trunk and embedder trained with a loss, and the seconds that both stages took.

    The embedder, and the proxies of a loss that has some, start where training on the frozen features left them. A
    random embedder would spoil the trunk before it has learnt anything, and random proxies hardly move in so few
    steps, though the trunk does.

    Args:
        items: training split, an image data set.
        features: the same images and augmented views as the frozen trunk sees them, not standardised.
        entrant: the loss.
        options: one of its settings.
        lr: learning rate of the trunk.
        seed: of the embedder, the batches and the augmentation.
        budget: the same for all.
        image_size: side in pixels.

    References:
        Kumar et al., Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution, arXiv
        2202.10054.
    """
    standardised = features.standardised(features)
    head, loss_fn, seconds = train_head(
        standardised, entrant, options, budget.probe_lr, seed, budget.probe()
    )
    trunk = build_models(BACKBONE, 1, weights="packaged", channels_last=True)["trunk"]
    parts = {"trunk": trunk, "embedder": on_raw_features(head, features), "loss": loss_fn}
    problem = Problem(items.hierarchy, budget.embedding_size)
    miner = None if entrant.miner is None else entrant.miner(problem, options)
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
    network = nn.Sequential(trunk, parts["embedder"]).train()
    freeze_batch_norm(trunk)
    augment = transforms(trunk, image_size)[0]
    start = perf_counter()
    seed_everything(seed, 1)
    for images, labels in DataLoader(items.with_transform(augment), batch_sampler=sampler):
        loss = step_loss(entrant, loss_fn, miner, network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval(), seconds + perf_counter() - start


@torch.no_grad()
def embed(network: nn.Module, items: Any, image_size: int) -> Features:
    """Embeddings of a split, in the form of features with one view."""
    plain = transforms(network[0], image_size)[1]  # type: ignore[index]
    rows = [network(batch[0]) for batch in DataLoader(items.with_transform(plain), batch_size=128)]
    return Features(torch.cat(rows)[:, None], items.labels, items.hierarchy)

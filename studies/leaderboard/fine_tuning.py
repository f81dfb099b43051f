"""Training of the whole network: a head on the frozen features first, then everything from there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pml_suprank.integrations.fine_tuning import freeze_batch_norm
from pml_suprank.integrations.timm_backbones import build_models
from studies.leaderboard.entrants import Entrant, Problem
from studies.leaderboard.features import BACKBONE, Features
from studies.leaderboard.heads import (
    PROXY_FACTOR,
    Budget,
    hierarchical_batches,
    on_raw_features,
    optimise,
    parameter_groups,
    step_loss,
    train_head,
)

__all__ = ["FullBudget", "embed", "fine_tune", "least_deviation", "train_network"]

EMBEDDER_FACTOR = 3.0
"""Learning rate of the embedder, as a multiple of the trunk's."""
LEAST_SHARE = 0.25
"""The least deviation that a feature is divided by, as a share of the mean deviation."""


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
            steps=self.probe_steps,
            batch_size=self.probe_batch_size,
            embedding_size=self.embedding_size,
            group_sizes=self.group_sizes,
        )


def fine_tune(
    images: Features,
    features: Features,
    entrant: Entrant,
    options: Mapping[str, Any],
    lr: float,
    seed: int,
    budget: FullBudget,
    *,
    backbone: str = BACKBONE,
) -> tuple[nn.Module, float]:
    """Trunk and embedder trained with a loss, and the seconds that both stages took.

    The embedder, and the proxies of a loss that has some, start where training on the frozen features left them.
    Nearly constant features are not scaled up for it: their weights would be so large that they lead the gradient of
    the trunk as soon as an augmented image moves them.

    Args:
        images: training split, every image and its augmented views.
        features: the same as the frozen trunk sees them, not standardised.
        entrant: the loss.
        options: one of its settings.
        lr: learning rate of the trunk.
        seed: of the embedder, the batches and the views.
        budget: the same for all.
        backbone: the trunk that the features are of.

    References:
        Kumar et al., Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution, arXiv
        2202.10054.
    """
    least = least_deviation(features)
    head, loss_fn, seconds = train_head(
        features.standardised(features, least),
        entrant,
        options,
        budget.probe_lr,
        seed,
        budget.probe(),
    )
    embedder = on_raw_features(head, features, least)
    network, more = train_network(
        images, embedder, loss_fn, entrant, options, lr, seed, budget, backbone
    )
    return network, seconds + more


def train_network(
    images: Features,
    embedder: nn.Linear,
    loss_fn: nn.Module,
    entrant: Entrant,
    options: Mapping[str, Any],
    lr: float,
    seed: int,
    budget: Budget,
    backbone: str = BACKBONE,
) -> tuple[nn.Module, float]:
    """Trunk and embedder trained with a loss from where they are, and the seconds that it took.

    Args:
        images: training split, every image and its augmented views.
        embedder: from the features of the trunk to embeddings.
        loss_fn: the loss; what it has of parameters is trained, too.
        entrant: what the loss is.
        options: its setting.
        lr: learning rate of the trunk.
        seed: of the batches and the views.
        budget: steps and batches.
        backbone: the trunk, which starts from its packaged weights.
    """
    trunk = build_models(backbone, 1, weights="packaged", channels_last=True)["trunk"]
    problem = Problem(images.hierarchy, budget.embedding_size)
    miner = None if entrant.miner is None else entrant.miner(problem, options)

    def batch_loss(embeddings: Tensor, rows: Tensor) -> Tensor:
        return step_loss(entrant, loss_fn, miner, embeddings, images.labels[rows])

    network = nn.Sequential(trunk, embedder).train()
    freeze_batch_norm(trunk)
    rates = {trunk: 1.0, embedder: EMBEDDER_FACTOR, loss_fn: PROXY_FACTOR}
    groups = parameter_groups(*((part, lr * factor) for part, factor in rates.items()))
    batches = hierarchical_batches(images, budget, seed)
    seconds = optimise(network, images, batch_loss, batches, groups, seed, budget.steps)
    return network.eval(), seconds


def least_deviation(features: Features) -> float:
    """What a feature is divided by at least, above 0."""
    _, deviation = features.statistics()
    return LEAST_SHARE * float(deviation.mean())


@torch.no_grad()
def embed(network: nn.Module, images: Features) -> Features:
    """Embeddings of the images of a split, in the form of features with one view."""
    rows = [network(batch.float()) for batch in images.views[:, 0].split(128)]
    return Features(torch.cat(rows)[:, None], images.labels, images.hierarchy)

"""What a query is ranked against: its batch, or more of the training set, in the ways that theory offers."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from studies.leaderboard.features import Features

__all__ = ["HALF_LIFE", "IDEALS", "MOMENTUM", "NUM_BATCHES", "REMEDIES", "References", "references"]

MOMENTUM = 0.9  # of the slow encoder, for a step
HALF_LIFE = 10  # steps after which an embedding counts half
NUM_BATCHES = 4  # of a large reference batch, the queries' own among them

IDEALS = (
    "batch, references detached",
    "whole set, embedded anew",
    "whole set, with gradient",
)
"""What a memory lacks, on its own: gradients of the references, and embeddings of the present weights. They take a pass
over the training set in each step, which frozen features allow."""
REMEDIES = (
    "whole set, momentum encoder",
    "whole memory, weights by age",
    "whole memory, positives alone",
    "whole memory, relatives alone",
    "four batches, with gradient",
)
"""What may make a memory of use beside hierarchical batches."""

References = Callable[[Tensor, Tensor], dict[str, Any]]
"""From embeddings (B, D) and rows (B,) of the training set to further arguments of a loss."""


def references(
    arm: str, head: nn.Module, train: Features, labels: Tensor, batches: Iterator[Any], seed: int
) -> References:
    """How an arm of :data:`IDEALS` or :data:`REMEDIES` finds the references of a batch.

    Args:
        arm: which.
        head: in training.
        train: training split.
        labels: of its rows, as the loss sees them.
        batches: of rows, from which a reference batch is drawn.
        seed: of views and of what is left out.
    """
    draw = torch.Generator().manual_seed(seed + 2_000_003)

    def views(rows: Tensor) -> Tensor:
        return train.views[rows, torch.randint(train.views.shape[1], (len(rows),), generator=draw)]

    if arm.startswith("whole memory"):
        return _Memory(arm, head, train, labels, draw)
    everything = torch.arange(len(labels))
    slow = None
    if arm == "whole set, momentum encoder":
        slow = AveragedModel(head, multi_avg_fn=get_ema_multi_avg_fn(MOMENTUM))

    def of_batch(embeddings: Tensor, rows: Tensor) -> dict[str, Any]:
        if arm == "batch, references detached":
            return _arguments(embeddings.detach().clone(), labels[rows], torch.arange(len(rows)))
        if arm == "four batches, with gradient":
            more = torch.cat([torch.as_tensor(each) for each in islice(batches, NUM_BATCHES - 1)])
            more = more.unique()
            more = more[~torch.isin(more, rows)]
            every = torch.cat([embeddings, head(views(more))])
            return _arguments(every, labels[torch.cat([rows, more])], torch.arange(len(rows)))
        if slow is not None:
            slow.update_parameters(head)
        encoder = head if slow is None else slow
        with torch.set_grad_enabled(arm == "whole set, with gradient"):
            every = encoder(views(everything)).index_copy(0, rows, embeddings)
        return _arguments(every, labels, rows)

    return of_batch


class _Memory:
    """The last embedding of each row, filled before the first step; a part of it is ranked."""

    def __init__(
        self, arm: str, head: nn.Module, train: Features, labels: Tensor, draw: torch.Generator
    ) -> None:
        self.arm, self.labels, self.draw = arm, labels, draw
        with torch.no_grad():
            self.stored = head(train.views[:, 0])
        self.age = torch.zeros(len(labels))

    def __call__(self, embeddings: Tensor, rows: Tensor) -> dict[str, Any]:
        self.stored[rows] = embeddings.detach()
        self.age += 1
        self.age[rows] = 0
        if self.arm == "whole memory, weights by age":  # kept by chance: so weighted, on average
            chance = 0.5 ** (self.age / HALF_LIFE)
            kept = (torch.rand(len(chance), generator=self.draw) < chance).nonzero().flatten()
            return _arguments(self.stored[kept], self.labels[kept], torch.searchsorted(kept, rows))
        levels = self.labels.view(len(self.labels), -1)
        of_class, of_tree = (levels[rows, None, level] == levels[:, level] for level in (0, -1))
        is_ranked = of_class if self.arm == "whole memory, positives alone" else of_tree.clone()
        is_ranked[:, rows] = True
        is_ranked[torch.arange(len(rows)), rows] = False  # a query is not its own positive
        positive = (is_ranked & of_tree).nonzero(as_tuple=True)
        negative = (is_ranked & ~of_tree).nonzero(as_tuple=True)
        found = _arguments(self.stored.clone(), self.labels, rows)
        return found | {"indices_tuple": (*positive, *negative)}


def _arguments(embeddings: Tensor, labels: Tensor, own: Tensor) -> dict[str, Any]:
    return {"ref_emb": embeddings, "ref_labels": labels, "self_indices": own}

"""The loss of a batch of embeddings: with miner, memory, captions and several processes."""

from typing import Any

import torch
from torch import Tensor, nn

from pml_suprank.losses import DatasetMemory, DistributedLossWrapper
from pml_suprank.pml import DistributedMinerWrapper
from pml_suprank.recipes.engine.components import (
    Context,
    build_loss,
    build_memory,
    build_miner,
)
from pml_suprank.recipes.engine.contrastive import CAPTION_LOSSES
from pml_suprank.recipes.engine.parsing import ConfigError
from pml_suprank.recipes.engine.settings import Settings

__all__ = ["Objective", "check_memory_size", "check_objective", "notes_of_memory"]


class Objective(nn.Module):
    """Loss of the embeddings of one process, times the number of processes.

    Averaged over the processes, as data-parallel training averages gradients, its gradient is that of one
    process with the whole batch. Where captions are trained, embeddings are those of the images, then those
    of their captions: both are queries and references of the loss, with the same labels.

    Args:
        settings: of the run.
        context: of the training data.
        processes: number of processes.

    Raises:
        ConfigError: a component that cannot be built.
    """

    def __init__(self, settings: Settings, context: Context, processes: int = 1):
        super().__init__()
        self.captions = settings.training.captions == "joint"
        self.num_samples = context.num_samples
        if self.captions:
            context = Context(context.hierarchy, context.embedding_size, 2 * context.num_samples)
        loss = build_loss(settings.loss, context)
        miner = build_miner(settings.miner, context)
        has_memory = settings.memory.kind != "none"
        loss = build_memory(settings.memory, loss, miner if has_memory else None, context)
        self.miner: Any = None if has_memory else miner
        self.by_index = isinstance(loss, DatasetMemory)  # gathers by itself
        self.loss: Any = loss
        if processes > 1 and not self.by_index:
            self.loss = DistributedLossWrapper(loss)
        if processes > 1 and self.miner is not None:
            self.miner = DistributedMinerWrapper(self.miner)

    def forward(self, embeddings: Tensor, labels: Tensor, indices: Tensor) -> Tensor:
        """The loss.

        Args:
            embeddings: [B, D], or [2 B, D] with captions.
            labels: [B, L] of the images.
            indices: [B], their places in the training set.
        """
        embeddings = embeddings.to(torch.promote_types(embeddings.dtype, torch.float32))
        labels = labels.to(embeddings.device)
        if self.captions:
            labels = torch.cat([labels, labels])
            indices = torch.cat([indices, indices + self.num_samples])
        if self.by_index:
            return self.loss(embeddings, labels, indices)
        if self.miner is not None:
            return self.loss(embeddings, labels, self.miner(embeddings, labels))
        return self.loss(embeddings, labels)


def check_memory_size(settings: Settings, batch_size: int) -> None:
    """Refuse a queue that is no multiple of the batch.

    Raises:
        ConfigError: it is none.
    """
    memory = settings.memory
    rows = batch_size * (2 if settings.training.captions == "joint" else 1)
    if memory.kind == "cross_batch":
        if memory.size < rows:
            raise ConfigError(f"memory.size: wanted at least the batch, {rows}, got {memory.size}")
        if memory.size % rows:
            low = memory.size // rows * rows
            raise ConfigError(
                f"memory.size: wanted a multiple of the batch, {rows}, got {memory.size}; "
                f"nearest: {low}, {low + rows}"
            )


def notes_of_memory(settings: Settings) -> list[str]:
    """What to say about a memory where it lowers H-AP, see docs/decomposability.md."""
    if settings.memory.kind == "none" or settings.sampler.kind != "hierarchical":
        return []
    return [
        f"memory.kind {settings.memory.kind} with sampler.kind hierarchical: a memory lowered H-AP of these batches on "
        "all data that it was measured on; wanted memory.kind none, or sampler.kind random"
    ]


def check_objective(settings: Settings, processes: int = 1) -> None:
    """What can be said about loss, miner and memory before any data is read.

    Raises:
        ConfigError: an unknown class or option, or parts that do not go together.
    """
    build_loss(settings.loss, None)
    build_miner(settings.miner, None)
    build_memory(settings.memory, None, None, None)
    memory, training = settings.memory, settings.training
    if training.batch_size is not None:
        check_memory_size(settings, training.batch_size)
    if (
        memory.kind == "dataset"
        and settings.data.on_error == "skip"
        and not settings.data.check_images
    ):
        raise ConfigError(
            "data.check_images: wanted true for memory.kind dataset with data.on_error skip, since an image that is "
            "shown in another's place can be in a batch twice; got false"
        )
    if settings.loss.name in CAPTION_LOSSES:
        if training.captions != "joint":
            raise ConfigError(
                f"training.captions: wanted joint for loss {settings.loss.name}, got {training.captions}"
            )
        if memory.kind != "none":
            raise ConfigError(
                f"memory.kind: wanted none for {settings.loss.name}, got {memory.kind}"
            )
    if training.captions == "joint" and settings.model.library != "open_clip":
        raise ConfigError(
            f"training.captions: wanted none for model.library {settings.model.library}, which has no text tower, "
            "got joint"
        )
    if training.captions == "joint" and settings.model.embedding_size is not None:
        raise ConfigError(
            "model.embedding_size: wanted null (and model.layer_norm false) for training.captions joint, so that "
            f"images and captions share a space, got {settings.model.embedding_size}"
        )
    if processes > 1 and settings.miner.name and memory.kind == "dataset":
        raise ConfigError("miner.name: wanted none for memory.kind dataset with several processes")

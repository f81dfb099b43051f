"""The model as the training loop sees it: one forward pass for images, and captions where there are any."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import Dataset

from pml_suprank.recipes.engine.parsing import ConfigError
from pml_suprank.recipes.engine.settings import Settings

__all__ = ["CaptionedItems", "JointModel", "check_two_passes"]


class JointModel(nn.Module):
    """Embeddings of images, then of their captions where the batch has any.

    Args:
        model: retrieval model; needs ``encode_text`` for captions.
    """

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, tokens: Tensor | None = None) -> Tensor:
        """[B, D] of images, or [2 B, D] with tokens [B, T]."""
        embeddings = self.model(images)
        if tokens is None:
            return embeddings
        return torch.cat([embeddings, self.model.encode_text(tokens)])


class CaptionedItems(Dataset[Any]):
    """(image, tokens [T], labels [L], index) of a data set with captions.

    Args:
        data: data set of (image, labels, index) with ``captions``.
        model: has ``tokenize``.

    Raises:
        ConfigError: the data set has no captions.
    """

    def __init__(self, data: Any, model: Any):
        captions = getattr(data, "captions", None)
        if captions is None:
            raise ConfigError(
                "training.captions: wanted none for a data set without captions, got joint"
            )
        self.data, self.hierarchy, self.labels = data, data.hierarchy, data.labels
        self.tokens = model.tokenize(list(captions))

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Any:
        image, labels, index = self.data[index]  # another index where a broken image was skipped
        return image, self.tokens[index], labels, index


def check_two_passes(settings: Settings, model: nn.Module) -> None:
    """Refuse two passes where the images of a batch see each other in the network.

    Raises:
        ConfigError: batch norm in training mode with micro-batches.
    """
    if settings.training.micro_batch_size is None or settings.model.freeze_batch_norm:
        return
    if any(isinstance(module, _BatchNorm) for module in model.modules()):
        raise ConfigError(
            "model.freeze_batch_norm: wanted true with training.micro_batch_size, for a model with batch norm: "
            "its statistics of a micro-batch are not those of the batch; got false"
        )

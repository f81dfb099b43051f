"""OpenCLIP's own contrastive loss between images and captions, in the shape of a PML loss."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from pml_suprank.integrations import require
from pml_suprank.pml import BaseMetricLossFunction, is_distributed

__all__ = ["CAPTION_LOSSES", "ClipLoss"]

CAPTION_LOSSES = ("ClipLoss",)
"""Losses that pair the image and the caption of a row, and do not look at labels."""

LARGEST_SCALE = math.log(100.0)


class ClipLoss(BaseMetricLossFunction):
    """Each image has to find its own caption among all, and each caption its image.

    Embeddings are images, then captions in the same order; with several processes, those of each process in
    turn, as ``DistributedLossWrapper`` gathers them.

    Args:
        temperature: start value; its inverse is a parameter, at most 100.

    References:
        Radford et al., Learning Transferable Visual Models From Natural Language Supervision, arXiv 2103.00020.
    """

    def __init__(self, temperature: float = 0.07) -> None:
        super().__init__()
        if not 0.01 <= temperature < math.inf:
            raise ValueError(f"temperature: wanted a number >= 0.01, got {temperature}")
        self.logit_scale = nn.Parameter(torch.tensor(-math.log(temperature)))
        open_clip: Any = require("open_clip", extra="open-clip")
        self.clip_loss = open_clip.loss.ClipLoss()

    def forward(self, embeddings: Tensor, labels: Any = None, *unused: Any) -> Tensor:
        """The mean of both directions.

        Args:
            embeddings: [2 B, D], for each process.
            labels: not used.
            *unused: what else PML passes.
        """
        processes = torch.distributed.get_world_size() if is_distributed() else 1
        images, captions = (
            embeddings.unflatten(0, (processes, 2, -1)).transpose(0, 1).flatten(1, 2).unbind()
        )
        normalize = nn.functional.normalize
        scale = self.logit_scale.clamp(max=LARGEST_SCALE).exp()
        return self.clip_loss(normalize(images, dim=-1), normalize(captions, dim=-1), scale)

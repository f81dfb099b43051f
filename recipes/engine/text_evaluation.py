"""Captions search images, and images search captions: the held-out images of a model with a text tower."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pml_suprank import metrics
from pml_suprank.recipes.devices import float64_device

__all__ = ["DIRECTIONS", "TEXT_METRICS", "distinct_captions", "reads_captions", "text_metrics"]

DIRECTIONS = {"text_to_image_": "text to image", "image_to_text_": "image to text"}
"""What the names of these metrics begin with, and what that says."""

TEXT_METRICS = ("hierarchical_average_precision", "mean_average_precision")
"""What is measured beside recall; the second of each level."""


def reads_captions(model: Any, data: Any) -> bool:
    """Whether a model has its texts in the space of its images, and a data set has captions."""
    return bool(getattr(model, "reads_text", False)) and any(getattr(data, "captions", None) or ())


def distinct_captions(data: Any) -> tuple[list[str], Tensor]:
    """Each caption that is not empty once for each class that it is of, and the labels [n, L] of these."""
    rows: dict[tuple[str, int], int] = {}
    for row, (caption, label) in enumerate(
        zip(data.captions, data.labels[:, 0].tolist(), strict=True)
    ):
        if caption.strip():
            rows.setdefault((caption, label), row)
    return [caption for caption, _ in rows], data.labels[list(rows.values())]


@torch.no_grad()
def text_metrics(
    model: Any,
    data: Any,
    images: tuple[Tensor, Tensor],
    gallery: tuple[Tensor, Tensor],
    *,
    recall_at: Sequence[int],
    batch_size: int = 64,
) -> dict[str, float]:
    """H-AP of the tree, AP and R@k of each level, both ways; an image and a caption match as two images do.

    Args:
        model: in evaluation mode, on one device.
        data: the held-out images, with ``captions`` and ``labels``.
        images: embeddings [N, D] and labels [N, L] of the images that search captions.
        gallery: the same of the images that captions search.
        recall_at: depths of recall.
        batch_size: captions embedded at a time.

    Returns:
        Name to mean; names begin with a key of :data:`DIRECTIONS`.
    """
    captions, labels = distinct_captions(data)
    device = next(model.parameters()).device
    parts = [
        model.encode_text(model.tokenize(captions[i : i + batch_size]).to(device))
        for i in range(0, len(captions), batch_size)
    ]
    home = float64_device(device)
    texts = (torch.cat(parts).float().to(home), labels.to(home))
    found: dict[str, float] = {}
    for prefix, queries, others in zip(DIRECTIONS, (texts, images), (gallery, texts), strict=True):
        arguments = [part.to(home) for part in (*queries, *others)]
        result = metrics.evaluate(
            *arguments, metrics=(*TEXT_METRICS, "recall_at_k"), k=tuple(recall_at), progress=False
        )
        found |= {prefix + name: value for name, value in result.mean().items()}
    return found

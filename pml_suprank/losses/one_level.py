"""Gives PML's own losses the label forms of this library, one hierarchy level at a time."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pml_suprank.checks import check_embeddings, checked_level
from pml_suprank.functional.operation import untraced
from pml_suprank.hierarchy import Hierarchy, as_level_labels
from pml_suprank.losses.cosine import with_direction_for
from pml_suprank.losses.rank_loss import check_references


class OneLevelMixin:
    """Put before a PML loss: takes 1-D or 2-D labels and hands it one column.

    Embeddings go to the loss in float32 at least, autocast or not.

    Args:
        level: label column to train on; 0 is the finest.
        hierarchy: expands 1-D labels to all levels.
        **kwargs: those of the PML loss.
    """

    def __init__(
        self, *args: Any, level: int = 0, hierarchy: Hierarchy | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.level = checked_level(level, None if hierarchy is None else hierarchy.num_levels)
        self.hierarchy = hierarchy

    @untraced
    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor | None = None,
        indices_tuple: Sequence[Tensor] | None = None,
        ref_emb: Tensor | None = None,
        ref_labels: Tensor | None = None,
        self_indices: Tensor | None = None,
    ) -> Tensor:
        """Return the reduced loss; see :meth:`pml_suprank.losses.QueryLoss.forward` for the arguments."""
        check_embeddings("embeddings", embeddings)
        if ref_emb is embeddings and (ref_labels is None or ref_labels is labels):
            ref_emb = ref_labels = None
        check_references(embeddings, ref_emb, ref_labels, needs_labels=indices_tuple is None)
        if ref_emb is not None:
            ref_labels = self._column("ref_labels", ref_labels, ref_emb)
        labels = self._column("labels", labels, embeddings)
        if self_indices is not None and indices_tuple is None:
            indices_tuple = pairs_without_self(labels, ref_labels, self_indices)
        with torch.autocast(device_type=embeddings.device.type, enabled=False):
            return super().forward(  # type: ignore[misc]
                self._rows(embeddings),
                labels,
                indices_tuple,
                None if ref_emb is None else self._rows(ref_emb),
                ref_labels,
            )

    def _rows(self, embeddings: Tensor) -> Tensor:
        distance = self.distance  # type: ignore[attr-defined]
        return with_direction_for(distance, at_least_float32(embeddings))

    def _column(self, name: str, labels: Tensor | None, embeddings: Tensor) -> Tensor | None:
        if labels is None:
            return None
        labels = as_level_labels(labels, self.hierarchy, name=name, length=len(embeddings))
        if self.level >= labels.shape[1]:
            raise ValueError(
                f"level: wanted one of the {labels.shape[1]} label columns of {name}, "
                f"got {self.level}"
            )
        return labels[:, self.level].to(embeddings.device)


def pairs_without_self(
    labels: Tensor | None, ref_labels: Tensor | None, self_indices: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return PML's tuple of all positive and negative pairs, but for a query and its own copy."""
    if labels is None or ref_labels is None or labels.ndim != 1:
        raise ValueError("labels: wanted 1-D labels and ref_labels to pair the queries with")
    same = labels.unsqueeze(1) == ref_labels
    query = (self_indices >= 0).nonzero().flatten()
    positive = same.clone()
    positive[query, self_indices[query]] = False
    a1, p = positive.nonzero(as_tuple=True)
    a2, n = (~same).nonzero(as_tuple=True)
    return a1, p, a2, n


def at_least_float32(tensor: Tensor) -> Tensor:
    """Return ``tensor`` in float32, or as it is if it is wider."""
    return tensor.to(torch.promote_types(torch.float32, tensor.dtype))

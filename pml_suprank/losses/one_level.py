"""Gives PML's own losses the label forms of this library, one hierarchy level at a time."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pml_suprank.checks import checked_level
from pml_suprank.functional.operation import untraced
from pml_suprank.hierarchy import Hierarchy
from pml_suprank.hierarchy.labels import checked_hierarchy, checked_ignore_index
from pml_suprank.losses.batch import Batch, level_batch, reduced
from pml_suprank.losses.pml_options import check_pml_options
from pml_suprank.losses.scores import at_least_float32, with_direction_for
from pml_suprank.losses.tuples import all_pairs_without_self, pairs_at_level, tuple_decides
from pml_suprank.losses.untrained import notice_untrained
from pml_suprank.pml import WeightMixin


class OneLevelMixin:
    """Put before a PML loss: takes 1-D or 2-D labels and hands it one column.

    Embeddings go to the loss in float32 at least, autocast or not. A tuple decides which pairs are positive, as in PML;
    but pairs whose labels have several levels are positive where they share the loss's, as for the rank losses.

    Args:
        level: label column to train on; 0 is the finest.
        hierarchy: the class tree; gives 1-D labels all their levels.
        ignore_index: finest label of the samples that take no part, such as -1; None for none.
        **kwargs: those of the PML loss.
    """

    def __init__(
        self,
        *args: Any,
        level: int = 0,
        hierarchy: Hierarchy | None = None,
        ignore_index: int | None = None,
        **kwargs: Any,
    ) -> None:
        check_pml_options(kwargs)
        super().__init__(*args, **kwargs)
        self.hierarchy = checked_hierarchy(hierarchy)
        self.level = checked_level(level, None if hierarchy is None else hierarchy.num_levels)
        self.ignore_index = checked_ignore_index(ignore_index)

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
        batch = level_batch(
            self,
            embeddings,
            labels,
            indices_tuple,
            ref_emb,
            ref_labels,
            self_indices,
            needs_ref_labels=indices_tuple is None,
            finds_own=ref_emb is embeddings and not isinstance(self, WeightMixin),
        )
        notice_untrained(self)
        column, ref_column, pairs = self._columns(batch)
        if batch.ref_emb is not None and batch.self_indices is not None and pairs is None:
            pairs = all_pairs_without_self(column, ref_column, batch.self_indices)
        queries = self._rows(batch.embeddings)
        references = None if batch.ref_emb is None else self._rows(batch.ref_emb)
        if references is not None and references.dtype != queries.dtype:
            queries, references = queries.double(), references.double()
        with torch.autocast(device_type=embeddings.device.type, enabled=False):
            if batch.rows is None:
                return super().forward(  # type: ignore[misc]
                    queries, column, pairs, references, ref_column
                )
            return self._reduced(batch, embeddings, queries, column, pairs, references, ref_column)

    def _rows(self, embeddings: Tensor) -> Tensor:
        distance = self.distance  # type: ignore[attr-defined]
        return with_direction_for(distance, at_least_float32(embeddings))

    def _reduced(
        self,
        batch: Batch,
        embeddings: Tensor,
        queries: Tensor,
        column: Tensor | None,
        pairs: Sequence[Tensor] | None,
        references: Tensor | None,
        ref_column: Tensor | None,
    ) -> Tensor:
        """Do what PML's ``forward`` does, for a part of the batch."""
        loss: Any = self
        loss.reset_stats()
        if batch.is_empty:
            loss_dict = loss.zero_losses()
        else:
            if references is None:
                references, ref_column = queries, column
            loss_dict = loss.compute_loss(queries, column, pairs, references, ref_column)
        if len(queries):
            loss.add_embedding_regularization_to_loss_dict(loss_dict, queries)
        batch = batch._replace(embeddings=queries)
        return reduced(loss, loss_dict, batch, at_least_float32(embeddings), column)

    def _columns(
        self, batch: Batch
    ) -> tuple[Tensor | None, Tensor | None, Sequence[Tensor] | None]:
        """Return the label column of queries and of references, and the tuple as the labels have it."""
        labels, ref_labels = batch.labels, batch.ref_labels
        column = None if labels is None else self._column("labels", labels)
        pairs: Sequence[Tensor] | None = batch.indices_tuple
        takes_pairs = pairs is not None and not isinstance(self, WeightMixin)  # but no weights
        if takes_pairs and not tuple_decides(labels, ref_labels):
            assert pairs is not None
            assert labels is not None
            assert ref_labels is not None
            pairs = pairs_at_level(pairs, labels, ref_labels, self.level)
        if batch.ref_emb is None or ref_labels is None:
            return column, None, pairs
        return column, self._column("ref_labels", ref_labels), pairs

    def _column(self, name: str, labels: Tensor) -> Tensor:
        if self.level >= labels.shape[1]:
            raise ValueError(
                f"level: wanted one of the {labels.shape[1]} label columns of {name}, "
                f"got {self.level}"
            )
        return labels[:, self.level]

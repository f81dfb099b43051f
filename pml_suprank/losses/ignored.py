"""A batch, and what is left of it without the samples that a loss, a miner or a memory is to ignore.

They are taken out before anything else: what is left is a batch that never held them, so that values and gradients are
those of that batch. Pairs and triplets of a tuple with an ignored member go with it. What comes out by index is put
back under the indices of the whole batch.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pml_suprank.hierarchy.labels import ignored_rows, label_tensor
from pml_suprank.losses.tuples import of_kept, per_member
from pml_suprank.pml import PerAnchorReducer


class Batch(NamedTuple):
    """The arguments of a PML loss, and which of the samples given they are."""

    embeddings: Tensor
    labels: Any
    indices_tuple: tuple[Tensor, ...] | None
    ref_emb: Tensor | None
    """None where the batch is its own reference set."""
    ref_labels: Any
    self_indices: Tensor | None
    rows: Tensor | None = None
    """(B',) places of the queries left, among those given; None where all are left."""
    ref_rows: Tensor | None = None
    """(N',) likewise for the references."""
    is_empty: bool = False
    """Whether all queries or all references were taken out."""


def without_ignored(batch: Batch, ignore_index: int) -> Batch:
    """Return a batch without the samples whose finest label is ``ignore_index``."""
    embeddings, labels, pairs, ref_emb, ref_labels, self_indices = batch[:6]
    shape = len(embeddings), len(embeddings if ref_emb is None else ref_emb)
    device = embeddings.device
    labels, kept = _kept("labels", labels, shape[0], ignore_index, device)
    kept_refs = kept
    if ref_emb is not None:
        ref_labels, kept_refs = _kept("ref_labels", ref_labels, shape[1], ignore_index, device)
    rows, ref_rows = kept.nonzero().flatten(), kept_refs.nonzero().flatten()
    if (len(rows), len(ref_rows)) == shape:
        return batch._replace(labels=labels, ref_labels=ref_labels)
    if pairs is not None:
        pairs = of_kept(pairs, kept, kept_refs)
    if self_indices is not None:
        own = self_indices.to(device)[rows]
        there = (own >= 0) & kept_refs[own.clamp(min=0)]
        self_indices = torch.where(there, (kept_refs.cumsum(0) - 1)[own.clamp(min=0)], -1)
    if ref_emb is not None:
        ref_emb = ref_emb[ref_rows]
        ref_labels = None if ref_labels is None else ref_labels[ref_rows.to(ref_labels.device)]
    if labels is not None:
        labels = labels[rows.to(labels.device)]
    is_empty = not len(rows) or not len(ref_rows)
    left = embeddings[rows], labels, pairs, ref_emb, ref_labels, self_indices, rows, ref_rows
    return Batch(*left, is_empty)


def _kept(
    name: str, labels: Any, length: int, ignore_index: int, device: torch.device
) -> tuple[Tensor | None, Tensor]:
    """Return the labels as a tensor, and which samples are left."""
    if labels is None:
        return None, torch.ones(length, dtype=torch.bool, device=device)
    labels = label_tensor(labels, name=name, length=length)
    if labels.ndim == 2 and not labels.shape[1]:
        return labels, torch.ones(length, dtype=torch.bool, device=device)  # refused later on
    ignored = ignored_rows(labels, ignore_index)
    assert ignored is not None
    return labels, ~ignored.to(device)


def in_whole_batch(indices: Sequence[Tensor], batch: Batch) -> tuple[Tensor, ...]:
    """Return a tuple of queries and references under the indices of all samples that were given."""
    if batch.rows is None or batch.ref_rows is None:
        return tuple(indices)
    rows = per_member(indices, batch.rows, batch.ref_rows)
    return tuple(whole[column] for column, whole in zip(indices, rows, strict=True))


def reduced_in_whole_batch(
    loss_fn: Any,
    loss_dict: dict[str, dict[str, Any]],
    batch: Batch,
    embeddings: Tensor,
    labels: Tensor | None,
) -> Tensor:
    """Return what the reducer makes of the losses of a part; see :func:`pml_suprank.losses.batch.reduced`."""
    assert batch.rows is not None
    if any(isinstance(part, PerAnchorReducer) for part in loss_fn.reducer.modules()):
        # it averages over all anchors that it is given
        return loss_fn.reducer(loss_dict, batch.embeddings, labels)
    whole = {}
    for name, entry in loss_dict.items():
        indices = entry["indices"]
        if torch.is_tensor(indices):
            indices = batch.rows[indices]
        elif indices is not None:
            indices = in_whole_batch(indices, batch)
        whole[name] = entry | {"indices": indices}
    if labels is not None:
        all_labels = labels.new_full((len(embeddings),), loss_fn.ignore_index)
        labels = all_labels.index_copy(0, batch.rows, labels)
    return loss_fn.reducer(whole, embeddings, labels)

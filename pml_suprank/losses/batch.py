"""What a loss or a miner is given, checked; and what PML's reducer makes of the losses that come out."""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pml_suprank.checks import check_embeddings, demand, look_now, one_look
from pml_suprank.hierarchy import Hierarchy
from pml_suprank.hierarchy.labels import as_joint_labels, as_level_labels
from pml_suprank.losses.ignored import Batch, reduced_in_whole_batch, without_ignored
from pml_suprank.losses.tuples import checked_tuple

__all__ = [
    "Batch",
    "check_references",
    "checked_batch",
    "level_batch",
    "reduced",
]


def level_batch(
    owner: Any,
    embeddings: Tensor,
    labels: Any,
    indices_tuple: Sequence[Any] | None,
    ref_emb: Tensor | None,
    ref_labels: Any,
    self_indices: Tensor | None,
    *,
    needs_ref_labels: bool = False,
    finds_own: bool = True,
) -> Batch:
    """Return a batch without its ignored samples, with labels (B, L) and (N, L) that are a tree together.

    Where the batch is its own reference set, ``ref_labels`` are ``labels``.

    Args:
        owner: a loss, with ``hierarchy`` and ``ignore_index``. It warns once where queries are their own positives.
        embeddings: as for :func:`checked_batch`, and so on to ``finds_own``.
        labels: see there.
        indices_tuple: see there.
        ref_emb: see there.
        ref_labels: see there.
        self_indices: see there.
        needs_ref_labels: see there.
        finds_own: see there.

    Raises:
        ValueError: see there; labels of the wrong form, or no tree.
    """
    with one_look():
        batch = checked_batch(
            embeddings,
            labels,
            indices_tuple,
            ref_emb,
            ref_labels,
            self_indices,
            ignore_index=owner.ignore_index,
            needs_ref_labels=needs_ref_labels,
            finds_own=finds_own,
        )
        labels, ref_labels = _level_labels(batch, owner.hierarchy)
    batch = batch._replace(labels=labels, ref_labels=ref_labels)
    _warn_of_own_copies(owner, batch)
    return batch


def checked_batch(
    embeddings: Tensor,
    labels: Any,
    indices_tuple: Sequence[Any] | None = None,
    ref_emb: Tensor | None = None,
    ref_labels: Any = None,
    self_indices: Tensor | None = None,
    *,
    ignore_index: int | None = None,
    needs_ref_labels: bool = False,
    finds_own: bool = False,
) -> Batch:
    """Return a batch without its ignored samples.

    Args:
        embeddings: (B, D).
        labels: in any of the three forms, or None.
        indices_tuple: triplets or pairs, whose second members index the references.
        ref_emb: (N, D), or None for the batch itself.
        ref_labels: of the references.
        self_indices: (B,), the place of each query among the references, -1 for nowhere.
        ignore_index: finest label of the samples to leave out; None for none.
        needs_ref_labels: whether references go with labels.
        finds_own: set ``self_indices`` where the references are the embeddings.

    Raises:
        ValueError: embeddings that are empty, not finite or not of one width, a malformed tuple, references without
            labels that need them; labels of the wrong form, where some are ignored.
    """
    check_embeddings("embeddings", embeddings)
    check_references(embeddings, ref_emb, ref_labels, needs_labels=needs_ref_labels)
    shape = len(embeddings), len(embeddings if ref_emb is None else ref_emb)
    pairs = None
    if indices_tuple is not None:
        pairs = checked_tuple(indices_tuple, shape, embeddings.device)
    if finds_own and (ref_emb is None or ref_emb is embeddings):
        self_indices = torch.arange(len(embeddings), device=embeddings.device)
    elif self_indices is not None:
        self_indices = _checked_self_indices(self_indices, embeddings, shape[1])
    if ref_emb is embeddings and (ref_labels is None or ref_labels is labels):
        ref_emb = ref_labels = None
    batch = Batch(embeddings, labels, pairs, ref_emb, ref_labels, self_indices)
    if ignore_index is None:
        return batch
    look_now()  # the indices are put to use
    return without_ignored(batch, ignore_index)


def _checked_self_indices(self_indices: Any, embeddings: Tensor, num_refs: int) -> Tensor:
    """Return the places on the device of the embeddings, or raise a ValueError unless they are places."""

    def complain() -> None:
        got = self_indices
        if torch.is_tensor(got):
            got = f"{got.dtype} of shape {tuple(got.shape)}, {got.min()}..{got.max()}"
        raise ValueError(
            f"self_indices: wanted int64 of shape ({len(embeddings)},), each -1 or an index of one of "
            f"the {num_refs} references, got {got}"
        )

    is_long = torch.is_tensor(self_indices) and self_indices.dtype == torch.long
    demand(is_long and self_indices.shape == (len(embeddings),), complain)
    least, largest = self_indices.aminmax()
    demand((least >= -1) & (largest < num_refs), complain)
    return self_indices.to(embeddings.device)


def _level_labels(batch: Batch, hierarchy: Hierarchy | None) -> tuple[Tensor | None, Tensor | None]:
    """Return the labels of queries and of references as (B, L) and (N, L), a tree together; None for none."""
    device = batch.embeddings.device
    num_queries = len(batch.embeddings)
    if batch.ref_emb is None:
        if batch.labels is None:
            return None, None
        labels = as_level_labels(batch.labels, hierarchy, length=num_queries).to(device)
        return labels, labels
    lengths = num_queries, len(batch.ref_emb)
    if batch.labels is not None and batch.ref_labels is not None:
        both = as_joint_labels(batch.labels, batch.ref_labels, hierarchy, lengths=lengths)
        return both[0].to(device), both[1].to(device)
    alone = []
    for name, values, length in zip(
        ("labels", "ref_labels"), (batch.labels, batch.ref_labels), lengths, strict=True
    ):
        if values is not None:
            values = as_level_labels(values, hierarchy, name=name, length=length).to(device)
        alone.append(values)
    return alone[0], alone[1]


def check_references(
    embeddings: Tensor,
    ref_emb: Tensor | None,
    ref_labels: Any,
    *,
    needs_labels: bool = False,
) -> None:
    """Raise a ValueError unless ``ref_emb`` is None or can be ranked for ``embeddings``."""
    if ref_emb is None:
        if ref_labels is not None:
            raise ValueError("ref_labels: wanted None without ref_emb, got labels")
        return
    check_embeddings("ref_emb", ref_emb)
    if ref_emb.shape[1] != embeddings.shape[1]:
        raise ValueError(
            f"ref_emb: wanted {embeddings.shape[1]} dimensions as in embeddings, "
            f"got {ref_emb.shape[1]}"
        )
    if ref_emb.device != embeddings.device:
        raise ValueError(
            f"ref_emb: wanted the device of embeddings {embeddings.device}, got {ref_emb.device}"
        )
    if needs_labels and ref_labels is None and ref_emb is not embeddings:
        raise ValueError("ref_labels: wanted the labels of ref_emb, got None")


def reduced(
    loss_fn: Any,
    loss_dict: dict[str, dict[str, Any]],
    batch: Batch,
    embeddings: Tensor,
    labels: Tensor | None,
) -> Tensor:
    """Return what the reducer of a loss makes of its dictionary, whose indices become those of the whole batch.

    Args:
        loss_fn: the loss.
        loss_dict: PML's.
        batch: what the losses are of.
        embeddings: (B, D), all samples that were given.
        labels: (B',), one column of labels, of the samples left.
    """
    if batch.rows is not None:
        return reduced_in_whole_batch(loss_fn, loss_dict, batch, embeddings, labels)
    return loss_fn.reducer(loss_dict, batch.embeddings, labels)


def _warn_of_own_copies(owner: Any, batch: Batch) -> None:
    """Warn if the first references are the queries, by place and label: each would be its own positive.

    Looks once for an ``owner``, at the first references that could be: later calls cost nothing. (Miners do not warn:
    PML's memory and wrappers take such pairs out after the mining.)
    """
    queries, references = batch.embeddings, batch.ref_emb
    labels, ref_labels = batch.labels, batch.ref_labels
    if references is None or batch.self_indices is not None or batch.indices_tuple is not None:
        return
    if getattr(owner, "has_seen_references", False) or getattr(owner, "include_self", False):
        return
    count = len(queries)
    if not 0 < count <= len(references) or labels is None or ref_labels is None:
        return
    if torch.compiler.is_compiling():
        return
    owner.has_seen_references = True
    if references.dtype != queries.dtype or not torch.equal(references[:count], queries):
        return
    if torch.equal(ref_labels[:count], labels):
        warnings.warn(
            f"{type(owner).__name__}: the first {count} rows of ref_emb are the embeddings, so that each query is its "
            "own positive. Leave ref_emb out where the batch is the reference set, or give "
            "self_indices=torch.arange(len(embeddings)), the place of each query among the references",
            stacklevel=4,
        )

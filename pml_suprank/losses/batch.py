"""What a loss or a miner is given, checked, and without the samples that it is to ignore.

Ignored samples are taken out before anything else: what is left is a batch that never held them, so that values and
gradients are those of that batch. Pairs and triplets of a tuple with an ignored member go with it. What comes out by
index is put back under the indices of the whole batch.
"""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pml_suprank.checks import check_embeddings, demand, look_now
from pml_suprank.hierarchy import Hierarchy
from pml_suprank.hierarchy.labels import (
    as_joint_labels,
    as_level_labels,
    ignored_rows,
    index_tensor,
    label_tensor,
)
from pml_suprank.pml import PerAnchorReducer

__all__ = [
    "Batch",
    "check_references",
    "checked_batch",
    "checked_tuple",
    "in_whole_batch",
    "level_labels",
    "reduced",
    "warn_of_own_copies",
]


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

    @property
    def is_empty(self) -> bool:
        """Whether no query or no reference is left."""
        return not len(self.embeddings) or (self.ref_emb is not None and not len(self.ref_emb))


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
    checks_own: bool = False,
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
        checks_own: check ``self_indices`` where they are given.

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
    elif checks_own and self_indices is not None:
        self_indices = _checked_self_indices(self_indices, embeddings, shape[1])
    if ref_emb is embeddings and (ref_labels is None or ref_labels is labels):
        ref_emb = ref_labels = None
    batch = Batch(embeddings, labels, pairs, ref_emb, ref_labels, self_indices)
    if ignore_index is None:
        return batch
    look_now()  # the indices are put to use
    return _without_ignored(batch, shape, ignore_index)


def _without_ignored(batch: Batch, shape: tuple[int, int], ignore_index: int) -> Batch:
    embeddings, labels, pairs, ref_emb, ref_labels, self_indices = batch[:6]
    device = embeddings.device
    labels, kept = _kept("labels", labels, shape[0], ignore_index, device)
    kept_refs = kept
    if ref_emb is not None:
        ref_labels, kept_refs = _kept("ref_labels", ref_labels, shape[1], ignore_index, device)
    rows, ref_rows = kept.nonzero().flatten(), kept_refs.nonzero().flatten()
    if (len(rows), len(ref_rows)) == shape:
        return batch._replace(labels=labels, ref_labels=ref_labels)
    place, ref_place = kept.cumsum(0) - 1, kept_refs.cumsum(0) - 1
    if pairs is not None:
        columns = list(zip(pairs, _members(pairs, (kept, kept_refs)), strict=True))
        places = _members(pairs, (place, ref_place))
        left = []
        for start, stop in [(0, 3)] if len(pairs) == 3 else [(0, 2), (2, 4)]:
            whole = torch.stack([mask[index] for index, mask in columns[start:stop]]).all(0)
            left += [
                new[index[whole]]
                for (index, _), new in zip(columns[start:stop], places[start:stop], strict=True)
            ]
        pairs = tuple(left)
    if self_indices is not None:
        own = self_indices.to(device)[rows]
        there = (own >= 0) & kept_refs[own.clamp(min=0)]
        self_indices = torch.where(there, ref_place[own.clamp(min=0)], -1)
    if ref_emb is not None:
        ref_emb = ref_emb[ref_rows]
        ref_labels = None if ref_labels is None else ref_labels[ref_rows.to(ref_labels.device)]
    if labels is not None:
        labels = labels[rows.to(labels.device)]
    return Batch(embeddings[rows], labels, pairs, ref_emb, ref_labels, self_indices, rows, ref_rows)


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


def _members(indices_tuple: Sequence[Any], both: tuple[Tensor, Tensor]) -> list[Tensor]:
    """Return for each column of a tuple the entry of queries or of references that it is about."""
    queries, references = both
    if len(indices_tuple) == 3:
        return [queries, references, references]
    return [queries, references] * (len(indices_tuple) // 2)


def checked_tuple(
    indices_tuple: Sequence[Any], shape: tuple[int, int], device: torch.device
) -> tuple[Tensor, ...]:
    """Return triplets or pairs as int64 on a device, whose members are in ``shape``, (B, N), or raise a ValueError."""
    if len(indices_tuple) not in (3, 4):
        raise ValueError(
            f"indices_tuple: wanted 3 tensors of triplets or 4 of pairs, got {len(indices_tuple)}"
        )
    columns = tuple(
        index_tensor(column, f"indices_tuple[{place}]").to(device)
        for place, column in enumerate(indices_tuple)
    )
    pairs = [columns] if len(columns) == 3 else [columns[:2], columns[2:]]
    for group in pairs:
        lengths = [len(column) if column.ndim == 1 else tuple(column.shape) for column in group]
        if len(set(lengths)) > 1 or any(column.ndim != 1 for column in group):
            raise ValueError(
                "indices_tuple: wanted pairs of equal length, got "
                + " and ".join(map(str, lengths))
            )
    for column, side in zip(columns, _sides(columns), strict=True):
        if len(column):
            _demand_indices(column, shape[side])
    return columns


def _demand_indices(column: Tensor, size: int) -> None:
    least, largest = column.aminmax()

    def complain() -> None:
        raise ValueError(
            f"indices_tuple: wanted indices in 0..{size - 1}, got {int(least)}..{int(largest)}"
        )

    if column.device.type == "cpu":
        demand(int(least) >= 0 and int(largest) < size, complain)
    else:
        demand((least >= 0) & (largest < size), complain)


def _sides(columns: Sequence[Tensor]) -> list[int]:
    """Return 0 for a column of queries, 1 for one of references."""
    return [0, 1, 1] if len(columns) == 3 else [0, 1, 0, 1]


def _checked_self_indices(self_indices: Any, embeddings: Tensor, num_refs: int) -> Tensor:

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


def level_labels(batch: Batch, hierarchy: Hierarchy | None) -> tuple[Tensor | None, Tensor | None]:
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


def in_whole_batch(indices: Sequence[Tensor], batch: Batch) -> tuple[Tensor, ...]:
    """Return a tuple of queries and references under the indices of all samples that were given."""
    if batch.rows is None or batch.ref_rows is None:
        return tuple(indices)
    rows = _members(indices, (batch.rows, batch.ref_rows))
    return tuple(whole[column] for column, whole in zip(indices, rows, strict=True))


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
    per_anchor = any(isinstance(part, PerAnchorReducer) for part in loss_fn.reducer.modules())
    if batch.rows is None or per_anchor:  # which averages over all anchors that it is given
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
        labels = labels.new_full((len(embeddings),), loss_fn.ignore_index).index_copy(
            0, batch.rows, labels
        )
    return loss_fn.reducer(whole, embeddings, labels)


def warn_of_own_copies(
    owner: Any, batch: Batch, labels: Tensor | None, ref_labels: Tensor | None
) -> None:
    """Warn if the first references are the queries, by place and label: each would be its own positive.

    Looks once for an ``owner``, at the first references that could be: later calls cost nothing.

    Args:
        owner: a loss. (Miners do not warn: PML's memory and wrappers take such pairs out after the mining.)
        batch: what it is given.
        labels: (B,) or (B, L).
        ref_labels: likewise.
    """
    queries, references = batch.embeddings, batch.ref_emb
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
            stacklevel=3,
        )

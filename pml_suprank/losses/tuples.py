"""What a miner's tuple says: triplets or pairs, whose second members index the references.

Where labels tell no more than one level, or there are none, the tuple says which pairs are positive, as in PML.
Labels of several levels say how related a pair is, for all losses alike, so that a miner on the finest classes narrows
a loss on a coarser level; pairs that they contradict are an error.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pml_suprank.checks import demand
from pml_suprank.hierarchy.labels import index_tensor

Pairs = tuple[Tensor, Tensor, Tensor, Tensor]
"""PML's pairs: queries and their positives, queries and their negatives."""


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
    for group in _groups(columns):
        lengths = [len(column) if column.ndim == 1 else tuple(column.shape) for column in group]
        if len(set(lengths)) > 1 or any(column.ndim != 1 for column in group):
            raise ValueError(
                "indices_tuple: wanted pairs of equal length, got "
                + " and ".join(map(str, lengths))
            )
    for column, size in zip(columns, per_member(columns, *shape), strict=True):
        if len(column):
            _demand_indices(column, size)
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


def _groups(columns: Sequence[Any]) -> list[Sequence[Any]]:
    """Return triplets as one group of columns that belong together, pairs as two."""
    return [columns] if len(columns) == 3 else [columns[:2], columns[2:]]


def per_member(indices_tuple: Sequence[Any], of_queries: Any, of_references: Any) -> list[Any]:
    """Return for each column of a tuple the entry of queries or of references that it is about."""
    if len(indices_tuple) == 3:
        return [of_queries, of_references, of_references]
    return [of_queries, of_references] * (len(indices_tuple) // 2)


def of_kept(indices_tuple: Sequence[Tensor], kept: Tensor, kept_refs: Tensor) -> tuple[Tensor, ...]:
    """Return the pairs or triplets whose members are all kept, as places among those kept.

    Args:
        indices_tuple: triplets or pairs.
        kept: (B,), which queries are.
        kept_refs: (N,), which references are.
    """
    masks = per_member(indices_tuple, kept, kept_refs)
    places = per_member(indices_tuple, kept.cumsum(0) - 1, kept_refs.cumsum(0) - 1)
    found: list[Tensor] = []
    for group in _groups(list(zip(indices_tuple, masks, places, strict=True))):
        whole = torch.stack([mask[members] for members, mask, _ in group]).all(dim=0)
        found += [place[members[whole]] for members, _, place in group]
    return tuple(found)


def as_pairs(indices_tuple: Sequence[Tensor]) -> Pairs:
    """Return triplets or pairs as pairs."""
    if len(indices_tuple) == 3:
        anchor, positive, negative = indices_tuple
        return anchor, positive, anchor, negative
    query, positive, other_query, negative = indices_tuple
    return query, positive, other_query, negative


def without_self(indices_tuple: Sequence[Tensor], self_indices: Tensor) -> Sequence[Tensor]:
    """Return pairs or triplets without those whose positive is the query itself."""
    query, positive, *rest = indices_tuple
    kept = self_indices[query] != positive
    if len(indices_tuple) == 3:
        return [members[kept] for members in indices_tuple]
    return query[kept], positive[kept], *rest


def of_slots(indices_tuple: Sequence[Tensor], slots: Tensor) -> Pairs:
    """Return a batch's tuple as pairs whose second members are the slots (B,) of the batch in a memory."""
    query, positive, other_query, negative = as_pairs(indices_tuple)
    return query, slots[positive], other_query, slots[negative]


def outside_slots(indices_tuple: Sequence[Tensor], slots: Tensor, num_slots: int) -> Pairs:
    """Return pairs without those whose second member is one of ``slots``."""
    older = torch.ones(num_slots, dtype=torch.bool, device=slots.device)
    older[slots] = False
    query, positive, other_query, negative = indices_tuple
    kept = older[positive], older[negative]
    return query[kept[0]], positive[kept[0]], other_query[kept[1]], negative[kept[1]]


def all_pairs_without_self(
    labels: Tensor | None, ref_labels: Tensor | None, self_indices: Tensor
) -> Pairs:
    """Return all positive and negative pairs, but for a query and its own copy.

    Args:
        labels: (B,).
        ref_labels: (N,).
        self_indices: (B,), where each query stands among the references, -1 for nowhere.
    """
    if labels is None or ref_labels is None or labels.ndim != 1:
        raise ValueError("labels: wanted 1-D labels and ref_labels to pair the queries with")
    same = labels.unsqueeze(1) == ref_labels
    query = (self_indices >= 0).nonzero().flatten()
    positive = same.clone()
    positive[query, self_indices[query]] = False
    a1, p = positive.nonzero(as_tuple=True)
    a2, n = (~same).nonzero(as_tuple=True)
    return a1, p, a2, n


def tuple_decides(labels: Tensor | None, ref_labels: Tensor | None) -> bool:
    """Whether a tuple says which pairs are positive: where the labels tell no more than one level, as in PML."""
    return labels is None or ref_labels is None or labels.shape[1] == 1


def pairs_at_level(
    indices_tuple: Sequence[Tensor], labels: Tensor, ref_labels: Tensor, level: int
) -> Sequence[Tensor]:
    """Return a tuple whose pairs are positive where the labels of a level say so; as it is where all are.

    Args:
        indices_tuple: triplets or pairs.
        labels: (B, L), L > 1, a tree.
        ref_labels: (N, L).
        level: the label column.

    Raises:
        ValueError: the labels contradict a pair, see :func:`check_agreement`.
    """
    check_agreement(indices_tuple, labels, ref_labels)
    query, positive, other_query, negative = as_pairs(indices_tuple)
    related = labels[query, level] == ref_labels[positive, level]
    same = labels[other_query, level] == ref_labels[negative, level]
    if not bool(torch.cat([~related, same]).any()):
        return indices_tuple
    query, item = torch.cat([query, other_query]), torch.cat([positive, negative])
    is_positive = torch.cat([related, same])
    return query[is_positive], item[is_positive], query[~is_positive], item[~is_positive]


def check_agreement(indices_tuple: Sequence[Tensor], labels: Tensor, ref_labels: Tensor) -> None:
    """Raise unless positive pairs share a level, and negative pairs do not share the finest.

    Args:
        indices_tuple: triplets or pairs.
        labels: (B, L), L > 1, a tree.
        ref_labels: (N, L).

    Raises:
        ValueError: names the first pair that the labels contradict.
    """
    query, positive, other_query, negative = as_pairs(indices_tuple)
    unrelated = labels[query, -1] != ref_labels[positive, -1]
    same = labels[other_query, 0] == ref_labels[negative, 0]
    if not bool(torch.cat([unrelated, same]).any()):
        return
    if bool(unrelated.any()):
        first = int(unrelated.nonzero()[0])
        pair, kind, what = (int(query[first]), int(positive[first])), "positive", "share no level"
    else:
        first = int(same.nonzero()[0])
        pair, kind = (int(other_query[first]), int(negative[first])), "negative"
        what = "are of one class"
    raise ValueError(
        f"indices_tuple: wanted pairs that the labels allow, got {pair} as a {kind} pair, whose labels "
        f"{labels[pair[0]].tolist()} and {ref_labels[pair[1]].tolist()} {what}. Mine with the labels of the loss; for "
        "pairs of your own, take a loss on one level and give it 1-D labels, or none, without a hierarchy: then the "
        "tuple says which pairs are positive"
    )

"""Who is ranked for whom: levels, self-matches and miners' tuples, one rule each.

* The query itself is not in its own retrieval set, unless ``include_self``.
* A miner's tuple narrows the retrieval set of a query to the items it is paired with; a query in no pair has
  nothing to rank. The labels say which items are positive; where there are none, the tuple does.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pml_suprank.checks import checked_level
from pml_suprank.hierarchy import check_tree, common_levels


class RetrievalSet(NamedTuple):
    """The items that are ranked for each query."""

    levels: Tensor
    """(B, N), integers in 0..num_levels, levels shared with the query; small ones where they fit."""
    num_levels: int
    mask: Tensor | None
    """(B, N), True for the items in the set; None for all."""


def retrieval_set(
    shape: tuple[int, int],
    labels: Tensor | None,
    ref_labels: Tensor | None,
    *,
    level: int | None,
    indices_tuple: Sequence[Tensor] | None = None,
    self_indices: Tensor | None = None,
    include_self: bool = False,
) -> RetrievalSet:
    """Return the retrieval sets of a batch.

    Args:
        shape: (B, N), numbers of queries and of references.
        labels: (B, L), column 0 finest; None only with ``indices_tuple`` and a ``level``, which then counts
            the positive pairs as sharing it.
        ref_labels: (N, L), likewise.
        level: the label column that makes an item positive; None counts the columns shared.
        indices_tuple: a miner's triplets or pairs, whose second members index the references.
        self_indices: (B,), the index of each query among the references, -1 where it is not there; None for
            nowhere.
        include_self: leave the query in its own retrieval set.

    Raises:
        ValueError: labels are missing or have different numbers of columns, ``level`` is not a column, or the
            tuple is malformed.
    """
    pairs = None if indices_tuple is None else _pair_masks(indices_tuple, shape)
    if labels is not None and ref_labels is not None:
        levels, num_levels = _levels(labels, ref_labels, level)
    elif pairs is not None and level is not None:
        levels, num_levels = pairs[0].to(torch.int8), 1
    else:
        missing = "labels" if labels is None else "ref_labels"
        raise ValueError(f"{missing}: wanted labels to tell positives from negatives, got None")

    mask = None if pairs is None else pairs[0] | pairs[1]
    if self_indices is None:
        return RetrievalSet(levels, num_levels, mask)
    query = (self_indices >= 0).nonzero().flatten()
    own = query, self_indices[query]
    if include_self:
        if pairs is not None:
            levels = levels.index_put(own, torch.full_like(query, num_levels, dtype=levels.dtype))
            mask = pairs[0] | pairs[1]
            mask[own] = True
    else:
        if mask is None:
            mask = torch.ones(shape, dtype=torch.bool, device=levels.device)
        mask[own] = False
    return RetrievalSet(levels, num_levels, mask)


def _levels(labels: Tensor, ref_labels: Tensor, level: int | None) -> tuple[Tensor, int]:
    num_levels = labels.shape[1]
    if ref_labels.shape[1] != num_levels:
        raise ValueError(
            f"ref_labels: wanted {num_levels} label columns as in labels, got {ref_labels.shape[1]}"
        )
    if level is None:
        check_tree(labels if ref_labels is labels else torch.cat([labels, ref_labels]))
        dtype = torch.int8 if num_levels < 127 else torch.long
        return common_levels(labels, ref_labels, dtype), num_levels
    level = checked_level(level, num_levels)
    return (labels[:, level].unsqueeze(1) == ref_labels[:, level]).view(torch.int8), 1


def _pair_masks(indices_tuple: Sequence[Tensor], shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return (B, N) masks of the positive and of the negative pairs of a tuple."""
    if len(indices_tuple) == 3:
        anchor, positive, negative = indices_tuple
        indices_tuple = (anchor, positive, anchor, negative)
    if len(indices_tuple) != 4:
        raise ValueError(
            f"indices_tuple: wanted 3 tensors of triplets or 4 of pairs, got {len(indices_tuple)}"
        )
    masks = []
    for query, item in (indices_tuple[:2], indices_tuple[2:]):
        if len(query) != len(item):
            raise ValueError(
                f"indices_tuple: wanted pairs of equal length, got {len(query)} and {len(item)}"
            )
        for indices, size in ((query, shape[0]), (item, shape[1])):
            if len(indices) and not (int(indices.min()) >= 0 and int(indices.max()) < size):
                raise ValueError(
                    f"indices_tuple: wanted indices in 0..{size - 1}, "
                    f"got {int(indices.min())}..{int(indices.max())}"
                )
        mask = torch.zeros(shape, dtype=torch.bool, device=query.device)
        mask[query.long(), item.long()] = True
        masks.append(mask)
    positive, negative = masks
    return positive, negative & ~positive

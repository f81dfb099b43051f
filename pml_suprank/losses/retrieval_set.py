"""Who is ranked for whom: levels, self-matches and miners' tuples, one rule each.

* The query itself is not in its own retrieval set, unless ``include_self``.
* A miner's tuple narrows the retrieval set of a query to the items it is paired with; a query in no pair has
  nothing to rank. Where labels tell no more than one level, or there are none, the tuple says which pairs are
  positive, as in PML. Labels of several levels say how related a pair is, for all losses alike, so that a miner on
  the finest classes narrows a loss on a coarser level; pairs that they contradict are an error.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pml_suprank.checks import checked_level
from pml_suprank.hierarchy import common_levels


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
        labels: (B, L), column 0 finest, a tree together with ``ref_labels``; None only with ``indices_tuple`` and a
            ``level``.
        ref_labels: (N, L), likewise.
        level: the label column that makes an item positive; None counts the columns shared.
        indices_tuple: triplets or pairs, whose second members index the references, checked.
        self_indices: (B,), the index of each query among the references, -1 where it is not there; None for
            nowhere.
        include_self: leave the query in its own retrieval set.

    Raises:
        ValueError: labels are missing, ``level`` is not a column, or labels of several levels contradict the tuple.
    """
    pairs = None if indices_tuple is None else _pair_masks(indices_tuple, shape)
    has_labels = labels is not None and ref_labels is not None
    if not has_labels and (pairs is None or level is None):
        missing = "labels" if labels is None else "ref_labels"
        raise ValueError(f"{missing}: wanted labels to tell positives from negatives, got None")
    if level is not None and labels is not None:
        checked_level(level, labels.shape[1])
    if pairs is not None and tuple_decides(labels, ref_labels):
        levels, num_levels = pairs[0].to(torch.int8), 1
    else:
        assert labels is not None
        assert ref_labels is not None
        if indices_tuple is not None:
            check_agreement(indices_tuple, labels, ref_labels)
        levels, num_levels = _levels(labels, ref_labels, level)

    mask = None if pairs is None else pairs[0] | pairs[1]
    if self_indices is None:
        return RetrievalSet(levels, num_levels, mask)
    place = torch.arange(shape[1], device=levels.device)
    others = self_indices.to(levels.device).unsqueeze(1) != place  # -1 is no place
    if not include_self:
        mask = others if mask is None else mask & others
    elif mask is not None:
        levels = torch.where(others, levels, num_levels)
        mask = mask | ~others
    return RetrievalSet(levels, num_levels, mask)


def _levels(labels: Tensor, ref_labels: Tensor, level: int | None) -> tuple[Tensor, int]:
    num_levels = labels.shape[1]
    if level is None:
        dtype = torch.int8 if num_levels < 127 else torch.long
        return common_levels(labels, ref_labels, dtype), num_levels
    return (labels[:, level].unsqueeze(1) == ref_labels[:, level]).view(torch.int8), 1


def _pair_masks(indices_tuple: Sequence[Tensor], shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return (B, N) masks of the positive and of the negative pairs of a tuple."""
    masks = []
    for query, item in _as_pairs(indices_tuple):
        mask = torch.zeros(shape, dtype=torch.bool, device=query.device)
        mask[query, item] = True
        masks.append(mask)
    positive, negative = masks
    return positive, negative & ~positive


def _as_pairs(
    indices_tuple: Sequence[Tensor],
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return the positive and the negative pairs of triplets or pairs."""
    if len(indices_tuple) == 3:
        anchor, positive, negative = indices_tuple
        return (anchor, positive), (anchor, negative)
    first, positive, second, negative = indices_tuple
    return (first, positive), (second, negative)


def check_agreement(indices_tuple: Sequence[Tensor], labels: Tensor, ref_labels: Tensor) -> None:
    """Raise unless positive pairs share a level, and negative pairs do not share the finest.

    Args:
        indices_tuple: triplets or pairs.
        labels: (B, L), L > 1, a tree.
        ref_labels: (N, L).

    Raises:
        ValueError: names the first pair that the labels contradict.
    """
    (query, positive), (other_query, negative) = _as_pairs(indices_tuple)
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
    (query, positive), (other_query, negative) = _as_pairs(indices_tuple)
    related = labels[query, level] == ref_labels[positive, level]
    same = labels[other_query, level] == ref_labels[negative, level]
    if not bool(torch.cat([~related, same]).any()):
        return indices_tuple
    query, item = torch.cat([query, other_query]), torch.cat([positive, negative])
    is_positive = torch.cat([related, same])
    return query[is_positive], item[is_positive], query[~is_positive], item[~is_positive]

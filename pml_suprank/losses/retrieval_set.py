"""Who is ranked for whom: common levels, self-matches and miners' tuples, one rule each.

* The query itself is not in its own retrieval set, unless ``include_self``.
* A miner's tuple narrows the retrieval set of a query to the items it is paired with; a query in no pair has
  nothing to rank. What the tuple says of those is in :mod:`.tuples`.
* Outside the retrieval set, for whatever reason, an item has -1 common levels: here, in the losses, in the miners
  and in ``functional``.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pml_suprank.checks import checked_level
from pml_suprank.deprecated import warn_old
from pml_suprank.hierarchy import common_levels
from pml_suprank.losses.tuples import as_pairs, check_agreement, tuple_decides


class RetrievalSet(NamedTuple):
    """The items that are ranked for each query."""

    common_levels: Tensor
    """(B, N), integers in 0..num_levels, how many levels item and query share, -1 for an item that is not in the set;
    small integers where they fit."""
    num_levels: int

    @property
    def mask(self) -> Tensor:
        """(B, N), True for the items in the set."""
        return self.common_levels >= 0

    @property
    def levels(self) -> Tensor:
        """The old name of ``common_levels``."""
        warn_old("RetrievalSet: the attribute 'levels'", "'common_levels', -1 outside the set")
        return self.common_levels


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
    has_labels = labels is not None and ref_labels is not None
    if not has_labels and (indices_tuple is None or level is None):
        missing = "labels" if labels is None else "ref_labels"
        raise ValueError(f"{missing}: wanted labels to tell positives from negatives, got None")
    if level is not None and labels is not None:
        checked_level(level, labels.shape[1])
    if indices_tuple is not None and tuple_decides(labels, ref_labels):
        shared, num_levels = _paired(indices_tuple, shape), 1
    else:
        assert labels is not None
        assert ref_labels is not None
        if level is not None:
            same = labels[:, level].unsqueeze(1) == ref_labels[:, level]
            shared, num_levels = same.view(torch.int8), 1
        else:
            num_levels = labels.shape[1]
            dtype = torch.int8 if num_levels < 127 else torch.long
            shared = common_levels(labels, ref_labels, dtype)
        if indices_tuple is not None:
            check_agreement(indices_tuple, labels, ref_labels)
            shared = torch.where(_paired(indices_tuple, shape) >= 0, shared, -1)
    if self_indices is None or (include_self and indices_tuple is None):
        return RetrievalSet(shared, num_levels)
    place = torch.arange(shape[1], device=shared.device)
    others = self_indices.to(shared.device).unsqueeze(1) != place  # -1 is no place
    return RetrievalSet(torch.where(others, shared, num_levels if include_self else -1), num_levels)


def _paired(indices_tuple: Sequence[Tensor], shape: tuple[int, int]) -> Tensor:
    """Return (B, N): 1 for the positive pairs of a tuple, 0 for the other negative ones, -1 for no pair."""
    query, positive, other_query, negative = as_pairs(indices_tuple)
    found = torch.full(shape, -1, dtype=torch.int8, device=query.device)
    found[other_query, negative] = 0
    found[query, positive] = 1
    return found

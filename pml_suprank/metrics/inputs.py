"""Queries, references and labels as PML's calculator gets them, ready to be ranked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from pml_suprank.hierarchy import Hierarchy, HierarchyError
from pml_suprank.metrics.evaluation import (
    Samples,
    check_ref_includes_query,
    places_of_kept,
)
from pml_suprank.metrics.neighbours import (
    NeighbourFunction,
    lists_from_neighbours,
    neighbour_blocks,
)
from pml_suprank.metrics.ranked_lists import RankedLists
from pml_suprank.metrics.ranking.levels import LevelFunction, TreeLevels
from pml_suprank.metrics.ranking.scores import checked_embeddings
from pml_suprank.metrics.ranking.streaming import Task
from pml_suprank.pml import accuracy_calculator as pml
from pml_suprank.pml import numpy_to_torch

_FLOAT32_EXACT = 2**24
_FLOAT64_EXACT = 2**53

Comparison = Callable[[Tensor, Tensor], Tensor]


class RetrievalInputs:
    """One evaluation's data, checked and on one device.

    Args:
        query: (Q, D) embeddings.
        query_labels: (Q,) or (Q, L) integers, or anything of length Q with ``comparison``.
        reference: (N, D) embeddings; None takes the queries, each without itself.
        reference_labels: labels of the references.
        ref_includes_query: whether the first Q references are the queries.
        device: where to compute.
        hierarchy: the class tree of 1-D labels.
        comparison: what tells equal labels, or None for equality on every level.
        ignore_index: the label of samples that are taken out.

    Raises:
        ValueError: any of these is not so.
    """

    def __init__(
        self,
        query: Any,
        query_labels: Any,
        reference: Any,
        reference_labels: Any,
        ref_includes_query: bool,
        *,
        device: torch.device,
        hierarchy: Hierarchy | None = None,
        comparison: Comparison | None = None,
        ignore_index: int | None = None,
    ) -> None:
        if reference is None:
            if reference_labels is not None:
                raise ValueError("reference_labels: wanted None without reference, got a value")
            reference, reference_labels, ref_includes_query = query, query_labels, True
        elif reference_labels is None:
            raise ValueError("reference_labels: wanted the labels of reference, got None")

        def checked(embeddings: Any, labels: Any, name: str, dim: int | None = None) -> Samples:
            if comparison is not None:
                return _any_samples(embeddings, labels, name, ignore_index, dim)
            return Samples.checked(
                embeddings, labels, name, hierarchy=hierarchy, ignore_index=ignore_index, dim=dim
            )

        asked = checked(query, query_labels, "query")
        if reference is query and reference_labels is query_labels:
            found = asked
        else:
            dim = asked.embeddings.shape[1]
            found = checked(reference, reference_labels, "reference", dim)
        if asked.labels.shape[1:] != found.labels.shape[1:]:
            wanted, got = tuple(asked.labels.shape[1:]), tuple(found.labels.shape[1:])
            raise HierarchyError(
                f"reference_labels: wanted rows of shape {wanted} as in query_labels, got {got}"
            )
        self.ref_includes_query = bool(ref_includes_query)
        if self.ref_includes_query and found is not asked:
            check_ref_includes_query(_flat(asked), _flat(found))
        dtype = torch.promote_types(asked.embeddings.dtype, found.embeddings.dtype)
        self.query = asked.embeddings.to(device, dtype)
        self.reference = self.query if found is asked else found.embeddings.to(device, dtype)
        self._comparison = comparison
        self._query_labels, self._reference_labels = labels = (
            asked.labels.to(device),
            found.labels.to(device),
        )
        self._tree = None if comparison is not None else TreeLevels(*labels)

    @property
    def num_levels(self) -> int:
        """L; 1 with a comparison."""
        return 1 if self._tree is None else self._tree.num_levels

    @property
    def num_items(self) -> int:
        """N, all references."""
        return len(self.reference)

    @property
    def num_others(self) -> int:
        """Number of references that a query is ranked against: all but itself."""
        return self.num_items - int(self.ref_includes_query)

    @property
    def levels(self) -> LevelFunction:
        """Levels of a block of queries against all references."""
        return self._compared if self._tree is None else self._tree

    def _compared(self, block: slice | Tensor) -> Tensor:
        assert self._comparison is not None
        query, reference = self._query_labels[block][:, None], self._reference_labels
        shape = (len(query), len(reference))
        # PML hands over (Q, 1, ...) query labels and (Q, k, ...) reference labels.
        same = self._comparison(query, reference[None].expand(len(query), *reference.shape))
        if not isinstance(same, Tensor) or same.shape != shape:
            got = tuple(same.shape) if isinstance(same, Tensor) else type(same).__name__
            raise ValueError(f"label_comparison_fn: wanted a tensor of shape {shape}, got {got}")
        return same.bool().to(torch.int8)

    def groups(self, level: int) -> Tensor:
        """(Q,) on the CPU: a number for each query's class, in the order of the labels."""
        if self._tree is not None:
            return self._tree.query_ids(level).cpu()
        return self._query_labels.unique(dim=0, return_inverse=True)[1].cpu()

    def match_counts(self, level: int) -> Tensor:
        """Number of references of each query's class, the query itself counted."""
        if self._tree is not None:
            reference = self._tree.gallery_ids(level)
            query = self._tree.query_ids(level)
            return reference.bincount(minlength=int(query.max()) + 1)[query]
        counts: Tensor = pml.get_label_match_counts(
            self._query_labels, self._reference_labels, self._comparison
        )[1]
        return counts

    def cut(self, level: int, k: Any, determine_k: Callable[..., Any]) -> int:
        """Depth of PML's metrics at a level, by PML's ``k`` and ``determine_k``."""
        if k is None:
            return self.num_others
        return int(determine_k(self.match_counts(level), self.num_items, self.ref_includes_query))

    def column(self, level: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Queries, labels, references, labels for PML's own code, which casts labels to float32.

        Labels that float32 does not hold are replaced by their places in sorted order; not those of
        a comparison, which may mean anything.
        """
        if self._tree is None:
            return self.query, self._query_labels, self.reference, self._reference_labels
        query, reference = self._query_labels[:, level], self._reference_labels[:, level]
        if max(int(query.abs().max()), int(reference.abs().max())) > _FLOAT32_EXACT:
            query, reference = self._tree.query_ids(level), self._tree.gallery_ids(level)
        return self.query, query, self.reference, reference

    def task(self, similarity: str) -> Task:
        """The ranking of all references for every query."""
        places = torch.arange(len(self.query), device=self.query.device)
        self_indices = places if self.ref_includes_query else None
        return Task(
            self.query, self.reference, similarity, self.levels, self.num_levels, self_indices
        )

    def neighbours(self, function: NeighbourFunction, k: int) -> Iterator[RankedLists]:
        """Lists of the k neighbours that a function finds, or of all references where there are no more."""
        k = min(k, self.num_others)
        found = neighbour_blocks(function, self.query, self.reference, k, self.ref_includes_query)
        return lists_from_neighbours(
            found, self.levels, self.num_levels, self.num_items, self.ref_includes_query
        )


def _any_samples(
    embeddings: Any, labels: Any, name: str, ignore_index: int | None, dim: int | None
) -> Samples:
    """Samples with labels of any meaning."""
    embeddings = numpy_to_torch(embeddings)
    if ignore_index is None or not isinstance(embeddings, Tensor) or embeddings.ndim != 2:
        embeddings = checked_embeddings(embeddings, name, dim)
    rows = _any_labels(labels, f"{name}_labels", len(embeddings))
    ignored = None if ignore_index is None else rows.reshape(len(rows), -1)[:, 0] == ignore_index
    kept = places_of_kept(ignored, f"{name}_labels", ignore_index)
    if kept is not None:
        embeddings = embeddings[kept.to(embeddings.device)]
    embeddings = checked_embeddings(embeddings, name, dim)
    return Samples(embeddings, rows if kept is None else rows[kept], rows, kept)


def _flat(samples: Samples) -> Samples:
    """The same with labels in one row for each sample."""
    labels, every = (each.reshape(len(each), -1) for each in (samples.labels, samples.all_labels))
    return Samples(samples.embeddings, labels, every, samples.kept)


def _any_labels(values: Any, name: str, length: int) -> Tensor:
    """Labels of any meaning as PML passes them on: floats. Integers keep the precision they need."""
    labels = numpy_to_torch(values)
    if not isinstance(labels, Tensor) or labels.ndim == 0 or len(labels) != length:
        got = tuple(labels.shape) if isinstance(labels, Tensor) else type(labels).__name__
        raise ValueError(f"{name}: wanted a tensor of length {length}, got {got}")
    if labels.is_floating_point():
        if bool(labels.isnan().any()):
            raise ValueError(f"{name}: wanted labels without NaN, got NaN")
        return labels
    largest = int(labels.long().abs().max())
    if largest > _FLOAT64_EXACT:
        return labels
    return labels.double() if largest > _FLOAT32_EXACT else labels.float()

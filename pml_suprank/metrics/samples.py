"""Embeddings and their labels as users pass them: checked together, ignored samples taken out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pml_suprank.hierarchy import Hierarchy, as_level_labels
from pml_suprank.hierarchy.labels import ignored_rows, label_tensor
from pml_suprank.metrics.result import EvaluationResult, MetricResult
from pml_suprank.metrics.scores import checked_embeddings


@dataclass(frozen=True)
class Samples:
    """Embeddings and labels of the samples that count.

    Args:
        embeddings: (n, D) of those that count.
        labels: their labels, (n, L).
        all_labels: labels of all samples, those to ignore with ``ignore_index`` in column 0.
        kept: (n,) int64, their places among all samples; None where all count.
    """

    embeddings: Tensor
    labels: Tensor
    all_labels: Tensor
    kept: Tensor | None

    @classmethod
    def checked(
        cls,
        embeddings: Any,
        labels: Any,
        name: str,
        *,
        hierarchy: Hierarchy | None = None,
        ignore_index: int | None = None,
        dim: int | None = None,
        labels_name: str | None = None,
    ) -> Samples:
        """Check embeddings and labels; ``name`` is the argument's, its labels are ``name``_labels.

        Embeddings of ignored samples are not looked at, and their labels not looked up in the hierarchy.

        Raises:
            ValueError: as of ``checked_embeddings`` and ``as_level_labels``; all samples are to be ignored.
        """
        labels_name = labels_name or f"{name}_labels"
        if isinstance(embeddings, np.ndarray):
            embeddings = torch.from_numpy(embeddings)
        if ignore_index is None or not torch.is_tensor(embeddings) or embeddings.ndim != 2:
            embeddings = checked_embeddings(embeddings, name, dim)
        raw = label_tensor(labels, name=labels_name, length=len(embeddings))
        rows = as_level_labels(raw, hierarchy, name=labels_name, ignore_index=ignore_index)
        kept = places_of_kept(ignored_rows(raw, ignore_index), labels_name, ignore_index)
        if ignore_index is not None:
            if kept is not None:
                embeddings = embeddings[kept.to(embeddings.device)]
            embeddings = checked_embeddings(embeddings, name, dim)
        return cls(embeddings, rows if kept is None else rows[kept], rows, kept)

    def spread(self, result: EvaluationResult) -> EvaluationResult:
        """Results of the samples that count as results of all; the others are not valid."""
        if self.kept is None:
            return result
        return EvaluationResult({name: self._spread(each) for name, each in result.items()})

    def _spread(self, result: MetricResult) -> MetricResult:
        assert self.kept is not None
        places, length = self.kept.cpu(), len(self.all_labels)
        values = torch.zeros(length, dtype=result.values.dtype)
        valid = torch.zeros(length, dtype=torch.bool)
        values[places], valid[places] = result.values, result.valid
        return MetricResult(values, valid)


def places_of_kept(ignored: Tensor | None, name: str, ignore_index: int | None) -> Tensor | None:
    """Places of the samples that are not ignored; None where none is.

    Args:
        ignored: (n,) bool, or None.
        name: of the labels, for the message.
        ignore_index: for the message.

    Raises:
        ValueError: all are ignored.
    """
    if ignored is None or not bool(ignored.any()):
        return None
    kept = (~ignored).nonzero().flatten()
    if not len(kept):
        raise ValueError(
            f"{name}: wanted a sample that counts, got nothing but ignore_index={ignore_index}"
        )
    return kept


def same_kept(query: Tensor | None, reference: Tensor | None, num_queries: int) -> bool:
    """Whether of the first Q references those are kept that are kept of the Q queries."""
    every = torch.arange(num_queries)
    query = every if query is None else query.cpu()
    reference = every if reference is None else reference.cpu()
    return torch.equal(query, reference[reference < num_queries])

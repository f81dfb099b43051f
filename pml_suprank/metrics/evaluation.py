"""All metrics of queries against a gallery, exact, in one ranking pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pml_suprank.checks import tensor_of
from pml_suprank.deprecated import renamed_keywords
from pml_suprank.hierarchy import Hierarchy, as_level_labels
from pml_suprank.hierarchy.labels import (
    checked_ignore_index,
    ignored_rows,
    index_tensor,
    label_tensor,
)
from pml_suprank.metrics import catalogue
from pml_suprank.metrics.ranking.levels import TreeLevels
from pml_suprank.metrics.ranking.scores import checked_embeddings
from pml_suprank.metrics.ranking.sharing import announced, described
from pml_suprank.metrics.ranking.streaming import Task, measure
from pml_suprank.metrics.ranking.workers import Execution
from pml_suprank.metrics.result import EvaluationResult, MetricResult
from pml_suprank.relevance import Relevance
from pml_suprank.values import checked_flag


@renamed_keywords(query_indices="self_indices")
@torch.no_grad()
def evaluate(
    query: Any,
    query_labels: Any,
    gallery: Any = None,
    gallery_labels: Any = None,
    *,
    hierarchy: Hierarchy | None = None,
    metrics: str | Sequence[str] | None = None,
    k: int | Sequence[int] = (1,),
    relevance: Relevance | None = None,
    similarity: str = "cosine",
    ref_includes_query: bool = False,
    self_indices: Any = None,
    ignore_index: int | None = None,
    block_size: int | None = None,
    max_memory: int | None = None,
    distributed: bool = False,
    progress: bool = False,
) -> EvaluationResult:
    """Rank the gallery for every query and measure the rankings.

    The whole gallery is ranked, on the device of ``query``. Memory stays at a copy of the gallery and one block of
    queries times the gallery in each of torch's threads (``torch.set_num_threads``), or one larger block on a GPU.
    Scores are computed in the precision of
    the embeddings (float32 at least), everything after them in float64. Where float32 would not tell the ranks,
    because scores are closer to each other than 2^-21 times the norms of query and items, the query is ranked again
    in float64: embeddings far from the origin or close together are ranked as their exact distances are.
    Among equal scores less relevant items come first: a tie counts against the model.
    A query that is in the gallery is taken out by its index, and counts in no population.

    Args:
        query: (Q, D) embeddings.
        query_labels: (Q,) class labels, (Q, L) labels with column 0 finest, or with
            ``hierarchy`` (Q,) finest labels.
        gallery: (N, D) embeddings; None ranks the queries against each other.
        gallery_labels: labels of the gallery, in the form of ``query_labels``.
        hierarchy: the class tree of 1-D labels.
        metrics: names; None for all. Families like "recall_at_k" stand for all depths in ``k``
            and all levels; "recall_at_10" and "recall_at_10_level0" are more specific.
        k: depths of the metrics at k.
        relevance: of H-AP; ``PopulationRelevance()`` by default.
        similarity: "cosine", "dot" or "euclidean".
        ref_includes_query: whether the first Q items of the gallery are the queries.
        self_indices: (Q,) position of each query in the gallery, -1 where it is not in it.
        ignore_index: a label; samples that have it (2-D labels: in column 0) are neither queries nor items, as if
            they had not been passed. Ignored queries keep their places in the results, not valid.
        block_size: queries ranked at a time by each thread; None fits the memory of a block to the gallery.
        max_memory: bytes that the ranking may take beside inputs and results, its copy of the gallery
            included, in place of ``block_size``.
        distributed: share the queries among the processes of ``torch.distributed``. Every process calls with
            the same arguments and gets the whole result, the same as of one process.
        progress: whether to show a progress bar.

    Returns:
        Metric by name, values per query: "hierarchical_average_precision", "ndcg",
        "ndcg_at_10", "asi", and with the level at the end "mean_average_precision_level0",
        "recall_at_10_level1", ...

    Raises:
        ValueError: an argument of a wrong form, naming it, what was wanted and what came.
        HierarchyError: (a ValueError) labels of a wrong form, unknown class ids, or labels that
            are no tree.

    Example:
        >>> query, gallery = torch.eye(2)[:1], torch.tensor([[4.0, 3.0], [3.0, 4.0], [0.0, 1.0]])
        >>> result = evaluate(query, torch.tensor([5]), gallery, torch.tensor([6, 5, 5]))
        >>> round(result["mean_average_precision_level0"].mean(), 4)  # positives at ranks 2 and 3
        0.5833
        >>> result["recall_at_1_level0"].values.tolist()
        [0.0]
    """
    distributed = checked_flag("distributed", distributed)
    with announced(distributed):
        options: dict[str, Any] = {"hierarchy": hierarchy}
        options["ignore_index"] = checked_ignore_index(ignore_index)
        ref_includes_query = checked_flag("ref_includes_query", ref_includes_query)
        asked = Samples.checked(query, query_labels, "query", **options)
        places: Tensor | None = torch.arange(len(asked.embeddings), device=asked.embeddings.device)
        if gallery is None:
            if gallery_labels is not None or self_indices is not None:
                name = "self_indices" if gallery_labels is None else "gallery_labels"
                raise ValueError(f"{name}: wanted None without a gallery, got a value")
            found = asked
        else:
            if gallery_labels is None:
                raise ValueError("gallery_labels: wanted the labels of the gallery, got None")
            dim = asked.embeddings.shape[1]
            found = Samples.checked(gallery, gallery_labels, "gallery", dim=dim, **options)
            if ref_includes_query and self_indices is not None:
                raise ValueError("self_indices: wanted None with ref_includes_query, got a value")
            if ref_includes_query:
                check_ref_includes_query(asked, found)
            elif self_indices is not None:
                places = _self_places(self_indices, asked, found).to(asked.embeddings.device)
            else:
                places = None
        query, gallery = asked.embeddings, found.embeddings
        dtype = torch.promote_types(query.dtype, gallery.dtype)
        query, gallery = query.to(dtype), gallery.to(query.device, dtype)
        query_labels, gallery_labels = asked.labels, found.labels
        levels = TreeLevels(query_labels.to(query.device), gallery_labels.to(query.device))
        chosen = catalogue.choose(metrics, k, levels.num_levels)
        functions = {choice.name: choice.metric(relevance) for choice in chosen}
        task = Task(query, gallery, similarity, levels, levels.num_levels, places)
        how = Execution(block_size, max_memory, distributed, progress)
    result = measure(task, functions, how, described(relevance))
    return asked.spread(result)


def check_ref_includes_query(asked: Samples, found: Samples) -> None:
    """Raise ValueError unless the first Q items of the gallery are the queries.

    Embeddings may differ by rounding, labels may not differ.
    """
    count, given = len(asked.embeddings), len(asked.all_labels)
    what = "ref_includes_query: wanted the queries as the first items of the gallery, got"
    if len(found.all_labels) < given:
        raise ValueError(f"{what} {given} queries and {len(found.all_labels)} items")
    if not same_kept(asked.kept, found.kept, given):
        raise ValueError(f"{what} items to ignore among other queries")
    query, gallery = asked.embeddings, found.embeddings[:count]
    same = torch.isclose(query, gallery.to(query)).all(1)
    labels = found.labels[:count].to(asked.labels.device)
    same &= (asked.labels == labels).all(1).to(same.device)
    if not bool(same.all()):
        first = int((~same).nonzero()[0])
        raise ValueError(f"{what} another embedding or label in {int((~same).sum())} places, "
                         f"the first at {first}")  # fmt: skip


def _self_places(indices: Any, asked: Samples, found: Samples) -> Tensor:
    """(q,) place of each query that counts among the items that count, -1 where it is none."""
    indices = _checked_indices(indices, asked.all_labels, found.all_labels)
    if asked.kept is not None:
        indices = indices[asked.kept.cpu()]
    if found.kept is None:
        return indices
    place = torch.full((len(found.all_labels),), -1)
    place[found.kept.cpu()] = torch.arange(len(found.kept))
    return torch.where(indices >= 0, place[indices.clamp(min=0)], -1)


def _checked_indices(indices: Any, query_labels: Tensor, gallery_labels: Tensor) -> Tensor:
    indices = index_tensor(indices, "self_indices").cpu()
    count, length = len(query_labels), len(gallery_labels)
    if indices.shape != (count,):
        raise ValueError(f"self_indices: wanted shape ({count},), got {tuple(indices.shape)}")
    if bool(((indices < -1) | (indices >= length)).any()):
        raise ValueError(
            f"self_indices: wanted -1..{length - 1}, got {int(indices.min())}..{int(indices.max())}"
        )
    inside = indices >= 0
    found = gallery_labels.cpu()[indices[inside]]
    if not torch.equal(found, query_labels.cpu()[inside]):
        raise ValueError("self_indices: wanted the query's own item, got items with other labels")
    return indices


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
            embeddings = tensor_of(name, embeddings, "a (n, D) array of numbers")
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

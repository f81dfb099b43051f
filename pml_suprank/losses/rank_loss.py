"""The adapter between PML's loss interface and the ranking objectives."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pml_suprank.checks import check_embeddings, checked_level
from pml_suprank.functional.operation import untraced
from pml_suprank.functional.ranks import LevelRelevance
from pml_suprank.hierarchy import Hierarchy, as_level_labels
from pml_suprank.losses.cosine import cosine_scores, with_direction_for
from pml_suprank.losses.retrieval_set import RetrievalSet, retrieval_set
from pml_suprank.pml import BaseDistance, BaseMetricLossFunction, CosineSimilarity

__all__ = ["QueryLoss", "RankLoss"]


class QueryLoss(BaseMetricLossFunction):
    """A loss of each query on the items of its retrieval set.

    Subclasses say how relevant an item is (``item_relevance``) and what a query loses (``query_losses``).
    Queries without a relevant item are left out of the reduction; a batch of such queries gives a zero loss
    with a graph. The mathematics runs in float32 at least, autocast or not.

    Args:
        level: label column that makes an item positive; None for the whole hierarchy.
        hierarchy: expands 1-D labels to all levels; with it the losses take PML's ordinary labels.
        include_self: leave the query in its own retrieval set, as the authors' code does.
        **kwargs: PML's ``distance``, ``reducer``, ``embedding_regularizer``, ``embedding_reg_weight``,
            ``collect_stats``.

    Raises:
        ValueError: ``level`` is not an integer >= 0 or, where it is known, not a level of ``hierarchy``.
    """

    def __init__(
        self,
        *,
        level: int | None = None,
        hierarchy: Hierarchy | None = None,
        include_self: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        num_levels = None if hierarchy is None else hierarchy.num_levels
        self.level = None if level is None else checked_level(level, num_levels)
        self.hierarchy = hierarchy
        self.include_self = include_self
        self.add_to_recordable_attributes(name="num_queries_without_positives", is_stat=True)

    def known_levels(self) -> int | None:
        """Return how many levels the loss sees, None where the labels will tell."""
        if self.level is not None:
            return 1
        return None if self.hierarchy is None else self.hierarchy.num_levels

    def item_relevance(self, items: RetrievalSet) -> Any:
        """Return the relevance of every item, (B, N), >= 0, 0 outside the retrieval set, or ``LevelRelevance``."""
        raise NotImplementedError

    def query_losses(self, scores: Tensor, items: RetrievalSet, relevance: Any) -> Tensor:
        """Return what every query loses, (B,)."""
        raise NotImplementedError

    @untraced
    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor | None = None,
        indices_tuple: Sequence[Tensor] | None = None,
        ref_emb: Tensor | None = None,
        ref_labels: Tensor | None = None,
        self_indices: Tensor | None = None,
    ) -> Tensor:
        """Return the reduced loss.

        Args:
            embeddings: (B, D).
            labels: (B,) class labels, or (B, L) with column 0 the finest level.
            indices_tuple: a miner's pairs or triplets; they narrow the retrieval set of each query.
            ref_emb: (N, D), the items to rank; None for the batch itself.
            ref_labels: (N,) or (N, L).
            self_indices: (B,), where each query stands among the references, -1 for nowhere. Left at None it is
                known when the batch is its own reference set; memories pass it.

        Returns:
            What the reducer makes of one loss per query with relevant items; a scalar by default.

        Raises:
            ValueError: embeddings that are empty, not finite or not of one width; labels missing, of the wrong
                length, form or dtype; references without labels.
        """
        self.reset_stats()
        check_embeddings("embeddings", embeddings)
        check_references(embeddings, ref_emb, ref_labels)
        if ref_emb is None or ref_emb is embeddings:
            ref_emb = embeddings
            ref_labels = labels if ref_labels is None else ref_labels
            self_indices = torch.arange(len(embeddings), device=embeddings.device)
        labels = self._level_labels("labels", labels, embeddings)
        ref_labels = self._level_labels("ref_labels", ref_labels, ref_emb)
        loss_dict = self.compute_loss(
            embeddings, labels, indices_tuple, ref_emb, ref_labels, self_indices
        )
        self.add_embedding_regularization_to_loss_dict(loss_dict, embeddings)
        return self.reducer(
            loss_dict, embeddings, None if labels is None else labels[:, self.level or 0]
        )

    def compute_loss(
        self,
        embeddings: Tensor,
        labels: Tensor | None,
        indices_tuple: Sequence[Tensor] | None,
        ref_emb: Tensor,
        ref_labels: Tensor | None,
        self_indices: Tensor | None = None,
    ) -> dict[str, dict[str, Any]]:
        """Return PML's dictionary of losses, one per query with relevant items."""
        scores, items, query = self.retrieval(
            embeddings, labels, indices_tuple, ref_emb, ref_labels, self_indices
        )
        relevance = self.item_relevance(items)
        if isinstance(relevance, LevelRelevance):
            relevant = relevance.total > 0
        else:
            relevant = (relevance > 0).any(dim=1)
        valid = relevant.nonzero().flatten()
        if self.collect_stats:
            self.num_queries_without_positives = len(query) - len(valid)
        if len(valid) == 0:
            return self.zero_losses()
        losses = self.query_losses(scores, items, relevance)[valid]
        return {"loss": {"losses": losses, "indices": query[valid], "reduction_type": "element"}}

    def retrieval(
        self,
        embeddings: Tensor,
        labels: Tensor | None,
        indices_tuple: Sequence[Tensor] | None,
        ref_emb: Tensor,
        ref_labels: Tensor | None,
        self_indices: Tensor | None,
    ) -> tuple[Tensor, RetrievalSet, Tensor]:
        """Return scores (B, N), retrieval sets, and which embedding stands for each query, (B,)."""
        items = retrieval_set(
            (len(embeddings), len(ref_emb)),
            labels,
            ref_labels,
            level=self.level,
            indices_tuple=indices_tuple,
            self_indices=self_indices,
            include_self=self.include_self,
        )
        scores = self.scores(embeddings, ref_emb)
        return scores, items, torch.arange(len(scores), device=scores.device)

    def scores(self, embeddings: Tensor, ref_emb: Tensor) -> Tensor:
        """Return what the distance says, (B, N)."""
        return similarity(self.distance, embeddings, ref_emb)

    def _level_labels(self, name: str, labels: Tensor | None, embeddings: Tensor) -> Tensor | None:
        if labels is None:
            return None
        labels = as_level_labels(labels, self.hierarchy, name=name, length=len(embeddings))
        return labels.to(embeddings.device)


class RankLoss(QueryLoss):
    """One minus a ranking metric (``query_scores``), on similarities; one loss per query.

    Args:
        **kwargs: see :class:`QueryLoss`; ``distance`` is a similarity, cosine by default.

    Raises:
        ValueError: ``distance`` is not a similarity, or as for :class:`QueryLoss`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_similarity(self.distance)

    def get_default_distance(self) -> BaseDistance:
        """Return cosine similarity."""
        return CosineSimilarity()

    def scores(self, embeddings: Tensor, ref_emb: Tensor) -> Tensor:
        """Return the similarities, (B, N); faster for PML's cosine to references."""
        distance = self.distance
        plain = type(distance) is CosineSimilarity and not distance.collect_stats
        if ref_emb is embeddings or not plain or (distance.p, distance.power) != (2, 1):
            return super().scores(embeddings, ref_emb)
        dtype = _dtype_of_scores(embeddings, ref_emb)
        with torch.autocast(device_type=embeddings.device.type, enabled=False):
            return cosine_scores(embeddings.to(dtype), ref_emb.to(dtype))

    def query_scores(self, scores: Tensor, items: RetrievalSet, relevance: Any) -> Tensor:
        """Return the ranking metric of every query, (B,)."""
        raise NotImplementedError

    def query_losses(self, scores: Tensor, items: RetrievalSet, relevance: Any) -> Tensor:
        """Return one minus the metric of every query, (B,)."""
        return 1 - self.query_scores(scores, items, relevance)


def similarity(distance: BaseDistance, embeddings: Tensor, ref_emb: Tensor) -> Tensor:
    """Return the (B, N) scores in float32 or wider, whatever autocast says."""
    dtype = _dtype_of_scores(embeddings, ref_emb)
    same = ref_emb is embeddings
    with torch.autocast(device_type=embeddings.device.type, enabled=False):
        embeddings = with_direction_for(distance, embeddings.to(dtype))
        ref_emb = embeddings if same else with_direction_for(distance, ref_emb.to(dtype))
        return distance(embeddings, None if same else ref_emb)


def _dtype_of_scores(embeddings: Tensor, ref_emb: Tensor) -> torch.dtype:
    return torch.promote_types(torch.float32, torch.promote_types(embeddings.dtype, ref_emb.dtype))


def check_references(
    embeddings: Tensor,
    ref_emb: Tensor | None,
    ref_labels: Tensor | None,
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
    if needs_labels and ref_labels is None:
        raise ValueError("ref_labels: wanted the labels of ref_emb, got None")


def check_similarity(distance: BaseDistance) -> None:
    """Raise a ValueError unless larger values of ``distance`` mean closer."""
    if not getattr(distance, "is_inverted", False):
        raise ValueError(
            "distance: wanted a similarity, larger is closer, such as CosineSimilarity or "
            f"DotProductSimilarity, got {type(distance).__name__}"
        )

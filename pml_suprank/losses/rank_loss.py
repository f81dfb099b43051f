"""The adapter between PML's loss interface and the ranking objectives."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pml_suprank.checks import checked_level, one_look
from pml_suprank.functional.operation import untraced
from pml_suprank.functional.ranks import LevelRelevance
from pml_suprank.hierarchy import Hierarchy
from pml_suprank.hierarchy.labels import checked_ignore_index
from pml_suprank.losses.batch import checked_batch, level_labels, reduced, warn_of_own_copies
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
        ignore_index: finest label of the samples that are neither queries nor items; None for none. The loss is that
            of the batch, and of the references, without them.
        **kwargs: PML's ``distance``, ``reducer``, ``embedding_regularizer``, ``embedding_reg_weight``,
            ``collect_stats``.

    Raises:
        ValueError: ``level`` is not an integer >= 0 or, where it is known, not a level of ``hierarchy``;
            ``ignore_index`` is neither None nor an integer.
    """

    def __init__(
        self,
        *,
        level: int | None = None,
        hierarchy: Hierarchy | None = None,
        include_self: bool = False,
        ignore_index: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        num_levels = None if hierarchy is None else hierarchy.num_levels
        self.level = None if level is None else checked_level(level, num_levels)
        self.hierarchy = hierarchy
        self.include_self = include_self
        self.ignore_index = checked_ignore_index(ignore_index)
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
            indices_tuple: a miner's pairs or triplets; each query ranks the items that it is paired with. Where the
                labels are of one level, or None, the tuple says which are positive; labels of several levels say
                how related a pair is, and have to agree with the tuple.
            ref_emb: (N, D), the items to rank; None for the batch itself.
            ref_labels: (N,) or (N, L).
            self_indices: (B,), where each query stands among the references, -1 for nowhere. Left at None it is
                known when the batch is its own reference set; memories pass it. Without it a copy of a query
                among the references is an item like any other, and its positive.

        Returns:
            What the reducer makes of one loss per query with relevant items; a scalar by default.

        Raises:
            ValueError: embeddings that are empty, not finite or not of one width; labels missing, of the wrong
                length, form or dtype, or no tree; references without labels; a tuple that is malformed, or that
                labels of several levels contradict.
        """
        self.reset_stats()
        with one_look():
            batch = checked_batch(
                embeddings,
                labels,
                indices_tuple,
                ref_emb,
                ref_labels,
                self_indices,
                ignore_index=self.ignore_index,
                finds_own=True,
                checks_own=True,
            )
            columns, ref_columns = level_labels(batch, self.hierarchy)
        warn_of_own_copies(self, batch, columns, ref_columns)
        if batch.is_empty:
            loss_dict = self.zero_losses()
        else:
            loss_dict = self.compute_loss(
                batch.embeddings,
                columns,
                batch.indices_tuple,
                batch.embeddings if batch.ref_emb is None else batch.ref_emb,
                ref_columns,
                batch.self_indices,
            )
        if len(batch.embeddings):
            self.add_embedding_regularization_to_loss_dict(loss_dict, batch.embeddings)
        column = None if columns is None else columns[:, self.level or 0]
        return reduced(self, loss_dict, batch, embeddings, column)

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
            relevant = (relevance if relevance.dtype == torch.bool else relevance > 0).any(dim=1)
        valid = relevant.nonzero().flatten()
        if self.collect_stats:
            self.num_queries_without_positives = len(query) - len(valid)
        if len(valid) == 0:
            return self.zero_losses()
        losses = self.query_losses(scores, items, relevance)
        if len(valid) < len(query):
            losses, query = losses[valid], query[valid]
        return {"loss": {"losses": losses, "indices": query, "reduction_type": "element"}}

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


def check_similarity(distance: BaseDistance) -> None:
    """Raise a ValueError unless larger values of ``distance`` mean closer."""
    if not getattr(distance, "is_inverted", False):
        raise ValueError(
            "distance: wanted a similarity, larger is closer, such as CosineSimilarity or "
            f"DotProductSimilarity, got {type(distance).__name__}"
        )

"""The adapter between PML's loss interface and the ranking objectives."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pml_suprank.checks import checked_level
from pml_suprank.functional.operation import untraced
from pml_suprank.functional.ranking import check_backend
from pml_suprank.functional.steps import Surrogate, check_surrogate
from pml_suprank.hierarchy import Hierarchy
from pml_suprank.hierarchy.labels import checked_hierarchy, checked_ignore_index
from pml_suprank.losses.batch import level_batch, reduced
from pml_suprank.losses.objective import Objective
from pml_suprank.losses.pml_options import check_pml_options
from pml_suprank.losses.retrieval_set import RetrievalSet, retrieval_set
from pml_suprank.losses.scores import check_similarity, fast_distances
from pml_suprank.losses.similarity_mixup import SimilarityMixup, checked_mixup
from pml_suprank.pml import BaseDistance, BaseMetricLossFunction, CosineSimilarity
from pml_suprank.relevance import LevelRelevance, Relevance, level_relevance
from pml_suprank.values import checked_flag, checked_instance

__all__ = ["QueryLoss", "RankLoss"]


class QueryLoss(BaseMetricLossFunction):
    """A loss of each query on the items of its retrieval set.

    Subclasses say how relevant an item is (``item_relevance``) and what a query loses (``query_losses``).
    Queries without a relevant item are left out of the reduction; for a batch of such queries the loss is 0 and
    ``backward()`` still works. The mathematics runs in float32 at least, autocast or not.

    Args:
        level: None for the whole hierarchy; a label column makes items of its class relevant and no others.
        hierarchy: the class tree; gives 1-D labels all their levels.
        include_self: keep the query in its own retrieval set, as the authors' code does.
        ignore_index: finest label of the samples that take no part, such as -1; None for none.
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
        check_pml_options(kwargs)
        super().__init__(**kwargs)
        self.hierarchy = checked_hierarchy(hierarchy)
        num_levels = None if hierarchy is None else hierarchy.num_levels
        self.level = None if level is None else checked_level(level, num_levels)
        self.include_self = checked_flag("include_self", include_self)
        self.ignore_index = checked_ignore_index(ignore_index)
        self.add_to_recordable_attributes(name="num_queries_without_positives", is_stat=True)

    def known_levels(self) -> int | None:
        """Return how many levels the loss sees, None where the labels will tell."""
        if self.level is not None:
            return 1
        return None if self.hierarchy is None else self.hierarchy.num_levels

    def item_relevance(self, items: RetrievalSet) -> Any:
        """Return the relevance of every item, (B, N), <= 0 outside the retrieval set, or ``LevelRelevance``."""
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
        batch = level_batch(
            self, embeddings, labels, indices_tuple, ref_emb, ref_labels, self_indices
        )
        if batch.is_empty:
            loss_dict = self.zero_losses()
        else:
            loss_dict = self.compute_loss(
                batch.embeddings,
                batch.labels,
                batch.indices_tuple,
                batch.embeddings if batch.ref_emb is None else batch.ref_emb,
                batch.ref_labels,
                batch.self_indices,
            )
        if len(batch.embeddings):
            self.add_embedding_regularization_to_loss_dict(loss_dict, batch.embeddings)
        column = None if batch.labels is None else batch.labels[:, self.level or 0]
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
        scores = fast_distances(self.distance, embeddings, ref_emb)
        return scores, items, torch.arange(len(scores), device=scores.device)


class RankLoss(QueryLoss):
    """One minus a ranking metric, on similarities: an objective on a surrogate of the rank; one loss per query.

    Args:
        objective: what is trained. Subclasses may override ``item_relevance`` and ``query_scores`` in its place.
        surrogate: of the rank; None for a metric that has none.
        backend: how ranks are computed; it changes time and memory alone, see :func:`pml_suprank.functional.ranks`.
        mixup: True, or a :class:`SimilarityMixup`, adds virtual samples between two of a class. It lowered all metrics
            in the ablation in ``docs/leaderboard.md``.
        level: None for the whole hierarchy; a label column makes items of its class relevant and no others.
        hierarchy: the class tree; gives 1-D labels all their levels.
        include_self: keep the query in its own retrieval set, as the authors' code does.
        ignore_index: finest label of the samples that take no part, such as -1; None for none.
        **kwargs: PML's ``distance`` (a similarity, cosine by default), ``reducer``, ``embedding_regularizer``,
            ``embedding_reg_weight``, ``collect_stats``.

    Raises:
        ValueError: ``distance`` is not a similarity, ``backend`` is unknown, ``mixup`` is something else or of a level
            above the loss's own, or as for :class:`QueryLoss`; when called, a miner's tuple, or labels missing, beside
            ``mixup``.
    """

    def __init__(
        self,
        objective: Objective | None = None,
        surrogate: Surrogate | None = None,
        *,
        backend: str = "auto",
        mixup: SimilarityMixup | bool = False,
        level: int | None = None,
        hierarchy: Hierarchy | None = None,
        include_self: bool = False,
        ignore_index: int | None = None,
        **kwargs: Any,
    ) -> None:
        if objective is not None:
            what = "an Objective, or None for subclasses that need none"
            checked_instance("objective", objective, Objective, what)
            if objective.relevance is None:
                level = checked_level(level)
        if surrogate is not None:
            check_surrogate(surrogate)
        super().__init__(
            level=level,
            hierarchy=hierarchy,
            include_self=include_self,
            ignore_index=ignore_index,
            **kwargs,
        )
        check_similarity(self.distance)
        self.objective, self.surrogate = objective, surrogate
        self.backend = check_backend(backend)
        self.mixup = checked_mixup(mixup, self.level)

    def get_default_distance(self) -> BaseDistance:
        """Return cosine similarity."""
        return CosineSimilarity()

    def extra_repr(self) -> str:
        """Show the rank surrogate."""
        if self.surrogate is None:
            return f"level={self.level}"
        mixup = "" if self.mixup is None else f", mixup={self.mixup}"
        return f"{self.surrogate}, level={self.level}, backend={self.backend!r}{mixup}"

    @property
    def relevance(self) -> Relevance | None:
        """The relevance of the objective."""
        return None if self.objective is None else self.objective.relevance

    def item_relevance(self, items: RetrievalSet) -> Any:
        """Return True for the positives, (B, N), or the relevance of the items of each level of a query."""
        if self.relevance is None:
            return items.common_levels > 0
        return level_relevance(self.relevance, items.common_levels, items.num_levels)

    def query_scores(self, scores: Tensor, items: RetrievalSet, relevance: Any) -> Tensor:
        """Return the ranking metric of every query, (B,)."""
        if self.objective is None:
            raise ValueError("objective: wanted an Objective, or a subclass's own scores, got None")
        execution: dict[str, Any] = {}
        if self.surrogate is not None:
            execution = {"surrogate": self.surrogate, "backend": self.backend}
        if self.relevance is None:
            return self.objective.metric(scores, relevance, items.mask, **execution)
        return self.objective.metric(scores, items.common_levels, relevance, **execution)

    def query_losses(self, scores: Tensor, items: RetrievalSet, relevance: Any) -> Tensor:
        """Return one minus the metric of every query, (B,)."""
        return 1 - self.query_scores(scores, items, relevance)

    def retrieval(
        self,
        embeddings: Tensor,
        labels: Tensor | None,
        indices_tuple: Sequence[Tensor] | None,
        ref_emb: Tensor,
        ref_labels: Tensor | None,
        self_indices: Tensor | None,
    ) -> tuple[Tensor, RetrievalSet, Tensor]:
        """Return scores, retrieval sets and queries, with virtual ones if the loss mixes."""
        found = super().retrieval(
            embeddings, labels, indices_tuple, ref_emb, ref_labels, self_indices
        )
        if self.mixup is None or not self.training:
            return found
        if labels is None or ref_labels is None:
            raise ValueError("labels: wanted labels to mix the samples of a class, got None")
        if indices_tuple is not None:
            raise ValueError(
                "indices_tuple: wanted None with mixup, whose samples are in no miner's tuple"
            )
        return self.mixup.extended(
            *found,
            labels,
            None if ref_emb is embeddings else ref_labels,
            self.level,
            include_self=self.include_self,
        )

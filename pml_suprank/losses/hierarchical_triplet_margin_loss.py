"""The triplet baseline for labels with a hierarchy."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from pml_suprank.checks import checked_per_level
from pml_suprank.functional import triplet_hinge_sums
from pml_suprank.hierarchy import Hierarchy
from pml_suprank.losses.rank_loss import QueryLoss
from pml_suprank.losses.retrieval_set import RetrievalSet
from pml_suprank.losses.tuples import tuple_decides
from pml_suprank.pml import (
    AvgNonZeroReducer,
    BaseDistance,
    BaseReducer,
    LpDistance,
    MeanReducer,
    MultipleReducers,
    SumReducer,
)


class HierarchicalTripletMarginLoss(QueryLoss):
    r"""Triplet loss over the levels of a hierarchy, with a margin for each: a baseline.

    .. math:: \max(0,\ s_{an} - s_{ap} + m_c), \qquad \text{or } \max(0,\ d_{ap} - d_{an} + m_c) \text{ for a distance,}

    for every triplet of an anchor a, an item p, and an item n that shares fewer levels with a than p does; c is the
    finest label column that a and p have in common. With one level this is PML's ``TripletMarginLoss``.

    Use it to compare with, or where the coarsest level and ASI count most: it led there on two of three data sets of
    ``docs/leaderboard.md``, and gave up the finest level. :class:`HAPPIERLoss` is better at both H-AP and the finest
    level.

    All triplets count, and none is formed: their sum takes O(L B N log N) time and O(B N) memory. The reducer is then
    PML's ``AvgNonZeroReducer`` (the default), ``MeanReducer`` or ``SumReducer``, over all triplets of the batch. A
    miner's pairs narrow the items of each anchor to those it is paired with. A miner's triplets are taken one by one
    and with any reducer, except, where labels have several levels, those whose n shares as many as p.

    An anchor of no triplet counts in no mean. Without any triplet the loss is 0 and ``backward()`` still works.

    Shapes:
        embeddings (B, D); labels (B,) finest classes with ``hierarchy``, or (B, L) with column 0 the finest; with
        references ``ref_emb`` (N, D) and ``ref_labels`` of the same form. The loss is a scalar.

    Args:
        margins: m, one number >= 0 for each level, finest first, or one for all: PML's 0.05 by default; 0.05 to 0.2
            were tried here.
        level: None for the whole hierarchy; a label column makes items of its class relevant and no others.
        hierarchy: the class tree; gives 1-D labels all their levels.
        include_self: keep the anchor among its own items, as the authors' code does.
        ignore_index: finest label of the samples that take no part, such as -1; None for none.
        **kwargs: PML's ``distance`` (any; Euclidean by default, as PML's loss), ``reducer``, ``embedding_regularizer``,
            ``embedding_reg_weight``, ``collect_stats``, which records ``num_triplets``, ``num_violations`` and, as
            ``num_queries_without_positives``, the anchors of no triplet.

    Raises:
        ValueError: a margin below 0; a wrong number of margins, when called if there is no ``hierarchy``; when called,
            a reducer of another kind without triplets, or labels missing.

    Example:
        >>> import torch
        >>> labels = torch.tensor([[0, 0], [0, 0], [1, 0], [2, 1]])
        >>> points = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.8, 0.6], [0.0, 1.0]])
        >>> loss_fn = HierarchicalTripletMarginLoss(margins=(0.1, 0.2), collect_stats=True)
        >>> round(loss_fn(points, labels).item(), 2)
        0.48
        >>> loss_fn.num_violations, loss_fn.num_triplets  # of pairs of one class, and of pairs of one parent
        (3, 8)
    """

    def __init__(
        self,
        margins: float | Sequence[float] = 0.05,
        *,
        level: int | None = None,
        hierarchy: Hierarchy | None = None,
        include_self: bool = False,
        ignore_index: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            level=level,
            hierarchy=hierarchy,
            include_self=include_self,
            ignore_index=ignore_index,
            **kwargs,
        )
        checked_per_level("margins", margins, self.known_levels())
        self.margins = margins
        self.add_to_recordable_attributes(
            list_of_names=["num_triplets", "num_violations"], is_stat=True
        )

    def get_default_distance(self) -> BaseDistance:
        """Return the Euclidean distance of normalised embeddings, PML's default."""
        return LpDistance()

    def get_default_reducer(self) -> BaseReducer:
        """Return PML's mean over the triplets that violate their margin."""
        return AvgNonZeroReducer()

    def extra_repr(self) -> str:
        """Show the margins."""
        return f"margins={self.margins}, level={self.level}"

    def compute_loss(
        self,
        embeddings: Tensor,
        labels: Tensor | None,
        indices_tuple: Sequence[Tensor] | None,
        ref_emb: Tensor,
        ref_labels: Tensor | None,
        self_indices: Tensor | None = None,
    ) -> dict[str, dict[str, Any]]:
        """Return PML's dictionary: one loss per triplet of a tuple, or the reduced loss of all triplets."""
        scores, items, _ = self.retrieval(
            embeddings, labels, indices_tuple, ref_emb, ref_labels, self_indices
        )
        margins = checked_per_level("margins", self.margins, items.num_levels)
        scores = scores if self.distance.is_inverted else -scores
        if indices_tuple is not None and len(indices_tuple) == 3:
            decides = tuple_decides(labels, ref_labels)
            return self._given_triplets(indices_tuple, scores, items, margins, decides)
        return self._all_triplets(scores, items, margins)

    def _all_triplets(
        self, scores: Tensor, items: RetrievalSet, margins: Sequence[float]
    ) -> dict[str, dict[str, Any]]:
        reducer = self.reducer
        if isinstance(reducer, MultipleReducers):  # PML's, beside an embedding regularizer
            reducer = reducer.reducers["loss"]
        kind = type(reducer)
        if kind not in (AvgNonZeroReducer, MeanReducer, SumReducer):
            raise ValueError(
                "reducer: without a miner's triplets wanted AvgNonZeroReducer, MeanReducer or "
                f"SumReducer, got {kind.__name__}, which wants the triplets one by one"
            )
        sums = triplet_hinge_sums(scores, items.common_levels, margins=margins)
        num_triplets, num_violations = int(sums.num_triplets.sum()), int(sums.num_violations.sum())
        num_anchors = int((sums.num_triplets > 0).sum())
        self._record(num_triplets, num_violations, len(scores) - num_anchors)
        count = {AvgNonZeroReducer: num_violations, MeanReducer: num_triplets, SumReducer: 1}[kind]
        if num_triplets == 0:
            return self.zero_losses()
        loss = sums.total.sum() / max(count, 1)
        return {"loss": {"losses": loss, "indices": None, "reduction_type": "already_reduced"}}

    def _given_triplets(
        self,
        triplets: Sequence[Tensor],
        scores: Tensor,
        items: RetrievalSet,
        margins: Sequence[float],
        decides: bool,
    ) -> dict[str, dict[str, Any]]:
        anchor, positive, negative = triplets
        shared = items.common_levels[anchor, positive].long()
        other = items.common_levels[anchor, negative]
        kept = (shared >= 0) & (other >= 0)  # without the anchor itself
        if not decides:
            kept &= shared > other
        anchor, positive, negative = anchor[kept], positive[kept], negative[kept]
        margin = scores.new_tensor(margins).flip(0)[shared[kept] - 1]
        hinge = (scores[anchor, negative] - scores[anchor, positive] + margin).relu()
        num_anchors = len(anchor.unique())
        self._record(len(hinge), int((hinge > 0).sum()), len(scores) - num_anchors)
        if len(anchor) == 0:
            return self.zero_losses()
        indices = (anchor, positive, negative)
        return {"loss": {"losses": hinge, "indices": indices, "reduction_type": "triplet"}}

    def _record(self, num_triplets: int, num_violations: int, num_idle: int) -> None:
        if self.collect_stats:
            self.num_triplets, self.num_violations = num_triplets, num_violations
            self.num_queries_without_positives = num_idle

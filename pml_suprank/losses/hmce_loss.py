"""The contrastive baseline for labels with a hierarchy."""

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from pml_suprank.checks import checked_per_level
from pml_suprank.functional import hierarchical_contrastive
from pml_suprank.hierarchy import Hierarchy
from pml_suprank.losses.rank_loss import QueryLoss
from pml_suprank.losses.retrieval_set import RetrievalSet
from pml_suprank.losses.scores import check_similarity
from pml_suprank.pml import BaseDistance, CosineSimilarity


class HMCELoss(QueryLoss):
    r"""Hierarchical multi-label contrastive loss with the hierarchical constraint; a baseline.

    Pairs of every level are contrasted with all other items; finer levels weigh more; and a pair of a coarser
    level loses at least as much as the worst pair of a finer level. The formula is at
    :func:`pml_suprank.functional.hierarchical_contrastive`. ``constrained=False`` is the paper's HMC (HiMulCon),
    equal weights with the constraint its HCE (HiConE), both together its HMCE (HiMulConE).

    The constraint is the paper's, on pairs; the authors' code applies it to the mean losses of the levels, and has one
    random sample of each class stand for it at the level above. Labels need not include an instance id: a level is
    a level of classes.

    Args:
        temperature: T, > 0.
        level_weights: lambda, one number >= 0 for each level, finest first, or one for all; None for the paper's
            :math:`e^{1 / (c + 1)}` at column c.
        constrained: whether to apply the constraint, which ties the queries of a batch together.
        level: label column that makes an item positive, or not; None for the whole hierarchy.
        hierarchy: expands 1-D labels to all levels.
        include_self: leave the query in its own retrieval set, as the authors' code does.
        ignore_index: finest label of the samples that are neither queries nor items; None for none.
        **kwargs: PML's ``distance`` (a similarity, cosine by default), ``reducer``, ``embedding_regularizer``,
            ``embedding_reg_weight``, ``collect_stats``.

    Raises:
        ValueError: a value outside its range, or ``distance`` is not a similarity; a wrong number of weights, when
            called if there is no ``hierarchy``.

    References:
        Zhang et al., Use All The Labels: A Hierarchical Multi-Label Contrastive Learning Framework,
        arXiv 2204.13207.
    """

    def __init__(
        self,
        temperature: float = 0.07,
        level_weights: float | Sequence[float] | None = None,
        constrained: bool = True,
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
        check_similarity(self.distance)
        if not 0 < temperature < math.inf:
            raise ValueError(f"temperature: wanted a positive finite number, got {temperature!r}")
        self.temperature, self.constrained = temperature, constrained
        self.level_weights = level_weights
        if level_weights is not None:
            checked_per_level("level_weights", level_weights, self.known_levels())
        self.add_to_recordable_attributes(name="temperature", is_stat=False)

    def get_default_distance(self) -> BaseDistance:
        """Return cosine similarity."""
        return CosineSimilarity()

    def item_relevance(self, items: RetrievalSet) -> Tensor:
        """Return the common levels, of which an item outside the retrieval set has -1."""
        return items.common_levels

    def query_losses(self, scores: Tensor, items: RetrievalSet, relevance: Tensor) -> Tensor:
        """Return the contrastive loss of every query, (B,)."""
        num_levels = items.num_levels
        weights: Sequence[float] = [math.exp(1 / (column + 1)) for column in range(num_levels)]
        if self.level_weights is not None:
            weights = checked_per_level("level_weights", self.level_weights, num_levels)
        return hierarchical_contrastive(
            scores,
            items.common_levels,
            level_weights=weights,
            temperature=self.temperature,
            constrained=self.constrained,
        )

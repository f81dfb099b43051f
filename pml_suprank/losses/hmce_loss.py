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
from pml_suprank.values import checked_flag, checked_positive


class HMCELoss(QueryLoss):
    r"""Contrastive loss over all levels with the hierarchical constraint (HiMulConE): a baseline.

    .. math::
        \frac{1}{L} \sum_{c=0}^{L-1} \frac{\lambda_c}{|P_c|} \sum_{p \in P_c} \max(\ell_p, m_c), \qquad
        \ell_p = \log \sum_a e^{s_a / T} - \frac{s_p}{T}

    for a query: :math:`P_c` are the items whose finest column in common with it is c, and a runs over its retrieval
    set. :math:`m_c` is the largest :math:`\ell` of any pair of a finer level in the batch, so that a pair of a coarser
    level loses at least as much. ``constrained=False`` leaves m out and is the paper's HMC; equal weights with the
    constraint are its HCE, both together its HMCE.

    Use it to compare with; for labels with a hierarchy take :class:`HAPPIERLoss`.

    The constraint is the paper's, on pairs; the authors' code applies it to the mean losses of the levels, and has one
    random sample of each class stand for it at the level above. Labels need not include an instance id: a level is a
    level of classes.

    A query that shares no level with any item of its retrieval set is left out of the mean. If all are, the loss is 0
    and ``backward()`` still works.

    Shapes:
        embeddings (B, D); labels (B,) finest classes with ``hierarchy``, or (B, L) with column 0 the finest; with
        references ``ref_emb`` (N, D) and ``ref_labels`` of the same form. The loss is a scalar, the mean of one loss
        per query.

    Args:
        temperature: T, > 0: 0.07 in the paper.
        level_weights: lambda, one number >= 0 for each level, finest first, or one for all; None for the paper's
            :math:`e^{1 / (c + 1)}` at column c.
        constrained: whether to apply the constraint, which ties the queries of a batch together.
        level: None for the whole hierarchy; a label column makes items of its class relevant and no others.
        hierarchy: the class tree; gives 1-D labels all their levels.
        include_self: keep the query in its own retrieval set, as the authors' code does.
        ignore_index: finest label of the samples that take no part, such as -1; None for none.
        **kwargs: PML's ``distance`` (a similarity, cosine by default), ``reducer``, ``embedding_regularizer``,
            ``embedding_reg_weight``, ``collect_stats``.

    Raises:
        ValueError: a value outside its range, or ``distance`` is not a similarity; a wrong number of weights, when
            called if there is no ``hierarchy``.

    Example:
        >>> import torch
        >>> labels = torch.tensor([[0, 0], [0, 0], [1, 0], [2, 1]])  # three related items, and a stranger
        >>> same = torch.ones(4, 2)  # all at one place, where every pair loses log 3
        >>> loss_fn = HMCELoss(level_weights=(3.0, 1.0))
        >>> round(loss_fn(same, labels).item(), 3)
        1.648

    References:
        Zhang et al., Use All The Labels: A Hierarchical Multi-Label Contrastive Learning Framework, arXiv 2204.13207.
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
        self.temperature = checked_positive("temperature", temperature)
        self.constrained = checked_flag("constrained", constrained)
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

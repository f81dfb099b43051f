"""The pair loss that makes scores comparable across queries."""

from typing import Any

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.losses.one_level import OneLevelMixin
from pml_suprank.losses.scores import check_similarity
from pml_suprank.pml import BaseDistance, ContrastiveLoss, CosineSimilarity


class CalibrationLoss(OneLevelMixin, ContrastiveLoss):
    r"""Contrastive loss on similarities: positives above one threshold, negatives below another.

    .. math::
        \operatorname{mean}\{\alpha - s_{ab} : s_{ab} < \alpha,\ \mathrm{positive}\}
        + \operatorname{mean}\{s_{ab} - \beta : s_{ab} > \beta,\ \mathrm{negative}\}

    It is PML's :class:`~pytorch_metric_learning.losses.ContrastiveLoss` with the paper's margins on cosine similarity.
    Both means run over the pairs that violate their threshold (PML's ``AvgNonZeroReducer``), as in the
    authors' code; the paper averages over all pairs.

    Args:
        pos_margin: alpha, the least similarity asked of positives.
        neg_margin: beta, the largest similarity allowed to negatives; below ``pos_margin``.
        level: label column that makes a pair positive; 0 is the finest.
        hierarchy: expands 1-D labels to all levels.
        ignore_index: finest label of the samples to leave out of batch and references; None for none.
        **kwargs: PML's ``distance`` (a similarity, cosine by default), ``reducer``, ``embedding_regularizer``,
            ``embedding_reg_weight``, ``collect_stats``.

    Raises:
        ValueError: ``neg_margin`` is not below ``pos_margin``, or ``distance`` is not a similarity.

    Example:
        >>> import torch
        >>> embeddings = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
        >>> CalibrationLoss()(embeddings, torch.tensor([0, 0, 1])).item()  # .9 - .8; .6 is no violation
        0.0999...

    References:
        Ramzi et al., Robust and Decomposable Average Precision for Image Retrieval, arXiv 2110.01445.
    """

    def __init__(
        self,
        pos_margin: float = 0.9,
        neg_margin: float = 0.6,
        *,
        level: int = 0,
        hierarchy: Hierarchy | None = None,
        ignore_index: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            pos_margin=pos_margin,
            neg_margin=neg_margin,
            level=level,
            hierarchy=hierarchy,
            ignore_index=ignore_index,
            **kwargs,
        )
        check_similarity(self.distance)
        if not neg_margin < pos_margin:
            raise ValueError(
                f"neg_margin: wanted a number below pos_margin {pos_margin}, got {neg_margin}"
            )

    def get_default_distance(self) -> BaseDistance:
        """Return cosine similarity."""
        return CosineSimilarity()

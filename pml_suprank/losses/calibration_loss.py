"""The pair loss that makes scores comparable across queries."""

from typing import Any

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.losses.one_level import OneLevelMixin
from pml_suprank.losses.scores import check_similarity
from pml_suprank.pml import BaseDistance, ContrastiveLoss, CosineSimilarity
from pml_suprank.values import checked_number


class CalibrationLoss(OneLevelMixin, ContrastiveLoss):
    r"""Contrastive loss on similarities: positives above one threshold, negatives below another.

    .. math::
        \operatorname{mean}\{\alpha - s_{ab} : s_{ab} < \alpha,\ \mathrm{positive}\}
        + \operatorname{mean}\{s_{ab} - \beta : s_{ab} > \beta,\ \mathrm{negative}\}

    It is PML's ``ContrastiveLoss`` with the paper's margins on cosine similarity. Both means run over the pairs that
    violate their threshold, as PML's ``AvgNonZeroReducer`` and the authors' code have it; the paper's over all pairs.

    Use it beside a rank loss, in :class:`ROADMAPLoss` or :class:`DecomposableRankLoss`, to put the scores of all
    queries on one scale, or alone where you will cut scores at a threshold. :class:`ProxyClusterLoss` gained more at
    the finest level, and needs the number of classes.

    A batch without positive pairs trains the negatives alone. Where no pair violates its threshold the loss is 0, and
    as in PML where there is no more than one pair of each kind.

    Shapes:
        embeddings (B, D); labels (B,), or (B, L) with column 0 the finest; with references ``ref_emb`` (N, D) and
        ``ref_labels`` (N,) or (N, L). The loss is a scalar.

    Args:
        pos_margin: alpha, the least similarity asked of positives: 0.9 in the papers.
        neg_margin: beta, the largest similarity allowed to negatives, below ``pos_margin``: 0.6 in the papers.
        level: label column that makes an item positive; 0 is the finest.
        hierarchy: the class tree; gives 1-D labels all their levels.
        ignore_index: finest label of the samples that take no part, such as -1; None for none.
        **kwargs: PML's ``distance`` (a similarity, cosine by default), ``reducer``, ``embedding_regularizer``,
            ``embedding_reg_weight``, ``collect_stats``.

    Raises:
        ValueError: ``neg_margin`` is not below ``pos_margin``, or ``distance`` is not a similarity.

    Example:
        >>> import torch
        >>> embeddings = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
        >>> loss = CalibrationLoss()(embeddings, torch.tensor([0, 0, 1]))
        >>> round(loss.item(), 3)  # 0.9 - 0.8 for the positives; the negatives, at 0.6 and 0, violate nothing
        0.1

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
        pos_margin = checked_number("pos_margin", pos_margin)
        neg_margin = checked_number("neg_margin", neg_margin)
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

"""The loss on average precision of quantised scores."""

import functools
from typing import Any

from pml_suprank.functional import soft_bin_average_precision
from pml_suprank.functional.soft_bins import checked_num_bins, checked_range
from pml_suprank.hierarchy import Hierarchy
from pml_suprank.losses.objective import Objective
from pml_suprank.losses.rank_loss import RankLoss


class SoftBinAPLoss(RankLoss):
    r"""1 - AP on scores spread over bins, the listwise loss: a baseline.

    .. math:: 1 - \frac{1}{P} \sum_{m=1}^{M} c^+_m \frac{c^+_1 + \dots + c^+_m}{c_1 + \dots + c_m}

    where a score counts in the two bins beside it, :math:`c_m` is what all items have in bin m from the top, and
    :math:`c^+_m` what the P positives have. Items in one bin are not told apart: even a perfect ranking has a loss
    above 0 where a positive shares a bin with another item.

    Use it to compare with; to train on AP take :class:`SupAPLoss`.

    A query without a positive in its retrieval set is left out of the mean. If all are, the loss is 0 and
    ``backward()`` still works.

    Shapes:
        embeddings (B, D); labels (B,), or (B, L) with column 0 the finest; with references ``ref_emb`` (N, D) and
        ``ref_labels`` (N,) or (N, L). The loss is a scalar, the mean of one loss per query.

    Args:
        num_bins: M, an integer >= 2: 20 in the authors' experiments.
        score_range: the lowest and the highest bin; the range of cosine by default. Scores outside count in the
            outermost bin, without gradient.
        level: label column that makes an item positive; 0 is the finest.
        hierarchy: the class tree; gives 1-D labels all their levels.
        include_self: keep the query in its own retrieval set, as the authors' code does.
        ignore_index: finest label of the samples that take no part, such as -1; None for none.
        **kwargs: PML's ``distance`` (a similarity, cosine by default), ``reducer``, ``embedding_regularizer``,
            ``embedding_reg_weight``, ``collect_stats``.

    Raises:
        ValueError: a value outside its range.

    Example:
        >>> import torch
        >>> query, label = torch.tensor([[1.0, 0.0]]), torch.tensor([0])
        >>> items = torch.tensor([[0.8, 0.6], [0.6, 0.8]])  # cosines 0.8 and 0.6
        >>> loss_fn = SoftBinAPLoss(num_bins=11)  # bins at 1, 0.8, 0.6 and so on
        >>> round(loss_fn(query, label, ref_emb=items, ref_labels=torch.tensor([1, 0])).item(), 3)
        0.5

    References:
        Revaud et al., Learning with Average Precision: Training Image Retrieval with a Listwise Loss, arXiv 1906.07589.
    """

    def __init__(
        self,
        *,
        num_bins: int = 20,
        score_range: tuple[float, float] = (-1.0, 1.0),
        level: int = 0,
        hierarchy: Hierarchy | None = None,
        include_self: bool = False,
        ignore_index: int | None = None,
        **kwargs: Any,
    ) -> None:
        num_bins = checked_num_bins(num_bins)
        low, high = checked_range(score_range)
        metric = functools.partial(
            soft_bin_average_precision, num_bins=num_bins, score_range=(low, high)
        )
        super().__init__(
            Objective(metric),
            None,
            backend="auto",  # neither of which it has
            mixup=False,
            level=level,
            hierarchy=hierarchy,
            include_self=include_self,
            ignore_index=ignore_index,
            **kwargs,
        )
        self.num_bins, self.score_range = num_bins, (low, high)
        self.add_to_recordable_attributes(name="num_bins", is_stat=False)

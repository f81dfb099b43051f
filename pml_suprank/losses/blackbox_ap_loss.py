"""The loss on the rank itself, differentiated as a blackbox."""

import functools
from typing import Any

from pml_suprank.functional import blackbox_average_precision
from pml_suprank.hierarchy import Hierarchy
from pml_suprank.losses.objective import Objective
from pml_suprank.losses.rank_loss import RankLoss
from pml_suprank.values import checked_number, checked_positive


class BlackBoxAPLoss(RankLoss):
    r"""1 - AP on the exact rank, with the gradient of a blackbox solver: a baseline.

    .. math::
        L = 1 - AP, \qquad \frac{\partial L}{\partial s} = \frac{\mathrm{rk}(s') - \mathrm{rk}(s)}{\lambda}, \qquad
        s' = s + \lambda \frac{\partial L}{\partial\,\mathrm{rk}}

    where rk(s) are the ranks of all items of a query, after the margin has moved positives down and negatives up by
    half of it. The gradient is the difference of two rankings: 0 for most items, and whole ranks for the others.
    :func:`pml_suprank.functional.blackbox_average_precision` says how it differs from the authors' code. The paper's
    memory of past batches is :class:`CrossBatchMemory`.

    Use it to compare with. For the exact AP take :mod:`pml_suprank.metrics`; to train on AP take :class:`SupAPLoss`.

    A query without a positive in its retrieval set is left out of the mean. If all are, the loss is 0 and
    ``backward()`` still works.

    Shapes:
        embeddings (B, D); labels (B,), or (B, L) with column 0 the finest; with references ``ref_emb`` (N, D) and
        ``ref_labels`` (N,) or (N, L). The loss is a scalar, the mean of one loss per query.

    Args:
        lambda_val: length of the perturbation, > 0: 4 in the authors' code. A small one is faithful and seldom other
            than 0, a large one is smooth.
        margin: alpha, >= 0, in units of the score: 0.02 in the authors' code.
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
        >>> BlackBoxAPLoss()(query, label, ref_emb=items, ref_labels=torch.tensor([1, 0])).item()
        0.5

    References:
        Rolinek et al., Optimizing Rank-based Metrics with Blackbox Differentiation, arXiv 1912.03500.
    """

    def __init__(
        self,
        *,
        lambda_val: float = 4.0,
        margin: float = 0.02,
        level: int = 0,
        hierarchy: Hierarchy | None = None,
        include_self: bool = False,
        ignore_index: int | None = None,
        **kwargs: Any,
    ) -> None:
        lambda_val = checked_positive("lambda_val", lambda_val)
        margin = checked_number("margin", margin, 0)
        metric = functools.partial(blackbox_average_precision, lambda_val=lambda_val, margin=margin)
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
        self.lambda_val, self.margin = lambda_val, margin
        self.add_to_recordable_attributes(list_of_names=["lambda_val", "margin"], is_stat=False)

"""The loss on the rank itself, differentiated as a blackbox."""

import functools
import math
from typing import Any

from pml_suprank.functional import blackbox_average_precision
from pml_suprank.hierarchy import Hierarchy
from pml_suprank.losses.objective import Objective
from pml_suprank.losses.rank_loss import RankLoss


class BlackBoxAPLoss(RankLoss):
    """1 - AP on the exact rank, with the gradient of a blackbox solver; a baseline.

    The value is that of the ranking with the margin, in which positives are ``margin`` further back. The gradient is a
    difference of two rankings, see :func:`pml_suprank.functional.blackbox_average_precision`, which says too how
    it differs from the authors' code. The paper's memory of past batches is :class:`CrossBatchMemory`.

    Args:
        lambda_val: length of the perturbation, > 0: small is faithful and seldom other than 0, large is smooth.
        margin: alpha, >= 0, in score units.
        level: label column that makes an item positive; 0 is the finest.
        hierarchy: expands 1-D labels to all levels.
        include_self: leave the query in its own retrieval set, as the authors' code does.
        ignore_index: finest label of the samples that are neither queries nor items; None for none.
        **kwargs: PML's ``distance`` (a similarity, cosine by default), ``reducer``, ``embedding_regularizer``,
            ``embedding_reg_weight``, ``collect_stats``.

    Raises:
        ValueError: a value outside its range.

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
        if not 0 < lambda_val < math.inf:
            raise ValueError(f"lambda_val: wanted a positive finite number, got {lambda_val!r}")
        if not 0 <= margin < math.inf:
            raise ValueError(f"margin: wanted a finite number >= 0, got {margin!r}")
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

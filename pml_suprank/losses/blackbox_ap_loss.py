"""The loss on the rank itself, differentiated as a blackbox."""

import math
from typing import Any

from torch import Tensor

from pml_suprank.functional import blackbox_average_precision
from pml_suprank.losses.ap_loss import BinaryRankLoss
from pml_suprank.losses.retrieval_set import RetrievalSet


class BlackBoxAPLoss(BinaryRankLoss):
    """1 - AP on the exact rank, with the gradient of a blackbox solver; a baseline.

    The value is that of the ranking with the margin, in which positives are ``margin`` further back. The gradient is a
    difference of two rankings, see :func:`pml_suprank.functional.blackbox_average_precision`, which says too how
    it differs from the authors' code. The paper's memory of past batches is :class:`CrossBatchMemory`.

    Args:
        lambda_val: length of the perturbation, > 0: small is faithful and seldom other than 0, large is smooth.
        margin: alpha, >= 0, in score units.
        **kwargs: ``level``, ``hierarchy``, ``include_self`` and PML's own of :class:`RankLoss`.

    Raises:
        ValueError: a value outside its range.

    References:
        Rolinek et al., Optimizing Rank-based Metrics with Blackbox Differentiation, arXiv 1912.03500.
    """

    def __init__(self, *, lambda_val: float = 4.0, margin: float = 0.02, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 < lambda_val < math.inf:
            raise ValueError(f"lambda_val: wanted a positive finite number, got {lambda_val!r}")
        if not 0 <= margin < math.inf:
            raise ValueError(f"margin: wanted a finite number >= 0, got {margin!r}")
        self.lambda_val, self.margin = lambda_val, margin
        self.add_to_recordable_attributes(list_of_names=["lambda_val", "margin"], is_stat=False)

    def query_scores(self, scores: Tensor, items: RetrievalSet, relevance: Tensor) -> Tensor:
        """Return the AP of every query, (B,)."""
        return blackbox_average_precision(
            scores, relevance, items.mask, lambda_val=self.lambda_val, margin=self.margin
        )

"""The loss on average precision of quantised scores."""

import math
from typing import Any

from torch import Tensor

from pml_suprank.functional import soft_bin_average_precision
from pml_suprank.losses.ap_loss import BinaryRankLoss
from pml_suprank.losses.retrieval_set import RetrievalSet


class SoftBinAPLoss(BinaryRankLoss):
    """1 - AP on scores spread over bins, the listwise loss; a baseline.

    Even a perfect ranking has a loss above 0 where a positive shares a bin with another item. See
    :func:`pml_suprank.functional.soft_bin_average_precision`.

    Args:
        num_bins: M, an integer >= 2.
        score_range: the lowest and the highest bin; the range of cosine by default. Scores outside count in the
            outermost bin, without gradient.
        **kwargs: ``level``, ``hierarchy``, ``include_self`` and PML's own of :class:`RankLoss`.

    Raises:
        ValueError: a value outside its range.

    References:
        Revaud et al., Learning with Average Precision: Training Image Retrieval with a Listwise Loss,
        arXiv 1906.07589.
    """

    def __init__(
        self,
        *,
        num_bins: int = 20,
        score_range: tuple[float, float] = (-1.0, 1.0),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(num_bins, bool) or not isinstance(num_bins, int) or num_bins < 2:
            raise ValueError(f"num_bins: wanted an integer >= 2, got {num_bins!r}")
        try:
            low, high = map(float, score_range)
        except (TypeError, ValueError):
            low = high = math.nan
        if not -math.inf < low < high < math.inf:
            raise ValueError(
                f"score_range: wanted two finite numbers, lowest first, got {score_range!r}"
            )
        self.num_bins, self.score_range = num_bins, (low, high)
        self.add_to_recordable_attributes(name="num_bins", is_stat=False)

    def query_scores(self, scores: Tensor, items: RetrievalSet, relevance: Tensor) -> Tensor:
        """Return the quantised AP of every query, (B,)."""
        return soft_bin_average_precision(
            scores, relevance, items.mask, num_bins=self.num_bins, score_range=self.score_range
        )

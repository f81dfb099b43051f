"""The loss on average precision of quantised scores."""

import functools
import math
from typing import Any

from pml_suprank.functional import soft_bin_average_precision
from pml_suprank.hierarchy import Hierarchy
from pml_suprank.losses.objective import Objective
from pml_suprank.losses.rank_loss import RankLoss


class SoftBinAPLoss(RankLoss):
    """1 - AP on scores spread over bins, the listwise loss; a baseline.

    Even a perfect ranking has a loss above 0 where a positive shares a bin with another item. See
    :func:`pml_suprank.functional.soft_bin_average_precision`.

    Args:
        num_bins: M, an integer >= 2.
        score_range: the lowest and the highest bin; the range of cosine by default. Scores outside count in the
            outermost bin, without gradient.
        level: label column that makes an item positive; 0 is the finest.
        hierarchy: expands 1-D labels to all levels.
        include_self: leave the query in its own retrieval set, as the authors' code does.
        ignore_index: finest label of the samples that are neither queries nor items; None for none.
        **kwargs: PML's ``distance`` (a similarity, cosine by default), ``reducer``, ``embedding_regularizer``,
            ``embedding_reg_weight``, ``collect_stats``.

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
        level: int = 0,
        hierarchy: Hierarchy | None = None,
        include_self: bool = False,
        ignore_index: int | None = None,
        **kwargs: Any,
    ) -> None:
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

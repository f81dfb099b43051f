"""ROADMAP: average precision that survives the split into batches."""

from typing import Any

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.losses.ap_loss import SupAPLoss
from pml_suprank.losses.calibration_loss import CalibrationLoss
from pml_suprank.losses.decomposable_rank_loss import DecomposableRankLoss
from pml_suprank.pml import BaseDistance


class ROADMAPLoss(DecomposableRankLoss):
    """SupAP with the calibration loss; for class labels.

    Args:
        weight: of the calibration loss, in [0, 1]. The paper's first release weighs both alike (0.5).
        pos_margin: least similarity asked of positives.
        neg_margin: largest similarity allowed to negatives.
        level: label column that makes an item positive; 0 is the finest.
        hierarchy: expands 1-D labels to all levels.
        ignore_index: finest label of the samples that neither loss sees; None for none.
        distance: a similarity, for both losses; None for cosine.
        **kwargs: of :class:`SupAPLoss`.

    References:
        Ramzi et al., Robust and Decomposable Average Precision for Image Retrieval, arXiv 2110.01445.
    """

    def __init__(
        self,
        *,
        weight: float = 0.1,
        pos_margin: float = 0.9,
        neg_margin: float = 0.6,
        level: int = 0,
        hierarchy: Hierarchy | None = None,
        ignore_index: int | None = None,
        distance: BaseDistance | None = None,
        **kwargs: Any,
    ) -> None:
        shared: dict[str, Any] = {
            "level": level,
            "hierarchy": hierarchy,
            "ignore_index": ignore_index,
            "distance": distance,
        }
        super().__init__(
            SupAPLoss(**shared, **kwargs),
            CalibrationLoss(pos_margin=pos_margin, neg_margin=neg_margin, **shared),
            weight,
        )

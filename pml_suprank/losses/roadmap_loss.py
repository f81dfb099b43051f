"""ROADMAP: average precision that survives the split into batches."""

from typing import Any

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.losses.ap_loss import SupAPLoss
from pml_suprank.losses.calibration_loss import CalibrationLoss
from pml_suprank.losses.decomposable_rank_loss import DecomposableRankLoss
from pml_suprank.losses.similarity_mixup import SimilarityMixup
from pml_suprank.pml import BaseDistance


class ROADMAPLoss(DecomposableRankLoss):
    """SupAP with the calibration loss; for class labels.

    Args:
        weight: of the calibration loss, in [0, 1]. The paper's first release weighs both alike (0.5).
        pos_margin: least similarity asked of positives.
        neg_margin: largest similarity allowed to negatives.
        tau: temperature of the sigmoid, > 0, in score units.
        rho: slope beyond ``delta``, >= 0; -1 keeps the sigmoid.
        delta: where the linear part begins, >= 0, or None (see :class:`pml_suprank.functional.SupRank`).
        start: jump at 0.
        offset: value at ``delta``; None makes the step continuous there, as in the papers.
        preset: in place of the five above, "smooth" or the name of a data set, see :class:`SupRankLoss`.
        level: label column that makes an item positive; 0 is the finest.
        hierarchy: expands 1-D labels to all levels.
        ignore_index: finest label of the samples that neither loss sees; None for none.
        distance: a similarity, for both losses; None for cosine.
        include_self: leave the query in its own retrieval set, as the authors' code does.
        backend: execution of the ranks, see :func:`pml_suprank.functional.ranks`.
        mixup: a :class:`SimilarityMixup`, or True for the default one, adds virtual samples to the rank loss.
        **kwargs: PML's ``reducer``, ``embedding_regularizer``, ``embedding_reg_weight``, ``collect_stats``, of the
            rank loss.

    References:
        Ramzi et al., Robust and Decomposable Average Precision for Image Retrieval, arXiv 2110.01445.
    """

    def __init__(
        self,
        *,
        weight: float = 0.1,
        pos_margin: float = 0.9,
        neg_margin: float = 0.6,
        tau: float = 0.01,
        rho: float = 100.0,
        delta: float | None = 0.05,
        start: float = 0.5,
        offset: float | None = None,
        preset: str | None = None,
        level: int = 0,
        hierarchy: Hierarchy | None = None,
        ignore_index: int | None = None,
        distance: BaseDistance | None = None,
        include_self: bool = False,
        backend: str = "auto",
        mixup: SimilarityMixup | bool = False,
        **kwargs: Any,
    ) -> None:
        shared: dict[str, Any] = {
            "level": level,
            "hierarchy": hierarchy,
            "ignore_index": ignore_index,
            "distance": distance,
        }
        super().__init__(
            SupAPLoss(
                tau=tau,
                rho=rho,
                delta=delta,
                start=start,
                offset=offset,
                preset=preset,
                include_self=include_self,
                backend=backend,
                mixup=mixup,
                **shared,
                **kwargs,
            ),
            CalibrationLoss(pos_margin=pos_margin, neg_margin=neg_margin, **shared),
            weight,
        )

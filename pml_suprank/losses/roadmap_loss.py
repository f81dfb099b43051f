"""ROADMAP: average precision that survives the split into batches."""

from typing import Any

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.losses.ap_loss import SupAPLoss
from pml_suprank.losses.calibration_loss import CalibrationLoss
from pml_suprank.losses.decomposable_rank_loss import DecomposableRankLoss
from pml_suprank.losses.similarity_mixup import SimilarityMixup
from pml_suprank.pml import BaseDistance


class ROADMAPLoss(DecomposableRankLoss):
    r"""SupAP with the calibration loss, for class labels.

    .. math:: (1 - w)\, L_{\mathrm{SupAP}} + w\, L_{\mathrm{calibration}}

    Use it where you report mAP, labels are plain classes, and scores of different queries should be comparable. Take
    :class:`HAPPIERLoss` where classes have parents, and :class:`SupAPLoss` where the order alone counts.

    A query without a positive in its retrieval set is left out of the first loss, and its negatives count in the
    second.

    Shapes:
        embeddings (B, D); labels (B,), or (B, L) with column 0 the finest; with references ``ref_emb`` (N, D) and
        ``ref_labels`` (N,) or (N, L). The loss is a scalar.

    Args:
        weight: w, of the calibration loss, in [0, 1]: 0.1 in the papers' latest settings, 0.5 in the first release.
        pos_margin: least similarity asked of positives: 0.9 in the papers.
        neg_margin: largest similarity allowed to negatives: 0.6 in the papers.
        tau: temperature of the sigmoid, > 0, in units of the score: 0.01 in the papers; 0.05 to 0.1 ranked best here,
            see the ablation in ``docs/leaderboard.md``.
        rho: slope of the step beyond ``delta``, >= 0: 100 in the papers; -1 keeps the sigmoid.
        delta: where the linear part begins, >= 0: 0.05 in the papers; None begins it at 0 and needs ``offset``.
        start: jump at 0: 0.5 in the papers; with less the rank is no upper bound.
        offset: value at ``delta``; None makes the step continuous there, as in the papers.
        preset: sets the five above, none of which may then be given: "smooth" for ``tau`` 0.1, which this library
            recommends, or the step that the authors' code has for a data set, see ``docs/presets.md``.
        level: label column that makes an item positive; 0 is the finest.
        hierarchy: the class tree; gives 1-D labels all their levels.
        ignore_index: finest label of the samples that take no part, such as -1; None for none.
        distance: a similarity, for both losses; None for cosine.
        include_self: keep the query in its own retrieval set, as the authors' code does.
        backend: how ranks are computed; it changes time and memory alone, see :func:`pml_suprank.functional.ranks`.
        mixup: True, or a :class:`SimilarityMixup`, adds virtual samples between two of a class. It lowered all metrics
            in the ablation in ``docs/leaderboard.md``.
        **kwargs: PML's ``reducer``, ``embedding_regularizer``, ``embedding_reg_weight``, ``collect_stats``, of the rank
            loss.

    Example:
        >>> import torch
        >>> embeddings = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-0.6, 0.8]])
        >>> loss = ROADMAPLoss()(embeddings, torch.tensor([0, 0, 1, 1]))
        >>> round(loss.item(), 3)  # perfect ranks, and 0.1 of the 0.1 that positives at 0.8 lack to 0.9
        0.01

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

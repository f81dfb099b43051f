"""A rank loss together with a loss against non-decomposability."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from pml_suprank.functional.operation import untraced
from pml_suprank.hierarchy.labels import checked_ignore_index
from pml_suprank.losses.batch import checked_batch
from pml_suprank.losses.csl_loss import CSLLoss
from pml_suprank.losses.one_level import OneLevelMixin
from pml_suprank.losses.rank_loss import QueryLoss
from pml_suprank.losses.tuples import all_pairs_without_self
from pml_suprank.losses.untrained import notice_untrained
from pml_suprank.pml import BaseMetricLossFunction, WeightMixin
from pml_suprank.values import checked_number


class DecomposableRankLoss(BaseMetricLossFunction):
    r"""A weighted sum of a rank loss and a loss that puts all batches on one scale.

    .. math:: (1 - w)\, L_{\mathrm{rank}} + w\, L_{\mathrm{decomposability}}

    The average of a rank metric over batches is not the metric of the data set: each batch can be perfect on a scale of
    its own. The second loss gives all batches one scale, by thresholds (:class:`CalibrationLoss`) or by proxies that
    all batches share (:class:`ProxyClusterLoss`).

    Use it for sums of your own; :class:`ROADMAPLoss` and :class:`HAPPIERLoss` are ready-made.

    Both losses get the labels, references and a miner's tuple. A loss on proxies gets no references, and with them no
    tuple; :class:`CSLLoss` never gets one. Reducers, distances and regularizers are those of the two losses;
    ``distance`` and ``reducer`` here are the rank loss's. Queries without positives are treated as each loss treats
    them.

    Shapes:
        those of the two losses. The loss is a scalar where both are.

    Args:
        rank_loss: any loss of this library or of PML.
        decomposability_loss: likewise.
        weight: w, in [0, 1]: 0.1 in most published settings, 0.5 for recall. Of proxies, 0.05 to 0.1 kept H-AP here and
            more cost it, see the ablation in ``docs/leaderboard.md``.
        ignore_index: finest label of the samples that neither loss sees; None for that of the two losses, if any.

    Raises:
        ValueError: ``weight`` is outside [0, 1], a loss is not a PML loss, or the losses ignore different labels.

    Example:
        >>> import torch
        >>> from pml_suprank.losses import CalibrationLoss, SupRecallLoss
        >>> loss_fn = DecomposableRankLoss(SupRecallLoss(k=1), CalibrationLoss(), weight=0.5)
        >>> embeddings = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-0.6, 0.8]])
        >>> loss = loss_fn(embeddings, torch.tensor([0, 0, 1, 1]))
        >>> round(loss.item(), 3)  # (0.5 + 0.1) / 2
        0.3

    References:
        Ramzi et al., Optimization of Rank Losses for Image Retrieval, arXiv 2309.08250.
    """

    def __init__(
        self,
        rank_loss: BaseMetricLossFunction,
        decomposability_loss: BaseMetricLossFunction,
        weight: float = 0.1,
        *,
        ignore_index: int | None = None,
    ) -> None:
        super().__init__()
        weight = checked_number("weight", weight, 0, 1)
        for name, loss in (
            ("rank_loss", rank_loss),
            ("decomposability_loss", decomposability_loss),
        ):
            if not isinstance(loss, BaseMetricLossFunction):
                raise ValueError(
                    f"{name}: wanted a BaseMetricLossFunction, got {type(loss).__name__}"
                )
        self.rank_loss = rank_loss
        self.decomposability_loss = decomposability_loss
        self.weight = weight
        self.ignore_index = _one_ignore_index(ignore_index, rank_loss, decomposability_loss)
        self.distance, self.reducer = rank_loss.distance, rank_loss.reducer
        self.add_to_recordable_attributes(name="weight", is_stat=False)

    @untraced
    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor | None = None,
        indices_tuple: Sequence[Tensor] | None = None,
        ref_emb: Tensor | None = None,
        ref_labels: Tensor | None = None,
        self_indices: Tensor | None = None,
    ) -> Tensor:
        """Return the weighted sum; see :meth:`pml_suprank.losses.QueryLoss.forward` for the arguments."""
        arguments: tuple[Any, ...]
        arguments = (embeddings, labels, indices_tuple, ref_emb, ref_labels, self_indices)
        if self.ignore_index is not None:
            is_own = ref_emb is embeddings  # which what is left of them no longer tells
            batch = checked_batch(*arguments, ignore_index=self.ignore_index, finds_own=is_own)
            if batch.is_empty:
                return (embeddings * 0).sum()
            arguments = batch[:6]
        rank = _call(self.rank_loss, *arguments)
        # one word about references that are the queries is enough, and none where that is wanted
        for reason in ("has_seen_references", "include_self"):
            if getattr(self.rank_loss, reason, False):
                self.decomposability_loss.has_seen_references = True
        decomposability = _call(self.decomposability_loss, *arguments)
        return (1 - self.weight) * rank + self.weight * decomposability


def takes_self_indices(loss: BaseMetricLossFunction) -> bool:
    """Whether ``loss`` is told where the queries stand among the references."""
    return isinstance(loss, QueryLoss | OneLevelMixin | DecomposableRankLoss)


def _call(
    loss: BaseMetricLossFunction,
    embeddings: Tensor,
    labels: Tensor | None,
    indices_tuple: Sequence[Tensor] | None,
    ref_emb: Tensor | None,
    ref_labels: Tensor | None,
    self_indices: Tensor | None,
) -> Tensor:
    if not takes_self_indices(loss) and not isinstance(loss, CSLLoss):
        notice_untrained(loss)  # ours do so themselves
    if isinstance(loss, CSLLoss) or (isinstance(loss, WeightMixin) and ref_emb is not None):
        return loss(embeddings, labels)
    if takes_self_indices(loss):
        return loss(embeddings, labels, indices_tuple, ref_emb, ref_labels, self_indices)
    if ref_emb is not None and self_indices is not None and indices_tuple is None:
        indices_tuple = all_pairs_without_self(labels, ref_labels, self_indices)
    return loss(embeddings, labels, indices_tuple, ref_emb, ref_labels)


def _one_ignore_index(given: int | None, *parts: BaseMetricLossFunction) -> int | None:
    """Return the label that a loss and its parts ignore, or raise a ValueError where they differ."""
    own = [getattr(part, "ignore_index", None) for part in parts]
    known = {index for index in (checked_ignore_index(given), *own) if index is not None}
    if len(known) > 1:
        raise ValueError(f"ignore_index: wanted one for both losses, got {sorted(known)}")
    return known.pop() if known else None

"""Cross-scale learning, the proxy baseline for labels with a hierarchy."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from pml_suprank.checks import list_of, one_look
from pml_suprank.functional.operation import untraced
from pml_suprank.hierarchy import Hierarchy, HierarchyError, check_tree
from pml_suprank.hierarchy.labels import as_level_labels, checked_hierarchy, checked_ignore_index
from pml_suprank.losses.batch import checked_batch, reduced
from pml_suprank.losses.pml_options import check_pml_options
from pml_suprank.losses.scores import at_least_float32, check_similarity, distances, unit_rows
from pml_suprank.losses.untrained import notice_untrained
from pml_suprank.pml import BaseDistance, BaseMetricLossFunction, DotProductSimilarity
from pml_suprank.values import MOST, as_number, checked_choice, checked_integer, checked_positive

_MARGINS = {2: [0.25, 0.45], 3: [0.25, 0.35, 0.45], 7: [0.15 + 0.1 * level for level in range(7)]}


class CSLLoss(BaseMetricLossFunction):
    r"""Cross-scale learning: one proxy for each finest class serves all levels; a baseline.

    .. math::
        \sum_l \log\Bigl(1 + \sum_{p :\, \Pi_{pl} \ne y_l} e^{s (u_p - u_y + m_l)}\Bigr),
        \qquad u_p = \langle e, W_p / \lVert W_p \rVert \rangle

    with y the proxy of the finest class, at every level. A level l compares it with the proxies of other classes of
    that level.

    Use it to compare with; for labels with a hierarchy take :class:`HAPPIERLoss`. The proxies are parameters: give them
    to an optimizer. No sample needs a positive in the batch.

    Shapes:
        embeddings (B, D); labels (B,) finest classes, or (B, L) rows of the hierarchy's table. The loss is a scalar.
        The proxies are ``W``, (C, D).

    Args:
        hierarchy: the class tree; proxies stand in the order of its table.
        embedding_size: D.
        margins: m, one for each level, finest first, >= 0; None for the published ones of 2, 3 or 7 levels, 0.25 at
            every level of other trees.
        scale: s, > 0: 32 in the paper.
        reduce_levels: "sum" or "mean" over the levels.
        ignore_index: finest label of the samples that take no part, such as -1; None for none.
        **kwargs: PML's ``distance`` (a similarity; dot product of normalised embeddings by default), ``reducer``,
            ``embedding_regularizer``, ``embedding_reg_weight``, ``collect_stats``.

    Raises:
        ValueError: a wrong number of margins, a value outside its range; when called, labels that are no row of the
            hierarchy.

    Example:
        >>> import torch
        >>> from pml_suprank import Hierarchy
        >>> tree = Hierarchy.from_paths(["dog/husky", "dog/pug", "cat/manx"])
        >>> loss_fn = CSLLoss(tree, embedding_size=3, margins=(0, 0), scale=1.0)
        >>> loss_fn.W.data = torch.eye(3)  # so that the result can be checked by hand
        >>> loss = loss_fn(torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([0]))
        >>> round(loss.item(), 3)  # log(1 + 2 / e) for the breeds, log(1 + 1 / e) for the kinds
        0.865

    References:
        Sun et al., Dynamic Metric Learning: Towards a Scalable Metric Space to Accommodate Multiple Semantic Scales,
        arXiv 2103.11781.
    """

    def __init__(
        self,
        hierarchy: Hierarchy,
        embedding_size: int,
        margins: Sequence[float] | None = None,
        scale: float = 32.0,
        *,
        reduce_levels: str = "sum",
        ignore_index: int | None = None,
        **kwargs: Any,
    ) -> None:
        check_pml_options(kwargs)
        super().__init__(**kwargs)
        check_similarity(self.distance)
        checked_hierarchy(hierarchy, needed=True)
        embedding_size = checked_integer("embedding_size", embedding_size, 1)
        num_levels = hierarchy.num_levels
        if margins is None:
            margins = _MARGINS.get(num_levels, [0.25] * num_levels)
        margins = tuple(map(as_number, list_of(margins)))
        if len(margins) != num_levels or not all(0 <= m <= MOST for m in margins):
            raise ValueError(
                f"margins: wanted {num_levels} numbers >= 0, finest level first, got {margins}"
            )
        scale = checked_positive("scale", scale)
        checked_choice("reduce_levels", reduce_levels, ("sum", "mean"))
        self.hierarchy = hierarchy
        self.ignore_index = checked_ignore_index(ignore_index)
        self.margins, self.scale, self.reduce_levels = margins, scale, reduce_levels
        bound = 1 / math.sqrt(embedding_size)
        weight = torch.empty(hierarchy.num_classes, embedding_size).uniform_(-bound, bound)
        self.W = torch.nn.Parameter(weight)
        self.register_buffer("proxy_labels", hierarchy.table.clone(), persistent=False)
        self.add_to_recordable_attributes(name="scale", is_stat=False)

    def get_default_distance(self) -> BaseDistance:
        """Return the dot product of normalised embeddings."""
        return DotProductSimilarity()

    @untraced
    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor | None = None,
        indices_tuple: Sequence[Tensor] | None = None,
        ref_emb: Tensor | None = None,
        ref_labels: Tensor | None = None,
    ) -> Tensor:
        """Return the reduced loss.

        Args:
            embeddings: (B, D).
            labels: (B,) class labels, or (B, L) rows of ``hierarchy.table``.
            indices_tuple: not supported, None.
            ref_emb: not supported, None.
            ref_labels: not supported, None.
        """
        self.reset_stats()
        for name, value in (
            ("indices_tuple", indices_tuple),
            ("ref_emb", ref_emb),
            ("ref_labels", ref_labels),
        ):
            if value is not None:
                raise ValueError(f"{name}: CSLLoss compares with proxies alone, wanted None")
        if labels is None:
            raise ValueError("labels: wanted class labels, got None")
        with one_look():
            batch = checked_batch(embeddings, labels, ignore_index=self.ignore_index)
            kept = batch.embeddings
            if kept.shape[1] != self.W.shape[1]:
                raise ValueError(
                    f"embeddings: wanted {self.W.shape[1]} dimensions, got {kept.shape[1]}"
                )
            labels = as_level_labels(batch.labels, self.hierarchy, length=len(kept), check=False)
        notice_untrained(self)
        labels = labels.to(embeddings.device)
        if batch.is_empty:
            loss_dict = self.zero_losses()
        else:
            self._check_rows(labels)
            loss_dict = self.compute_loss(at_least_float32(kept), labels, None, None, None)
            self.add_embedding_regularization_to_loss_dict(loss_dict, kept)
        return reduced(self, loss_dict, batch, embeddings, labels[:, 0])

    def _check_rows(self, labels: Tensor) -> None:
        """Raise a HierarchyError unless the labels are rows of the hierarchy."""
        table = self.proxy_labels
        row = labels[:, 0].clamp(0, len(table) - 1)
        wrong = (table[row] != labels).any(dim=1)
        if bool(wrong.any()):
            first = labels[int(wrong.nonzero()[0])].tolist()
            check_tree(labels)  # says more of one-hot labels
            raise HierarchyError(
                "labels: wanted class ids, or rows of the hierarchy's table, as its expand() gives, "
                f"got the row {first}"
            )

    def compute_loss(
        self,
        embeddings: Tensor,
        labels: Tensor,
        indices_tuple: None,
        ref_emb: None,
        ref_labels: None,
    ) -> dict[str, dict[str, Any]]:
        """Return PML's dictionary of losses, one per embedding."""
        proxies = unit_rows(self.W.to(embeddings.dtype))
        logits = self.scale * distances(self.distance, embeddings, proxies)
        own = labels[:, :1] == self.proxy_labels[:, 0]
        positive = logits.masked_fill(~own, 0.0).sum(dim=1)
        levels = []
        for level, margin in enumerate(self.margins):
            others = labels[:, level].unsqueeze(1) != self.proxy_labels[:, level]
            # finite, so that a level with one node, hence without negatives, has loss and gradient 0
            negative = logits.masked_fill(~others, -1e30).logsumexp(dim=1)
            levels.append(softplus(negative - positive + margin * self.scale))
        losses = torch.stack(levels).sum(dim=0)
        if self.reduce_levels == "mean":
            losses = losses / len(levels)
        indices = torch.arange(len(embeddings), device=embeddings.device)
        return {"loss": {"losses": losses, "indices": indices, "reduction_type": "element"}}

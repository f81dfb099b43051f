"""The proxy loss that gives every class one place for all batches."""

import math
from typing import Any

import torch
from torch import Tensor

from pml_suprank.checks import demand
from pml_suprank.hierarchy import Hierarchy
from pml_suprank.losses.one_level import OneLevelMixin
from pml_suprank.losses.scores import check_similarity, with_direction
from pml_suprank.pml import NormalizedSoftmaxLoss, TorchInitWrapper
from pml_suprank.values import checked_integer, checked_positive


class ProxyClusterLoss(OneLevelMixin, NormalizedSoftmaxLoss):
    r"""Normalised softmax over class proxies: a trained vector for each class.

    .. math::
        -\log \frac{e^{z_y / T}}{\sum_c e^{z_c / T}}, \qquad z_c = \langle e, W_c / \lVert W_c \rVert \rangle

    for an embedding e of class y and the proxies W, one row for each class. It is PML's ``NormalizedSoftmaxLoss`` with
    the paper's initialisation and any number of centers for each class. Embeddings are normalised by the default
    distance; the authors' networks normalise theirs.

    Use it beside a rank loss, as :class:`HAPPIERLoss` does: proxies are in every batch, so that all batches share one
    space. Train them for some epochs before the trunk, see ``docs/choosing.md``. With more classes than proxies fit
    into memory, take :class:`CalibrationLoss`.

    The proxies are parameters: give them to an optimizer, or they stay where they began. No sample needs a positive in
    the batch.

    Shapes:
        embeddings (B, D); labels (B,) in 0..C-1, or (B, L) with column 0 the finest. The loss is a scalar. References
        are not supported. The proxies are the columns of ``W``.

    Args:
        num_classes: C; labels at ``level`` are 0..C-1 (with ``hierarchy`` they always are).
        embedding_size: D.
        temperature: T, > 0: 0.05 in the papers; 0.1 ranked best here, see the ablation in ``docs/leaderboard.md``.
        centers_per_class: proxies of a class, whose logit is then their softmax-weighted mean: 1 in the papers.
        center_temperature: temperature of that softmax, > 0.
        level: label column of the classes; 0 is the finest.
        hierarchy: the class tree; gives 1-D labels all their levels.
        ignore_index: finest label of the samples that take no part, such as -1; None for none.
        **kwargs: PML's ``distance`` (a similarity), ``reducer``, ``weight_init_func``, ``weight_regularizer``,
            ``weight_reg_weight``, ``embedding_regularizer``, ``embedding_reg_weight``, ``collect_stats``.

    Raises:
        ValueError: a size below 1 or a temperature not above 0; when called, a label outside 0..C-1.

    Example:
        >>> import torch
        >>> loss_fn = ProxyClusterLoss(num_classes=2, embedding_size=2, temperature=0.5)
        >>> loss_fn.W.data = torch.eye(2)  # so that the result can be checked by hand
        >>> loss = loss_fn(torch.tensor([[1.0, 0.0]]), torch.tensor([0]))
        >>> round(loss.item(), 3)  # log(1 + e^(-1 / 0.5))
        0.127

    References:
        Zhai and Wu, Classification is a Strong Baseline for Deep Metric Learning, arXiv 1811.12649; Ramzi et al.,
        Hierarchical Average Precision Training for Pertinent Image Retrieval, arXiv 2207.04873.
    """

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        temperature: float = 0.05,
        *,
        centers_per_class: int = 1,
        center_temperature: float = 0.1,
        level: int = 0,
        hierarchy: Hierarchy | None = None,
        ignore_index: int | None = None,
        **kwargs: Any,
    ) -> None:
        for name, size in (
            ("num_classes", num_classes),
            ("embedding_size", embedding_size),
            ("centers_per_class", centers_per_class),
        ):
            checked_integer(name, size, 1)
        for name, value in (
            ("temperature", temperature),
            ("center_temperature", center_temperature),
        ):
            checked_positive(name, value)
        bound = 1 / math.sqrt(embedding_size)
        kwargs.setdefault(
            "weight_init_func", TorchInitWrapper(torch.nn.init.uniform_, a=-bound, b=bound)
        )
        super().__init__(
            num_classes * centers_per_class,
            embedding_size,
            temperature,
            level=level,
            hierarchy=hierarchy,
            ignore_index=ignore_index,
            **kwargs,
        )
        check_similarity(self.distance)
        self.num_classes, self.embedding_size = num_classes, embedding_size
        self.centers_per_class = centers_per_class
        self.center_temperature = center_temperature

    def compute_loss(
        self,
        embeddings: Tensor,
        labels: Tensor | None,
        indices_tuple: Any,
        ref_emb: Tensor,
        ref_labels: Tensor | None,
    ) -> dict[str, dict[str, Any]]:
        """Return PML's dictionary of losses, one per embedding."""
        if embeddings.shape[1] != self.embedding_size:
            raise ValueError(
                f"embeddings: wanted {self.embedding_size} dimensions, got {embeddings.shape[1]}"
            )
        if labels is not None:
            self._demand_classes(labels)
        return super().compute_loss(embeddings, labels, indices_tuple, ref_emb, ref_labels)

    def _demand_classes(self, labels: Tensor) -> None:
        least, largest = labels.aminmax()

        def complain() -> None:
            raise ValueError(
                f"labels: wanted classes 0..{self.num_classes - 1} at level {self.level}, "
                f"got {int(least)}..{int(largest)}"
            )

        demand((least >= 0) & (largest < self.num_classes), complain)

    def cast_types(self, dtype: torch.dtype, device: torch.device) -> None:
        """Move the proxies, but only where they are elsewhere: torch.func lets nobody write to parameters."""
        if (self.W.dtype, self.W.device) != (dtype, device):
            super().cast_types(dtype, device)

    def get_logits(self, embeddings: Tensor) -> Tensor:
        """Return the (B, C) logits, over the temperature."""
        proxies = self.distance.normalize(with_direction(self.W.t()).t(), dim=0)
        logits = self.distance(embeddings, proxies.t()) / self.temperature
        if self.centers_per_class == 1:
            return logits
        similarity = logits.unflatten(1, (self.num_classes, self.centers_per_class))
        share = torch.softmax(similarity * self.temperature / self.center_temperature, dim=2)
        return (similarity * share).sum(dim=2)

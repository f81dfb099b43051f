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


class ProxyClusterLoss(OneLevelMixin, NormalizedSoftmaxLoss):
    r"""Normalised softmax over class proxies.

    .. math:: -\log \operatorname{softmax}_c(\langle e_q, W_c / \lVert W_c \rVert \rangle / T)_{y_q}

    It is PML's :class:`~pytorch_metric_learning.losses.NormalizedSoftmaxLoss` with the paper's initialisation and any
    number of centers for each class. Embeddings are normalised by the default distance; the authors' networks
    normalise theirs. The proxies are parameters: give them to an optimizer.

    Args:
        num_classes: C; labels at ``level`` are 0..C-1 (with ``hierarchy`` they always are).
        embedding_size: D.
        temperature: T, > 0.
        centers_per_class: proxies of a class; its logit is their softmax-weighted mean.
        center_temperature: temperature of that softmax, > 0.
        level: label column of the classes; 0 is the finest.
        hierarchy: expands 1-D labels to all levels.
        ignore_index: finest label of the samples to leave out; None for none.
        **kwargs: PML's ``distance`` (a similarity), ``reducer``, ``weight_init_func``, ``weight_regularizer``,
            ``weight_reg_weight``, ``embedding_regularizer``, ``embedding_reg_weight``, ``collect_stats``.

    Raises:
        ValueError: a size below 1 or a temperature not above 0; when called, a label outside 0..C-1.

    References:
        Zhai and Wu, Classification is a Strong Baseline for Deep Metric Learning, arXiv 1811.12649; Ramzi et al.,
        arXiv 2207.04873.
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
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise ValueError(f"{name}: wanted an integer >= 1, got {size!r}")
        for name, value in (
            ("temperature", temperature),
            ("center_temperature", center_temperature),
        ):
            if not 0 < value < math.inf:
                raise ValueError(f"{name}: wanted a positive finite number, got {value!r}")
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

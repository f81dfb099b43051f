"""HAPPIER: hierarchical average precision that survives the split into batches."""

from typing import Any

from pml_suprank.checks import checked_level
from pml_suprank.hierarchy import Hierarchy
from pml_suprank.losses.decomposable_rank_loss import DecomposableRankLoss
from pml_suprank.losses.hap_loss import SupHAPLoss
from pml_suprank.losses.proxy_cluster_loss import ProxyClusterLoss
from pml_suprank.pml import BaseDistance


class HAPPIERLoss(DecomposableRankLoss):
    """Sup-H-AP with the cluster loss on the finest classes; for labels with a hierarchy.

    The proxies are parameters: give them to an optimizer (PML's trainers take ``metric_loss_optimizer``). For other
    options of the cluster loss, build it and the rank loss and put them into :class:`DecomposableRankLoss`.

    Args:
        num_classes: classes at ``cluster_level``; None takes them from ``hierarchy``.
        embedding_size: D.
        weight: of the cluster loss, in [0, 1].
        temperature: of the cluster loss, > 0.
        cluster_level: label column of the proxies; 0 is the finest.
        hierarchy: expands 1-D labels to all levels.
        ignore_index: finest label of the samples that neither loss sees; None for none.
        distance: a similarity, for both losses; None for cosine.
        **kwargs: of :class:`SupHAPLoss`.

    Raises:
        ValueError: neither ``num_classes`` nor ``hierarchy`` is given, or a value is outside its range.

    References:
        Ramzi et al., Hierarchical Average Precision Training for Pertinent Image Retrieval, arXiv 2207.04873.
    """

    def __init__(
        self,
        num_classes: int | None = None,
        embedding_size: int | None = None,
        *,
        weight: float = 0.1,
        temperature: float = 0.05,
        cluster_level: int = 0,
        hierarchy: Hierarchy | None = None,
        ignore_index: int | None = None,
        distance: BaseDistance | None = None,
        **kwargs: Any,
    ) -> None:
        if num_classes is None:
            if hierarchy is None:
                raise ValueError("num_classes: wanted an integer >= 1 or a hierarchy, got neither")
            column = checked_level(cluster_level, hierarchy.num_levels)
            num_classes = int(hierarchy.table[:, column].max()) + 1
        if embedding_size is None:
            raise ValueError("embedding_size: wanted an integer >= 1, got None")
        shared: dict[str, Any] = {
            "hierarchy": hierarchy,
            "distance": distance,
            "ignore_index": ignore_index,
        }
        super().__init__(
            SupHAPLoss(**shared, **kwargs),
            ProxyClusterLoss(
                num_classes,
                embedding_size,
                temperature,
                level=cluster_level,
                **shared,
            ),
            weight,
        )

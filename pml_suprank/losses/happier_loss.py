"""HAPPIER: hierarchical average precision that survives the split into batches."""

from collections.abc import Mapping
from typing import Any

from pml_suprank.checks import checked_level
from pml_suprank.hierarchy import Hierarchy
from pml_suprank.losses.decomposable_rank_loss import DecomposableRankLoss
from pml_suprank.losses.hap_loss import SupHAPLoss
from pml_suprank.losses.proxy_cluster_loss import ProxyClusterLoss
from pml_suprank.losses.similarity_mixup import SimilarityMixup
from pml_suprank.pml import BaseDistance
from pml_suprank.relevance import Relevance


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
        relevance: relevance of an item from level counts, see :mod:`pml_suprank.relevance`; None for
            :class:`PopulationRelevance`.
        hrank: a smooth numerator, see :class:`SupHAPLoss`; None for none.
        tau: temperature of the sigmoid, > 0, in score units.
        rho: slope beyond ``delta``, >= 0; -1 keeps the sigmoid.
        delta: where the linear part begins, >= 0, or None (see :class:`pml_suprank.functional.SupRank`).
        start: jump at 0.
        offset: value at ``delta``; None makes the step continuous there, as in the papers.
        preset: in place of the five above, "smooth" or the name of a data set, see :class:`SupRankLoss`.
        level: label column that makes an item positive, or not; None for the whole hierarchy.
        hierarchy: expands 1-D labels to all levels.
        ignore_index: finest label of the samples that neither loss sees; None for none.
        distance: a similarity, for both losses; None for cosine.
        include_self: leave the query in its own retrieval set, as the authors' code does.
        backend: execution of the ranks, see :func:`pml_suprank.functional.ranks`.
        mixup: a :class:`SimilarityMixup`, or True for the default one, adds virtual samples to the rank loss.
        **kwargs: PML's ``reducer``, ``embedding_regularizer``, ``embedding_reg_weight``, ``collect_stats``, of the
            rank loss.

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
        relevance: Relevance | None = None,
        hrank: Mapping[str, float] | None = None,
        tau: float = 0.01,
        rho: float = 100.0,
        delta: float | None = 0.05,
        start: float = 0.5,
        offset: float | None = None,
        preset: str | None = None,
        level: int | None = None,
        hierarchy: Hierarchy | None = None,
        ignore_index: int | None = None,
        distance: BaseDistance | None = None,
        include_self: bool = False,
        backend: str = "auto",
        mixup: SimilarityMixup | bool = False,
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
            SupHAPLoss(
                relevance=relevance,
                hrank=hrank,
                level=level,
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
            ProxyClusterLoss(
                num_classes,
                embedding_size,
                temperature,
                level=cluster_level,
                **shared,
            ),
            weight,
        )

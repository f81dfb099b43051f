"""HAPPIER: hierarchical average precision that survives the split into batches."""

from collections.abc import Mapping
from typing import Any

from pml_suprank.checks import checked_level
from pml_suprank.hierarchy import Hierarchy
from pml_suprank.hierarchy.labels import checked_hierarchy
from pml_suprank.losses.decomposable_rank_loss import DecomposableRankLoss
from pml_suprank.losses.hap_loss import SupHAPLoss
from pml_suprank.losses.proxy_cluster_loss import ProxyClusterLoss
from pml_suprank.losses.similarity_mixup import SimilarityMixup
from pml_suprank.pml import BaseDistance
from pml_suprank.relevance import Relevance


class HAPPIERLoss(DecomposableRankLoss):
    r"""SupHAP with proxies of the finest classes, for labels with a hierarchy: what this library recommends.

    .. math:: (1 - w)\, L_{\mathrm{SupHAP}} + w\, L_{\mathrm{proxies}}

    Use it for labels with a hierarchy: ``HAPPIERLoss(..., tau=0.1, temperature=0.1,
    relevance=PopulationRelevance(1.5))``, with batches of :class:`~pml_suprank.samplers.HierarchicalSampler`,
    ``group_sizes`` of (2, 4) to (2, 8), no miner and no memory.
    Take :class:`SupHAPLoss`, the same without proxies, where there are too many classes for them, and
    :class:`ROADMAPLoss` where classes have no parents. The defaults are the papers', so that published numbers can be
    repeated.

    The proxies are parameters: give them to an optimizer (PML's trainers take ``metric_loss_optimizer``), and train
    them for some epochs before the trunk, see ``docs/choosing.md``. For other options of the proxies, build both losses
    and put them into :class:`DecomposableRankLoss`.

    A query that shares no level with any item of its retrieval set is left out of the first loss; the second needs no
    positives.

    Shapes:
        embeddings (B, D); labels (B,) finest classes with ``hierarchy``, or (B, L) with column 0 the finest; with
        references ``ref_emb`` (N, D) and ``ref_labels`` of the same form, which the proxies do not see. The loss is a
        scalar.

    Args:
        num_classes: classes at ``cluster_level``; None takes them from ``hierarchy``.
        embedding_size: D.
        weight: w, of the proxies, in [0, 1]: 0.1 in the papers. Here 0.05 to 0.1 kept H-AP; 0.2 and more cost it and
            gained little at the finest level, see the ablation in ``docs/leaderboard.md``.
        temperature: of the proxies, > 0: 0.05 in the papers; 0.1 ranked best here, see the same table.
        cluster_level: label column of the proxies; 0 is the finest.
        relevance: how much an item of each level counts, see :mod:`pml_suprank.relevance`; None for
            ``PopulationRelevance(alpha=1.0)``, the paper's. A larger alpha favours the finest level and costs H-AP; 1.5
            is recommended for HAPPIER.
        hrank: a smooth numerator, see :class:`SupHAPLoss`; None for none.
        tau: temperature of the sigmoid, > 0, in units of the score: 0.01 in the papers; 0.05 to 0.1 ranked best here,
            see the ablation in ``docs/leaderboard.md``.
        rho: slope of the step beyond ``delta``, >= 0: 100 in the papers; -1 keeps the sigmoid.
        delta: where the linear part begins, >= 0: 0.05 in the papers; None begins it at 0 and needs ``offset``.
        start: jump at 0: 0.5 in the papers; with less the rank is no upper bound.
        offset: value at ``delta``; None makes the step continuous there, as in the papers.
        preset: sets the five above, none of which may then be given: "smooth" for ``tau`` 0.1, which this library
            recommends, or the step that the authors' code has for a data set, see ``docs/presets.md``.
        level: None for the whole hierarchy; a label column makes items of its class relevant and no others.
        hierarchy: the class tree; gives 1-D labels all their levels.
        ignore_index: finest label of the samples that take no part, such as -1; None for none.
        distance: a similarity, for both losses; None for cosine.
        include_self: keep the query in its own retrieval set, as the authors' code does.
        backend: how ranks are computed; it changes time and memory alone, see :func:`pml_suprank.functional.ranks`.
        mixup: True, or a :class:`SimilarityMixup`, adds virtual samples between two of a class. It lowered all metrics
            in the ablation in ``docs/leaderboard.md``.
        **kwargs: PML's ``reducer``, ``embedding_regularizer``, ``embedding_reg_weight``, ``collect_stats``, of the rank
            loss.

    Raises:
        ValueError: neither ``num_classes`` nor ``hierarchy`` is given, or a value is outside its range.

    Example:
        >>> import torch
        >>> from pml_suprank import Hierarchy
        >>> from pml_suprank.relevance import PopulationRelevance
        >>> tree = Hierarchy.from_paths(["dog/husky", "dog/pug", "cat/manx"])
        >>> _ = torch.manual_seed(0)
        >>> options = dict(tau=0.1, temperature=0.1, relevance=PopulationRelevance(1.5))
        >>> loss_fn = HAPPIERLoss(embedding_size=8, hierarchy=tree, **options)
        >>> loss = loss_fn(torch.randn(12, 8), torch.arange(12) % 3)
        >>> round(loss.item(), 2)  # embeddings at random
        1.02
        >>> optimizer = torch.optim.Adam(loss_fn.parameters(), lr=0.01)  # the proxies

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
        checked_hierarchy(hierarchy)
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

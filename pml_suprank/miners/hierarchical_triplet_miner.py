"""Triplets across the levels of a hierarchy."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.miners import triplets
from pml_suprank.miners.hierarchical_miner import HierarchicalMiner, checked_margins
from pml_suprank.pml import BaseDistance
from pml_suprank.values import MOST_ITEMS, as_integer, checked_choice, checked_flag, shown


class HierarchicalTripletMiner(HierarchicalMiner):
    r"""Triplets whose positive shares more levels with the anchor than their negative.

    Use it with PML's ``TripletMarginLoss`` and its like on labels with a hierarchy. Rank losses need no miner, and
    :class:`~pml_suprank.losses.HierarchicalTripletMarginLoss` trains on all triplets without one.

    A triplet (a, p, n) of level l, the finest column that a and p have in common, has the gap

    .. math:: g = d(a, n) - d(a, p), \qquad \text{or } s(a, p) - s(a, n) \text{ for a similarity,}

    and is selected by PML's rule with the margin of its level: ``"all"`` where g <= margin, ``"hard"`` where g <= 0,
    ``"semihard"`` where 0 < g <= margin, ``"easy"`` where g > margin. Its violation is margin - g. With one level this
    is PML's ``TripletMarginMiner``, in the same order: by anchor, positive and negative.

    With ``per_anchor``, each anchor keeps its first so many. First are the triplets whose negative shares most levels
    with the anchor; among these, those of larger violation; among equal ones, those of the lower index of
    the positive; for one positive, those of the closer negative, and of equally close ones the one of the lower index.

    Last, an item that would be a positive of an anchor in some triplets and a negative of it in others (it shares some
    levels, but not all) keeps the role in which it has the largest violation, a positive's if they are equal, and
    the triplets with its other role go. PML's pair losses ask for that (``MultiSimilarityLoss`` raises an error
    otherwise); losses on triplets can take ``one_role=False``, all triplets.

    Of the order of B^3 triplets may be selected: the work goes in blocks, but the result is as large as it is.
    ``per_anchor`` bounds the result too, and takes less time.

    Args:
        margins: one margin for all levels, or one per level with the finest first; >= 0. 0.2 is PML's. Margins that
            fall with the level, such as (0.3, 0.2, 0.1), ask strangers to be farther from a class than its relatives.
        type_of_triplets: ``"all"``, ``"hard"``, ``"semihard"`` or ``"easy"``.
        per_anchor: the most triplets of an anchor; None for all. Take 10 to 100 for batches of some hundred: all
            triplets of 512 items with three levels can be 15 million, see ``docs/performance.md``.
        one_role: whether an item is a positive or a negative of an anchor, but not both. Take False for losses on
            triplets; pair losses need True.
        level: mine for this label column alone; None for the whole hierarchy.
        hierarchy: expands 1-D labels to all levels.
        ignore_index: finest label of the samples that are in no pair; None for none.
        distance: PML's, a distance or a similarity; None for Euclidean.
        collect_stats: whether to record ``num_triplets_level<l>`` and ``triplet_violation_level<l>``, the mean
            violation; None for what PML does elsewhere.

    Raises:
        ValueError: an argument outside its range.

    Example:
        >>> import torch
        >>> labels = torch.tensor([[0, 0], [0, 0], [1, 0], [2, 1]])
        >>> points = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [0.8, 0.6]])
        >>> miner = HierarchicalTripletMiner(type_of_triplets="hard")
        >>> torch.stack(miner(points, labels), dim=1).tolist()
        [[0, 1, 2], [0, 1, 3], [1, 0, 2], [1, 0, 3], [2, 0, 3], [2, 1, 3]]
    """

    def __init__(
        self,
        margins: float | Sequence[float] = 0.2,
        type_of_triplets: str = "all",
        per_anchor: int | None = None,
        *,
        one_role: bool = True,
        level: int | None = None,
        hierarchy: Hierarchy | None = None,
        ignore_index: int | None = None,
        distance: BaseDistance | None = None,
        collect_stats: bool | None = None,
    ) -> None:
        super().__init__(
            level=level,
            hierarchy=hierarchy,
            ignore_index=ignore_index,
            distance=distance,
            collect_stats=collect_stats,
        )
        self.margins = checked_margins("margins", margins, self._known_levels())
        self.type_of_triplets = checked_choice("type_of_triplets", type_of_triplets, triplets.TYPES)
        self.per_anchor = _checked_cap(per_anchor)
        self.one_role = checked_flag("one_role", one_role)
        self._record_margins("margins", self.margins)

    def extra_repr(self) -> str:
        """Show the rule."""
        return (
            f"margins={self.margins}, type_of_triplets={self.type_of_triplets!r}, "
            f"per_anchor={self.per_anchor}, one_role={self.one_role}, {super().extra_repr()}"
        )

    def select(
        self, distances: Tensor, common_levels: Tensor, num_levels: int
    ) -> tuple[Tensor, ...]:
        """Return (anchor, positive, negative)."""
        margins = checked_margins("margins", self.margins, num_levels)
        finest_first = margins if isinstance(margins, tuple) else [margins] * num_levels
        table = distances.new_tensor([0.0, *reversed(finest_first)])
        rule = triplets.gap_rule(self.type_of_triplets, table)
        if self.per_anchor is None:
            found = triplets.all_triplets(distances, common_levels, rule)
        else:
            found = triplets.nearest_first_triplets(distances, common_levels, rule, self.per_anchor)
        empty = torch.empty(0, dtype=torch.long, device=distances.device)
        blocks = [(empty, empty, empty), *found]
        if self.one_role and num_levels > 1:
            triplets.keep_one_role(blocks, distances, common_levels, rule)
        anchor, positive, negative = triplets.joined(blocks)
        if self.collect_stats:
            chosen = (anchor, positive, negative)
            violation = triplets.violations(distances, common_levels, rule, chosen)
            self._record_levels(
                "triplet", num_levels - common_levels[anchor, positive], violation, num_levels
            )
        return anchor, positive, negative


def _checked_cap(per_anchor: Any) -> int | None:
    if per_anchor is None:
        return None
    cap = as_integer(per_anchor)
    if cap is None or cap < 1:
        raise ValueError(
            f"per_anchor: wanted an integer >= 1, or None for all triplets, got {shown(per_anchor)}"
        )
    return min(cap, MOST_ITEMS)

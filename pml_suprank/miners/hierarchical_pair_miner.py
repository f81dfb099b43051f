"""Pairs beyond the margins of their level."""

import math
from collections.abc import Sequence

from torch import Tensor

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.miners.hierarchical_miner import HierarchicalMiner, Margins, checked_margins
from pml_suprank.miners.pairs import margin_violations
from pml_suprank.pml import BaseDistance


class HierarchicalPairMiner(HierarchicalMiner):
    r"""Pairs too far apart for a level they share, or too close for one they do not.

    Use it with PML's ``ContrastiveLoss`` on labels with a hierarchy, with margins of the loss's kind. It asks for
    distances, not for an order: where the order is what counts, take :class:`HierarchicalMultiSimilarityMiner`, or a
    rank loss without a miner.

    Levels nest: a pair shares all columns from its finest common one, l, on, and none below. It is

    * a positive pair if d(a, p) > pos_margins[l], where it shares a level at all;
    * a negative pair if d(a, n) < neg_margins[l - 1], where l - 1 is the coarsest column that differs.

    For a similarity the inequalities turn round. Items that share some levels, but not all, are asked to be
    neither too far nor too close; ``neg_margins[l - 1] <= pos_margins[l]`` (>= for a similarity) keeps one pair from
    being both. With one level this is PML's ``PairMarginMiner``. Pairs come in order of anchor and item.

    Two numbers stand for margins at even steps: ``pos_margins`` for the finest level, ``neg_margins`` for the
    coarsest, and from one to the other pos[0], neg[0], pos[1], ..., neg[L - 1]. For three levels, 0 and 1 give
    pos_margins (0, .4, .8) and neg_margins (.2, .6, 1).

    Args:
        pos_margins: a number, or one per level with the finest first; of distances, >= 0. 0.2 is PML's; two numbers,
            0.2 and 0.8, are a good start, since they are spread over the levels.
        neg_margins: likewise, of the same kind; 0.8 is PML's.
        level: mine for this label column alone; None for the whole hierarchy.
        hierarchy: expands 1-D labels to all levels.
        ignore_index: finest label of the samples that are in no pair; None for none.
        distance: PML's, a distance or a similarity; None for Euclidean.
        collect_stats: whether to record ``num_pos_pairs_level<l>``, ``pos_pair_violation_level<l>`` (mean of
            d - margin), and the same with ``neg`` (mean of margin - d), each under the level of its margin; None for
            what PML does elsewhere.

    Raises:
        ValueError: an argument outside its range; a number for one kind of margin and a list for the other; margins
            by which one pair can be both positive and negative.

    Example:
        >>> import torch
        >>> labels = torch.tensor([[0, 0], [0, 0], [1, 0], [2, 1]])
        >>> points = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [0.8, 0.6]])
        >>> anchor, positive, other, negative = HierarchicalPairMiner(0.0, 1.0)(points, labels)
        >>> torch.stack([anchor, positive], dim=1).tolist()
        [[0, 1], [0, 2], [1, 0], [2, 0]]
        >>> torch.stack([other, negative], dim=1).tolist()
        [[0, 3], [1, 3], [2, 3], [3, 0], [3, 1], [3, 2]]
    """

    def __init__(
        self,
        pos_margins: float | Sequence[float] = 0.2,
        neg_margins: float | Sequence[float] = 0.8,
        *,
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
        least = -math.inf if self.distance.is_inverted else 0.0
        known = self._known_levels()
        self.pos_margins = checked_margins("pos_margins", pos_margins, known, least=least)
        self.neg_margins = checked_margins("neg_margins", neg_margins, known, least=least)
        if isinstance(self.pos_margins, tuple) != isinstance(self.neg_margins, tuple):
            raise ValueError(
                "neg_margins: wanted a number if pos_margins is one and a list if it is a list, "
                f"got {pos_margins!r} and {neg_margins!r}"
            )
        if known is not None:
            self._margins(known)
        self._record_margins("pos_margins", self.pos_margins)
        self._record_margins("neg_margins", self.neg_margins)

    def extra_repr(self) -> str:
        """Show the margins."""
        margins = f"pos_margins={self.pos_margins}, neg_margins={self.neg_margins}"
        return f"{margins}, {super().extra_repr()}"

    def select(
        self, distances: Tensor, common_levels: Tensor, num_levels: int
    ) -> tuple[Tensor, ...]:
        """Return (anchor, positive, other anchor, negative)."""
        margins = self._margins(num_levels)
        sign = -1 if self.distance.is_inverted else 1
        pos_margins, neg_margins = (distances.new_tensor(side) * sign for side in margins)
        positive, negative = margin_violations(distances, common_levels, pos_margins, neg_margins)
        return self._mined_pairs(positive, negative, common_levels, num_levels)

    def _margins(self, num_levels: int) -> tuple[Sequence[float], Sequence[float]]:
        """Return both kinds of margins, one per level."""
        pos = checked_margins("pos_margins", self.pos_margins, num_levels, least=-math.inf)
        neg = checked_margins("neg_margins", self.neg_margins, num_levels, least=-math.inf)
        pos_list, neg_list = _per_level(pos, neg, num_levels)
        most = "least" if self.distance.is_inverted else "most"
        sign = -1 if self.distance.is_inverted else 1
        for level, (fine, coarse) in enumerate(zip(neg_list, pos_list[1:], strict=False)):
            if sign * fine > sign * coarse:
                raise ValueError(
                    f"neg_margins: wanted at {most} {coarse:g} at level {level}, the positive margin of level "
                    f"{level + 1}, or one pair is both positive and negative, got {fine:g}"
                )
        return pos_list, neg_list


def _per_level(
    pos: Margins, neg: Margins, num_levels: int
) -> tuple[Sequence[float], Sequence[float]]:
    if isinstance(pos, tuple) or isinstance(neg, tuple):
        assert isinstance(pos, tuple)
        assert isinstance(neg, tuple)
        return pos, neg
    steps = [step / (2 * num_levels - 1) for step in range(2 * num_levels)]
    margins = [pos * (1 - step) + neg * step for step in steps]
    return margins[::2], margins[1::2]

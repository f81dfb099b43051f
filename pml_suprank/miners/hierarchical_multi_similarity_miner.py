"""Pairs in the wrong order of levels."""

import math
from numbers import Real

from torch import Tensor

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.miners.hierarchical_miner import HierarchicalMiner
from pml_suprank.miners.pairs import one_role, ranking_violations
from pml_suprank.pml import BaseDistance, CosineSimilarity


class HierarchicalMultiSimilarityMiner(HierarchicalMiner):
    r"""Pairs that are in the wrong order of levels, or in the right one by less than epsilon.

    Use it with PML's ``MultiSimilarityLoss`` on labels with a hierarchy. Rank losses need no miner. For a triplet loss
    take :class:`HierarchicalTripletMiner`, for a contrastive one :class:`HierarchicalPairMiner`.

    Of the items that share x levels with the anchor a,

    * p makes a positive pair if an item n of fewer levels is closer than it, or farther by less than epsilon:
      s(a, p) - epsilon < max s(a, n);
    * n makes a negative pair if an item p of more levels is farther than it, or closer by less than epsilon:
      s(a, n) + epsilon > min s(a, p).

    The violation of a positive pair is max s(a, n) - s(a, p) + epsilon, that of a negative one s(a, n) + epsilon -
    min s(a, p). An item that shares some levels, but not all, may be both, behind a stranger and before a closer
    relative: the larger violation decides, for the positive pair if they are equal, since PML's loss takes no pair in
    both roles. But for that, this is what PML's ``MultiSimilarityMiner`` finds at each level, put together; with one
    level it is that miner. Pairs come in order of anchor and item.

    Args:
        epsilon: >= 0, in units of the similarity: how far ahead the right order has to be to be left alone. 0.1 is
            PML's; 0 mines wrong orders alone.
        level: mine for this label column alone; None for the whole hierarchy.
        hierarchy: expands 1-D labels to all levels.
        ignore_index: finest label of the samples that are in no pair; None for none.
        distance: PML's, a distance or a similarity; None for cosine similarity.
        collect_stats: whether to record ``num_pos_pairs_level<l>`` and ``pos_pair_violation_level<l>``, the mean, for
            pairs whose finest common column is l, and the same with ``neg`` for pairs whose coarsest column that
            differs is l; None for what PML does elsewhere.

    Raises:
        ValueError: an argument outside its range.

    Example:
        >>> import torch
        >>> labels = torch.tensor([[0, 0], [0, 0], [1, 0], [2, 1]])
        >>> points = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [0.8, 0.6]])
        >>> anchor, positive, other, negative = HierarchicalMultiSimilarityMiner()(points, labels)
        >>> torch.stack([anchor, positive], dim=1).tolist()
        [[0, 1], [1, 0], [2, 0], [2, 1]]
        >>> torch.stack([other, negative], dim=1).tolist()
        [[0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]

    References:
        Wang et al., Multi-Similarity Loss with General Pair Weighting for Deep Metric Learning, arXiv 1904.06627.
    """

    def __init__(
        self,
        epsilon: float = 0.1,
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
        is_number = isinstance(epsilon, Real) and not isinstance(epsilon, bool)
        if not is_number or not 0 <= epsilon < math.inf:
            raise ValueError(f"epsilon: wanted a finite number >= 0, got {epsilon!r}")
        self.epsilon = float(epsilon)
        self.add_to_recordable_attributes(name="epsilon", is_stat=False)

    def get_default_distance(self) -> BaseDistance:
        """Return cosine similarity."""
        return CosineSimilarity()

    def extra_repr(self) -> str:
        """Show epsilon."""
        return f"epsilon={self.epsilon}, {super().extra_repr()}"

    def select(
        self, distances: Tensor, common_levels: Tensor, num_levels: int
    ) -> tuple[Tensor, ...]:
        """Return (anchor, positive, other anchor, negative)."""
        violation = ranking_violations(distances, common_levels, num_levels, self.epsilon)
        return self._mined_pairs(*one_role(*violation), common_levels, num_levels)

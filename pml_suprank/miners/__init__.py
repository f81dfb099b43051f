"""Miners across the levels of a hierarchy, as PML miners.

What each selects for an anchor a, where d is the distance and c(a, x) the number of levels that a and x share, 0..L:

* ``HierarchicalTripletMiner``: triplets (a, p, n) with c(a, p) > c(a, n) whose gap d(a, n) - d(a, p) is on the side of
  the margin that ``type_of_triplets`` says. The margin is that of the positive's level, its finest column in
  common with a. ``per_anchor`` keeps those whose negative shares most levels with a, then the worst.
* ``HierarchicalPairMiner``: p with c(a, p) > 0 beyond the positive margin of the finest column in common with a, and
  n with c(a, n) < L within the negative margin of the coarsest column that differs.
* ``HierarchicalMultiSimilarityMiner``: p that an item of fewer common levels is closer than, and n that an item of
  more common levels is farther than, both up to epsilon.

No item is both a positive and a negative of one anchor, since PML's pair losses refuse that: where both would be
selected, the larger violation decides (``one_role=False`` gives all triplets).

With one level these are PML's ``TripletMarginMiner``, ``PairMarginMiner`` and ``MultiSimilarityMiner``. Labels come
in the three forms of the library; 2-D labels have to be a tree. An anchor is never paired with itself, neither in the
batch nor in a memory of this library (PML's memory and its efficient distributed wrapper remove such pairs after
the mining, so that an anchor may keep fewer than ``per_anchor`` triplets). Working memory is a few times
B x N, for B anchors and N references.
"""

from typing import Any

from pml_suprank.miners.hierarchical_miner import HierarchicalMiner
from pml_suprank.miners.hierarchical_multi_similarity_miner import HierarchicalMultiSimilarityMiner
from pml_suprank.miners.hierarchical_pair_miner import HierarchicalPairMiner
from pml_suprank.miners.hierarchical_triplet_miner import HierarchicalTripletMiner
from pml_suprank.missing import missing_name

__all__ = [
    "HierarchicalMiner",
    "HierarchicalMultiSimilarityMiner",
    "HierarchicalPairMiner",
    "HierarchicalTripletMiner",
]


def __getattr__(name: str) -> Any:
    """Say where a class of PML's is."""
    raise missing_name(__name__, name)

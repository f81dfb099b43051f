"""Features that were never images: classes of a tree around their parents' centres."""

import torch

from pml_suprank import Hierarchy
from studies.leaderboard.features import Features


def features(seed: int = 0, views: int = 3, size: int = 12) -> Features:
    """Eight classes of four parents of two grandparents, four images each."""
    tree = Hierarchy.from_paths(
        [
            f"{top}/{top}{middle}/{top}{middle}{leaf}"
            for top in "pq"
            for middle in "ab"
            for leaf in "xy"
        ]
    )
    draw = torch.Generator().manual_seed(seed)
    labels = tree.table[torch.arange(8).repeat_interleave(4)]
    centres = [torch.randn(int(tree.table[:, c].max()) + 1, size, generator=draw) for c in range(3)]
    points = sum(centre[labels[:, c]] for c, centre in enumerate(centres))
    noise = torch.randn(len(labels), views, size, generator=draw)
    return Features(points[:, None] + 0.5 * noise, labels, tree)

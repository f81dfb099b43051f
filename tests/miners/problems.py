"""Miners to try, and batches with trees of labels."""

import torch
from pytorch_metric_learning.distances import CosineSimilarity, DotProductSimilarity, LpDistance

from pml_suprank import miners

DISTANCES = {
    "euclidean": lambda: LpDistance(),
    "plain": lambda: LpDistance(normalize_embeddings=False, power=2),
    "cosine": lambda: CosineSimilarity(),
    "dot": lambda: DotProductSimilarity(normalize_embeddings=False),
}
MINERS = {
    "triplets": lambda **o: miners.HierarchicalTripletMiner(0.3, **o),
    "hard": lambda **o: miners.HierarchicalTripletMiner(0.3, "hard", **o),
    "capped": lambda **o: miners.HierarchicalTripletMiner(0.3, per_anchor=7, **o),
    "pairs": lambda **o: miners.HierarchicalPairMiner(0.2, 1.2, **o),
    "multi_similarity": lambda **o: miners.HierarchicalMultiSimilarityMiner(**o),
}


def tree_labels(size, num_levels, branches, generator, rare=False):
    """Return (size, num_levels) labels of a tree, numbered in no order; ``rare`` makes most classes singletons."""
    digits = torch.randint(0, branches, (size, num_levels), generator=generator)
    if rare:
        digits = digits * (torch.rand(size, num_levels, generator=generator) < 0.2)
    weights = branches ** torch.arange(num_levels)
    columns = [(digits[:, level:] * weights[level:]).sum(1) for level in range(num_levels)]
    return torch.stack(columns, dim=1) * 7919 % 104729 + 2**40


def points(size, generator, ties=False, dtype=torch.float32):
    """Return embeddings; with ties their entries are few, so that many distances are equal."""
    if ties:
        return torch.randint(-1, 2, (size, 3), generator=generator).to(dtype)
    return torch.randn(size, 4, generator=generator, dtype=torch.float64).to(dtype)


def as_set(indices):
    """Return a tuple's columns as a sorted list of rows."""
    return sorted(zip(*(column.tolist() for column in indices), strict=True))

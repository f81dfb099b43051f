"""The losses that share properties, and batches to try them on."""

import torch
from pytorch_metric_learning.distances import CosineSimilarity

from pml_suprank import Hierarchy, losses

TREE = Hierarchy.from_paths(
    [
        "animal/dog/husky",
        "animal/dog/poodle",
        "animal/cat/tabby",
        "plant/tree/oak",
        "plant/tree/elm",
        "plant/rose",
    ]
)
DIM = 8

SURROGATE_LOSSES = {
    "SupAPLoss": lambda **o: losses.SupAPLoss(**o),
    "SupAPLoss[level=1]": lambda **o: losses.SupAPLoss(**{"level": 1, "hierarchy": TREE} | o),
    "SmoothAPLoss": lambda **o: losses.SmoothAPLoss(**o),
    "SupRecallLoss": lambda **o: losses.SupRecallLoss(k=(1, 2), **o),
    "SmoothRecallLoss": lambda **o: losses.SmoothRecallLoss(**o),
    "SupNDCGLoss": lambda **o: losses.SupNDCGLoss(**{"hierarchy": TREE} | o),
    "SmoothNDCGLoss": lambda **o: losses.SmoothNDCGLoss(**{"hierarchy": TREE} | o),
    "SupHAPLoss": lambda **o: losses.SupHAPLoss(**{"hierarchy": TREE} | o),
    "SupHAPLoss[hrank]": lambda **o: losses.SupHAPLoss(
        **{"hierarchy": TREE, "hrank": {"beta": 25, "gamma": 0.5, "leak": 10}} | o
    ),
    "SmoothHAPLoss": lambda **o: losses.SmoothHAPLoss(**{"hierarchy": TREE} | o),
}
# every query by itself
RANK_LOSSES = SURROGATE_LOSSES | {
    "BlackBoxAPLoss": lambda **o: losses.BlackBoxAPLoss(**o),
    "SoftBinAPLoss": lambda **o: losses.SoftBinAPLoss(**o),
    "HMCELoss[unconstrained]": lambda **o: losses.HMCELoss(
        **{"hierarchy": TREE, "constrained": False} | o
    ),
}
PAIR_LOSSES = {
    "CalibrationLoss": lambda **o: losses.CalibrationLoss(**o),
    "ROADMAPLoss": lambda **o: losses.ROADMAPLoss(**o),
}
HIERARCHICAL_BASELINES = {
    "HierarchicalTripletMarginLoss": lambda **o: losses.HierarchicalTripletMarginLoss(
        **{"margins": (0.1, 0.2, 0.3), "hierarchy": TREE} | o
    ),
    "HMCELoss": lambda **o: losses.HMCELoss(**{"hierarchy": TREE} | o),
}
PROXY_LOSSES = {
    "ProxyClusterLoss": lambda **o: losses.ProxyClusterLoss(6, DIM, **{"hierarchy": TREE} | o),
    "HAPPIERLoss": lambda **o: losses.HAPPIERLoss(6, DIM, **{"hierarchy": TREE} | o),
    "DecomposableRankLoss": lambda **o: losses.DecomposableRankLoss(
        losses.SupNDCGLoss(hierarchy=TREE, **o),
        losses.ProxyClusterLoss(4, DIM, level=1, hierarchy=TREE),
        weight=0.5,
    ),
    "CSLLoss": lambda **o: losses.CSLLoss(TREE, DIM, **o),
}
ALL_LOSSES = RANK_LOSSES | PAIR_LOSSES | HIERARCHICAL_BASELINES | PROXY_LOSSES


def make(name, **options):
    """Build a loss; proxies are the same each time."""
    torch.manual_seed(7)
    return ALL_LOSSES[name](**options)


def batch(size=24, seed=0, dtype=torch.float32, spread=0.6):
    """Uneven classes in no order; embeddings near their class, so that scores are neither 0 nor 1."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 6, (size,), generator=generator)
    centers = torch.randn(6, DIM, generator=generator, dtype=torch.float64)
    noise = torch.randn(size, DIM, generator=generator, dtype=torch.float64)
    return (centers[labels] + spread * noise).to(dtype), labels


def value_and_gradient(loss_fn, embeddings, *args, **kwargs):
    embeddings = embeddings.detach().clone().requires_grad_()
    loss = loss_fn(embeddings, *args, **kwargs)
    loss.backward()
    return loss.detach(), embeddings.grad


def similarity():
    return CosineSimilarity()

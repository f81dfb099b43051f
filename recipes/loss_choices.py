"""The losses that the recipes can train with, by name; ours and PML's, with their own defaults."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pml_suprank import Hierarchy, losses, miners
from pml_suprank.pml import losses as pml_losses

__all__ = ["LOSSES", "LossChoice"]

Builder = Callable[[Hierarchy, int, int], Any]


@dataclass(frozen=True)
class LossChoice:
    """How to build a loss.

    Attributes:
        library: where it comes from, "pml-suprank" or "PML".
        title: name of the class.
        build: from the training hierarchy, the embedding size and the label level.
        levels: "hierarchy" for a loss that sees all levels, "any" for a loss on the labels of
            one level, "finest" for one that also needs equally many images of each class.
        miner: how to build the miner of the loss's pairs or triplets, from the training hierarchy.
    """

    library: str
    title: str
    build: Builder
    levels: str = "any"
    miner: Callable[[Hierarchy], Any] | None = None


def _nodes(tree: Hierarchy, level: int) -> int:
    return len(tree.node_names(level))


LOSSES: dict[str, LossChoice] = {
    "happier": LossChoice(
        "pml-suprank",
        "HAPPIERLoss",
        lambda tree, size, level: losses.HAPPIERLoss(tree.num_classes, size, hierarchy=tree),
        "hierarchy",
    ),
    "suphap": LossChoice(
        "pml-suprank",
        "SupHAPLoss",
        lambda tree, size, level: losses.SupHAPLoss(hierarchy=tree),
        "hierarchy",
    ),
    "supndcg": LossChoice(
        "pml-suprank",
        "SupNDCGLoss",
        lambda tree, size, level: losses.SupNDCGLoss(hierarchy=tree),
        "hierarchy",
    ),
    "roadmap": LossChoice(
        "pml-suprank", "ROADMAPLoss", lambda tree, size, level: losses.ROADMAPLoss()
    ),
    "supap": LossChoice("pml-suprank", "SupAPLoss", lambda tree, size, level: losses.SupAPLoss()),
    "suprecall": LossChoice(
        "pml-suprank", "SupRecallLoss", lambda tree, size, level: losses.SupRecallLoss()
    ),
    "multi-similarity": LossChoice(
        "PML", "MultiSimilarityLoss", lambda tree, size, level: pml_losses.MultiSimilarityLoss()
    ),
    "multi-similarity-mined": LossChoice(
        "PML and pml-suprank",
        "MultiSimilarityLoss + hierarchical miner",
        lambda tree, size, level: pml_losses.MultiSimilarityLoss(),
        "hierarchy",
        lambda tree: miners.HierarchicalMultiSimilarityMiner(hierarchy=tree),
    ),
    "ntxent": LossChoice("PML", "NTXentLoss", lambda tree, size, level: pml_losses.NTXentLoss()),
    "smoothap": LossChoice(
        "PML", "SmoothAPLoss", lambda tree, size, level: pml_losses.SmoothAPLoss(), "finest"
    ),
    "proxy-anchor": LossChoice(
        "PML",
        "ProxyAnchorLoss",
        lambda tree, size, level: pml_losses.ProxyAnchorLoss(_nodes(tree, level), size),
    ),
}

"""Losses, miners and memories by name, ours and PML's."""

import inspect
from typing import Any

import pytest
import torch
from pytorch_metric_learning import losses as pml_losses
from pytorch_metric_learning.distances import CosineSimilarity

from pml_suprank import Hierarchy, losses, miners
from pml_suprank.recipes.engine.components import Context, build_loss, build_memory, build_miner
from pml_suprank.recipes.engine.parsing import ConfigError
from pml_suprank.recipes.engine.settings import Component, MemorySettings

TREE = Hierarchy.from_paths([f"{kind}/{name}" for kind in "xyz" for name in "abcd"])
CONTEXT = Context(TREE, embedding_size=6, num_samples=24)
LABELS = TREE.table.repeat_interleave(2, 0)


def embeddings() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(24, 6, generator=generator).requires_grad_()


def names(module: Any, base: Any) -> list[str]:
    return sorted(
        name
        for name, item in vars(module).items()
        if inspect.isclass(item) and issubclass(item, base) and not inspect.isabstract(item)
    )


OURS = [n for n in names(losses, pml_losses.BaseMetricLossFunction) if not n.endswith("RankLoss")]
OURS = [n for n in OURS if n not in ("QueryLoss", "CrossBatchMemory")]
PMLS = [
    "TripletMarginLoss",
    "MultiSimilarityLoss",
    "ContrastiveLoss",
    "ArcFaceLoss",
    "CosFaceLoss",
    "NTXentLoss",
    "ProxyAnchorLoss",
    "ProxyNCALoss",
    "NormalizedSoftmaxLoss",
    "FastAPLoss",
    "SoftTripleLoss",
    "CircleLoss",
]


@pytest.mark.parametrize("name", [*OURS, *PMLS])
def test_every_loss_by_name_takes_labels_of_all_levels(name: str) -> None:
    build_loss(Component(name), None)
    torch.manual_seed(0)
    loss = build_loss(Component(name), CONTEXT)
    points = embeddings()
    value = loss(points, LABELS)
    value.backward()
    assert value.isfinite()
    assert points.grad.abs().sum() > 0


def test_options_reach_the_loss() -> None:
    loss = build_loss(Component("SupAPLoss", {"preset": "sop", "level": 1}), CONTEXT)
    points = embeddings()
    assert loss(points, LABELS) == losses.SupAPLoss(preset="sop", level=1)(points, LABELS)
    level = build_loss(Component("ContrastiveLoss", {"level": 1, "pos_margin": 0.1}), CONTEXT)
    assert level(points, LABELS) == pml_losses.ContrastiveLoss(pos_margin=0.1)(points, LABELS[:, 1])
    assert build_loss(Component("ArcFaceLoss", {"level": 1}), CONTEXT).W.shape == (6, 3)
    assert build_loss(Component("HAPPIERLoss"), CONTEXT).decomposability_loss.num_classes == 12


@pytest.mark.skipif(not hasattr(pml_losses, "SmoothAPLoss"), reason="this PML has no SmoothAPLoss")
def test_a_name_of_both_libraries() -> None:
    assert isinstance(build_loss(Component("SmoothAPLoss"), CONTEXT), losses.SmoothAPLoss)
    theirs = build_loss(Component("PML.SmoothAPLoss"), CONTEXT)
    assert isinstance(theirs, pml_losses.SmoothAPLoss)
    with pytest.raises(
        ConfigError, match=r"loss.name: wanted the name of a class, got 'SupAPLoss'"
    ):
        build_loss(Component("PML.SupAPLoss"), None)


def test_losses_within_losses() -> None:
    parts: dict[str, Any] = {
        "rank_loss": {"name": "SupRecallLoss", "options": {"k": [1, 2]}},
        "decomposability_loss": {"name": "ArcFaceLoss", "options": {"scale": 30, "margin": 28.6}},
        "weight": 0.5,
    }
    loss = build_loss(Component("DecomposableRankLoss", parts), CONTEXT)
    points = embeddings()
    rank = losses.SupRecallLoss(k=(1, 2))(points, LABELS)
    other = loss.decomposability_loss(points, LABELS)
    torch.testing.assert_close(loss(points, LABELS), 0.5 * rank + 0.5 * other)
    assert loss.decomposability_loss.scale == 30
    distance = {"distance": {"name": "CosineSimilarity"}}
    assert isinstance(
        build_loss(Component("ContrastiveLoss", distance), CONTEXT).distance, CosineSimilarity
    )


def test_a_sum_of_losses() -> None:
    parts = [{"name": "ProxyClusterLoss", "options": {"level": level}} for level in (0, 1)]
    loss = build_loss(Component("MultipleLosses", {"losses": parts, "weights": [1, 3]}), CONTEXT)
    points = embeddings()
    one, other = (part(points, LABELS) for part in loss.losses)
    torch.testing.assert_close(loss(points, LABELS), one + 3 * other)
    assert [part.num_classes for part in loss.losses] == [12, 3]


@pytest.mark.parametrize(
    ("component", "message"),
    [
        (
            Component("SupAPLos"),
            r"loss.name: wanted the name of a class, got 'SupAPLos'; nearest: SupAPLoss",
        ),
        (Component("suphaploss"), r"nearest: SupHAPLoss"),
        (
            Component("SupAPLoss", {"tua": 1}),
            r"loss.options.tua: SupAPLoss has no such option; nearest: tau",
        ),
        (Component("TripletMarginLoss", {"margn": 1}), r"loss.options.margn: .* nearest: margin"),
        (
            Component("DecomposableRankLoss", {"rank_loss": {"name": "SupAPLos"}}),
            r"loss.options.rank_loss.name: .* nearest: SupAPLoss",
        ),
        (
            Component("DecomposableRankLoss", {"rank_loss": {"name": "SupAPLoss", "option": {}}}),
            r"loss.options.rank_loss: wanted a mapping with name and options",
        ),
        (
            Component("MultipleLosses", {"losses": []}),
            r"loss.options.losses: wanted a list of losses",
        ),
        (Component("BaseMetricLossFunction"), r"loss.name: wanted the name of a class"),
    ],
)
def test_wrong_losses_are_found_without_data(component: Component, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_loss(component, None)


@pytest.mark.parametrize(
    ("component", "message"),
    [
        (
            Component("SupAPLoss", {"level": 2}),
            r"loss.options.level: wanted a level of 0 .*, 1 .*, got 2",
        ),
        (Component("HAPPIERLoss", {"cluster_level": 5}), r"loss.options.cluster_level: .* got 5"),
        (Component("ArcFaceLoss", {"level": -1}), r"loss.options.level: .* got -1"),
        (Component("SupAPLoss", {"tau": -1}), r"loss.options: tau: .* got -1"),
        (Component("DecomposableRankLoss", {}), r"loss.options: .*rank_loss"),
    ],
)
def test_wrong_values(component: Component, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_loss(component, CONTEXT)


def test_miners() -> None:
    assert build_miner(Component(), CONTEXT) is None
    ours = build_miner(Component("HierarchicalTripletMiner", {"margins": 0.2}), CONTEXT)
    assert isinstance(ours, miners.HierarchicalTripletMiner)
    points = embeddings()
    coarse = build_miner(Component("BatchHardMiner", {"level": 1}), CONTEXT)
    from pytorch_metric_learning.miners import BatchHardMiner

    for one, other in zip(
        coarse(points, LABELS), BatchHardMiner()(points, LABELS[:, 1]), strict=True
    ):
        assert torch.equal(one, other)
    with pytest.raises(ConfigError, match=r"miner.name: .* nearest: BatchHardMiner"):
        build_miner(Component("BatchHardMinr"), None)
    with pytest.raises(ConfigError, match=r"miner.name: wanted a miner for miner.options"):
        build_miner(Component("", {"margin": 1}), None)


def test_memories() -> None:
    loss = build_loss(Component("SupHAPLoss"), CONTEXT)
    queue = build_memory(
        MemorySettings("cross_batch", 48, {"storage_dtype": "float16"}), loss, None, CONTEXT
    )
    assert isinstance(queue, losses.CrossBatchMemory)
    assert queue.embedding_memory.shape == (48, 6)
    assert queue.embedding_memory.dtype == torch.float16
    whole = build_memory(MemorySettings("dataset"), loss, None, CONTEXT)
    assert whole.embedding_memory.shape == (24, 6)
    assert build_memory(MemorySettings(), loss, None, CONTEXT) is loss
    for settings, message in (
        (
            MemorySettings("cross_batch", 48, {"warmpu": 3}),
            r"memory.options.warmpu: .* nearest: warmup",
        ),
        (
            MemorySettings("none", 48, {"warmup": 3}),
            r"memory.options: wanted none for memory.kind none",
        ),
    ):
        with pytest.raises(ConfigError, match=message):
            build_memory(settings, None, None, None)
    with pytest.raises(
        ConfigError, match=r"storage_dtype: wanted a dtype such as float16, got 'f16'"
    ):
        build_memory(MemorySettings("dataset", 1, {"storage_dtype": "f16"}), loss, None, CONTEXT)

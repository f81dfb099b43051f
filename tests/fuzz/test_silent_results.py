"""Wrong values that once gave a number: an error that names the argument, or a right result."""

import math

import numpy as np
import pytest
import torch

from pml_suprank import Hierarchy, losses, metrics, miners
from pml_suprank import functional as F
from tests.fuzz.right_values import CLASSES, ROWS, TREE

SCORES = torch.tensor([[0.9, 0.5, 0.1]])
SHARED = torch.tensor([[0, 1, 2]])
POSITIVE = SHARED == 2
POINTS = torch.randn(8, 4, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: F.blackbox_average_precision(SCORES * math.nan, POSITIVE), "scores"),
        (lambda: F.soft_bin_average_precision(SCORES * math.nan, POSITIVE), "scores"),
        (lambda: F.blackbox_average_precision(SCORES, POSITIVE, lambda_val=0.0), "lambda_val"),
        (lambda: F.soft_bin_average_precision(SCORES, POSITIVE, num_bins=1), "num_bins"),
        (lambda: F.soft_bin_average_precision(SCORES, POSITIVE, score_range=(1, 1)), "score_range"),
        (lambda: F.hierarchical_contrastive(SCORES, SHARED, level_weights=(1.0,)), "common_levels"),
        (
            lambda: F.hierarchical_contrastive(
                SCORES, SHARED, level_weights=(1.0, 1.0), temperature=0
            ),
            "temperature",
        ),
        (lambda: F.triplet_hinge_sums(SCORES, SHARED, margins=(0.1,)), "common_levels"),
        (lambda: F.triplet_hinge_sums(SCORES, SHARED, margins=(0.1, math.inf)), "margins"),
        (
            lambda: F.recall_surrogate(SCORES, POSITIVE, surrogate=F.SupRank(), temperature=0),
            "temp",
        ),
        (lambda: F.ndcg(SCORES, SHARED, torch.tensor([[0.0, math.nan, 1.0]])), "gains"),
        (
            lambda: F.hierarchical_average_precision(SCORES, SHARED, -SHARED.float()),
            "relevance",
        ),
        (lambda: losses.SupNDCGLoss(start=-5.0), "start"),
        (lambda: losses.SupAPLoss(offset=-1.0), "offset"),
        (lambda: losses.SupAPLoss(tau=1e-40), "tau"),
        (lambda: losses.HierarchicalTripletMarginLoss(math.inf), "margins"),
        (lambda: losses.CalibrationLoss(pos_margin=math.inf), "pos_margin"),
        (lambda: losses.SupAPLoss(embedding_reg_weight=math.nan), "embedding_reg_weight"),
        (lambda: losses.SupAPLoss(include_self="no"), "include_self"),
        (lambda: losses.SupAPLoss(hierarchy=[[0, 1]]), "hierarchy"),
        (lambda: losses.SupAPLoss(hierarchy=Hierarchy), "hierarchy"),
        (lambda: losses.SupAPLoss()(POINTS, CLASSES, 3), "indices_tuple"),
        (lambda: miners.HierarchicalTripletMiner(hierarchy={}), "hierarchy"),
        (lambda: TREE.to_csv(1), "path"),  # once wrote to the standard output, and closed it
        (lambda: Hierarchy.from_csv(0), "path"),
    ],
)
def test_the_argument_is_named(call, argument):
    with pytest.raises(ValueError, match=rf"^{argument}\w*: wanted"):
        call()


@pytest.mark.parametrize("name", ["SupNDCGLoss", "SmoothNDCGLoss", "SupHAPLoss", "HMCELoss"])
def test_many_levels(name):
    columns = [CLASSES] * 65 + [CLASSES // 3] * 65
    points = POINTS.clone().requires_grad_()
    loss = getattr(losses, name)()(points, torch.stack(columns, dim=1))
    loss.backward()
    assert 0 < loss < 10
    assert points.grad.isfinite().all()


def test_ndcg_of_many_levels_is_that_of_the_metric():
    for num_levels in (99, 130, 1100):
        rows = torch.stack([CLASSES] * (num_levels - 1) + [CLASSES // 3], dim=1)
        found = metrics.ndcg(POINTS, rows).mean()
        few = metrics.ndcg(POINTS, torch.stack([CLASSES] * 60 + [CLASSES // 3], dim=1)).mean()
        assert found == pytest.approx(few, abs=1e-9)  # the gains 2^60 and 1 are as far apart


@pytest.mark.parametrize("scale", [1e-35, 1e35])
@pytest.mark.parametrize("name", ["SupAPLoss", "SupHAPLoss", "HMCELoss", "CalibrationLoss"])
def test_embeddings_of_any_length(name, scale):
    points = (POINTS * scale).requires_grad_()
    loss = getattr(losses, name)()(points, ROWS)
    loss.backward()
    assert loss.isfinite()
    assert points.grad.isfinite().all()


@pytest.mark.parametrize(
    "change",
    [
        lambda array: np.ascontiguousarray(array[::-1])[::-1],
        lambda array: array.astype(array.dtype.newbyteorder(">")),
        lambda array: np.repeat(array, 2, axis=1)[:, ::2],
    ],
)
def test_arrays_in_any_memory_order(change):
    expected = metrics.evaluate(POINTS, ROWS)
    found = metrics.evaluate(change(POINTS.numpy()), change(ROWS.numpy()))
    assert found.mean() == expected.mean()
    loss = losses.SupHAPLoss()
    assert loss(POINTS, change(ROWS.numpy())) == loss(POINTS, ROWS)


def test_items_of_no_level_have_no_relevance():
    from pml_suprank.relevance import ExponentialGain, item_relevance

    found = item_relevance(ExponentialGain(), torch.tensor([[2, -1, 0, 1]]), 2)
    assert found.tolist() == [[3.0, 0.0, 0.0, 1.0]]
    with pytest.raises(ValueError, match="common_levels: wanted at most num_levels 2, got 3"):
        item_relevance(ExponentialGain(), torch.tensor([[3]]), 2)

"""Cosine scores without a normalised copy of the references."""

import pytest
import torch
from torch.nn.functional import normalize

from pml_suprank import losses
from pml_suprank.losses.scores import cosine_scores, cosines_of


def both(queries, references, weights):
    results = []
    for function in (
        cosine_scores,
        lambda q, r: normalize(q, dim=1) @ normalize(r, dim=1).T,
    ):
        inputs = [tensor.clone().requires_grad_() for tensor in (queries, references)]
        scores = function(*inputs)
        results.append((scores.detach(), *torch.autograd.grad((scores * weights).sum(), inputs)))
    return results


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_equals_the_product_of_normalised_vectors(scale):
    torch.manual_seed(0)
    queries, references = torch.randn(5, 8).double(), scale * torch.randn(40, 8).double()
    references[3] = 0.0
    found, wanted = both(queries, references, torch.randn(5, 40).double())
    assert wanted[2][3].abs().max() > 1e11
    wanted[2][3] = 0.0  # no direction, no gradient
    for got, expected in zip(found, wanted, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-12)


def test_only_asked_for_gradients_are_computed():
    references = torch.randn(7, 4)
    queries = torch.randn(3, 4, requires_grad=True)
    cosine_scores(queries, references).sum().backward()
    assert queries.grad is not None
    assert references.grad is None
    queries, references = queries.detach(), references.requires_grad_()
    cosine_scores(queries, references).sum().backward()
    assert references.grad is not None


def test_distances_with_settings_of_their_own_are_left_alone():
    torch.manual_seed(1)
    points, references = torch.randn(6, 8), torch.randn(30, 8)
    labels, ref_labels = torch.arange(6) % 3, torch.arange(30) % 3
    distances = losses.SupAPLoss().distance.__class__
    plain = losses.SupAPLoss()(points, labels, ref_emb=references, ref_labels=ref_labels)
    recorded = losses.SupAPLoss(distance=distances(collect_stats=True))
    watched = recorded(points, labels, ref_emb=references, ref_labels=ref_labels)
    torch.testing.assert_close(watched, plain)
    assert recorded.distance.initial_avg_ref_norm > 1
    powered = losses.SupAPLoss(distance=distances(power=3))
    changed = powered(points, labels, ref_emb=references, ref_labels=ref_labels)
    assert (changed - plain).abs() > 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cosines_of_a_batch_are_those_of_pml(dtype):
    torch.manual_seed(2)
    rows = (torch.randn(9, 8) * torch.logspace(-4, 5, 9).unsqueeze(1)).to(dtype)
    weights = torch.randn(9, 9).to(dtype)
    results = []
    for function in (cosines_of, losses.SupAPLoss().distance):
        point = rows.clone().requires_grad_()
        scores = function(point)
        (scores * weights).sum().backward()
        results.append((scores.detach(), point.grad * rows.norm(dim=1, keepdim=True)))
    torch.testing.assert_close(*results)


def test_cosines_of_a_batch_have_all_derivatives():
    torch.manual_seed(3)
    rows = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(cosines_of, rows)
    assert torch.autograd.gradgradcheck(cosines_of, rows)
    scores = cosines_of(rows)
    first, second = (
        torch.autograd.grad(scores.sum(), rows, retain_graph=True)[0] for _ in range(2)
    )
    assert torch.equal(first, second)

"""Embeddings, references and proxies without a direction: the gradient is bounded, the others' is what it was."""

import pytest
import torch
from pytorch_metric_learning.distances import CosineSimilarity, DotProductSimilarity, LpDistance
from torch.nn.functional import normalize

from pml_suprank import losses
from pml_suprank.losses.scores import SHORTEST, cosine_scores, unit_rows
from tests.losses.cases import ALL_LOSSES, batch, make

NORMS = [0.0, 1e-38, 1e-30, 1e-20, 1e-12, 1e-9, 9e-7]
WITHOUT_REFERENCES = {"CSLLoss", "ProxyClusterLoss"}


def with_short_rows(norm, dtype=torch.float32):
    """Return a batch of which two rows have this norm."""
    embeddings, labels = batch(24, dtype=dtype)
    embeddings[[3, 8]] = norm * normalize(embeddings[[3, 8]], dim=1)
    return embeddings, labels


@pytest.mark.parametrize("name", ALL_LOSSES)
def test_short_embeddings_get_no_gradient(name):
    for norm in NORMS:
        embeddings, labels = with_short_rows(norm)
        point = embeddings.clone().requires_grad_()
        make(name)(point, labels).backward()
        assert (point.grad[[3, 8]] == 0).all(), norm
        assert 0 < point.grad.abs().max() < 1e3, norm


@pytest.mark.parametrize("name", sorted(set(ALL_LOSSES) - WITHOUT_REFERENCES))
def test_short_references_get_no_gradient(name):
    for norm in NORMS:
        (embeddings, labels), (references, ref_labels) = batch(12, seed=2), with_short_rows(norm)
        point, others = embeddings.requires_grad_(), references.clone().requires_grad_()
        make(name)(point, labels, ref_emb=others, ref_labels=ref_labels).backward()
        assert (others.grad[[3, 8]] == 0).all(), norm
        for gradient in (point.grad, others.grad):
            assert 0 < gradient.abs().max() < 1e3, norm


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("distance", [CosineSimilarity, DotProductSimilarity, LpDistance])
def test_the_others_keep_their_gradient(distance, norm):
    """What a short row pulls at in others is as it was: only its own gradient goes."""
    embeddings, labels = with_short_rows(norm, torch.float64)
    loss_fn = losses.HierarchicalTripletMarginLoss(margins=0.3, distance=distance())
    point = embeddings.clone().requires_grad_()
    loss_fn(point, labels).backward()
    whole = point.grad
    point = embeddings.clone().requires_grad_()
    short = torch.zeros(len(point), 1, dtype=torch.bool)
    short[[3, 8]] = True
    loss_fn(torch.where(short, embeddings, point), labels).backward()
    torch.testing.assert_close(whole, point.grad)


@pytest.mark.parametrize("parameter", ["ProxyClusterLoss", "HAPPIERLoss", "CSLLoss"])
@pytest.mark.parametrize("norm", NORMS)
def test_short_proxies_get_no_gradient(parameter, norm):
    embeddings, labels = batch(24)
    loss_fn = make(parameter)
    (proxies,) = loss_fn.parameters()
    rows = proxies.data if parameter == "CSLLoss" else proxies.data.T
    rows[2] = norm * normalize(rows[2], dim=0)
    loss_fn(embeddings, labels).backward()
    gradient = proxies.grad if parameter == "CSLLoss" else proxies.grad.T
    assert (gradient[2] == 0).all()
    assert 0 < gradient.abs().max() < 1e3


@pytest.mark.parametrize("name", ["SupAPLoss", "CalibrationLoss", "ProxyClusterLoss"])
def test_a_collapsed_batch(name):
    _, labels = batch(24)
    point = torch.zeros(24, 8, requires_grad=True)
    loss = make(name)(point, labels)
    loss.backward()
    assert torch.isfinite(loss)
    assert (point.grad == 0).all()


def test_rows_of_any_other_length_are_normalised_as_torch_does():
    for scale in (1e-5, 1e-3, 1.0, 1e6):
        rows = (scale * torch.randn(50, 8)).requires_grad_()
        weights = torch.randn(50, 8)
        results = [
            (unit, *torch.autograd.grad((unit * weights).sum(), rows))
            for unit in (unit_rows(rows), normalize(rows, dim=1))
        ]
        assert all(map(torch.equal, *results))


def test_the_bound_is_at_the_shortest_length():
    direction = normalize(torch.randn(1, 8, dtype=torch.float64), dim=1)
    references = torch.randn(5, 8, dtype=torch.float64)
    for length, expected in ((0.99 * SHORTEST, False), (1.01 * SHORTEST, True)):
        for side in (0, 1):
            pair = [length * direction, references]
            pair[0].requires_grad_()
            cosine_scores(*(pair if side == 0 else pair[::-1])).sum().backward()
            assert bool(pair[0].grad.abs().max() > 0) == expected
            assert pair[0].grad.abs().max() <= len(references) / SHORTEST


def test_a_distance_that_does_not_normalise_pulls_at_short_rows():
    embeddings, labels = with_short_rows(1e-9)
    loss_fn = losses.SupAPLoss(distance=DotProductSimilarity(normalize_embeddings=False))
    point = embeddings.requires_grad_()
    loss_fn(point, labels).backward()
    assert (point.grad[[3, 8]] != 0).any()

"""The functions under the baseline losses, against loops."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pml_suprank import functional as F
from tests.functional.problems import keep, problems
from tests.reference import baselines as reference


def gradient(value, scores):
    return torch.autograd.grad(value.sum(), scores)[0]


@given(problem=problems(), lambda_val=st.sampled_from([0.1, 4.0, 50.0]), margin=st.floats(0.0, 0.5))
@settings(max_examples=150, deadline=None)
def test_blackbox_ap_equals_the_loops(problem, lambda_val, margin):
    scores = problem.scores.clone().requires_grad_()
    positive = problem.levels > 0
    value = F.blackbox_average_precision(
        scores, positive, problem.mask, lambda_val=lambda_val, margin=margin
    )
    expected = [
        reference.blackbox_ap(
            row.tolist(), positive[q].tolist(), keep(problem, q), lambda_val, margin
        )
        for q, row in enumerate(problem.scores)
    ]
    values, gradients = map(torch.tensor, zip(*expected, strict=True))
    torch.testing.assert_close(value.detach(), values.double())
    torch.testing.assert_close(gradient(value, scores), gradients.double())


@given(problem=problems())
@settings(max_examples=50, deadline=None)
def test_blackbox_ap_without_a_margin_is_ap(problem):
    positive = problem.levels > 0
    got = F.blackbox_average_precision(problem.scores, positive, problem.mask, margin=0.0)
    torch.testing.assert_close(got, F.average_precision(problem.scores, positive, problem.mask))


def test_blackbox_gradient_is_that_of_the_authors_code():
    """There the ranks are over N, and the perturbation is by the gradient of the batch mean."""
    num_queries, num_items, lambda_val = 6, 30, 4.0
    scores = torch.randn(num_queries, num_items, dtype=torch.float64, requires_grad=True)
    positive = torch.rand(num_queries, num_items) < 0.3
    positive[:, 0] = True
    ap = F.blackbox_average_precision(
        scores, positive, lambda_val=lambda_val * num_items / num_queries, margin=0.0
    )
    (got,) = torch.autograd.grad(1 - ap.mean(), scores)

    def normalised(values):
        return (values.argsort(descending=True).argsort() + 1).double() / num_items

    ranks = normalised(scores.detach()).requires_grad_()
    within = torch.where(positive, ranks.detach(), 2.0).argsort().argsort() + 1
    precision = (within / num_items / ranks * positive).sum(1) / positive.sum(1)
    (slope,) = torch.autograd.grad(1 - precision.mean(), ranks)
    expected = (normalised(scores + lambda_val * slope) - ranks) / lambda_val
    assert expected.abs().max() > 0
    torch.testing.assert_close(got, expected.detach())


def test_blackbox_gradient_scales_with_the_loss():
    scores = torch.randn(4, 20, requires_grad=True)
    positive = torch.rand(4, 20) < 0.4
    ap = F.blackbox_average_precision(scores, positive)
    (once,) = torch.autograd.grad(ap.sum(), scores, retain_graph=True)
    (scaled,) = torch.autograd.grad(65536 * ap.sum(), scores)
    torch.testing.assert_close(scaled, 65536 * once)


@given(
    problem=problems(),
    num_bins=st.integers(2, 25),
    score_range=st.sampled_from([(-1.0, 1.0), (-0.1, 0.3), (-9.0, 9.0)]),
)
@settings(max_examples=150, deadline=None)
def test_soft_bin_ap_equals_the_loops(problem, num_bins, score_range):
    positive = problem.levels > 0
    got = F.soft_bin_average_precision(
        problem.scores, positive, problem.mask, num_bins=num_bins, score_range=score_range
    )
    expected = [
        reference.soft_bin_ap(
            row.tolist(), positive[q].tolist(), keep(problem, q), num_bins, *score_range
        )
        for q, row in enumerate(problem.scores)
    ]
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64))


def test_soft_bin_gradient():
    scores = (2 * torch.rand(4, 15, dtype=torch.float64) - 1).requires_grad_()
    positive, mask = torch.rand(4, 15) < 0.4, torch.rand(4, 15) < 0.8
    assert torch.autograd.gradcheck(
        lambda s: F.soft_bin_average_precision(s, positive, mask), scores, eps=1e-7
    )


def test_soft_bins_hold_what_is_outside_their_range():
    scores = torch.tensor([[1.7, 0.46, 0.4, -5.0]], requires_grad=True)
    positive = torch.tensor([[True, False, True, False]])
    outside = F.soft_bin_average_precision(scores, positive)
    inside = F.soft_bin_average_precision(scores.clamp(-1, 1), positive)
    torch.testing.assert_close(outside, inside)
    assert (gradient(outside, scores) != 0).tolist() == [[False, True, True, False]]


def test_many_soft_bins_approach_ap():
    scores = 2 * torch.rand(8, 40, dtype=torch.float64) - 1
    positive = torch.rand(8, 40) < 0.3
    exact = F.average_precision(scores, positive)
    errors = [
        (F.soft_bin_average_precision(scores, positive, num_bins=bins) - exact).abs().max()
        for bins in (20, 200, 200_000)
    ]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 2e-2


def test_soft_bins_take_memory_for_two_bins_each():
    """A table of bins for every score would hold 64 x 20,000 x 50 numbers, 256 MB."""
    scores = torch.rand(64, 20_000, requires_grad=True)
    saved = 0

    def count(tensor):
        nonlocal saved
        saved += tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        F.soft_bin_average_precision(scores, scores < 0.5, num_bins=50)
    assert 0 < saved < 15 * 4 * scores.numel()


@given(problem=problems(ties=False), constrained=st.booleans(), temperature=st.floats(0.1, 2.0))
@settings(max_examples=150, deadline=None)
def test_hierarchical_contrastive_equals_the_loops(problem, constrained, temperature):
    weights = [1.5 / (column + 1) for column in range(problem.num_levels)]
    got = F.hierarchical_contrastive(
        problem.scores,
        problem.levels,
        problem.mask,
        level_weights=weights,
        temperature=temperature,
        constrained=constrained,
    )
    kept = [keep(problem, q) for q in range(len(problem.scores))]
    expected = reference.hmce(
        problem.scores.tolist(), problem.levels.tolist(), kept, weights, temperature, constrained
    )
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("constrained", [True, False])
def test_hierarchical_contrastive_gradient(constrained):
    scores = torch.randn(5, 12, dtype=torch.float64, requires_grad=True)
    levels, mask = torch.randint(0, 4, (5, 12)), torch.rand(5, 12) < 0.8
    options = {"level_weights": (2.0, 1.0, 0.5), "temperature": 0.5, "constrained": constrained}
    assert torch.autograd.gradcheck(
        lambda s: F.hierarchical_contrastive(s, levels, mask, **options), scores
    )


@given(problem=problems(), margin=st.sampled_from([0.0, 0.05, 0.25, 3.0]))
@settings(max_examples=150, deadline=None)
def test_triplet_sums_equal_the_loops(problem, margin):
    """Scores on the margin, too: differences of float32 scores are exact in float64."""
    margins = [margin / (column + 1) for column in range(problem.num_levels)]
    scores = problem.scores.float().requires_grad_()
    sums = F.triplet_hinge_sums(scores, problem.levels, problem.mask, margins=margins)
    kept = [keep(problem, q) for q in range(len(scores))]
    expected = reference.triplets(scores.tolist(), problem.levels.tolist(), kept, margins)
    for a in range(len(scores)):
        own = [hinge for (anchor, *_), hinge in expected.items() if anchor == a]
        assert int(sums.num_triplets[a]) == len(own)
        assert int(sums.num_violations[a]) == sum(hinge > 0 for hinge in own)
        torch.testing.assert_close(sums.total[a].item(), float(sum(own)), rtol=1e-6, atol=1e-7)
    counts = torch.zeros_like(scores)
    for (a, p, n), hinge in expected.items():
        counts[a, p] -= float(hinge > 0)
        counts[a, n] += float(hinge > 0)
    assert torch.equal(gradient(sums.total, scores), counts)


def test_triplet_sums_form_no_triplets():
    """A list of them would hold 16 x 10,000 x 10,000 hinges."""
    scores = torch.rand(16, 20_000)
    levels = torch.randint(0, 2, (16, 20_000))
    sums = F.triplet_hinge_sums(scores, levels, margins=(0.1,))
    assert int(sums.num_triplets.sum()) > 1e9
    row = scores[3].double()
    negative = row[levels[3] == 0]
    expected = sum((negative - s + 0.1).relu().sum() for s in row[levels[3] == 1])
    torch.testing.assert_close(sums.total[3].double(), expected, rtol=1e-6, atol=0)


FUNCTIONS = [F.blackbox_average_precision, F.soft_bin_average_precision]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_ranked_in_float32(function, dtype):
    scores = torch.rand(3, 9).to(dtype)
    positive = torch.rand(3, 9) < 0.4
    got = function(scores, positive)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, function(scores.float(), positive))

"""Comparators: their shape, and slopes that are their derivatives."""

import math

import pytest
import torch

from pml_suprank import functional as F
from pml_suprank.functional import steps

SURROGATES = [
    F.HardRank(),
    F.SmoothRank(0.02),
    F.SupRank(),
    F.SupRank(delta=None, offset=1.0),
    F.SupRank(rho=-1),
    F.SupRank(delta=0.0),
    F.SupRank(hrank=F.HRankStep()),
    F.SupRank(hrank=F.HRankStep(gamma=1.5)),
    *(F.SupRank(**preset) for preset in F.PRESETS.values()),
]


@pytest.mark.parametrize("surrogate", SURROGATES, ids=str)
def test_slopes_are_the_derivatives(surrogate):
    t = torch.linspace(-1.2, 1.2, 997, dtype=torch.float64).requires_grad_()
    flags = torch.arange(len(t)) % 2 == 0
    for value, slope in (
        (surrogate.competitor, surrogate.competitor_slope),
        (surrogate.numerator, surrogate.numerator_slope),
    ):
        result = value(t, flags)
        expected = torch.zeros_like(t)
        if result.requires_grad:
            (expected,) = torch.autograd.grad(result.sum(), t)
        torch.testing.assert_close(slope(t.detach(), flags), expected, rtol=1e-12, atol=1e-12)


def test_default_step_is_continuous_at_delta():
    step = F.SupRank()
    at, beyond = torch.tensor([0.05, 0.05 + 1e-12], dtype=torch.float64)
    assert abs(step.lower_competitor(at) - step.lower_competitor(beyond)) < 1e-9
    assert step.value_at_delta == pytest.approx(0.5 + 1 / (1 + math.exp(-5)))


def test_published_steps():
    t = torch.tensor([-0.01, 0.0, 0.01, 0.06], dtype=torch.float64)
    low, high = 1 / (1 + math.e), 1 / (1 + math.exp(-1))
    for name, expected in (
        ("sop", [low, 0.5, 0.5 + high, 1.44 + 100 * 0.01]),
        ("inat", [low, 0.5, high, 1.0 + 100 * 0.01]),
    ):
        got = F.SupRank(**F.PRESETS[name]).lower_competitor(t)
        torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64))


def test_the_smooth_step_is_the_papers_at_ten_times_the_temperature():
    t = torch.linspace(-0.3, 0.3, 41, dtype=torch.float64)
    got = F.SupRank(**F.PRESETS["smooth"]).lower_competitor(t)
    torch.testing.assert_close(got, F.SupRank(tau=0.1).lower_competitor(t))
    assert (got >= (t > 0)).all()  # an upper bound of the step; a tie costs one half


def test_sigmoid_is_flat_beyond_fifty_tau():
    t = torch.tensor([-0.6, 0.6], dtype=torch.float64)
    assert steps.sigmoid_slope(t, 0.01).tolist() == [0.0, 0.0]
    assert steps.sigmoid(t, 0.01)[0].item() == pytest.approx(1.93e-22, rel=1e-2)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"tau": 0}, "tau: wanted a positive"),
        ({"tau": float("nan")}, "tau: wanted a positive"),
        ({"rho": -2}, "rho: wanted"),
        ({"delta": -0.1}, "delta: wanted"),
        ({"delta": None}, "offset: wanted a number with delta=None"),
        ({"start": float("inf")}, "start: wanted"),
        ({"offset": float("nan")}, "offset: wanted"),
    ],
)
def test_bad_steps(kwargs, message):
    with pytest.raises(ValueError, match=message):
        F.SupRank(**kwargs)


def test_bad_hrank_step():
    with pytest.raises(ValueError, match="hrank beta: wanted"):
        F.HRankStep(beta=-1)

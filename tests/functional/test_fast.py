"""The near-linear backend against the definition in float64."""

import logging

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pml_suprank import functional as F
from pml_suprank.functional import ranking
from pml_suprank.functional._backends import fast, ordering
from tests.functional.problems import Problem
from tests.losses.cases import OBJECTIVES

TOLERANCE = 1e-5
"""Documented: of the largest entry, for value and gradient."""

SURROGATES = {
    "sup": F.SupRank(),
    "sop": F.SupRank(**F.PRESETS["sop"]),
    "inat": F.SupRank(**F.PRESETS["inat"]),
    "wide step": F.SupRank(tau=0.05, rho=20.0, delta=0.12, start=0.2, offset=1.3),
    "short delta": F.SupRank(delta=0.004),
    "no delta": F.SupRank(delta=None, offset=1.0),
    "zero delta": F.SupRank(delta=0.0),
    "no line": F.SupRank(rho=-1),
    "hrank": F.SupRank(hrank=F.HRankStep()),
    "flat hrank": F.SupRank(hrank=F.HRankStep(beta=0.0)),
    "constant hrank": F.SupRank(hrank=F.HRankStep(gamma=1.5)),
    "smooth": F.SmoothRank(),
    "warm smooth": F.SmoothRank(0.1),
    "hard": F.HardRank(),
}
SCORES = {
    "orthogonal": lambda noise, group: 0.05 * noise,
    "spread": lambda noise, group: 0.3 * noise,
    "clustered": lambda noise, group: 0.01 * noise + 0.19 * group,
    "collapsed": lambda noise, group: 0.9 + 1e-4 * noise,
    "equal": lambda noise, group: torch.full_like(noise, 0.7),
    "tied": lambda noise, group: (noise * 4).round() / 8,
    "wide": lambda noise, group: 6 * noise,
}


def problem_of(kind, num_queries, num_items, num_levels, seed, masked=False, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    shape = (num_queries, num_items)
    noise = torch.randn(shape, generator=generator, dtype=torch.float64)
    group = torch.randint(0, 4, shape, generator=generator)
    scores = SCORES[kind](noise, group).to(dtype)
    levels = torch.randint(0, num_levels + 1, shape, generator=generator)
    levels *= torch.rand(shape, generator=generator) < 0.5
    table = torch.rand((num_queries, num_levels + 1), generator=generator, dtype=torch.float64)
    table[:, 0] = 0
    mask = torch.rand(shape, generator=generator) < 0.8 if masked else None
    relevance = table.gather(1, levels)
    if mask is not None:
        relevance = relevance * mask
    return Problem(scores, levels, relevance.to(dtype), mask, num_levels)


def value_and_gradient(objective, problem, **options):
    scores = problem.scores.clone().requires_grad_()
    value = OBJECTIVES[objective](problem, scores, **options)
    if value.requires_grad:
        (value * torch.linspace(0.5, 1.5, len(value), dtype=value.dtype)).sum().backward()
    gradient = torch.zeros_like(scores) if scores.grad is None else scores.grad
    return value.detach().double(), gradient.double()


def in_dtype(problem, dtype):
    return problem._replace(scores=problem.scores.to(dtype), relevance=problem.relevance.to(dtype))


@pytest.mark.parametrize("kind", SCORES)
@pytest.mark.parametrize("name", SURROGATES)
def test_equals_the_definition(name, kind):
    """Both dtypes have numbers of float32, so that one truth is enough."""
    for masked in (False, True):
        single = in_dtype(problem_of(kind, 4, 150, 3, seed=5, masked=masked), torch.float32)
        exact = in_dtype(single, torch.float64)
        for objective in OBJECTIVES:
            options = {"surrogate": SURROGATES[name], "backend": "dense"}
            expected = value_and_gradient(objective, exact, **options)
            for problem in (single, exact):
                got = value_and_gradient(objective, problem, **options | {"backend": "fast"})
                for tensor, truth in zip(got, expected, strict=True):
                    error = (tensor - truth).abs().max().item()
                    scale = max(truth.abs().max().item(), 1e-6)
                    where = objective, problem.scores.dtype, f"masked: {masked}"
                    assert error <= TOLERANCE * scale, (*where, error / scale)


@given(
    name=st.sampled_from(list(SURROGATES)),
    kind=st.sampled_from(list(SCORES)),
    objective=st.sampled_from(list(OBJECTIVES)),
    num_queries=st.integers(1, 5),
    num_items=st.integers(1, 120),
    num_levels=st.integers(1, 6),
    seed=st.integers(0, 2**31),
    masked=st.booleans(),
)
@settings(max_examples=250, deadline=None)
def test_random_configurations(
    name, kind, objective, num_queries, num_items, num_levels, seed, masked
):
    problem = problem_of(kind, num_queries, num_items, num_levels, seed, masked)
    surrogate = SURROGATES[name]
    got = value_and_gradient(objective, problem, surrogate=surrogate, backend="fast")
    expected = value_and_gradient(objective, problem, surrogate=surrogate, backend="dense")
    torch.testing.assert_close(got[0], expected[0], rtol=TOLERANCE, atol=TOLERANCE)
    # terms of the numerator and of the rank, of size 1 and more, can cancel in the gradient
    scale = max(1.0, expected[1].abs().max().item())
    assert (got[1] - expected[1]).abs().max().item() <= TOLERANCE * scale


@pytest.mark.parametrize("name", ["sup", "hrank", "smooth"])
def test_chunks_change_nothing(name, monkeypatch):
    problem = problem_of("spread", 7, 60, 3, seed=2, masked=True)
    for objective in OBJECTIVES:
        options = {"surrogate": SURROGATES[name], "backend": "fast"}
        monkeypatch.setattr(fast, "CHUNK_ITEMS", 1 << 20)
        whole = value_and_gradient(objective, problem, **options)
        monkeypatch.setattr(fast, "CHUNK_ITEMS", 130)
        for got, expected in zip(
            value_and_gradient(objective, problem, **options), whole, strict=True
        ):
            torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-9)


def test_queries_without_anything_to_rank():
    scores = torch.randn(3, 20, requires_grad=True)
    levels = torch.zeros(3, 20, dtype=torch.long)
    levels[1, ::2] = 1
    mask = torch.ones(3, 20, dtype=torch.bool)
    mask[2] = False
    result = F.ranks(scores, levels, levels.float(), mask, surrogate=F.SupRank(), backend="fast")
    assert (result.rank[[0, 2]] == 1).all()
    assert (result.hrank[[0, 2]] == 0).all()
    result.rank.sum().backward()
    assert (scores.grad[[0, 2]] == 0).all()
    assert scores.grad[1].any()


def test_argsort_is_stable_and_ascending():
    scores = (torch.randn(5, 300) * 3).round() / 3
    scores[0, ::3] = -0.0
    order = ordering.argsort_rows(scores)
    expected = torch.sort(scores, dim=1, stable=True).indices + 300 * torch.arange(5)[:, None]
    torch.testing.assert_close(order.view(5, 300), expected)


def test_ends_of_ties():
    values = torch.tensor([[1.0, 1.0, 2.0, 3.0, 3.0, 3.0], [3.0, 4.0, 4.0, 5.0, 6.0, 6.0]])
    begin, end = ordering.tie_ends(values)
    assert begin.tolist() == [0, 0, 2, 3, 3, 3, 6, 7, 7, 9, 10, 10]
    assert end.tolist() == [2, 2, 3, 6, 6, 6, 7, 9, 9, 10, 12, 12]
    assert ordering.tie_ends(values[:, 1:4]) is not None
    assert ordering.tie_ends(values[:1, 1:4]) is None


@pytest.mark.parametrize("counts", [[3, 0, 5, 2], [0, 0, 0, 0], [4, 4, 4, 4]])
def test_both_searches_find_the_same(counts):
    values = (torch.randn(2, 40, dtype=torch.float64) * 3).round().sort(dim=1).values
    splits = torch.tensor([0, *counts]).cumsum(0)
    rows = [
        values[index % 2, torch.randperm(40)[:n]].sort().values for index, n in enumerate(counts)
    ]
    targets = torch.cat(rows)
    found = ordering._first_above_at_once(values, targets, splits)
    assert found.tolist() == ordering._first_above_row_by_row(values, targets, splits).tolist()
    for index, n in enumerate(counts):
        for target, position in zip(
            rows[index], found[splits[index] : splits[index] + n], strict=True
        ):
            assert position == 40 - (values[index % 2] > target).sum()


def test_says_why_it_cannot():
    problem = problem_of("spread", 3, 30, 2, seed=1)
    with pytest.raises(ValueError, match=r"backend: 'fast' cannot take .*tau 1e-09 is too small"):
        F.ranks(problem.scores, problem.levels, surrogate=F.SupRank(tau=1e-9), backend="fast")
    uneven = torch.rand_like(problem.relevance)
    with pytest.raises(ValueError, match="relevance differs between items of one query and level"):
        F.ranks(problem.scores, problem.levels, uneven, surrogate=F.SupRank(), backend="fast")

    class Unknown:
        rank_has_gradient = hrank_has_gradient = False

    with pytest.raises(ValueError, match="not Unknown"):
        F.ranks(problem.scores, problem.levels, surrogate=Unknown(), backend="fast")


@pytest.fixture
def eager_auto(monkeypatch):
    limits = ranking.Limits(fused=0, dense=0, fast_ranked=0, fast_ranked_others=0)
    monkeypatch.setitem(ranking.LIMITS, "cpu", limits)
    monkeypatch.setattr(ranking, "_logged", set())


def test_auto_takes_blocked_where_fast_cannot(eager_auto, caplog):
    problem = problem_of("spread", 3, 40, 2, seed=1)
    with caplog.at_level(logging.INFO, "pml_suprank"):
        for _ in range(2):
            F.ranks(problem.scores, problem.levels, surrogate=F.SupRank())
            F.ranks(problem.scores, problem.levels, surrogate=F.SupRank(tau=1e-9))
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    assert "takes 'fast' on cpu: 3 queries, 40 items" in messages[0]
    assert "takes 'blocked' on cpu: 3 queries" in messages[1]
    assert "not 'fast', tau 1e-09 is too small" in messages[1]


def test_auto_stays_within_the_tolerance(eager_auto):
    problem = problem_of("clustered", 4, 90, 3, seed=8)
    for objective in OBJECTIVES:
        got = value_and_gradient(objective, problem, surrogate=F.SupRank())
        expected = value_and_gradient(objective, problem, surrogate=F.SupRank(), backend="dense")
        for tensor, truth in zip(got, expected, strict=True):
            assert (tensor - truth).abs().max() <= TOLERANCE * truth.abs().max()

"""Ranks and objectives against loops, their bounds, limits and gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._pytree import tree_leaves

from pml_suprank import functional as F
from pml_suprank.functional._backends import blocked, sup_blocks
from pml_suprank.relevance import LevelRelevance, level_counts
from tests.functional.problems import SURROGATES, Problem, problems
from tests.losses.cases import OBJECTIVES
from tests.losses.checks import values_equal_the_loops

BACKENDS = ["dense", "blocked"]  # the exact ones; test_fast.py has the other


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_objectives_equal_the_loops(objective, backend):
    for name in SURROGATES:
        values_equal_the_loops(OBJECTIVES[objective], name, backend, examples=40)


def value_and_gradient(objective, problem, **options):
    scores = problem.scores.clone().requires_grad_()
    value = OBJECTIVES[objective](problem, scores, **options)
    weights = torch.linspace(0.5, 1.5, len(value), dtype=value.dtype)
    if value.requires_grad:
        (value * weights).sum().backward()
    return value.detach(), torch.zeros_like(scores) if scores.grad is None else scores.grad


def close_to_largest(got, expected, tolerance):
    scale = max(1e-30, expected.abs().max().item())
    assert (got - expected).abs().max().item() <= tolerance * max(scale, 1e-6)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name", SURROGATES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_blocked_equals_dense(name, objective, dtype, tolerance, data):
    problem = data.draw(problems(max_queries=5, max_items=30, dtype=dtype))
    options = {"surrogate": SURROGATES[name][0]}
    got = value_and_gradient(objective, problem, backend="blocked", **options)
    expected = value_and_gradient(objective, problem, backend="dense", **options)
    for tensor, truth in zip(got, expected, strict=True):
        assert tensor.dtype == dtype
        # terms of size 1 and more can cancel in the gradient of the numerator and of the rank
        assert (tensor - truth).abs().max() <= tolerance * max(1.0, truth.abs().max().item())


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name", SURROGATES)
def test_blocked_equals_dense_in_float32_at_the_size_of_a_batch(name, objective):
    torch.manual_seed(2)
    classes = torch.randint(0, 12, (96,))
    points = torch.nn.functional.normalize(torch.randn(12, 32)[classes] + torch.randn(96, 32))
    levels = (classes[:32, None] == classes).long() + (classes[:32, None] // 3 == classes // 3)
    relevance = torch.tensor([0.0, 0.3, 1.0])[levels]
    problem = Problem(points[:32] @ points.T, levels, relevance, None, 2)
    options = {"surrogate": SURROGATES[name][0]}
    got = value_and_gradient(objective, problem, backend="blocked", **options)
    expected = value_and_gradient(objective, problem, backend="dense", **options)
    for tensor, truth in zip(got, expected, strict=True):
        close_to_largest(tensor, truth, 1e-6)


def test_blocked_equals_dense_over_many_blocks(monkeypatch):
    monkeypatch.setattr(blocked, "BLOCK_ELEMENTS", 200)
    torch.manual_seed(1)
    scores = torch.randn(7, 90, dtype=torch.float64) * 0.2
    levels = torch.randint(0, 4, scores.shape)
    mask = torch.rand(scores.shape) < 0.8
    relevance = torch.tensor([0.0, 0.3, 0.1, 1.0], dtype=torch.float64)[levels] * mask
    problem = Problem(scores, levels, relevance, mask, 3)
    for objective in OBJECTIVES:
        for surrogate, _, _ in SURROGATES.values():
            blocked_result = value_and_gradient(
                objective, problem, surrogate=surrogate, backend="blocked"
            )
            dense_result = value_and_gradient(
                objective, problem, surrogate=surrogate, backend="dense"
            )
            for got, expected in zip(blocked_result, dense_result, strict=True):
                close_to_largest(got, expected, 1e-12)


@pytest.mark.parametrize("small", [True, False])
@pytest.mark.parametrize("name", [*SURROGATES, "sup_no_line", "sup_no_delta", "sup_no_start"])
@given(problem=problems(max_queries=6, max_items=20))
@settings(max_examples=25, deadline=None)
def test_blocked_takes_the_relevance_of_levels(name, small, problem):
    surrogate = {
        "sup_no_line": F.SupRank(rho=-1),
        "sup_no_delta": F.SupRank(delta=None, offset=0.7),
        "sup_no_start": F.SupRank(start=0.0, offset=1.44),
    }.get(name) or SURROGATES[name][0]
    levels = problem.levels.clamp(min=0)
    if problem.mask is not None:
        levels = levels.masked_fill(~problem.mask, -1)
    counts = level_counts(levels, problem.num_levels)
    table = torch.rand(counts.shape, dtype=torch.float64).index_fill_(1, torch.tensor([0]), 0.0)
    relevance = LevelRelevance(table, counts)
    with pytest.MonkeyPatch.context() as patch:
        if small:
            for name_ in ("BLOCK_ELEMENTS", "RUN_ELEMENTS", "SAVED_ELEMENTS"):
                patch.setattr(sup_blocks, name_, 50)
        results = []
        for backend in BACKENDS:
            scores = problem.scores.clone().requires_grad_()
            value = F.hierarchical_average_precision(
                scores, levels, relevance, surrogate=surrogate, backend=backend
            )
            (value + 0 * scores.sum()).sum().backward()
            results.append((value, scores.grad))
    for got, expected in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("backend", ["blocked", "fast"])
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name", SURROGATES)
def test_threads_change_nothing(name, objective, backend):
    torch.manual_seed(3)
    scores = 0.2 * torch.randn(40, 4000)
    levels = torch.randint(0, 4, scores.shape) * (torch.rand(scores.shape) < 0.05)
    relevance = torch.tensor([0.0, 0.3, 0.1, 1.0])[levels]
    problem = Problem(scores, levels, relevance, None, 3)
    options = {"surrogate": SURROGATES[name][0], "backend": backend}
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = value_and_gradient(objective, problem, **options)
        torch.set_num_threads(3)
        together = value_and_gradient(objective, problem, **options)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    for got, expected in zip(together, alone, strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=0 if backend == "fast" else 1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name", ["smooth", "sup", "sup_step", "sup_hrank"])
def test_gradient_is_the_derivative(name, objective, backend):
    torch.manual_seed(4)
    scores = (0.1 * torch.randn(2, 9, dtype=torch.float64)).requires_grad_()
    levels = torch.randint(0, 3, scores.shape)
    relevance = torch.tensor([0.0, 0.5, 0.2], dtype=torch.float64)[levels]
    problem = Problem(scores, levels, relevance, None, 2)
    options = {"surrogate": SURROGATES[name][0], "backend": backend}
    assert torch.autograd.gradcheck(
        lambda s: OBJECTIVES[objective](problem, s, **options), scores, eps=1e-7, atol=1e-4
    )


@given(problem=problems(ties=False))
@settings(max_examples=60, deadline=None)
def test_sup_rank_bounds_the_rank_from_above(problem):
    scores, levels, relevance, mask, _ = problem
    hard = F.ranks(scores, levels, relevance, mask, surrogate=F.HardRank())
    sup = F.ranks(scores, levels, relevance, mask, surrogate=F.SupRank())
    assert (sup.rank >= hard.rank - 1e-12).all()
    torch.testing.assert_close(sup.hrank, hard.hrank)
    for objective in OBJECTIVES:
        exact = OBJECTIVES[objective](problem, scores, surrogate=F.HardRank())
        lower = OBJECTIVES[objective](problem, scores, surrogate=F.SupRank())
        assert (lower <= exact + 1e-9).all()


@given(problem=problems(ties=False))
@settings(max_examples=40, deadline=None)
def test_smooth_objectives_tend_to_the_metric(problem):
    for objective in OBJECTIVES:
        exact = OBJECTIVES[objective](problem, problem.scores, surrogate=F.HardRank())
        smooth = OBJECTIVES[objective](problem, problem.scores, surrogate=F.SmoothRank(1e-12))
        torch.testing.assert_close(smooth, exact, rtol=1e-6, atol=1e-6)


@given(problem=problems())
@settings(max_examples=40, deadline=None)
def test_order_of_items_changes_nothing(problem):
    order = torch.randperm(problem.scores.shape[1])
    mask = None if problem.mask is None else problem.mask[:, order]
    shuffled = problem._replace(
        scores=problem.scores[:, order],
        levels=problem.levels[:, order],
        relevance=problem.relevance[:, order],
        mask=mask,
    )
    for objective in OBJECTIVES:
        for name in ("smooth", "sup", "sup_hrank"):
            options = {"surrogate": SURROGATES[name][0]}
            torch.testing.assert_close(
                OBJECTIVES[objective](problem, problem.scores, **options),
                OBJECTIVES[objective](shuffled, shuffled.scores, **options),
                rtol=1e-9,
                atol=1e-12,
            )


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_query_without_relevant_items_scores_zero(objective):
    scores = torch.randn(2, 5, requires_grad=True)
    levels = torch.tensor([[0] * 5, [0, 1, 0, 1, 0]])
    problem = Problem(scores, levels, levels.float(), None, 1)
    value = OBJECTIVES[objective](problem, scores, surrogate=F.SmoothRank())
    value.sum().backward()
    assert value[0] == 0
    assert (scores.grad[0] == 0).all()
    assert torch.isfinite(scores.grad).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("backend", BACKENDS)
def test_half_precision_scores_are_ranked_in_float32(dtype, backend):
    scores = torch.randn(3, 20).to(dtype).requires_grad_()
    levels = torch.randint(0, 3, scores.shape)
    result = F.ranks(scores, levels, levels.float(), surrogate=F.SupRank(), backend=backend)
    assert result.rank.dtype == torch.float32
    result.rank.sum().backward()
    assert scores.grad.dtype == dtype
    assert torch.isfinite(scores.grad).all()


SCORES, LEVELS = torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.long)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scores": torch.zeros(3)}, "scores: wanted a floating"),
        ({"scores": torch.zeros(2, 3, dtype=torch.long)}, "scores: wanted a floating"),
        ({"scores": torch.full((2, 3), float("nan"))}, "scores: wanted finite"),
        ({"common_levels": torch.zeros(2, 4, dtype=torch.long)}, "common_levels: wanted the shape"),
        ({"common_levels": torch.zeros(2, 3)}, "common_levels: wanted integers"),
        ({"relevance": torch.zeros(3, 3)}, "relevance: wanted the shape"),
        ({"mask": torch.zeros(2, 3)}, "mask: wanted a boolean"),
        (
            {
                "relevance": LevelRelevance(SCORES[:, :1], LEVELS[:, :1]),
                "common_levels": LEVELS + 1,
            },
            r"relevance: wanted a table for 2 queries and 0 to 1 common levels, got \(2, 1\)",
        ),
        ({"backend": "quick"}, "backend: wanted one of auto, dense, blocked, fast"),
    ],
)
def test_bad_input_is_named(arguments, message):
    arguments = {"scores": SCORES, "common_levels": LEVELS, "surrogate": F.HardRank()} | arguments
    with pytest.raises(ValueError, match=message):
        F.ranks(**arguments)


def test_finite_scores_of_an_infinite_sum_are_taken():
    ranked = F.ranks(torch.full((2, 3), 3e38), LEVELS + 1, surrogate=F.HardRank())
    assert ranked.rank.tolist() == [[1, 2, 3], [1, 2, 3]]


@pytest.mark.parametrize("outside", [-1, -128, -129, -1000])
def test_levels_below_0_are_outside_the_retrieval_set(outside):
    levels = torch.tensor([[1, outside, 0], [outside, 1, 1]])
    ranked = F.ranks(torch.zeros(2, 3), levels, surrogate=F.HardRank())
    assert ranked.rank.tolist() == [[2, 1, 1], [1, 1, 2]]


@pytest.mark.parametrize("k", [(), 0, (1, 0), (1.5,), (True,)])
def test_bad_k(k):
    with pytest.raises(ValueError, match="k: wanted one or more integers >= 1"):
        F.recall_at_k(SCORES, LEVELS > 0, k=k)


def test_the_old_keyword_of_common_levels_works_and_says_the_new_one():
    relevance = LEVELS.double() / 2
    for function, options in {
        F.ranks: {"surrogate": F.HardRank()},
        F.hierarchical_average_precision: {"relevance": relevance},
        F.ndcg: {"gains": relevance},
        F.hierarchical_contrastive: {"level_weights": (1.0, 1.0)},
        F.triplet_hinge_sums: {"margins": (0.1, 0.1)},
    }.items():
        new = function(SCORES, common_levels=LEVELS, **options)
        with pytest.warns(DeprecationWarning, match="'levels' is old .* write 'common_levels'"):
            old = function(SCORES, levels=LEVELS, **options)
        for a, b in zip(tree_leaves(new), tree_leaves(old), strict=True):
            assert a is b is None or torch.equal(a, b)

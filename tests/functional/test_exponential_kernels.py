"""The fast backend by its kernels, on a GPU or under Triton's interpreter; elsewhere not collected."""

import pytest
import torch
from hypothesis import given, settings

from pml_suprank import functional as F
from pml_suprank.functional._backends import exponentials
from pml_suprank.functional._backends.exponentials import sums
from pml_suprank.relevance import LevelRelevance, level_counts
from tests.functional.problems import problems
from tests.functional.test_fast import SCORES, SURROGATES, problem_of
from tests.functional.test_fused_kernels import DEVICE, HAS_GPU, Reads, exact, results
from tests.losses.cases import SURROGATE_LOSSES, batch, make, value_and_gradient

pytestmark = pytest.mark.gpu
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
"""Of the largest entry, for value and gradient."""
BRIEF = ("sup", "hrank", "smooth")


@pytest.fixture
def small_blocks(monkeypatch):
    """A few items then fill several blocks, and several steps of the walk."""
    monkeypatch.setattr(sums, "BLOCK", 16)
    monkeypatch.setattr(sums, "STRIDE", 2)


@pytest.fixture
def launches(monkeypatch):
    """What went through the kernels."""
    found = []

    def launch(rows, comparator, *rest):
        found.append(comparator)
        return original(rows, comparator, *rest)

    original = sums._launch
    monkeypatch.setattr(sums, "_launch", launch)
    return found


def check(problem, surrogate, *, with_relevance=True, truth="dense"):
    arguments = [
        None if tensor is None else tensor.to(DEVICE)
        for tensor in (problem.scores, problem.levels, problem.relevance, problem.mask)
    ]
    if not with_relevance:
        arguments[2] = None
    got = results("fast", *arguments, surrogate=surrogate)
    expected = results(truth, *map(exact, arguments), surrogate=surrogate)
    close(got, expected, problem.scores.dtype)


def close(got, expected, dtype):
    for ours, wanted in zip(got, expected, strict=True):
        if wanted is not None and wanted.numel():
            assert ours.dtype == dtype
            error = (ours.double() - wanted).abs().max().item()
            assert error <= TOLERANCE[dtype] * max(1.0, wanted.abs().max().item()), error


KINDS = {name: list(SCORES)[number % len(SCORES)] for number, name in enumerate(SURROGATES)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", SURROGATES)
def test_equals_the_definition(name, dtype, small_blocks, launches):
    kinds = SCORES if HAS_GPU else [KINDS[name]]
    for number, kind in enumerate(kinds):
        masked = number % 2 == (dtype == torch.float64)
        check(problem_of(kind, 1, 55, 3, seed=5, masked=masked, dtype=dtype), SURROGATES[name])
    assert launches


@pytest.mark.parametrize("kind", SCORES)
def test_scores_of_every_kind(kind, small_blocks):
    problem = problem_of(kind, 1, 55, 4, seed=3, masked=True, dtype=torch.float32)
    for tau in (0.01, 0.0003) if HAS_GPU else (0.0003,):
        check(problem, F.SupRank(tau=tau, hrank=F.HRankStep()))


@pytest.mark.parametrize(("name", "kind"), [("sup", "collapsed"), ("smooth", "tied")])
def test_blocks_of_their_real_size(name, kind):
    """550 items are 18 blocks of 32: two steps of the walk."""
    problem = problem_of(kind, 1, 550, 2, seed=4, dtype=torch.float32)
    check(problem, SURROGATES[name], with_relevance=False, truth="blocked")


@given(problem=problems(max_queries=3, max_items=12))
@settings(max_examples=500 if HAS_GPU else 6, deadline=None)
def test_small_problems(problem):
    for name in (*BRIEF, "hard") if HAS_GPU else ("hrank", "smooth"):
        check(problem, SURROGATES[name])


@pytest.mark.parametrize(
    ("name", "num_levels"),
    [("sup", 1), ("sup", 8), ("hrank", 2), ("smooth", 8), ("hard", 8)],
)
def test_relevance_of_levels(name, num_levels):
    problem = problem_of("tied", 2, 30, num_levels, seed=2, masked=True, dtype=torch.float32)
    levels = problem.levels.masked_fill(~problem.mask, -1).to(DEVICE)
    counts = level_counts(levels, num_levels)
    table = torch.rand(counts.shape, dtype=torch.float64).to(DEVICE)
    table[:, 0] = 0
    found = []
    for backend, scores in (("fast", problem.scores), ("blocked", problem.scores.double())):
        scores = scores.to(DEVICE).requires_grad_()
        value = F.hierarchical_average_precision(
            scores,
            levels,
            LevelRelevance(table, counts),
            surrogate=SURROGATES[name],
            backend=backend,
        )
        (value.sum() + 0 * scores.sum()).backward()
        found.append((value.detach(), scores.grad))
    close(*found, torch.float32)


def test_more_levels_than_a_byte_holds():
    problem = problem_of("tied", 1, 20, 130, seed=2, masked=True, dtype=torch.float32)
    problem.levels[0, :2] = torch.tensor([129, 130])
    check(problem, SURROGATES["sup"], with_relevance=False)


@pytest.mark.parametrize("name", ["sup", "smooth", "hard"])
def test_without_a_numerator(name):
    problem = problem_of("spread", 1, 40, 3, seed=3)
    check(problem, SURROGATES[name], with_relevance=False)


@pytest.mark.parametrize("num_queries", [0, 1, 3])
@pytest.mark.parametrize("num_items", [0, 1, 65])
def test_nothing_to_rank(num_queries, num_items):
    shape = num_queries, num_items
    scores = torch.randn(shape, device=DEVICE)
    levels = torch.zeros(shape, dtype=torch.long, device=DEVICE)
    got = results("fast", scores, levels, levels.float(), surrogate=F.SupRank())
    assert got.rank.shape == got.hrank.shape == got.gradient.shape == shape
    assert (got.rank == 1).all()
    assert not got.hrank.any()
    assert not got.gradient.any()


@pytest.mark.parametrize("name", BRIEF)
def test_one_item(name):
    levels = torch.ones(2, 1, dtype=torch.long, device=DEVICE)
    scores = torch.randn(2, 1, device=DEVICE)
    got = results("fast", scores, levels, 0.5 * levels.float(), surrogate=SURROGATES[name])
    assert (got.rank == 1).all()
    assert (got.hrank == 0.5).all()
    assert not got.gradient.any()


@pytest.mark.parametrize("name", BRIEF)
def test_rows_that_are_empty_full_tied_or_masked(name):
    scores = 0.3 * torch.randn(6, 20, dtype=torch.float64, device=DEVICE)
    levels = torch.randint(0, 4, scores.shape, device=DEVICE)
    mask = torch.rand(scores.shape, device=DEVICE) < 0.8
    levels[0], levels[1, 1:] = 0, 0
    scores[2], levels[3] = 0.5, 2
    mask[4], mask[5, 1:] = False, False
    relevance = torch.tensor([0.0, 0.3, 0.1, 1.0], dtype=torch.float64, device=DEVICE)[levels]
    arguments = scores, levels, relevance, mask
    got = results("fast", *arguments, surrogate=SURROGATES[name])
    close(got, results("dense", *arguments, surrogate=SURROGATES[name]), torch.float64)


def test_far_scores_outside_the_retrieval_set_change_nothing():
    problem = problem_of("spread", 1, 40, 3, seed=11, masked=True, dtype=torch.float32)
    far = torch.randn_like(problem.scores).sign() * 3e38
    problem = problem._replace(scores=torch.where(problem.mask, problem.scores, far))
    check(problem, SURROGATES["hrank"])


def test_chunks_change_nothing(monkeypatch):
    problem = problem_of("spread", 3, 20, 3, seed=2, masked=True, dtype=torch.float32)
    scores, levels, _, mask = (tensor.to(DEVICE) for tensor in problem[:4])
    found = []
    for items in (1 << 20, 1, 2 * 20 * 3):
        monkeypatch.setattr(exponentials, "CHUNK_ITEMS", items)
        found.append(results("fast", scores, levels, None, mask, surrogate=SURROGATES["sup"]))
    for other in found[1:]:
        assert torch.equal(other.rank, found[0].rank)
        assert torch.equal(other.gradient, found[0].gradient)


@pytest.mark.parametrize("name", ["hrank", "smooth"])
def test_layout_and_type_of_levels_change_nothing(name):
    problem = problem_of("tied", 2, 30, 3, seed=7, dtype=torch.float32)
    scores, levels, relevance = (tensor.to(DEVICE) for tensor in problem[:3])
    options = {"surrogate": SURROGATES[name]}
    plain = results("fast", scores, levels, relevance, **options)
    wide = torch.stack([levels, levels], 2)[:, :, 0].to(torch.int16)
    other = results("fast", scores.T.contiguous().T, wide, relevance.T.clone().T, **options)
    for one, another in zip(plain, other, strict=True):
        assert torch.equal(one, another)


def test_tiny_temperatures_are_steps():
    problem = problem_of("spread", 1, 40, 2, seed=8, dtype=torch.float32)
    for tau in (1e-12, 1e-38) if HAS_GPU else (1e-38,):
        arguments = [tensor.to(DEVICE) for tensor in problem[:3]]
        got = results("fast", *arguments, surrogate=F.SmoothRank(tau))
        steps = results("fast", *arguments, surrogate=F.HardRank())
        torch.testing.assert_close(got[:2], steps[:2])


def test_second_derivatives_are_those_of_the_definition():
    problem = problem_of("spread", 2, 12, 2, seed=9)
    found = []
    for backend in ("fast", "dense"):
        scores = problem.scores.to(DEVICE).requires_grad_()
        levels = problem.levels.to(DEVICE)
        rank = F.ranks(scores, levels, surrogate=F.SmoothRank(0.1), backend=backend).rank
        (first,) = torch.autograd.grad((rank**2).sum(), scores, create_graph=True)
        found.append(torch.autograd.grad((first**2).sum(), scores)[0])
    torch.testing.assert_close(*found)


def test_a_graph_twice_and_functions_of_torch_func():
    problem = problem_of("spread", 2, 30, 2, seed=12)
    levels = problem.levels.to(DEVICE)

    def loss(scores):
        return F.average_precision(scores, levels > 0, surrogate=F.SupRank(), backend="fast").sum()

    scores = problem.scores.to(DEVICE).requires_grad_()
    value = loss(scores)
    first, second = (torch.autograd.grad(value, scores, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.func.grad(loss)(scores.detach()), first)


@pytest.mark.parametrize("name", SURROGATE_LOSSES)
def test_losses(name):
    embeddings, labels = batch(12 if HAS_GPU else 5, dtype=torch.float32)
    embeddings, labels = embeddings.to(DEVICE), labels.to(DEVICE)
    expected = value_and_gradient(make(name, backend="blocked"), embeddings, labels)
    got = value_and_gradient(make(name, backend="fast"), embeddings, labels)
    for ours, wanted in zip(got, expected, strict=True):
        assert (ours - wanted).abs().max() <= 1e-5 * wanted.abs().max()


def test_grids_stay_within_their_limits(monkeypatch):
    """65,537 queries, more than dimensions 1 and 2 of a grid take; and as many items."""
    from pml_suprank.functional._backends.exponentials import kernels as module

    grids = []

    class Recorder:
        def __init__(self, kernel):
            self.kernel = kernel

        def __getitem__(self, grid):
            grids.append(grid)
            return self.kernel[grid] if HAS_GPU else lambda *_, **__: None

    for name in ("sum_blocks", "walk", "finish"):
        monkeypatch.setattr(module, name, Recorder(getattr(module, name)))
    for shape in ((65_537, 3), (2, 65_537)):
        scores = torch.randn(shape, device=DEVICE)
        levels = torch.randint(0, 3, shape, device=DEVICE)
        got = results("fast", scores, levels, surrogate=F.SupRank())
        if HAS_GPU:
            levels *= torch.rand(shape, device=DEVICE) < (1 if shape[1] == 3 else 0.01)
            got = results("fast", scores, levels, surrogate=F.SupRank())
            expected = results("blocked", scores.double(), levels, surrogate=F.SupRank())
            close(got, expected, torch.float32)
    assert max(grid[0] for grid in grids) >= 65_537
    assert all(len(grid) == 1 for grid in grids)


@pytest.mark.parametrize("name", ["sup", "smooth"])
def test_nothing_else_is_read_from_the_device(name):
    scores = torch.randn(2, 30, device=DEVICE, requires_grad=True)
    levels = torch.randint(0, 3, scores.shape, device=DEVICE)
    counts = level_counts(levels, 2)
    relevance = LevelRelevance(counts.new_tensor([0.0, 0.5, 1.0]).expand(2, 3), counts)
    with Reads() as reads:
        F.hierarchical_average_precision(
            scores, levels, relevance, surrogate=SURROGATES[name], backend="fast"
        ).sum().backward()
    assert reads.found == []


@pytest.mark.skipif(not HAS_GPU, reason="needs a GPU")
def test_memory_of_a_large_problem():
    """The states of all rows at once would take 12.6 GiB, chunks of them take half a GiB."""
    shape = 256, 1 << 20
    scores = torch.randn(shape, device=DEVICE).mul_(0.05).requires_grad_()
    levels = torch.zeros(shape, dtype=torch.int8, device=DEVICE)
    levels[:, ::9], levels[:, ::3] = 1, 2
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    F.average_precision(scores, levels > 0, surrogate=F.SupRank(), backend="fast").sum().backward()
    assert torch.cuda.max_memory_allocated() - before < 8 << 30

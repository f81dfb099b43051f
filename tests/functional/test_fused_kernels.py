"""The fused kernels against the definition, on a GPU or under Triton's interpreter; elsewhere not collected."""

from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from torch.utils._python_dispatch import TorchDispatchMode

from pml_suprank import functional as F
from pml_suprank.functional import inputs
from pml_suprank.functional._backends.fused import form as kernel_form
from pml_suprank.functional._backends.fused import operator
from pml_suprank.relevance import LevelRelevance, level_counts
from tests.conftest import golden_names, load_golden
from tests.functional.problems import problems
from tests.functional.test_fast import SCORES, SURROGATES, problem_of
from tests.losses.cases import SURROGATE_LOSSES, batch, make, value_and_gradient
from tests.losses.test_golden import rank_loss, tensors

HAS_GPU = torch.cuda.is_available()
pytestmark = pytest.mark.gpu
DEVICE = "cuda" if HAS_GPU else "cpu"
TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-12}
"""Of the largest entry, for value and gradient."""


class Results(NamedTuple):
    rank: torch.Tensor
    hrank: torch.Tensor | None
    gradient: torch.Tensor


def results(backend, scores, levels, relevance=None, mask=None, *, surrogate):
    """Return ranks and numerators in the place of the items, and a gradient of both."""
    scores = scores.detach().requires_grad_()
    found = F.ranks(scores, levels, relevance, mask, surrogate=surrogate, backend=backend)
    generator = torch.Generator().manual_seed(1)
    total = 0 * scores.sum()
    for part in (found.rank, found.hrank):
        if part is not None:
            weight = torch.rand(part.shape, generator=generator, dtype=torch.float64) - 0.3
            total = total + (part * weight.to(part)).sum()
    (gradient,) = torch.autograd.grad(total, scores)
    return Results(
        found.rank.detach(), None if relevance is None else found.hrank.detach(), gradient
    )


def exact(tensor):
    return tensor.double() if tensor is not None and tensor.is_floating_point() else tensor


def check(problem, surrogate, *, with_relevance=True, truth="dense"):
    arguments = [
        None if tensor is None else tensor.to(DEVICE)
        for tensor in (problem.scores, problem.levels, problem.relevance, problem.mask)
    ]
    if not with_relevance:
        arguments[2] = None
    got = results("fused", *arguments, surrogate=surrogate)
    expected = results(truth, *map(exact, arguments), surrogate=surrogate)
    close(got, expected, problem.scores.dtype)


def close(got, expected, dtype):
    for ours, wanted in zip(got, expected, strict=True):
        if wanted is not None:
            assert ours.dtype == dtype
            scale = max(1.0, wanted.abs().max().item()) if wanted.numel() else 1.0
            error = (ours.double() - wanted).abs().max().item() if wanted.numel() else 0.0
            assert error <= TOLERANCE[dtype] * scale, error / scale


KINDS = {
    name: [list(SCORES)[(2 * n + i) % len(SCORES)] for i in (0, 1)]
    for n, name in enumerate(SURROGATES)
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", SURROGATES)
def test_equals_the_definition(name, dtype):
    kinds = SCORES if HAS_GPU else KINDS[name]
    for number, kind in enumerate(kinds):
        problem = problem_of(kind, 3, 137, 3, seed=5, masked=number % 2 == 0, dtype=dtype)
        check(problem, SURROGATES[name])


@given(problem=problems(max_queries=4, max_items=10))
@settings(max_examples=200 if HAS_GPU else 25, deadline=None)
def test_small_problems(problem):
    # a numerator that is 1 exactly where scores tie has two slopes there, and a fused multiply-add takes either
    hrank = F.SupRank(hrank=F.HRankStep(beta=23.7, gamma=0.47))
    for surrogate in (hrank, F.SmoothRank(), *([F.SupRank(), F.HardRank()] if HAS_GPU else [])):
        check(problem, surrogate)


@pytest.mark.parametrize("num_levels", [1, 2, 8, 140])
@pytest.mark.parametrize("name", ["sup", "hrank", "smooth", "hard"])
def test_relevance_of_levels(name, num_levels):
    problem = problem_of("tied", 3, 70, num_levels, seed=2, masked=True, dtype=torch.float32)
    levels = problem.levels.masked_fill(~problem.mask, -1).to(DEVICE)
    counts = level_counts(levels, num_levels)
    table = torch.rand(counts.shape, dtype=torch.float64).to(DEVICE)
    table[:, 0] = 0
    found = []
    for backend, scores in (("fused", problem.scores), ("blocked", problem.scores.double())):
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


@pytest.mark.parametrize("name", ["sup", "smooth", "hard"])
def test_without_a_numerator(name):
    check(problem_of("spread", 2, 90, 3, seed=3), SURROGATES[name], with_relevance=False)


@pytest.mark.parametrize("num_queries", [0, 1, 3])
@pytest.mark.parametrize("num_items", [0, 1, 130])
def test_nothing_to_rank(num_queries, num_items):
    shape = num_queries, num_items
    scores = torch.randn(shape, device=DEVICE)
    levels = torch.zeros(shape, dtype=torch.long, device=DEVICE)
    got = results("fused", scores, levels, levels.float(), surrogate=F.SupRank())
    assert got.rank.shape == got.hrank.shape == got.gradient.shape == shape
    assert (got.rank == 1).all()
    assert not got.hrank.any()
    assert not got.gradient.any()


@pytest.mark.parametrize("name", ["sup", "hrank", "smooth"])
def test_rows_that_are_empty_full_tied_or_masked(name):
    scores = 0.3 * torch.randn(6, 131, dtype=torch.float64, device=DEVICE)
    levels = torch.randint(0, 4, scores.shape, device=DEVICE)
    mask = torch.rand(scores.shape, device=DEVICE) < 0.8
    levels[0], levels[1, 1:] = 0, 0
    scores[2], levels[3] = 0.5, 2
    mask[4], mask[5, 1:] = False, False
    relevance = torch.tensor([0.0, 0.3, 0.1, 1.0], dtype=torch.float64, device=DEVICE)[levels]
    for relevant in (relevance, relevance * mask):
        arguments = scores, levels, relevant, mask
        got = results("fused", *arguments, surrogate=SURROGATES[name])
        close(got, results("dense", *arguments, surrogate=SURROGATES[name]), torch.float64)


@pytest.mark.parametrize("name", ["hrank", "smooth"])
def test_splits_and_runs_change_nothing(name, monkeypatch):
    """1,150 items are 9 blocks of 128: more than one run of 8, and three splits of at least 4."""
    problem = problem_of("clustered", 2, 1150, 3, seed=4, masked=True)
    problem = problem._replace(levels=problem.levels * (torch.arange(1150) % 40 == 0))
    num_targets = int((problem.levels.masked_fill(~problem.mask, 0) > 0).sum())
    assert kernel_form.splits_of(num_targets, 1150) == (3, 384)
    check(problem, SURROGATES[name], truth="blocked")
    monkeypatch.setattr(kernel_form, "PROGRAMS", 1)
    assert kernel_form.splits_of(num_targets, 1150) == (1, 1152)
    check(problem, SURROGATES[name], truth="blocked")


def test_splits_cover_all_items():
    for num_targets in (1, 16, 17, 3000, 40_000):
        for num_items in (1, 127, 128, 129, 4096, 65_537, 1_048_576):
            splits, per_split = kernel_form.splits_of(num_targets, num_items)
            assert (splits - 1) * per_split < num_items <= splits * per_split
            assert per_split % kernel_form.BLOCKS["BN"] == 0
            assert splits <= kernel_form.PROGRAMS


def test_twice_is_the_same():
    problem = problem_of("orthogonal", 3, 700, 3, seed=6, dtype=torch.float32)
    scores, levels, relevance = (t.to(DEVICE) for t in problem[:3])
    levels = levels * (torch.arange(700, device=DEVICE) % 9 == 0)
    first, second = (
        results("fused", scores, levels, relevance, surrogate=SURROGATES["hrank"]) for _ in range(2)
    )
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one, other)


def test_tensors_that_are_not_contiguous():
    problem = problem_of("spread", 4, 60, 3, seed=7, dtype=torch.float32)
    scores, levels = problem.scores.to(DEVICE), problem.levels.to(DEVICE)
    relevance = torch.rand(4, 1, device=DEVICE).expand(4, 60) * (levels > 0)
    wide = torch.stack([levels, levels], 2)[:, :, 0]
    for name in ("hrank", "smooth"):
        options = {"surrogate": SURROGATES[name]}
        plain = results("fused", scores, levels, relevance, **options)
        other = results("fused", scores.T.contiguous().T, wide, relevance.T.clone().T, **options)
        for one, another in zip(plain, other, strict=True):
            torch.testing.assert_close(another, one, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_ranked_in_float32(dtype):
    scores = torch.randn(2, 20, device=DEVICE).to(dtype).requires_grad_()
    levels = torch.randint(0, 3, scores.shape, device=DEVICE)
    found = F.ranks(scores, levels, levels.float(), surrogate=F.SupRank(), backend="fused")
    assert found.rank.dtype == found.hrank.dtype == torch.float32
    found.rank.sum().backward()
    assert scores.grad.dtype == dtype


def test_tiny_temperatures_are_steps():
    problem = problem_of("spread", 2, 40, 2, seed=8, dtype=torch.float32)
    for tau in (1e-12, 1e-38):
        arguments = [t.to(DEVICE) for t in problem[:3]]
        got = results("fused", *arguments, surrogate=F.SmoothRank(tau))
        steps = results("fused", *arguments, surrogate=F.HardRank())
        torch.testing.assert_close(got, steps)


def test_second_derivatives_are_those_of_the_definition():
    problem = problem_of("spread", 2, 12, 2, seed=9)
    found = []
    for backend in ("fused", "dense"):
        scores = problem.scores.to(DEVICE).requires_grad_()
        rank = F.ranks(
            scores, problem.levels.to(DEVICE), surrogate=F.SmoothRank(0.1), backend=backend
        ).rank
        (first,) = torch.autograd.grad((rank**2).sum(), scores, create_graph=True)
        found.append(torch.autograd.grad((first**2).sum(), scores)[0])
    torch.testing.assert_close(*found)


def operator_inputs(surrogate=None, **options):
    surrogate = surrogate or SURROGATES["hrank"]
    levels = torch.randint(0, 3, (2, 20), device=DEVICE, dtype=torch.int8)
    query, item = (levels > 0).nonzero(as_tuple=True)
    scores = (0.1 * torch.randn(2, 20, dtype=torch.float64, device=DEVICE)).requires_grad_()
    relevance = torch.rand(2, 20, dtype=torch.float64, device=DEVICE)
    form = list(kernel_form.form_of(surrogate, by_level=False))
    return scores, levels, relevance, query, item, form, kernel_form.step_of(surrogate)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_is_an_operator_of_torch():
    torch.library.opcheck(operator.fused_ranks, operator_inputs())
    torch.library.opcheck(operator.fused_ranks, operator_inputs(F.HardRank()))
    scores, *rest = operator_inputs()
    rank, hrank, *slopes = operator.fused_ranks(scores.detach(), *rest)
    torch.library.opcheck(
        operator.fused_ranks_backward,
        (scores.detach(), *rest, *slopes, rank, hrank),
        test_utils=("test_schema", "test_faketensor"),
    )


def test_a_compiler_sees_one_node():
    inputs = operator_inputs()
    graphs = []

    def compiler(graph, _):
        graphs.append([str(node.target) for node in graph.graph.nodes if "pml" in str(node.target)])
        return graph.forward

    def loss(scores):
        rank, hrank, *_ = operator.fused_ranks(scores, *inputs[1:])
        return (hrank / rank).sum()

    found = []
    for function in (loss, torch.compile(loss, backend=compiler, fullgraph=True)):
        scores = inputs[0].detach().requires_grad_()
        value = function(scores)
        value.backward()
        found.append((value.detach(), scores.grad))
    torch.testing.assert_close(*found)
    assert graphs == [["pml_suprank.fused_ranks.default"]]


def test_the_operator_has_no_second_derivative():
    scores, *rest = operator_inputs()
    rank = operator.fused_ranks(scores, *rest)[0]
    (first,) = torch.autograd.grad((rank**2).sum(), scores, create_graph=True)
    with pytest.raises(RuntimeError, match="wanted at most one derivative"):
        first.sum().backward()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", SURROGATE_LOSSES)
def test_losses(name, dtype):
    embeddings, labels = batch(20, dtype=dtype)
    embeddings, labels = embeddings.to(DEVICE), labels.to(DEVICE)
    expected = value_and_gradient(make(name, backend="blocked"), embeddings, labels)
    got = value_and_gradient(make(name, backend="fused"), embeddings, labels)
    for ours, wanted in zip(got, expected, strict=True):
        error = (ours - wanted).abs().max() / wanted.abs().max()
        assert error <= {torch.float32: 5e-6, torch.float64: 1e-11}[dtype], error


GOLDEN = golden_names("rank_loss")


@pytest.mark.parametrize("name", GOLDEN if HAS_GPU else GOLDEN[::4])
def test_check_vectors(name):
    data = load_golden(name)
    found = tensors(data, "embeddings", "labels", "ref_embeddings", "ref_labels")
    emb, labels, ref_emb, ref_labels = (None if t is None else t.to(DEVICE) for t in found)
    emb.requires_grad_()
    loss = rank_loss(data["config"], backend="fused")(emb, labels, None, ref_emb, ref_labels)
    loss.backward()
    tolerance = {"rtol": 1e-6, "atol": 1e-7}
    torch.testing.assert_close(loss.item(), float(data["loss"]), **tolerance)
    torch.testing.assert_close(
        emb.grad.cpu(), torch.from_numpy(data["grad_embeddings"]), **tolerance
    )


def test_grids_stay_within_their_limits(monkeypatch):
    """65,537 queries, more than dimensions 1 and 2 of a grid take; and as many items."""
    from pml_suprank.functional._backends.fused import kernels as module

    grids = []

    class Recorder:
        def __init__(self, kernel):
            self.kernel = kernel

        def __getitem__(self, grid):
            grids.append(grid)
            return self.kernel[grid] if HAS_GPU else lambda *_, **__: None

    for name in ("rank_targets", "pull_items"):
        monkeypatch.setattr(module, name, Recorder(getattr(module, name)))
    for shape in ((65_537, 3), (2, 65_537)):
        scores = torch.randn(shape, device=DEVICE)
        levels = torch.randint(0, 3, shape, device=DEVICE)
        if shape[1] > 3:
            levels *= torch.arange(shape[1], device=DEVICE) % 100 == 0
        got = results("fused", scores, levels, surrogate=F.SupRank())
        if HAS_GPU:
            expected = results("blocked", scores.double(), levels, surrogate=F.SupRank())
            close(got, expected, torch.float32)
    assert len(grids) == 4
    assert max(grid[0] for grid in grids) >= 65_537
    assert all(size <= 65_535 for grid in grids for size in grid[1:])


OBJECTIVES = {
    "ranks": lambda x, y, **o: F.ranks(x, y, y.float(), **o).rank,
    "hap": lambda x, y, **o: F.hierarchical_average_precision(x, y, y.float(), **o),
    "ap": lambda x, y, **o: F.average_precision(x, y > 0, **o),
    "recall": lambda x, y, **o: F.recall_surrogate(x, y > 0, **o),
    "ndcg": lambda x, y, **o: F.ndcg(x, y, y.float(), **o),
}


@pytest.mark.skipif(not HAS_GPU, reason="needs a GPU")
@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_gpu_is_waited_for_once(name):
    scores = torch.randn(32, 300, device="cuda", requires_grad=True)
    levels = torch.randint(0, 3, scores.shape, device="cuda")

    def step():
        value = OBJECTIVES[name](scores, levels, surrogate=F.SupRank(), backend="fused")
        value.sum().backward()

    step()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with pytest.warns(UserWarning, match="synchronizing") as waits:
            step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(waits) == 1


class Reads(TorchDispatchMode):
    """Counts what would wait for a GPU, but for ``tolist`` and ``nonzero_static`` in the place of ``nonzero``."""

    NAMES = ("_local_scalar_dense", "_unique", "bincount", "is_nonzero", "equal", "masked_select")

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.__name__
        if any(name.startswith(each) for each in self.NAMES):
            self.found.append(name)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_nothing_else_is_read_from_the_device(name, monkeypatch):
    monkeypatch.setattr(inputs, "demand", lambda *_: None)  # what all backends look at
    scores = torch.randn(3, 30, device=DEVICE, requires_grad=True)
    levels = torch.randint(0, 3, scores.shape, device=DEVICE)
    with Reads() as reads:
        OBJECTIVES[name](scores, levels, surrogate=F.SupRank(), backend="fused").sum().backward()
    assert reads.found == []

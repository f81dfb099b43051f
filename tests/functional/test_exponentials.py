"""The series and comparators behind the sums of exponentials; the kernels under the interpreter, and the compiler."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from pml_suprank import functional as F
from pml_suprank.functional._backends.exponentials import comparators, series, sums
from tests.functional.test_fast import SURROGATES
from tests.kernels import HAS_GPU, HAS_TRITON, INTERPRETED, elsewhere, run_interpreted

X = np.concatenate([np.linspace(0, 2, 4001), np.linspace(2, 60, 4000)])
TAIL = 1 / (1 + np.exp(X))
SLOPE = TAIL * (1 - TAIL)


def sum_of_exponentials(weights):
    k = np.arange(1, len(weights) + 1)
    return np.exp(-np.outer(X, k)) @ weights


@pytest.mark.parametrize("num_terms", range(8, 15))
def test_the_series_is_uniformly_close(num_terms):
    weights = np.array(series.coefficients(num_terms))
    bound = 2 * (3 + math.sqrt(8)) ** -num_terms
    error = np.abs(sum_of_exponentials(weights) / TAIL - 1)
    assert error.max() <= bound * (1 + 1e-3)
    assert error[0] >= bound / 2  # worst where the series itself does not converge
    slope = sum_of_exponentials(weights * np.arange(1, num_terms + 1))
    assert np.abs(slope - SLOPE).max() <= num_terms**2 * bound * 1.01
    assert np.abs(weights).max() <= 1


def test_a_plain_sum_is_not():
    plain = (-1.0) ** np.arange(12)
    assert np.abs(sum_of_exponentials(plain) - TAIL).max() > 0.4


@pytest.mark.parametrize(
    ("num_terms", "rounding", "error", "norm"),
    [(12, 2**-25, 2.1e-7, 8), (28, 2**-54, 2e-12, 18)],
)
def test_the_slope_is_uniformly_close_with_small_weights(num_terms, rounding, error, norm):
    weights = np.array(series.slope_coefficients(num_terms, rounding))
    assert np.abs(sum_of_exponentials(weights) - SLOPE).max() <= error
    derivative = np.array(series.coefficients(num_terms)) * np.arange(1, num_terms + 1)
    assert np.linalg.norm(weights) < min(norm, 0.6 * np.linalg.norm(derivative))


def evaluate(comparator, t):
    """Return the smooth part of a comparator at differences t, from what the kernels read."""
    _, inverse, leak, start, rise, rho, cut, offset, a, b, c, *_ = comparators.numbers_of(
        comparator, torch.float64, torch.device("cpu")
    )[:16].tolist()
    value = torch.where(t > 0, start + rise * t, leak * t)
    if comparator.sigmoid:
        value = value + torch.sigmoid(t * inverse)
    if comparator.line:
        value = torch.where(a * t + b > c, rho * (t - cut) + offset, value)
    return value


@pytest.mark.parametrize("name", SURROGATES)
def test_comparators_are_those_of_the_surrogates(name):
    surrogate = SURROGATES[name]
    t = torch.cat([torch.linspace(-0.4, 0.4, 2001, dtype=torch.float64), torch.tensor([0.0, 0.05])])
    sets = {
        comparators.NONE: (False, False),
        comparators.LOWER: (True, False),
        comparators.HIGHER: (False, True),
        comparators.EVERY: (True, True),
    }
    for comparator, definition, index in (
        (comparators.rank_comparator(surrogate), surrogate.competitor, 0),
        (comparators.numerator_comparator(surrogate), surrogate.numerator, 1),
    ):
        assert comparator.weighted == bool(index)
        for other in (False, True):
            is_smooth = sets[comparator.smooth][index] if other else comparator.smooth == 2
            wanted = definition(t, torch.full(t.shape, other))
            found = evaluate(comparator, t) if is_smooth else (t >= 0).double()
            torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def test_columns_of_a_state_are_a_power_of_two():
    for surrogate in SURROGATES.values():
        for dtype in (torch.float32, torch.float64):
            terms = comparators.rank_comparator(surrogate).terms(dtype)
            assert terms + comparators.OTHER_COLUMNS in (4, 8, 16, 32)


@pytest.mark.skipif(INTERPRETED or HAS_GPU, reason="the kernels run here")
def test_the_grid_serves_where_there_are_no_kernels(monkeypatch):
    monkeypatch.setattr(sums, "_launch", lambda *_: pytest.fail("no kernels here"))
    scores, levels = torch.randn(2, 30), torch.randint(0, 3, (2, 30))
    F.ranks(scores, levels, surrogate=F.SupRank(), backend="fast")


@elsewhere
def test_the_kernels_under_the_interpreter():
    run_interpreted(Path(__file__).with_name("test_exponential_kernels.py"), 61)


FORMS = [
    {"SMOOTH": comparators.LOWER, "WEIGHTED": False, "LINE": True, "SIGMOID": True},
    {"SMOOTH": comparators.HIGHER, "WEIGHTED": True, "LINE": True, "SIGMOID": False},
    {"SMOOTH": comparators.EVERY, "WEIGHTED": True, "LINE": False, "SIGMOID": True},
    {"SMOOTH": comparators.NONE, "WEIGHTED": True, "LINE": False, "SIGMOID": False},
]


@pytest.mark.skipif(INTERPRETED or not HAS_TRITON, reason="needs Triton, not its interpreter")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("form", FORMS)
def test_kernels_compile_for_a_gpu_that_is_not_here(form, dtype, monkeypatch, tmp_path):
    """The interpreter takes what the compiler does not."""
    triton = pytest.importorskip("triton", minversion="3.3")
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from pml_suprank.functional._backends.exponentials import kernels as module

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    terms = comparators.TERMS[dtype] if form["SIGMOID"] else 0
    shape = {"K": terms, "COLUMNS": terms + comparators.OTHER_COLUMNS}
    shape |= {"BLOCK": sums.BLOCK, "STRIDE": sums.STRIDE}
    one_item = {"num_items": 1, "num_blocks": 1}  # numbers that are 1 become constants
    for more in ({"BACK": False}, {"BACK": True}, {"BACK": False} | one_item):
        if more["BACK"] and form["SMOOTH"] == comparators.NONE:
            continue
        for name in ("sum_blocks", "walk", "finish"):
            kernel = getattr(module, name)
            numbers = ("items", "blocks", "states", "columns", "halvings")
            types = {"levels": "*i8", "order": "*i32", "first_state": "i32"}
            types |= {f"num_{each}": "i32" for each in numbers}
            constants = {
                key: value
                for key, value in (form | shape | more).items()
                if key in kernel.arg_names
            }
            types |= dict.fromkeys(constants, "constexpr")
            pointer = "*fp32" if dtype == torch.float32 else "*fp64"
            signature = {each: types.get(each, pointer) for each in kernel.arg_names}
            source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
            built = triton.compile(source, target=GPUTarget("cuda", 80, 32))
            assert len(built.asm["cubin"]) > 1000

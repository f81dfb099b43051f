"""The fused backend where it cannot run; and its kernels under Triton's interpreter, and through its compiler."""

import importlib.util
from pathlib import Path

import pytest
import torch

from pml_suprank import functional as F
from pml_suprank.functional import ranking
from pml_suprank.functional._backends import fused
from pml_suprank.functional._backends.definition import RankRequest
from pml_suprank.functional._backends.fused import form as kernel_form
from pml_suprank.functional.devices import why_no_kernels
from tests.kernels import HAS_TRITON, INTERPRETED, elsewhere, run_interpreted


@elsewhere
def test_the_kernels_under_the_interpreter():
    run_interpreted(Path(__file__).with_name("test_fused_kernels.py"), 91)


def request(num_queries=3, num_items=40, each=5, device="cpu", surrogate=None):
    shape = num_queries, num_items
    scores = torch.zeros((), device=device).expand(shape)
    levels = torch.zeros((), dtype=torch.int8, device=device).expand(shape)
    surrogate = surrogate or F.SupRank()
    return RankRequest(scores, levels, 3, False, num_queries * each, None, surrogate)


@pytest.fixture
def fresh():
    why_no_kernels.cache_clear()
    yield
    why_no_kernels.cache_clear()


@pytest.mark.skipif(INTERPRETED, reason="it can, here")
def test_says_why_it_cannot(monkeypatch, fresh):
    scores, levels = torch.randn(2, 5), torch.ones(2, 5, dtype=torch.long)
    options = {"surrogate": F.SupRank(), "backend": "fused"}
    needs = "needs scores on a CUDA device, got them on cpu" if HAS_TRITON else "needs Triton"
    with pytest.raises(ValueError, match=f"backend: 'fused' cannot take this input: it {needs}"):
        F.ranks(scores, levels, **options)

    class Mine(F.SmoothRank):
        pass

    assert fused.why_not(request(surrogate=Mine())).endswith("not Mine")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    why_no_kernels.cache_clear()
    assert "Triton, which is not installed" in fused.why_not(request())


@pytest.mark.skipif(INTERPRETED or not HAS_TRITON, reason="needs Triton, not its interpreter")
def test_says_what_triton_says(monkeypatch, fresh):
    from pml_suprank.functional._backends.fused import kernels as module

    class Broken:
        def __getitem__(self, grid):
            raise RuntimeError("no C compiler")

    monkeypatch.setattr(module, "nothing", Broken())
    monkeypatch.setattr(module, "INTERPRETED", True)
    assert "cannot build its kernels for cpu: RuntimeError('no C compiler')" in fused.why_not(
        request()
    )


@pytest.mark.parametrize(
    ("num_items", "each", "without_triton", "with_triton"),
    [  # 256 queries: the rows of the table that the limits come from, and what is best in it
        (256, 85, "dense", "fused"),
        (4_096, 1365, "fast", "fused"),
        (4_096, 11, "fast", "fused"),
        (16_384, 5461, "fast", "fast"),
        (16_384, 11, "fast", "fused"),
        (65_536, 21_845, "fast", "fast"),
        (65_536, 11, "fast", "fused"),
        (1_048_576, 349_525, "fast", "fast"),
        (1_048_576, 11, "fast", "fused"),
    ],
)
def test_auto_on_a_gpu(num_items, each, without_triton, with_triton, monkeypatch):
    limits = ranking.LIMITS["cuda"]
    asked = request(256, num_items, each)
    monkeypatch.setattr(ranking.fast, "why_not", lambda request: None)
    monkeypatch.setattr(ranking.fused, "why_not", lambda request: None)
    assert ranking._by_size(asked, limits) == (with_triton, [])
    monkeypatch.setattr(ranking.fast, "why_not", lambda request: "a tiny tau")
    assert ranking._by_size(asked, limits)[0] == "fused"
    monkeypatch.setattr(ranking.fused, "why_not", lambda request: "no Triton")
    backend, reasons = ranking._by_size(asked, limits)
    assert backend == ("dense" if without_triton == "dense" else "blocked")
    assert reasons[0] == "not 'fused', no Triton"
    monkeypatch.setattr(ranking.fast, "why_not", lambda request: None)
    assert ranking._by_size(asked, limits)[0] == without_triton


def test_auto_on_a_cpu_does_not_ask(monkeypatch):
    monkeypatch.setattr(ranking.fused, "why_not", lambda request: pytest.fail("asked"))
    for num_items, each, backend in (
        (256, 85, "blocked"),
        (20, 5, "dense"),
        (65_536, 9000, "fast"),
    ):
        assert ranking._by_size(request(4, num_items, each), ranking.LIMITS["cpu"])[0] == backend


FORMS = [
    {"SMOOTH": False, "EVERY": False, "SMOOTH_NUMERATOR": False, "BY_LEVEL": True},
    {"SMOOTH": True, "EVERY": False, "SMOOTH_NUMERATOR": True, "BY_LEVEL": True},
    {"SMOOTH": True, "EVERY": True, "SMOOTH_NUMERATOR": True, "BY_LEVEL": False},
]


@pytest.mark.skipif(INTERPRETED or not HAS_TRITON, reason="needs Triton, not its interpreter")
@pytest.mark.parametrize("dtype", ["fp32", "fp64"])
@pytest.mark.parametrize("form", FORMS)
def test_kernels_compile_for_a_gpu_that_is_not_here(form, dtype, monkeypatch, tmp_path):
    """The interpreter takes what the compiler does not, such as a name that changes its shape in a loop."""
    triton = pytest.importorskip("triton", minversion="3.3")
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from pml_suprank.functional._backends.fused import kernels as module

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    blocks = kernel_form.BLOCKS | {"NUMERATOR": True, "RUN": kernel_form.RUN}
    names = ["rank_targets", "pull_items"] if form["SMOOTH"] else ["rank_targets"]
    for name in names:
        kernel = getattr(module, name)
        types = {"levels": "*i8", "level_of_target": "*i8", "first_target": "*i32"}
        types |= {"query": "*i64", "item": "*i64"}
        types |= dict.fromkeys(("num_targets", "num_items", "per_split"), "i32")
        types |= dict.fromkeys(("num_columns", "item_blocks"), "i32")
        constants = {
            key: value for key, value in (form | blocks).items() if key in kernel.arg_names
        }
        types |= dict.fromkeys(constants, "constexpr")
        signature = {each: types.get(each, f"*{dtype}") for each in kernel.arg_names}
        for more in ({}, {"num_items": 1}):  # a number that is 1 becomes a constant
            signature |= dict.fromkeys(more, "constexpr")
            source = ASTSource(fn=kernel, signature=signature, constexprs=constants | more)
            warps = kernel_form.WARPS if name == "rank_targets" else 4
            target = GPUTarget("cuda", 80, 32)
            built = triton.compile(source, target=target, options={"num_warps": warps})
            assert len(built.asm["cubin"]) > 1000

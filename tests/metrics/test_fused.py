"""Evaluation on a GPU: its kernels under Triton's interpreter, where it takes them, and how large its blocks are."""

from pathlib import Path

import pytest
import torch

from pml_suprank import metrics
from pml_suprank.metrics.ranking import fused, sharing, streaming
from pml_suprank.metrics.ranking.levels import TreeLevels
from tests.kernels import HAS_TRITON, INTERPRETED, elsewhere, run_interpreted


@pytest.mark.parametrize(("found", "taken"), [("3.2.0", False), ("3.3.1", True), ("3.10", True)])
def test_an_old_triton_is_not_taken(found, taken, monkeypatch):
    monkeypatch.setattr(fused, "why_no_kernels", lambda device: None)
    monkeypatch.setattr(fused, "version", lambda name: found)
    why = fused.why_not(torch.device("cpu"))
    assert why is None if taken else f"needs 3.3, found {found}" in why


@elsewhere
def test_the_kernels_under_the_interpreter():
    pytest.importorskip("triton", minversion=fused.LEAST_TRITON)
    run_interpreted(Path(__file__).with_name("test_fused_kernels.py"), 31)


@pytest.mark.skipif(INTERPRETED or not HAS_TRITON, reason="needs Triton, not its interpreter")
@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("levels", [1, 7])
def test_kernels_compile_for_a_gpu_that_is_not_here(levels, bits, monkeypatch, tmp_path):
    """The interpreter takes what the compiler does not."""
    triton = pytest.importorskip("triton", minversion="3.3")
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from pml_suprank.metrics.ranking import kernels

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    power = fused._power_of_two
    constants = {"LEVEL_BITS": 3, "LARGEST": 2 ** (bits - 1) - 1, "LEVEL_MASK": 7}
    types = {"scores": "*fp32", "keys": f"*i{bits}", "self_indices": "*i64", "rows": "*i64"}
    types |= dict.fromkeys(("tables", "sums", "intersections"), "*fp64")
    types |= dict.fromkeys(("num_items", "num_queries", "item_blocks", "dropped"), "i32")
    types |= dict.fromkeys(("row_stride", "num_rows", "table_stride"), "i32")
    for kernel, own in (
        (kernels.pack, {"LEVELS": levels, "BLOCK": fused.PACKED_ITEMS}),
        (kernels.measure,
         {"LEVELS": power(levels), "SETS": power(2 * levels), "ASI": True, "BLOCK": fused.READ_ITEMS}),
    ):  # fmt: skip
        fixed = {key: value for key, value in (constants | own).items() if key in kernel.arg_names}
        of_kernel = types | dict.fromkeys(fixed, "constexpr")
        signature = {each: of_kernel.get(each, "*i32") for each in kernel.arg_names}
        source = ASTSource(fn=kernel, signature=signature, constexprs=fixed)
        built = triton.compile(source, target=GPUTarget("cuda", 80, 32))
        assert len(built.asm["cubin"]) > 1000


def task(device="cpu", dtype=torch.float32, levels=3):
    labels = torch.zeros(4, levels, dtype=torch.long)
    points = torch.zeros(4, 2, dtype=dtype, device=device)
    return streaming.Task(points, points, "dot", TreeLevels(labels, labels), levels, None)


def test_what_the_kernels_take(monkeypatch):
    monkeypatch.setattr(fused, "why_not", lambda device: None)
    assert task().fusable
    assert task(levels=7).fusable
    assert not task(levels=8).fusable
    assert not task(dtype=torch.float64).fusable
    assert not task()._replace(levels=lambda block: None).fusable
    monkeypatch.setattr(fused, "why_not", lambda device: "no Triton")
    assert not task().fusable


@pytest.mark.parametrize("why_not", ["no Triton", None])
def test_the_cpu_does_not_ask(monkeypatch, why_not):
    monkeypatch.setattr(fused, "why_not", lambda device: pytest.fail("asked"))
    metrics.evaluate(torch.randn(20, 3), torch.arange(20) % 4)


class TestBlocksOnAGPU:
    @pytest.fixture
    def free(self, monkeypatch):
        """Sets what is free, and what torch has reserved and allocated."""

        def set_to(driver, reserved=0, allocated=0):
            monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (driver, 80 * 2**30))
            monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: reserved)
            monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: allocated)

        return set_to

    @pytest.mark.parametrize(
        ("memory", "items", "size"),
        [
            ((70 * 2**30,), 20_000, 2**26 // 20_000),
            ((70 * 2**30,), 136_093, 2**26 // 136_093),
            ((10**9,), 20_000, 10**9 // 100 // 20_000),
            ((10**8, 2 * 10**9, 11 * 10**8), 20_000, 10**9 // 100 // 20_000),
            ((10**6,), 761_757, 1),
        ],
    )
    def test_size(self, free, memory, items, size):
        free(*memory)
        assert streaming.auto_block_size(items, torch.device("cuda")) == size

    def test_the_cpu_is_not_asked(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: pytest.fail("asked"))
        size = streaming.PAIRS_PER_BLOCK // 1000
        assert streaming.auto_block_size(1000, torch.device("cpu")) == size
        assert streaming.auto_block_size(1000) == size

    def test_processes_agree_on_the_smallest(self, monkeypatch):
        assert sharing.least(7) == 7

        def gather(numbers, number):
            numbers[:] = [number, (None, 3), (None, 9)]

        monkeypatch.setattr(sharing.distributed, "is_initialized", lambda: True)
        monkeypatch.setattr(sharing.distributed, "get_world_size", lambda: 3)
        monkeypatch.setattr(sharing.distributed, "get_rank", lambda: 0)
        monkeypatch.setattr(sharing.distributed, "all_gather_object", gather)
        assert sharing.least(7) == 3

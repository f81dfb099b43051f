"""Rank losses and evaluation on one GPU: time, memory, kernels and synchronisations; a few minutes.

Run as ``python -m benchmarks.gpu``. Each row is written to ``benchmarks/results/gpu.md`` and ``.json`` as soon as it is
measured, so that a run that is cut off keeps its rows. Values and gradients are compared with the definition first.
Without a GPU it runs on the CPU, at small sizes: that shows that the script works, and measures nothing else.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from pytorch_metric_learning import losses as pml_losses
from torch import Tensor, nn
from tqdm import tqdm

from benchmarks import evaluation as evaluations
from benchmarks.measuring import Results
from benchmarks.rank_losses import DIM, Problem, check_parity, make, problem, product, step
from pml_suprank.functional.ranking import backend_names

THEIRS = ("MultiSimilarityLoss", "SupConLoss", "ContrastiveLoss", "FastAPLoss")
IN_BATCH = "In the batch: 256 queries, 512 dimensions, three levels, value and gradient"
REFERENCES = "Against references: 256 queries, 512 dimensions, value and gradient"
EVALUATION = "Exact evaluation, all metrics, all levels"
TRAINING = "A ResNet-50 training step, 256 images of 224 pixels, bf16"
LONG_ENOUGH = 3000.0
"""Milliseconds of calls of one function after which it is not repeated."""
LARGEST = {"dense": 1024, "blocked": 16384, "fast": 1 << 20, "fused": 1 << 20, "auto": 1 << 20}
"""References up to which a backend is measured; ``blocked`` with a third positive up to a quarter of that."""


class Device:
    """What is measured on, and how.

    Args:
        name: "cuda", or "cpu" for a dry run.
        repeats: timed calls of each function, taken in turn.
    """

    def __init__(self, name: str, repeats: int) -> None:
        self.device, self.repeats = torch.device(name), repeats
        self.is_gpu = self.device.type == "cuda"

    def put(self, data: Problem) -> Problem:
        """Return the data on the device."""
        return Problem(*(None if each is None else each.to(self.device) for each in data))

    def milliseconds(self, functions: Mapping[str, Callable[[], object]]) -> dict[str, float]:
        """Return the median of each function, after one call that compiles what is to be compiled.

        Long ones are repeated less, so that the whole stays within minutes.
        """
        times: dict[str, list[float]] = {name: [] for name in functions}
        for turn in range(self.repeats + 1):
            for name, function in functions.items():
                if sum(times[name]) > LONG_ENOUGH:
                    continue
                self.wait()
                start = time.perf_counter()
                function()
                self.wait()
                if turn:
                    times[name].append(1e3 * (time.perf_counter() - start))
        return {name: statistics.median(values) for name, values in times.items()}

    def wait(self) -> None:
        """Wait until the device is idle."""
        if self.is_gpu:
            torch.cuda.synchronize()

    def peak(self, function: Callable[[], object]) -> float | str:
        """Return the MiB that a call takes above what is allocated."""
        if not self.is_gpu:
            return "not measured"
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        function()
        self.wait()
        return (torch.cuda.max_memory_allocated() - before) / 2**20

    def operations(self, function: Callable[[], object]) -> tuple[int, int | str]:
        """Return the kernels of a call (on the CPU, torch's operators), and its synchronisations."""
        kinds = [torch.profiler.ProfilerActivity.CPU]
        if self.is_gpu:
            kinds.append(torch.profiler.ProfilerActivity.CUDA)
        function()
        with torch.profiler.profile(activities=kinds) as profile:
            function()
            self.wait()
        wanted = torch.autograd.DeviceType.CUDA if self.is_gpu else torch.autograd.DeviceType.CPU
        count = sum(event.device_type == wanted for event in profile.events())
        if not self.is_gpu:
            return count, "not measured"
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                function()
            finally:
                torch.cuda.set_sync_debug_mode("default")
        return count, sum("synchroniz" in str(each.message) for each in caught)


def runnable(name: str, backend: str, data: Problem) -> Callable[[], object] | None:
    """Return a step of a loss, or None where the backend does not take the input here."""
    function = partial(step, make(name, backend), data)
    try:
        function()
    except ValueError as error:
        if str(error).startswith("backend:"):
            return None
        raise
    return function


def in_batch(device: Device, results: Results) -> None:
    """Every backend, beside PML's own losses."""
    data = device.put(problem(0))
    functions: dict[str, Callable[[], object]] = {}
    for name in ("SupHAPLoss", "SupAPLoss"):
        for backend in reversed(backend_names()):
            if (function := runnable(name, backend, data)) is not None:
                functions[f"{name}, {backend}"] = function
    check_parity(data, *(make("SupHAPLoss", key.split(", ")[1]) for key in functions))
    for name in THEIRS:
        functions[f"PML {name}"] = partial(one_level, getattr(pml_losses, name)(), data)
    if hasattr(pml_losses, "SmoothAPLoss"):  # PML 2.7 has it
        balanced = data._replace(labels=torch.arange(256, device=device.device)[:, None] // 4)
        loss = pml_losses.SmoothAPLoss()
        functions["PML SmoothAPLoss, balanced"] = partial(one_level, loss, balanced)
    times = device.milliseconds(functions)
    for name, function in functions.items():
        kernels, synchronisations = device.operations(function)
        results.add(
            IN_BATCH,
            {
                "loss": name,
                "ms": times[name],
                "/ MultiSimilarityLoss": times[name] / times[f"PML {THEIRS[0]}"],
                "peak MiB": device.peak(function),
                "kernels": kernels,
                "synchronisations": synchronisations,
            },
        )


def one_level(loss_fn: nn.Module, data: Problem) -> tuple[Tensor, Tensor]:
    """Value and gradient of a loss of PML, which takes the finest labels."""
    return step(loss_fn, data._replace(labels=data.labels[:, 0]))


def against_references(device: Device, results: Results, sizes: Sequence[int]) -> None:
    """SupHAP by number of references and share of positives, beside the similarity product."""
    for size in sizes:
        for share, per_class in (("a third", None), ("11", 11)):
            data = device.put(problem(size, per_class=per_class))
            name = "SupHAPLoss" if per_class is None else "SupAPLoss"
            functions: dict[str, Callable[[], object]] = {"product": partial(product, data)}
            for backend in backend_names():
                limit = LARGEST[backend] // (4 if backend == "blocked" and not per_class else 1)
                if size <= limit and (function := runnable(name, backend, data)) is not None:
                    functions[backend] = function
            if size <= LARGEST["blocked"] // 4:
                check_parity(data, *(make(name, b) for b in functions if b != "product"))
            times = device.milliseconds(functions)
            for backend, function in functions.items():
                results.add(
                    REFERENCES,
                    {
                        "references": size,
                        "positives": share,
                        "loss, backend": backend if backend == "product" else f"{name}, {backend}",
                        "ms": times[backend],
                        "/ product": times[backend] / times["product"],
                        "peak MiB": device.peak(function),
                    },
                )
            del data, functions, function


def product_and_sort(data: evaluations.Data, rows: int = 512) -> None:
    """Matrix product, and sort of one int32 per pair, in blocks of queries."""
    for block in data.query.split(rows):
        (block @ data.items[0].T).view(torch.int32).sort(dim=1)


def evaluation(device: Device, results: Results, cases: Mapping[str, evaluations.Data]) -> None:
    """All metrics of all levels, beside product and sort."""
    evaluations.check_parity()
    for name, here in cases.items():
        data = evaluations.Data(*(None if x is None else x.to(device.device) for x in here))
        functions = {
            "ours": partial(evaluations.ours, data),
            "floor": partial(product_and_sort, data),
        }
        times = device.milliseconds(functions)
        pairs = len(data.query) * len(data.items[0])
        results.add(
            EVALUATION,
            {
                "case": name,
                "s": times["ours"] / 1e3,
                "ns per pair": 1e6 * times["ours"] / pairs,
                "product + sort, s": times["floor"] / 1e3,
                "ratio": times["ours"] / times["floor"],
                "peak MiB": device.peak(functions["ours"]),
            },
        )


def training_step(device: Device, results: Results, size: int, pixels: int) -> None:
    """The whole network with SupHAP, and with PML's multi-similarity loss."""
    try:
        from torchvision.models import resnet50
    except ImportError:
        results.add(TRAINING, {"loss": "not measured: torchvision is not installed", "ms": "-"})
        return
    network = resnet50(num_classes=DIM).to(device.device)
    images = torch.randn(size, 3, pixels, pixels, device=device.device)
    labels = problem(0).labels[:size].to(device.device)
    suprank, multi = make("SupHAPLoss", "auto"), pml_losses.MultiSimilarityLoss()

    def train(loss_fn: nn.Module | None, targets: Tensor) -> None:
        with torch.autocast(device.device.type, dtype=torch.bfloat16):
            embeddings = network(images)
        loss = embeddings.float().sum() if loss_fn is None else loss_fn(embeddings, targets)
        loss.backward()
        network.zero_grad()

    times = device.milliseconds(
        {
            "none": partial(train, None, labels),
            "SupHAPLoss": partial(train, suprank, labels),
            "PML MultiSimilarityLoss": partial(train, multi, labels[:, 0]),
        }
    )
    for name, value in times.items():
        results.add(TRAINING, {"loss": name, "ms": value, "/ none": value / times["none"]})


def cases_of(kind: str) -> dict[str, evaluations.Data]:
    """Return the evaluations: "whole", "quick" or "dry"."""
    made = evaluations.made
    if kind == "dry":
        return {"300 x 300, 3 levels": made((40, 8, 2), 300, 16)}
    cases = {"20,000 x 20,000, 3 levels": made(evaluations.THREE_LEVELS, 20000, 128)}
    species = made(evaluations.SPECIES, 136093, 128)
    cases["8,192 of 136,093 x 136,093, 7 levels"] = species.first(8192)
    if kind == "whole":
        cases["136,093 x 136,093, 7 levels"] = species
        cases["1,129 x 761,757, 3 levels, 512 dimensions"] = evaluations.DATA["landmarks"]()
    return cases


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, write each row, and print the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--quick", action="store_true", help="one minute: no large sizes")
    parser.add_argument("--output", type=Path, help="folder (benchmarks/results)")
    arguments = parser.parse_args(argv)
    device = Device(arguments.device, arguments.repeats)
    kind = "quick" if arguments.quick else "whole"
    kind = kind if device.is_gpu else "dry"
    sizes = {
        "whole": (4096, 16384, 65536, 262144, 1048576),
        "quick": (4096, 65536),
        "dry": (128,),
    }[kind]
    note = None if device.is_gpu else "A dry run on a CPU, at small sizes: not a measurement."
    results = Results("gpu", "Rank losses and evaluation on one GPU", arguments.output, note)
    images = (256, 224) if device.is_gpu else (8, 32)
    parts: dict[str, Callable[[], None]] = {
        "in batch": lambda: in_batch(device, results),
        "references": lambda: against_references(device, results, sizes),
        "evaluation": lambda: evaluation(device, results, cases_of(kind)),
        "training": lambda: training_step(device, results, *images),
    }
    for part in tqdm(parts, desc="gpu"):
        parts[part]()
    print(results.page())


if __name__ == "__main__":
    main()

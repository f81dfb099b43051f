"""Value and gradient of the rank losses: backends against each other and against the similarity product.

Run as ``make bench``. Classes form three levels: 3 groups of 10 of 10, so that about a third of the
references share a level with a query.
"""

import argparse
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize
from tqdm import tqdm

from benchmarks.measuring import memory_of, paired_medians, peak_memory, write
from pml_suprank import losses

DIM, BATCH = 512, 256


class Problem(NamedTuple):
    """Queries and references with three levels of labels."""

    queries: Tensor
    labels: Tensor
    references: Tensor | None
    ref_labels: Tensor | None


def problem(num_references: int, per_class: int | None = None) -> Problem:
    """Return a batch and its references, or the batch alone for 0."""
    generator = torch.Generator().manual_seed(0)
    size = num_references + BATCH  # the queries are none of the references
    num_classes = 300 if per_class is None else max(300, size // per_class)
    classes = torch.randint(0, num_classes, (size,), generator=generator)
    rows = torch.stack([classes, classes // 10, classes * 3 // num_classes], dim=1)
    rows[:, 1] = rows[:, 2] * num_classes + rows[:, 1]
    centers = [torch.randn(int(rows.max()) + 1, DIM, generator=generator) for _ in range(3)]
    points = sum(center[column] for center, column in zip(centers, rows.T, strict=True))
    points = normalize(points + 2 * torch.randn(size, DIM, generator=generator), dim=1)
    if not num_references:
        return Problem(points, rows, None, None)
    return Problem(points[:BATCH], rows[:BATCH], points[BATCH:], rows[BATCH:])


def step(
    loss_fn: torch.nn.Module, data: Problem, places: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the loss and the gradient of the queries, which are the references at some ``places``."""
    queries = data.queries.clone().requires_grad_()
    references = None if data.references is None else data.references.clone().requires_grad_()
    own = {} if places is None else {"self_indices": places}
    loss = loss_fn(queries, data.labels, None, references, data.ref_labels, **own)
    loss.backward()
    return loss.detach(), queries.grad


def product(data: Problem) -> None:
    """The similarity product alone, forward and backward."""
    queries = data.queries.clone().requires_grad_()
    references = queries if data.references is None else data.references.clone().requires_grad_()
    scores = queries @ references.T
    scores.backward(torch.ones_like(scores))


def make(name: str, backend: str) -> torch.nn.Module:
    """Build a loss by name."""
    options = {"level": 0} if name in ("SupAPLoss", "SupRecallLoss") else {}
    return getattr(losses, name)(backend=backend, **options)


def peak(name: str, backend: str, num_references: str) -> float:
    """Return the MiB that one step takes above its inputs."""
    data = problem(int(num_references))
    small = Problem(data.queries[:4], data.labels[:4], None, None)
    step(make(name, backend), small)
    if name == "product":
        return memory_of(lambda: product(data))
    return memory_of(lambda: step(make(name, backend), data))


def check_parity(data: Problem, *loss_fns: torch.nn.Module) -> None:
    """Raise unless all losses agree on the first queries, to the documented error."""
    items = data.queries if data.references is None else data.references
    count = min(8, max(1, 131072 // len(items)))
    few = data._replace(queries=data.queries[:count], labels=data.labels[:count])
    places = None
    if few.references is None:
        few = few._replace(references=data.queries, ref_labels=data.labels)
        places = torch.arange(count, device=data.queries.device)
    results = [step(loss_fn, few, places) for loss_fn in loss_fns]
    for loss, gradient in results[1:]:
        torch.testing.assert_close(loss, results[0][0], rtol=1e-5, atol=1e-6)
        scale = results[0][1].abs().max()
        assert (gradient - results[0][1]).abs().max() <= 2e-5 * scale


def in_batch(repeats: int) -> list[dict[str, object]]:
    """SupHAP on the batch alone, against the definition."""
    data = problem(0)
    backends = ("dense", "blocked", "fast", "auto")
    check_parity(data, *(make("SupHAPLoss", backend) for backend in backends))
    times = paired_medians(
        {b: lambda b=b: step(make("SupHAPLoss", b), data) for b in backends}, repeats
    )
    memory = {b: peak_memory(__name__, "SupHAPLoss", b, 0) for b in backends}
    return [
        {
            "backend": backend,
            "ms": 1e3 * times[backend],
            "dense / this, time": times["dense"] / times[backend],
            "peak MiB": memory[backend],
            "dense / this, memory": memory["dense"] / max(1.0, memory[backend]),
        }
        for backend in backends
    ]


def against_references(sizes: list[int], repeats: int) -> list[dict[str, object]]:
    """SupHAP, and the similarity product of the same run, as references grow."""
    rows: list[dict[str, object]] = []
    for size in tqdm(sizes, desc="references"):
        data = problem(size)
        if (
            size <= 65536
        ):  # more takes `blocked`, which compares all positives with all items, minutes
            check_parity(data, make("SupHAPLoss", "fast"), make("SupHAPLoss", "blocked"))
        loss_fn = make("SupHAPLoss", "auto")
        times = paired_medians(
            {"loss": lambda: step(loss_fn, data), "product": lambda: product(data)},  # noqa: B023
            repeats,
        )
        row = {
            "references": size,
            "s": times["loss"],
            "loss / product": times["loss"] / times["product"],
            "peak MiB": peak_memory(__name__, "SupHAPLoss", "auto", size),
        }
        row["time / row before"] = times["loss"] / float(rows[-1]["s"]) if rows else "-"
        row["memory / row before"] = (
            float(row["peak MiB"]) / float(rows[-1]["peak MiB"]) if rows else "-"
        )
        rows.append(row)
    return rows


def few_positives(size: int, repeats: int) -> list[dict[str, object]]:
    """The binary losses with about 11 positives, against SupHAP with a third of the references."""
    data = problem(size, per_class=11)
    names = ("SupHAPLoss", "SupAPLoss", "SupRecallLoss")
    functions: dict[str, Callable[[], object]] = {
        name: lambda name=name: step(make(name, "auto"), data) for name in names
    }
    times = paired_medians(functions, repeats)
    return [
        {
            "loss": name,
            "references": size,
            "s": times[name],
            "/ SupHAPLoss": times[name] / times["SupHAPLoss"],
        }
        for name in names
    ]


def backends_by_size(repeats: int) -> list[dict[str, object]]:
    """Blocked, fast and auto: auto should be near the better one everywhere."""
    rows = []
    for name in ("SupHAPLoss", "SupAPLoss"):
        for size in tqdm((0, 1024, 4096, 8192), desc=name):
            data = problem(size, per_class=11 if name == "SupAPLoss" else None)
            functions: dict[str, Callable[[], object]] = {
                b: lambda b=b, name=name, data=data: step(make(name, b), data)
                for b in ("blocked", "fast", "auto")
            }
            times = paired_medians(functions, repeats)
            best = min(times["blocked"], times["fast"])
            rows.append(
                {
                    "loss": name,
                    "references": size or "batch",
                    **{f"{b} ms": 1e3 * seconds for b, seconds in times.items()},
                    "blocked / fast": times["blocked"] / times["fast"],
                    "auto / better": times["auto"] / best,
                }
            )
    return rows


def main() -> None:
    """Measure, print and write all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="leave out the large reference sets")
    arguments = parser.parse_args()
    sizes = [16384] if arguments.quick else [16384, 65536, 262144]
    write(
        "rank_losses",
        f"Rank losses, value and gradient, {BATCH} queries, {DIM} dimensions",
        {
            "SupHAP in the batch, three levels": in_batch(arguments.repeats),
            "SupHAP against references, about a third of them positive": against_references(
                sizes, arguments.repeats
            ),
            "About 11 positives": few_positives(
                16384 if arguments.quick else 65536, arguments.repeats
            ),
            "Backends by size": backends_by_size(arguments.repeats),
        },
    )


if __name__ == "__main__":
    main()

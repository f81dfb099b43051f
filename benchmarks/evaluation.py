"""Exact evaluation: against a direct computation, PML's calculator, and the floor of product and sort.

Run as ``make bench``. Metrics: H-AP, NDCG, ASI, and AP, mAP@R, R@1, R@10, R@100 of every level.
"""

import argparse
import cProfile
import itertools
import pstats
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from torch import Tensor
from torch.nn.functional import normalize
from tqdm import tqdm

from benchmarks.direct_evaluation import direct
from benchmarks.measuring import memory_of, paired_medians, peak_memory, seconds, write
from pml_suprank.metrics import evaluate
from pml_suprank.metrics.ranking.workers import blocks, run

METRICS = (
    "hierarchical_average_precision",
    "ndcg",
    "asi",
    "mean_average_precision",
    "mean_average_precision_at_r",
    "recall_at_k",
)
DEPTHS = (1, 10, 100)
PML_METRICS = (
    "mean_average_precision",
    "mean_average_precision_at_r",
    "mean_reciprocal_rank",
    "precision_at_1",
    "r_precision",
)
THREE_LEVELS = (1000, 100, 10)
SPECIES = (8142, 4412, 1120, 273, 57, 25, 6)
LANDMARKS = (101302, 1500, 78)


class Data(NamedTuple):
    """Queries and gallery with labels; the gallery is the queries where it is None."""

    query: Tensor
    labels: Tensor
    gallery: Tensor | None = None
    gallery_labels: Tensor | None = None

    @property
    def items(self) -> tuple[Tensor, Tensor]:
        """Gallery and its labels."""
        if self.gallery is None:
            return self.query, self.labels
        return self.gallery, self.gallery_labels

    def first(self, count: int) -> "Data":
        """The first queries against the whole gallery."""
        return Data(self.query[:count], self.labels[:count], *self.items)


def tree(sizes: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Classes (sizes[0], L): each label has one parent, low parents have more children."""
    columns = [torch.arange(sizes[0])]
    for fine, coarse in itertools.pairwise(sizes):
        parent = (coarse * torch.rand(fine, generator=generator) ** 1.5).long()
        parent[:coarse] = torch.arange(coarse)
        columns.append(parent[columns[-1]])
    return torch.stack(columns, 1)


def made(sizes: tuple[int, ...], count: int, dim: int, queries: int | None = None) -> Data:
    """Points around a center of each class, which are around those of their parents."""
    generator = torch.Generator().manual_seed(0)
    classes = tree(sizes, generator)
    labels = classes[torch.randint(sizes[0], (count + (queries or 0),), generator=generator)]
    points = 2 * torch.randn(len(labels), dim, generator=generator)
    for size, column in zip(sizes, labels.unbind(1), strict=True):
        points += torch.randn(size, dim, generator=generator)[column]
    points = normalize(points, dim=1)
    if queries is None:
        return Data(points, labels)
    return Data(points[:queries], labels[:queries], points[queries:], labels[queries:])


def ours(data: Data, progress: bool = False) -> None:
    """All metrics."""
    evaluate(
        *data,
        metrics=METRICS,
        k=DEPTHS,
        ref_includes_query=data.gallery is not None and _is_prefix(data),
        similarity="dot",
        progress=progress,
    )


def _is_prefix(data: Data) -> bool:
    return data.query.data_ptr() == data.items[0].data_ptr()


def floor(data: Data) -> None:
    """Matrix product, and sort of one int32 per pair."""
    gallery = data.items[0]

    def work(block: slice, space: np.ndarray) -> None:
        keys = space[: block.stop - block.start]
        torch.mm(data.query[block], gallery.T, out=torch.from_numpy(keys))
        keys.view(np.int32).sort(axis=1)

    size = max(1, min(128, 2**26 // len(gallery), len(data.query)))
    jobs = blocks(len(data.query), size)
    for _ in run(
        work, jobs, lambda: np.empty((size, len(gallery)), np.float32), torch.get_num_threads()
    ):
        pass


def pml(data: Data) -> None:
    """PML's own metrics, level by level."""
    calculator = AccuracyCalculator(include=PML_METRICS, k=None, device=torch.device("cpu"))
    gallery, labels = data.items
    for own, others in zip(data.labels.unbind(1), labels.unbind(1), strict=True):
        calculator.get_accuracy(data.query, own, gallery, others, True)


def check_parity(sizes: tuple[int, ...] = THREE_LEVELS) -> None:
    """Raise unless ours are the direct values, query by query, on scores without rounding and with ties."""
    generator = torch.Generator().manual_seed(1)
    points = torch.randint(-16, 17, (3000, 64), generator=generator) / 16
    labels = tree(sizes, generator)[torch.randint(sizes[0], (3000,), generator=generator)]
    result = evaluate(points, labels, metrics=METRICS, k=DEPTHS, similarity="dot")
    wanted = direct(points, labels, torch.arange(200), DEPTHS, ties=True)
    for name, values in wanted.items():
        valid = result[name].valid[:200]
        torch.testing.assert_close(
            result[name].values[:200][valid], values[valid], rtol=1e-12, atol=0
        )


def peak(which: str, queries: str) -> float:
    """Return the MiB that an evaluation takes above its inputs."""
    data = DATA[which]()
    if int(queries):
        data = data.first(int(queries))
    ours(made((8, 4), 200, 8))
    return memory_of(lambda: ours(data))


DATA: dict[str, Callable[[], Data]] = {
    **{str(n): partial(made, THREE_LEVELS, n, 128) for n in (5000, 10000, 20000, 40000)},
    "species": partial(made, SPECIES, 136093, 128),
    "landmarks": partial(made, LANDMARKS, 761757, 512, 1129),
}


def one_thread(repeats: int) -> list[dict[str, object]]:
    """20,000 items, each method on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        import faiss

        faiss.omp_set_num_threads(1)
        data = DATA["20000"]()
        sample, size = data.first(128), len(data.query)
        times = paired_medians(
            {
                "ours": lambda: ours(data),
                "direct": lambda: direct(data.query, data.labels, torch.arange(128), DEPTHS),
                "PML": lambda: pml(sample),
                "product + sort": lambda: floor(sample),
            },
            repeats,
        )
    finally:
        torch.set_num_threads(threads)
    pairs = {name: size * (size if name == "ours" else 128) for name in times}
    cost = {name: 1e9 * value / pairs[name] for name, value in times.items()}
    return [
        {"method": name, "ns per pair": value, "this / ours": value / cost["ours"]}
        for name, value in cost.items()
    ]


def large(which: str, sample: int) -> dict[str, object]:
    """A large evaluation on all threads, beside product and sort of a sample of its queries."""
    data = DATA[which]()
    part = data.first(sample)
    floor(part.first(8))
    before = seconds(lambda: floor(part))
    time = seconds(lambda: ours(data, progress=True))
    after = seconds(lambda: floor(part))
    floor_time = (before + after) / 2 * len(data.query) / sample
    return {
        "queries": len(data.query),
        "gallery": len(data.items[0]),
        "levels": data.labels.shape[1],
        "dimensions": data.query.shape[1],
        "s": time,
        "product + sort, s": floor_time,
        "ratio": time / floor_time,
        "peak MiB": peak_memory(__name__, which, sample),
    }


def growth(repeats: int) -> list[dict[str, object]]:
    """Time and memory as the data set doubles."""
    rows: list[dict[str, object]] = []
    for size in tqdm((5000, 10000, 20000, 40000), desc="growth"):
        data = DATA[str(size)]()
        time = paired_medians({"ours": partial(ours, data)}, max(1, repeats // 2))["ours"]
        rows.append(
            {
                "items": size,
                "s": time,
                "ns per pair": 1e9 * time / size**2,
                "time / row before": time / float(rows[-1]["s"]) if rows else "-",
                "peak MiB": peak_memory(__name__, size, 0),
            }
        )
    return rows


def profile() -> list[dict[str, object]]:
    """Where one thread's time goes, at 20,000 items."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    profiler = cProfile.Profile()
    data = DATA["20000"]()
    profiler.runcall(ours, data)
    torch.set_num_threads(threads)
    times = {
        (Path(file).name, name): row[3]
        for (file, _, name), row in pstats.Stats(profiler).stats.items()
    }
    whole = times["evaluation.py", "ours"]
    product = times["~", "<built-in method torch.mm>"]
    shares = {
        "product": product,
        "packing and levels": times["packed.py", "_pack"] - product,
        "sort": times["key_sort.py", "sorted_levels_of_keys"],
        "finding the related items": times["packed.py", "_ranked"]
        - times["key_sort.py", "sorted_levels_of_keys"],
        "metrics": sum(times["definitions.py", name] for name in METRICS),
    }
    shares["labels, the rest"] = whole - sum(shares.values())
    return [{"part": name, "share": value / whole} for name, value in shares.items()]


def main() -> None:
    """Measure, print and write all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="leave out the large data sets")
    arguments = parser.parse_args()
    check_parity()
    check_parity(SPECIES)
    tables = {
        "20,000 items against each other, three levels, 128 dimensions, one thread each": one_thread(
            arguments.repeats
        ),
        "As the data set doubles, all threads": growth(arguments.repeats),
        "Where one thread's time goes, 20,000 items": profile(),
    }
    if not arguments.quick:
        tables["Large data sets, all threads"] = [large("landmarks", 128), large("species", 1024)]
    write(
        "evaluation", "Exact evaluation: H-AP, NDCG, ASI, and AP, mAP@R, R@k of every level", tables
    )


if __name__ == "__main__":
    main()

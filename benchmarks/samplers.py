"""Planning an epoch over a million labels, against PML's sampler of the same name.

Run as ``make bench``. The labels have 46,593 classes of uneven size in 78 super-classes of uneven size.
"""

import argparse
import math
from collections.abc import Callable, Iterable
from functools import cache

import numpy as np
from pytorch_metric_learning.samplers import HierarchicalSampler as PMLSampler

from benchmarks.measuring import memory_of, paired_medians, peak_memory, write
from pml_suprank.samplers import HierarchicalSampler

SUPER_CLASSES, CLASSES_PER_SAMPLE = 78, 46593 / 1_000_000
BATCH, SAMPLES_PER_CLASS = 64, 4
PML_BATCHES_PER_TUPLE = 4


@cache
def labels(num_samples: int) -> np.ndarray:
    """Return (num_samples, 2), every class with two samples at least."""
    rng = np.random.default_rng(0)
    num_classes = round(num_samples * CLASSES_PER_SAMPLE)
    weights = rng.lognormal(size=num_classes)
    drawn = rng.choice(num_classes, num_samples - 2 * num_classes, p=weights / weights.sum())
    classes = rng.permutation(np.concatenate([np.arange(num_classes).repeat(2), drawn]))
    parents = rng.choice(SUPER_CLASSES, num_classes, p=rng.dirichlet(np.full(SUPER_CLASSES, 2.0)))
    return np.stack([classes, parents[classes]], axis=1)


def build(name: str, num_samples: int, super_classes: int) -> Iterable[list[int]]:
    """Build a sampler for batches of so many super-classes."""
    rows = labels(num_samples)
    if name == "PML":
        return PMLSampler(rows, BATCH, SAMPLES_PER_CLASS, PML_BATCHES_PER_TUPLE, super_classes)
    per_parent = BATCH // (SAMPLES_PER_CLASS * super_classes)
    return HierarchicalSampler(rows, BATCH, (SAMPLES_PER_CLASS, per_parent))


def epoch(name: str, num_samples: int, super_classes: int) -> list[list[int]]:
    """Build a sampler, and list the batches of its first epoch."""
    return list(build(name, num_samples, super_classes))


def first_batch(name: str, num_samples: int, super_classes: int) -> list[int]:
    """Build a sampler, and draw one batch."""
    return next(iter(build(name, num_samples, super_classes)))


def peak(name: str, num_samples: str, super_classes: str) -> float:
    """Return the MiB that building a sampler and passing through an epoch takes above the labels."""
    size = int(num_samples)
    labels(size)

    def run() -> None:
        for _ in build(name, size, int(super_classes)):
            pass

    return memory_of(run)


def rows_for(
    num_samples: int, super_classes: int, names: Iterable[str], repeats: int
) -> list[dict[str, object]]:
    """One row for each sampler."""

    def functions(function: Callable) -> dict[str, Callable[[], object]]:
        return {n: lambda n=n: function(n, num_samples, super_classes) for n in names}

    first = paired_medians(functions(first_batch), repeats)
    whole = paired_medians(functions(epoch), repeats)
    rows: list[dict[str, object]] = []
    for name in names:
        batches = epoch(name, num_samples, super_classes)
        seen = np.bincount(np.concatenate([np.asarray(b) for b in batches]), minlength=num_samples)
        rows.append(
            {
                "sampler": name,
                "super-classes in a batch": super_classes,
                "s to the first batch": first[name],
                "s to the end of the epoch": whole[name],
                "batches": len(batches),
                f"of them with {BATCH}": sum(len(set(batch)) == BATCH for batch in batches),
                "samples seen once": float((seen == 1).mean()),
                "never": float((seen == 0).mean()),
                "peak MiB": peak_memory(__name__, name, num_samples, super_classes),
            }
        )
    return rows


def main() -> None:
    """Measure, print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="100,000 labels instead of a million")
    arguments = parser.parse_args()
    size, repeats = 100_000 if arguments.quick else 1_000_000, arguments.repeats
    tuples = PML_BATCHES_PER_TUPLE * math.comb(SUPER_CLASSES, 4)
    write(
        "samplers",
        f"Samplers, {size:,} labels, batches of {BATCH} with {SAMPLES_PER_CLASS} of a class",
        {
            "Two super-classes in a batch": rows_for(size, 2, ("pml-suprank", "PML"), repeats),
            f"Four, for which PML's sampler would build {tuples:,} batches": rows_for(
                size, 4, ("pml-suprank",), repeats
            ),
        },
    )


if __name__ == "__main__":
    main()

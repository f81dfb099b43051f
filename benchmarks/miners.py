"""The miners beside PML's, in a batch of 512: time, what is mined, and peak memory.

Run as ``make bench``. Classes of 4 form three levels: 4 groups of 4 of 8 classes. PML's miners see the finest level;
ours see it too, which gives the same pairs, and then all three levels.
"""

import argparse
from collections.abc import Callable

import torch
from pytorch_metric_learning import miners as pml_miners
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.measuring import memory_of, paired_medians, peak_memory, write
from pml_suprank import miners

BATCH, DIM = 512, 128
Mining = Callable[[Tensor, Tensor], tuple[Tensor, ...]]

MINERS: dict[str, dict[str, Mining]] = {
    "Triplets": {
        "PML, one level": pml_miners.TripletMarginMiner(0.2),
        "one level": miners.HierarchicalTripletMiner(0.2, level=0),
        "one level, 10 per anchor": miners.HierarchicalTripletMiner(0.2, per_anchor=10, level=0),
        "three levels": miners.HierarchicalTripletMiner(0.2),
        "three levels, several roles": miners.HierarchicalTripletMiner(0.2, one_role=False),
        "three levels, hard": miners.HierarchicalTripletMiner(0.2, "hard"),
        "three levels, 10 per anchor": miners.HierarchicalTripletMiner(0.2, per_anchor=10),
        "three levels, 100 per anchor": miners.HierarchicalTripletMiner(0.2, per_anchor=100),
    },
    "Pairs by margins": {
        "PML, one level": pml_miners.PairMarginMiner(0.2, 1.2),
        "one level": miners.HierarchicalPairMiner(0.2, 1.2, level=0),
        "three levels": miners.HierarchicalPairMiner(0.2, 1.2),
    },
    "Multi-similarity": {
        "PML, one level": pml_miners.MultiSimilarityMiner(),
        "one level": miners.HierarchicalMultiSimilarityMiner(level=0),
        "three levels": miners.HierarchicalMultiSimilarityMiner(),
    },
}


def problem(size: int = BATCH) -> tuple[Tensor, Tensor]:
    """Return embeddings near the centers of their classes, and labels of three levels."""
    generator = torch.Generator().manual_seed(0)
    classes = torch.arange(size) // 4
    rows = torch.stack([classes, classes // 8, classes // 32], dim=1)
    centers = [torch.randn(int(rows.max()) + 1, DIM, generator=generator) for _ in range(3)]
    points = sum(center[column] for center, column in zip(centers, rows.T, strict=True))
    points = points + 2 * torch.randn(size, DIM, generator=generator)
    return normalize(points, dim=1), rows


def mine(group: str, name: str, points: Tensor, rows: Tensor) -> tuple[Tensor, ...]:
    """Run a miner by its names on labels in the form it takes."""
    return MINERS[group][name](points, rows[:, 0] if name.startswith("PML") else rows)


def peak(group: str, name: str) -> float:
    """Return the MiB that mining a batch takes above its inputs, the result included."""
    data = problem()
    mine(group, name, *problem(16))
    return memory_of(lambda: mine(group, name, *data))


def check_parity(group: str, points: Tensor, rows: Tensor) -> None:
    """Raise unless one level gives PML's pairs or triplets."""
    got, expected = (mine(group, name, points, rows) for name in ("one level", "PML, one level"))
    for columns in (slice(0, len(got) - 2), slice(len(got) - 2, None)):
        sets = [
            set(zip(*(c.tolist() for c in one[columns]), strict=True)) for one in (got, expected)
        ]
        assert sets[0] == sets[1]


def table(group: str, repeats: int) -> list[dict[str, object]]:
    """Return a row for each miner of a group."""
    data = problem()
    check_parity(group, *data)
    times = paired_medians(
        {name: lambda name=name: mine(group, name, *data) for name in MINERS[group]}, repeats
    )
    memory = {name: peak_memory(__name__, group, name) for name in MINERS[group]}
    theirs = "PML, one level"
    rows: list[dict[str, object]] = []
    for name in MINERS[group]:
        mined = mine(group, name, *data)
        rows.append(
            {
                "miner": name,
                "mined": len(mined[0]) + (len(mined[2]) if len(mined) == 4 else 0),
                "ms": 1e3 * times[name],
                "PML / this, time": times[theirs] / times[name],
                "peak MiB": memory[name],
                "PML / this, memory": memory[theirs] / max(1.0, memory[name]),
            }
        )
    return rows


def main() -> None:
    """Measure, print and write all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="one repeat")
    arguments = parser.parse_args()
    repeats = 1 if arguments.quick else arguments.repeats
    write(
        "miners",
        f"Miners, {BATCH} embeddings of {DIM} dimensions",
        {group: table(group, repeats) for group in MINERS},
    )


if __name__ == "__main__":
    main()

"""What memories, proxies and calibration change about ranking batches instead of the whole set.

    python -m studies.leaderboard.decomposability --output runs/decomposability --workers 2

Linear heads on the cached features of ``studies.leaderboard``, on shuffled batches and on those of the hierarchical
sampler. The learning rate of each row is chosen among three by H-AP on "fit" and "val"; then each seed trains on
"train" and is measured on "test". Batch size, memory size and number of steps are swept on the first data set. A run is
a file: what is there is not done again. Writes ``decomposability.json``, ``.md`` and ``.png``.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from pml_suprank.recipes.files import write_atomic, write_json, write_text
from studies.leaderboard.__main__ import DATA, check_seeds
from studies.leaderboard.decomposability_figure import decomposability_figure
from studies.leaderboard.memory_arms import ARMS, LOG_ARMS, MemoryRun, read_arm, run_arm
from studies.leaderboard.memory_tables import table
from studies.leaderboard.pool import each
from studies.leaderboard.references import IDEALS, NUM_BATCHES, REMEDIES
from studies.leaderboard.runs import FINAL, TUNING, load_splits
from studies.options import at_least

__all__ = ["main"]

BATCH, STEPS = 32, 150
SIZES, STEP_COUNTS, SHARES = (16, 64, 128, 256), (50, 300), (0.125, 0.5)
LARGE_BATCH = 128
LOSSES = ("SupAP", "SupHAP")
LEARNING_RATES = (3e-4, 1e-3, 3e-3)
PARTS = ("means", "sweeps", "batches", "ideals", "remedies")
ON_ONE = ("sweeps", "ideals")  # of these, the first data set alone


def _one(
    folder: Path, features: Path, limit: int | None, cache_dir: Path | None, run: MemoryRun
) -> dict[str, Any]:
    """What a run found, from its file or made now; the splits are loaded for the latter alone."""
    if limit is not None:  # a small run never takes the files of a whole one
        folder = folder / f"limit-{limit}"
    source = replace(DATA[run.data][0], limit=limit)
    return read_arm(run, folder) or run_arm(
        run, *load_splits(source, run.splits, features, cache_dir), folder
    )


def _complete(runs: Sequence[MemoryRun], one: Any, workers: int) -> list[dict[str, Any]]:
    """What the runs found, in their order."""
    found = dict(each(one, runs, workers))
    return [found[run] for run in runs]


def _tuned(plain: Sequence[MemoryRun], one: Any, workers: int) -> list[MemoryRun]:
    """The runs with the learning rate that has the highest H-AP on "val"."""
    tried = [replace(run, lr=lr, splits=TUNING) for run in plain for lr in LEARNING_RATES]
    h_ap = [found["metrics"]["h_ap"] for found in _complete(tried, one, workers)]
    found = []
    for place, run in enumerate(plain):
        own = h_ap[place * len(LEARNING_RATES) : (place + 1) * len(LEARNING_RATES)]
        found.append(replace(run, lr=LEARNING_RATES[own.index(max(own))]))
    return found


def _wanted(data: str, steps: int, batch_size: int, parts: Sequence[str]) -> list[MemoryRun]:
    """One run for each row, not tuned yet."""
    found = []
    for loss in LOSSES:
        run = MemoryRun(data, loss, "batch", batch_size, 0.0, 0, steps)
        ends = [replace(run, arm=arm) for arm in ("batch", "whole memory")]
        large = replace(run, batch_size=LARGE_BATCH)
        grouped = replace(large, group_sizes=DATA[data][1].group_sizes)
        queue = replace(run, arm="cross-batch memory")
        share = replace(grouped, arm="whole memory and batch")
        rows = {
            "means": [
                replace(queue, memory=0.25) if arm == queue.arm else replace(run, arm=arm)
                for arm in ARMS
                if (loss, arm) != ("SupHAP", "calibration")
            ],
            "sweeps": [
                *(replace(end, batch_size=size) for size in SIZES for end in ends),
                *(replace(end, steps=count) for count in STEP_COUNTS for end in ends),
                *(replace(queue, memory=share) for share in SHARES),
            ],
            "batches": [
                *(replace(each, arm=end.arm) for each in (large, grouped) for end in ends),
                share,
            ],
            "ideals": [replace(end, arm=arm) for end in (large, grouped) for arm in IDEALS],
            "remedies": [
                *(replace(grouped, arm=end.arm) for end in ends),
                share,
                *(replace(grouped, arm=arm) for arm in (*REMEDIES, IDEALS[-1])),
                *(replace(grouped, arm=arm) for arm in LOG_ARMS),
                replace(grouped, batch_size=NUM_BATCHES * LARGE_BATCH),
            ],
        }
        for part in parts:
            if (loss, part) != ("SupAP", "remedies"):
                found += rows[part]
    return list(dict.fromkeys(found))


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of the recipe; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m studies.leaderboard.decomposability",
        description=(__doc__ or "").partition("\n")[0],
    )
    add = parser.add_argument
    add("--output", type=Path, default=Path("runs/decomposability"), help="(runs/decomposability)")
    add("--features", type=Path, default=Path("runs/leaderboard/features"), help="cached features")
    add("--data", nargs="+", choices=[*DATA], default=["emoji", "signwriting"],
        help="data sets (emoji signwriting)")  # fmt: skip
    add("--seeds", nargs="+", type=at_least(0), default=[0, 1, 2], help="(0 1 2)")
    add("--workers", type=at_least(1), default=1, help="processes, one thread each (1)")
    add("--steps", type=at_least(1), default=STEPS, help=f"optimiser steps ({STEPS})")
    add("--batch-size", type=at_least(2), default=BATCH, help=f"({BATCH})")
    add("--parts", nargs="+", choices=PARTS, default=PARTS,
        help=f"rows, of which {' and '.join(ON_ONE)} are of the first data set alone (all)")  # fmt: skip
    add("--limit", type=at_least(2), help="of each loader, for a small run (all)")
    add("--cache-dir", type=Path, help="folder of the drawn images (the user's cache folder)")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    one = partial(_one, options.output, options.features, options.limit, options.cache_dir)
    steps, size, found = options.steps, options.batch_size, []
    try:
        check_seeds(options.seeds, 1)
        for data in options.data:
            for splits in (TUNING, FINAL):  # once, before all processes ask for it
                source = replace(DATA[data][0], limit=options.limit)
                load_splits(source, splits, options.features, options.cache_dir)
            is_first = data == options.data[0]
            parts = [part for part in options.parts if is_first or part not in ON_ONE]
            rows = _tuned(_wanted(data, steps, size, parts), one, options.workers)
            runs = [replace(row, seed=seed) for row in rows for seed in options.seeds]
            found += _complete(runs, one, options.workers)
    except (ImportError, OSError, ValueError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from here", file=sys.stderr)
        return 130
    write_json(options.output / "decomposability.json", found)
    write_text(options.output / "decomposability.md", table(found))
    if "means" in options.parts:
        png = decomposability_figure(found, size, steps)
        write_atomic(options.output / "decomposability.png", lambda file: file.write(png))
    print(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What memories, proxies and calibration change about ranking batches instead of the whole set.

    suprank decomposability --output runs/decomposability --workers 2

Linear heads on the cached features of ``suprank leaderboard``, on shuffled batches. Learning rate and tau are chosen
on "fit" and "val", for batches alone and for the whole memory alike; then each seed trains on "train" and is measured
on "test". A run is a file: what is there is not done again. Writes ``decomposability.json``, ``.md`` and ``.png``.
"""

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from tqdm import tqdm

from pml_suprank.recipes.config import at_least
from pml_suprank.recipes.files import write_atomic, write_json, write_text
from pml_suprank.recipes.leaderboard import DATA
from pml_suprank.recipes.leaderboards.memory_arms import ARMS, MemoryRun, run_arm
from pml_suprank.recipes.leaderboards.runs import load_splits
from pml_suprank.recipes.leaderboards.tables import spread

__all__ = ["main", "table"]

BATCH, STEPS = 32, 150
SIZES, STEP_COUNTS, SHARES = (16, 64, 128, 256), (50, 300), (0.125, 0.5)
LOSSES = ("SupAP", "SupHAP")
GRID = tuple(product((0.01, 0.1), (1e-3, 3e-3)))
"""tau and learning rate."""


def _one(
    folder: Path, features: Path, limit: int | None, cache_dir: Path | None, run: MemoryRun
) -> dict[str, Any]:
    if limit is not None:  # a small run never takes the files of a whole one
        folder = folder / f"limit-{limit}"
    source = replace(DATA[run.data][0], limit=limit)
    return run_arm(run, *load_splits(source, run.splits, features, cache_dir), folder)


def _complete(runs: Sequence[MemoryRun], one: Any, workers: int) -> list[dict[str, Any]]:
    if workers == 1:
        return [one(run) for run in tqdm(runs, desc="runs", unit="run")]
    with ProcessPoolExecutor(
        workers, get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        return list(tqdm(pool.map(one, runs), total=len(runs), desc="runs", unit="run"))


def _tuned(data: str, steps: int, batch_size: int, one: Any, workers: int) -> dict[Any, Any]:
    """(loss, whether with a memory) to (tau, lr) of the highest H-AP on "val"."""
    runs = [
        MemoryRun(data, loss, arm, batch_size, 0.0, 0, steps, tau, lr, ("fit", "val"))
        for loss, arm, (tau, lr) in product(LOSSES, ("batch", "whole memory"), GRID)
    ]
    best: dict[Any, Any] = {}
    for run, found in zip(runs, _complete(runs, one, workers), strict=True):
        key, value = (run.loss, run.arm == "whole memory"), found["metrics"]["h_ap"]
        if key not in best or value > best[key][0]:
            best[key] = value, run.tau, run.lr
    return {key: value[1:] for key, value in best.items()}


def _wanted(
    data: str, best: dict[Any, Any], seeds: Sequence[int], steps: int, batch_size: int, sweeps: bool
) -> list[MemoryRun]:
    plain = []
    for loss in LOSSES:
        run = MemoryRun(data, loss, "batch", batch_size, 0.0, 0, steps)
        arms = [arm for arm in ARMS if (loss, arm) != ("SupHAP", "calibration")]
        plain += [
            replace(run, arm=arm, memory=0.25 if arm == "cross-batch memory" else 0.0)
            for arm in arms
        ]
        if sweeps:
            ends = [replace(run, arm=arm) for arm in ("batch", "whole memory")]
            plain += [replace(end, batch_size=size) for size in SIZES for end in ends]
            plain += [replace(end, steps=count) for count in STEP_COUNTS for end in ends]
            plain += [replace(run, arm="cross-batch memory", memory=share) for share in SHARES]
    tuned = []
    for run in plain:
        tau, lr = best[run.loss, run.arm.endswith("memory")]
        tuned += [replace(run, tau=tau, lr=lr, seed=seed) for seed in seeds]
    return tuned


def _grouped(found: Sequence[dict[str, Any]]) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    names = ("data", "loss", "arm", "memory", "batch_size", "steps", "tau", "lr")
    rows: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for content in found:
        rows.setdefault(tuple(content["run"][name] for name in names), []).append(content)
    return rows


def table(found: Sequence[dict[str, Any]]) -> str:
    """Markdown: a row for each setting, mean ± deviation over the seeds."""
    lines = [
        "| data | loss | arm | memory | batch | steps | tau | lr | H-AP | AP finest | gap, train | gap, test | alone |",
        "|---" * 13 + "|",
    ]
    for key, seeds in _grouped(found).items():
        cells = [spread([seed["metrics"][name] for seed in seeds]) for name in ("h_ap", "ap_0")]
        cells += [
            spread([seed[name]["gap"] for seed in seeds]) for name in ("gap_train", "gap_test")
        ]
        cells.append(f"{fmean(seed['gap_train']['without_positives'] for seed in seeds):.0%}")
        lines.append(f"| {' | '.join([f'{part}' for part in key] + cells)} |")
    return "\n".join(lines) + "\n"


def _figure(found: Sequence[dict[str, Any]], steps: int, batch_size: int) -> Any:
    from matplotlib.figure import Figure

    rows = _grouped(found)
    names = list(dict.fromkeys(key[0] for key in rows))
    figure = Figure(figsize=(11, 3.4 * len(names)), layout="constrained")
    for line, axes in zip(names, figure.subplots(len(names), 3, squeeze=False), strict=True):
        kept = {key: seeds for key, seeds in rows.items() if key[0] == line}
        for loss, color in zip(LOSSES, ("#667085", "#0f766e"), strict=True):
            for arm, style in (("batch", "o--"), ("whole memory", "o-")):
                for axis, group, name in (
                    (axes[0], "gap_test", "gap"),
                    (axes[1], "metrics", "h_ap"),
                ):
                    points = sorted(
                        (key[4], fmean(seed[group][name] for seed in seeds))
                        for key, seeds in kept.items()
                        if key[1:3] == (loss, arm) and key[5] == steps
                    )
                    axis.plot(
                        *zip(*points, strict=True), style, color=color, label=f"{loss}, {arm}"
                    )
            points = sorted(
                (
                    1.0 if key[2] == "whole memory" else key[3],
                    fmean(s["metrics"]["h_ap"] for s in seeds),
                )
                for key, seeds in kept.items()
                if key[1] == loss
                and key[2] in ("batch", "cross-batch memory", "whole memory")
                and key[4:6] == (batch_size, steps)
            )
            axes[2].plot(*zip(*points, strict=True), "o-", color=color, label=loss)
        for axis, x, y in zip(
            axes,
            ("batch size", "batch size", "memory / training set"),
            ("gap, held out", "H-AP, held out", "H-AP, held out"),
            strict=True,
        ):
            axis.set(xlabel=x, ylabel=y, title=line)
            axis.spines[["top", "right"]].set_visible(False)
            axis.legend(frameon=False, fontsize=8)
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of the recipe; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="suprank decomposability", description=(__doc__ or "").partition("\n")[0]
    )
    add = parser.add_argument
    add("--output", type=Path, default=Path("runs/decomposability"), help="(runs/decomposability)")
    add("--features", type=Path, default=Path("runs/leaderboard/features"), help="cached features")
    add("--data", nargs="+", choices=[*DATA], default=["emoji"], help="data sets (emoji)")
    add("--seeds", nargs="+", type=at_least(0), default=[0, 1, 2], help="(0 1 2)")
    add("--workers", type=at_least(1), default=1, help="processes, one thread each (1)")
    add("--steps", type=at_least(1), default=STEPS, help=f"optimiser steps ({STEPS})")
    add("--batch-size", type=at_least(2), default=BATCH, help=f"({BATCH})")
    add("--no-sweeps", action="store_true", help="the arms alone")
    add("--limit", type=at_least(2), help="of each loader, for a small run (all)")
    add("--cache-dir", type=Path, help="folder of the drawn images (the user's cache folder)")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    one = partial(_one, options.output, options.features, options.limit, options.cache_dir)
    steps, size, found = options.steps, options.batch_size, []
    try:
        for data in options.data:
            best = _tuned(data, steps, size, one, options.workers)
            runs = _wanted(data, best, options.seeds, steps, size, not options.no_sweeps)
            found += _complete(runs, one, options.workers)
    except (ImportError, OSError, ValueError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from here", file=sys.stderr)
        return 130
    write_json(options.output / "decomposability.json", found)
    write_text(options.output / "decomposability.md", table(found))
    figure = _figure(found, steps, size)
    write_atomic(options.output / "decomposability.png", lambda file: figure.savefig(file, dpi=130))
    print(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())

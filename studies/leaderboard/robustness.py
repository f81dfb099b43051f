"""Whether the order of the losses holds on other pictures, trunks and splits; tables with significance, and a picture.

    python -m studies.leaderboard.robustness --output runs/robustness
    python -m studies.leaderboard.robustness --output runs/robustness --data elpv --backbones tf_efficientnet_lite2

A field is a data set and a frozen trunk. On each data set every loss has three settings at one learning rate; the one
with the highest H-AP on "val" of the first split, on the first trunk, goes on to all trunks. It trains on "train" and
is measured on "test" of a split that each seed draws anew. The recommended settings of HAPPIER do so untouched by any
tuning. Features are computed once for a field, a split is rows of them. A run is a file: what is there is not done
again. Writes ``robustness.json``, ``robustness.md`` and ``robustness.png`` after every field.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from pml_suprank.recipes.files import write_atomic, write_json, write_text
from studies.leaderboard.__main__ import check_seeds
from studies.leaderboard.entrants import ENTRANTS
from studies.leaderboard.features import Source, load_features
from studies.leaderboard.heads import Budget, measure
from studies.leaderboard.robustness_figure import robustness_figure
from studies.leaderboard.robustness_tables import tables
from studies.leaderboard.runs import FINAL, TUNING, Run, complete, configurations
from studies.leaderboard.standings import choose, failures, standings
from studies.options import at_least

__all__ = ["BACKBONES", "DATA", "LOSSES", "RECOMMENDED", "field", "main"]

DATA: dict[str, tuple[Source, Budget]] = {
    "emoji": (Source("emoji", views=2), Budget(group_sizes=(2, 8))),
    "glyphs": (Source("glyphs", views=1, limit=12), Budget(group_sizes=(4, 2))),
    "signwriting": (Source("signwriting", views=1, limit=8), Budget(group_sizes=(4, 4))),
    "elpv": (Source("elpv", views=1, image_size=96), Budget(group_sizes=(8, 2))),
}
"""Data set to how it is seen, and to what every loss gets on it."""
BACKBONES = ("tf_efficientnet_lite0", "tf_efficientnet_lite2")
"""The trunks; losses are tuned on the first one."""
LOSSES = (
    "happier",
    "suphap",
    "supndcg",
    "supap",
    "roadmap",
    "supcon",
    "supcon-levels",
    "multi-similarity",
    "csl",
    "triplet-levels",
)
STEPS, BATCH = 150, 64
LR = 3e-3
RECOMMENDED = ("happier-ablation", (7, LR))
"""HAPPIER with tau .1, alpha 1.5 and temperature .1, which no validation split has chosen."""


def field(
    source: Source,
    budget: Budget,
    losses: Sequence[str],
    seeds: Sequence[int],
    folder: Path,
    *,
    workers: int = 1,
    cache_dir: Path | None = None,
) -> dict[str, Any]:
    """Tune every loss on the first split and the first trunk, then measure it on all splits.

    Args:
        source: the data and the trunk; each seed draws its splits.
        budget: of every run.
        losses: keys of ``ENTRANTS``.
        seeds: of the splits, and of the runs on them; the first one tunes.
        folder: of all files.
        workers: processes.
        cache_dir: of the rasters.

    Returns:
        "source", "budget", "seeds", "levels", "failures", "trunk" (metric to the value of each split), "standings"
        and "recommended": rows with loss, options, and metric to the value of each split.

    Raises:
        ValueError: no loss can be trained with this budget; says why.
    """
    tuner = replace(source, seed=seeds[0], backbone=BACKBONES[0])
    drawn = {seed: replace(source, seed=seed) for seed in seeds}
    tuning = complete(
        [
            Run(tuner, loss, setting, lr, seeds[0], TUNING, budget)
            for loss in losses
            for setting, lr in configurations(loss, (LR,))
        ],
        folder,
        workers,
        cache_dir,
    )
    chosen = choose(tuning, "h_ap")
    wanted = dict.fromkeys([*chosen.items(), RECOMMENDED])
    final = complete(
        [
            Run(drawn[seed], loss, setting, lr, seed, FINAL, budget)
            for seed in seeds
            for loss, (setting, lr) in wanted
        ],
        folder,
        workers,
        cache_dir,
    )
    refused = failures(tuning) | failures(final)
    rows = standings(final, chosen)
    if not rows:
        raise ValueError(f"{source.data}: wanted a loss that can be trained, got {refused}")
    features = folder / "features"
    tests = [load_features(own, FINAL[1], features, cache_dir=cache_dir) for own in drawn.values()]
    trunk = [measure(None, test) for test in tests]
    return {
        "source": asdict(source),
        "budget": asdict(budget),
        "seeds": list(seeds),
        "levels": list(tests[0].hierarchy.level_names or ()),
        "failures": refused,
        "trunk": {metric: [round(own[metric], 5) for own in trunk] for metric in trunk[0]},
        "standings": [_plain(row) for row in rows],
        "recommended": [_plain(row) for row in standings(final, dict([RECOMMENDED]))],
    }


def _plain(row: Any) -> dict[str, Any]:
    return {
        "loss": row.entrant,
        "options": dict(row.options),
        "values": {name: [round(value, 5) for value in own] for name, own in row.values.items()},
    }


def write(fields: Mapping[str, Mapping[str, Any]], output: Path) -> str:
    """Write the fields as JSON, Markdown and a picture; returns the Markdown."""
    text = "\n".join(f"### {name}\n\n{table}" for name, table in tables(fields).items())
    write_json(output / "robustness.json", fields)
    write_text(output / "robustness.md", text)
    png = robustness_figure(fields)
    write_atomic(output / "robustness.png", lambda file: file.write(png))
    return text


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of the study; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m studies.leaderboard.robustness",
        description=(__doc__ or "").partition("\n")[0],
    )
    add = parser.add_argument
    add("--output", type=Path, default=Path("runs/robustness"), help="(runs/robustness)")
    add("--data", nargs="+", choices=[*DATA], default=[*DATA], help="data sets (all)")
    add("--backbones", nargs="+", choices=BACKBONES, default=[*BACKBONES], help="trunks (all)")
    add("--losses", nargs="+", choices=[*ENTRANTS], default=[*LOSSES], metavar="LOSS",
        help=f"of {', '.join(ENTRANTS)} ({' '.join(LOSSES)})")  # fmt: skip
    add("--seeds", nargs="+", type=at_least(0), default=[0, 1, 2, 3, 4],
        help="of the splits and of the runs; the first one tunes (0 1 2 3 4)")  # fmt: skip
    add("--workers", type=at_least(1), default=1, help="processes, one thread each (1)")
    add("--steps", type=at_least(1), default=STEPS, help=f"optimiser steps ({STEPS})")
    add("--limit", type=at_least(2), help="of each loader, for a small run")
    add("--cache-dir", type=Path, help="folder of the drawn images (the user's cache folder)")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    fields: dict[str, dict[str, Any]] = {}
    text = ""
    try:
        check_seeds(options.seeds)
        for data in options.data:
            source, budget = DATA[data]
            limit = source.limit if options.limit is None else options.limit
            for backbone in options.backbones:
                print(f"{data}, {backbone}: {len(options.losses)} losses", flush=True)
                fields[f"{data}, {backbone}"] = field(
                    replace(source, backbone=backbone, limit=limit),
                    replace(budget, steps=options.steps, batch_size=BATCH),
                    options.losses,
                    options.seeds,
                    options.output,
                    workers=options.workers,
                    cache_dir=options.cache_dir,
                )
                text = write(fields, options.output)
    except (ImportError, OSError, ValueError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from here", file=sys.stderr)
        return 130
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

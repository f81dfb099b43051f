"""What each choice of SupHAP and HAPPIER is worth on the data sets of the leaderboard, over seeds.

    python -m studies.leaderboard.ablation --output runs/leaderboard --workers 2

One choice changes at a time: the temperature tau of the step, the exponent alpha of the relevance, weight and
temperature of HAPPIER's proxies, the second loss, mixup, the groups of a batch; and H-AP against a sum of AP over the
levels. Budget, splits and cached features are those of
``python -m studies.leaderboard``, whose folder it shares. Writes ``ablation.md`` and ``ablation.json``.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pml_suprank.recipes.files import write_json, write_text
from studies.leaderboard.__main__ import DATA
from studies.leaderboard.ablations import ARMS, Arm
from studies.leaderboard.runs import FINAL, Run, complete
from studies.leaderboard.tables import spread
from studies.options import at_least

__all__ = ["main", "table"]

LR = 3e-3
METRICS = {"h_ap": "H-AP", "ap_0": "AP finest", "r1_0": "R@1 finest"}


def _runs(
    data: str, arm: Arm, seeds: Sequence[int], steps: int | None, limit: int | None
) -> list[Run]:
    source, budget = DATA[data]
    if limit is not None:
        source = replace(source, limit=limit)
    if steps is not None:
        budget = replace(budget, steps=steps)
    if arm.group_sizes is not None:
        budget = replace(budget, group_sizes=arm.group_sizes)
    return [Run(source, arm.entrant, arm.setting, LR, seed, FINAL, budget) for seed in seeds]


def table(found: dict[str, dict[Arm, list[dict[str, float]]]]) -> str:
    """Markdown: a row for each arm, mean ± deviation over the seeds for each data set and metric."""
    heads = [f"{data} {title}" for data in found for title in METRICS.values()]
    lines = [f"| changed | value | {' | '.join(heads)} |", "|---|---|" + "---|" * len(heads)]
    for arm in ARMS:
        cells = [
            spread([seed[metric] for seed in found[data].get(arm, [])])
            for data in found
            for metric in METRICS
        ]
        lines.append(f"| {arm.part} | {arm.title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of the recipe; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m studies.leaderboard.ablation",
        description=(__doc__ or "").partition("\n")[0],
    )
    add = parser.add_argument
    add("--output", type=Path, default=Path("runs/leaderboard"), help="(runs/leaderboard)")
    add("--data", nargs="+", choices=[*DATA], default=[*DATA], help="data sets (all)")
    add("--seeds", nargs="+", type=at_least(0), default=[0, 1, 2, 3, 4], help="(0 1 2 3 4)")
    add("--workers", type=at_least(1), default=1, help="processes, one thread each (1)")
    add("--steps", type=at_least(1), help="optimiser steps (300)")
    add("--limit", type=at_least(2), help="of each loader, for a small run (all)")
    add("--cache-dir", type=Path, help="folder of the drawn images (the user's cache folder)")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    found: dict[str, dict[Arm, list[dict[str, float]]]] = {}
    try:
        for data in options.data:
            wanted = {
                arm: _runs(data, arm, options.seeds, options.steps, options.limit) for arm in ARMS
            }
            every = list(dict.fromkeys(run for runs in wanted.values() for run in runs))
            done = complete(every, options.output, options.workers, options.cache_dir)
            found[data] = {
                arm: [done[run]["metrics"] for run in runs if "metrics" in done[run]]
                for arm, runs in wanted.items()
            }
    except (ImportError, OSError, ValueError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from here", file=sys.stderr)
        return 130
    text = table(found)
    write_text(options.output / "ablation.md", text)
    write_json(
        options.output / "ablation.json", {data: _plain(arms) for data, arms in found.items()}
    )
    print(text)
    return 0


def _plain(arms: dict[Arm, list[dict[str, float]]]) -> list[dict[str, Any]]:
    return [
        {
            "changed": arm.part,
            "value": arm.title,
            "values": {name: [round(seed[name], 5) for seed in seeds] for name in METRICS},
        }
        for arm, seeds in arms.items()
    ]


if __name__ == "__main__":
    sys.exit(main())

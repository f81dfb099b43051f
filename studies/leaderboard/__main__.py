"""Every loss on the same data, backbone, budget, batches and embedding size; tables with significance and pictures.

    python -m studies.leaderboard --output runs/leaderboard --workers 2
    python -m studies.leaderboard --output runs/leaderboard --data emoji --losses suphap supcon

The trunk is frozen: its features of every image and of augmented views are computed once, and each run trains a
linear head on them. Each loss has six configurations (two learning rates, three settings of its main
hyper-parameters). They train on "fit" and are measured on "val". The one with the highest H-AP, and the one with the
highest AP of the finest level, then train on "train" and are measured on "test", once for each seed. A run is a file:
what is there is not done again. Writes ``leaderboard.json``, ``leaderboard.md``, ``h_ap.png`` and ``ap.png``.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from studies.leaderboard.boards import make_boards
from studies.leaderboard.entrants import ENTRANTS, LEARNING_RATES
from studies.leaderboard.features import Source
from studies.leaderboard.heads import Budget
from studies.options import at_least

__all__ = ["DATA", "check_seeds", "main"]

DATA: dict[str, tuple[Source, Budget]] = {
    "emoji": (Source("emoji", views=8), Budget(group_sizes=(2, 8))),
    "glyphs": (Source("glyphs", views=4), Budget(group_sizes=(4, 2))),
    "signwriting": (Source("signwriting", views=4), Budget(group_sizes=(4, 4))),
}
"""Data set to how it is seen, and to what every loss gets on it."""

PICTURES = {"h_ap": "h_ap.png", "ap_0": "ap.png"}
"""What a configuration is chosen by, and the picture of these standings."""


def check_seeds(seeds: Sequence[int], least: int = 2) -> None:
    """Raise a ValueError where a seed is there twice, or fewer than ``least``: a paired test needs two."""
    if len(seeds) < least or len(set(seeds)) < len(seeds):
        raise ValueError(f"--seeds: wanted {least} or more, all different, got {seeds}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m studies.leaderboard", description=(__doc__ or "").partition("\n")[0]
    )
    add = parser.add_argument
    add("--output", type=Path, default=Path("runs/leaderboard"), help="(runs/leaderboard)")
    add("--data", nargs="+", choices=[*DATA], default=[*DATA], help="data sets (all)")
    add("--losses", nargs="+", choices=[*ENTRANTS], default=[*ENTRANTS], metavar="LOSS",
        help=f"of {', '.join(ENTRANTS)} (all)")  # fmt: skip
    add("--seeds", nargs="+", type=at_least(0), default=[0, 1, 2, 3, 4], help="(0 1 2 3 4)")
    add("--workers", type=at_least(1), default=1, help="processes, one thread each (1)")
    add("--steps", type=at_least(1), help="optimiser steps (300)")
    add("--limit", type=at_least(2), help="of each loader, for a small run (all)")
    add("--cache-dir", type=Path, help="folder of the drawn images (the user's cache folder)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of the recipe; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    try:
        check_seeds(options.seeds)
        problems = {data: DATA[data] for data in options.data}
        if options.steps is not None:
            problems = {
                data: (source, replace(budget, steps=options.steps))
                for data, (source, budget) in problems.items()
            }
        text = make_boards(
            problems, options, learning_rates=LEARNING_RATES, pictures=PICTURES, name="leaderboard"
        )
    except (ImportError, OSError, ValueError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from here", file=sys.stderr)
        return 130
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

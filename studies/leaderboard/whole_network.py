"""Losses that train the whole network, on the data sets of the leaderboard: a table with significance and a picture.

    python -m studies.leaderboard.whole_network --output runs/leaderboard --workers 2
    python -m studies.leaderboard.whole_network --output runs/leaderboard --data emoji --losses happier supcon-levels
    python -m studies.leaderboard.whole_network --output runs/leaderboard --data emoji --random-head

Each loss first trains a linear head on the features of the frozen trunk, and then, from there, the whole network. It
has six configurations: its three settings of the leaderboard, and two learning rates of the trunk. They train on "fit"
and are measured on "val". The one with the highest H-AP then trains on "train" and is measured on "test", once for
each seed. A run is a file: what is there is not done again. Writes ``whole_network.json``, ``.md`` and ``.png``, or
``random_head.*`` where the first stage is left out.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from studies.leaderboard.__main__ import DATA, check_seeds
from studies.leaderboard.boards import make_boards
from studies.leaderboard.entrants import ENTRANTS
from studies.leaderboard.fine_tuning import FullBudget
from studies.options import at_least

__all__ = ["main"]

LEARNING_RATES = (4e-4, 8e-4)
"""Of the trunk."""
LOSSES = ("happier", "suphap", "supap", "supcon-levels", "supcon", "multi-similarity")


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of the recipe; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m studies.leaderboard.whole_network",
        description=(__doc__ or "").partition("\n")[0],
    )
    add = parser.add_argument
    add("--output", type=Path, default=Path("runs/leaderboard"), help="(runs/leaderboard)")
    add("--data", nargs="+", choices=[*DATA], default=[*DATA], help="data sets (all)")
    add("--losses", nargs="+", choices=[*ENTRANTS], default=[*LOSSES], metavar="LOSS",
        help=f"of {', '.join(ENTRANTS)} ({' '.join(LOSSES)})")  # fmt: skip
    add("--seeds", nargs="+", type=at_least(0), default=[0, 1, 2], help="(0 1 2)")
    add("--workers", type=at_least(1), default=1, help="processes, one thread each (1)")
    add("--random-head", action="store_true",
        help="leave the head on the frozen features out, to see what it is worth")  # fmt: skip
    add("--steps", type=at_least(1), help="of the whole network, and of the head (150, 300)")
    add("--limit", type=at_least(2), help="of each loader, for a small run (all)")
    add("--cache-dir", type=Path, help="folder of the drawn images (the user's cache folder)")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    shared = {} if options.steps is None else dict.fromkeys(("steps", "probe_steps"), options.steps)
    if options.random_head:
        shared["probe_steps"] = 0
    name = "random_head" if options.random_head else "whole_network"
    try:
        check_seeds(options.seeds)
        text = make_boards(
            {
                data: (source, FullBudget(group_sizes=of_heads.group_sizes, **shared))
                for data in options.data
                for source, of_heads in [DATA[data]]
            },
            options,
            learning_rates=LEARNING_RATES,
            pictures={"h_ap": f"{name}.png"},
            name=name,
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

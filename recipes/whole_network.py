"""Losses that train the whole network, on the data sets of the leaderboard: a table with significance and a picture.

    suprank whole-network --output runs/leaderboard --workers 2
    suprank whole-network --output runs/leaderboard --data emoji --losses happier supcon-levels
    suprank whole-network --output runs/leaderboard --data emoji --random-head

Each loss first trains a linear head on the features of the frozen trunk, and then, from there, the whole network. It
has six configurations: its three settings of the leaderboard, and two learning rates of the trunk. They train on "fit"
and are measured on "val". The one with the highest H-AP then trains on "train" and is measured on "test", once for
each seed. A run is a file: what is there is not done again. Writes ``whole_network.json``, ``.md`` and ``.png``, or
``random_head.*`` where the first stage is left out.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from pml_suprank.recipes.config import at_least
from pml_suprank.recipes.files import write_atomic, write_json, write_text
from pml_suprank.recipes.leaderboard import DATA
from pml_suprank.recipes.leaderboards.entrants import ENTRANTS
from pml_suprank.recipes.leaderboards.features import load_features
from pml_suprank.recipes.leaderboards.fine_tuning import FullBudget
from pml_suprank.recipes.leaderboards.heads import measure
from pml_suprank.recipes.leaderboards.runs import (
    FINAL,
    TUNING,
    Run,
    Source,
    complete,
    configurations,
)
from pml_suprank.recipes.leaderboards.standings import choose, failures, standings
from pml_suprank.recipes.leaderboards.tables import markdown, plain
from pml_suprank.recipes.pages.leaderboard_figure import standings_figure

__all__ = ["board", "main"]

LEARNING_RATES = (4e-4, 8e-4)
"""Of the trunk; above 0.001 it forgets what it knew, with any of the losses."""
LOSSES = ("happier", "suphap", "supap", "supcon-levels", "supcon", "multi-similarity")


def board(
    source: Source,
    budget: FullBudget,
    losses: Sequence[str],
    seeds: Sequence[int],
    folder: Path,
    *,
    workers: int = 1,
    cache_dir: Path | None = None,
) -> dict[str, Any]:
    """Tune every loss on the validation split, then measure it on the test split.

    Args:
        source: the data.
        budget: of every run.
        losses: keys of ``ENTRANTS``.
        seeds: of the runs on the test split.
        folder: of all files.
        workers: processes.
        cache_dir: of the rasters.

    Returns:
        "source", "budget", "seeds", "levels", "trunk" (metrics of the frozen features), "failures", its "standings".

    Raises:
        ValueError: no loss can be trained with this budget; says why.
    """
    tuning = complete(
        [
            Run(source, loss, setting, lr, 0, TUNING, budget)
            for loss in losses
            for setting, lr in configurations(loss, LEARNING_RATES)
        ],
        folder,
        workers,
        cache_dir,
    )
    chosen = choose(tuning, "h_ap")
    if not chosen:
        refused = failures(tuning)
        raise ValueError(f"{source.data}: wanted a loss that can be trained, got {refused}")
    final = complete(
        [
            Run(source, loss, setting, lr, seed, FINAL, budget)
            for seed in seeds
            for loss, (setting, lr) in chosen.items()
        ],
        folder,
        workers,
        cache_dir,
    )
    test = load_features(
        source.data,
        FINAL[1],
        folder / "features",
        image_size=source.image_size,
        limit=source.limit,
        cache_dir=cache_dir,
    )
    return {
        "source": asdict(source),
        "budget": asdict(budget),
        "seeds": list(seeds),
        "levels": list(test.hierarchy.level_names or map(str, range(test.labels.shape[1]))),
        "queries": len(test.labels),
        "trunk": {name: round(value, 5) for name, value in measure(None, test).items()},
        "failures": failures(tuning) | failures(final),
        "standings": standings(final, chosen),
    }


def _write(output: Path, name: str, boards: dict[str, dict[str, Any]]) -> str:
    """Write everything that follows from the boards; returns the Markdown."""
    text = "\n".join(
        f"### {data}\n\n{markdown(found['standings'], found['levels'], found['trunk'])}"
        for data, found in boards.items()
    )
    write_text(output / f"{name}.md", text)
    write_json(
        output / f"{name}.json",
        {data: {**found, "standings": plain(found["standings"])} for data, found in boards.items()},
    )
    panels = {
        data: [
            (ENTRANTS[row.entrant].title, ENTRANTS[row.entrant].group, row.values["h_ap"])
            for row in found["standings"]
        ]
        for data, found in boards.items()
    }
    png = standings_figure(panels, "H-AP")
    write_atomic(output / f"{name}.png", lambda file: file.write(png))
    return text


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of the recipe; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="suprank whole-network", description=(__doc__ or "").partition("\n")[0]
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
    boards, text = {}, ""
    try:
        for data in options.data:
            source, of_heads = DATA[data]
            budget = FullBudget(group_sizes=of_heads.group_sizes)
            if options.limit is not None:
                source = replace(source, limit=options.limit)
            if options.steps is not None:
                budget = replace(budget, steps=options.steps, probe_steps=options.steps)
            if options.random_head:
                budget = replace(budget, probe_steps=0)
            boards[data] = board(
                source,
                budget,
                options.losses,
                options.seeds,
                options.output,
                workers=options.workers,
                cache_dir=options.cache_dir,
            )
            name = "random_head" if options.random_head else "whole_network"
            text = _write(options.output, name, boards)
    except (ImportError, OSError, ValueError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from here", file=sys.stderr)
        return 130
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

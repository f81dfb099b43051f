"""Every loss on the same data, backbone, budget, batches and embedding size; tables with significance and pictures.

    suprank leaderboard --output runs/leaderboard --workers 2
    suprank leaderboard --output runs/leaderboard --data emoji --losses suphap supcon

The trunk is frozen: its features of every image and of augmented views are computed once, and each run trains a
linear head on them. Each loss has six configurations (two learning rates, three settings of its main
hyper-parameters). They train on "fit" and are measured on "val". The one with the highest H-AP, and the one with the
highest AP of the finest level, then train on "train" and are measured on "test", once for each seed. A run is a file:
what is there is not done again. Writes ``leaderboard.json``, ``leaderboard.md``, ``h_ap.png`` and ``ap.png``.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from pml_suprank.recipes.config import at_least
from pml_suprank.recipes.files import write_atomic, write_json, write_text
from pml_suprank.recipes.leaderboards.entrants import ENTRANTS
from pml_suprank.recipes.leaderboards.features import load_features
from pml_suprank.recipes.leaderboards.heads import Budget, measure
from pml_suprank.recipes.leaderboards.runs import (
    FINAL,
    TUNING,
    Run,
    Source,
    complete,
    configurations,
)
from pml_suprank.recipes.leaderboards.standings import CRITERIA, choose, failures, standings
from pml_suprank.recipes.leaderboards.tables import markdown, plain
from pml_suprank.recipes.pages.leaderboard_figure import standings_figure

__all__ = ["DATA", "board", "main"]

DATA: dict[str, tuple[Source, Budget]] = {
    "emoji": (Source("emoji", views=8), Budget(group_sizes=(2, 8))),
    "glyphs": (Source("glyphs", views=4), Budget(group_sizes=(4, 2))),
    "signwriting": (Source("signwriting", views=4), Budget(group_sizes=(4, 4))),
}
"""Data set to how it is seen, and to what every loss gets on it."""


def board(
    source: Source,
    budget: Budget,
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
        "levels", "budget", "trunk" (metrics of the frozen features), "failures", and "standings" by criterion.

    Raises:
        ValueError: no loss can be trained with this budget; says why.
    """
    tuning = complete(
        [
            Run(source, loss, setting, lr, 0, TUNING, budget)
            for loss in losses
            for setting, lr in configurations(loss)
        ],
        folder,
        workers,
        cache_dir,
    )
    refused = failures(tuning)
    if len(refused) == len(losses):
        raise ValueError(f"{source.data}: wanted a loss that can be trained, got {refused}")
    chosen = {criterion: choose(tuning, criterion) for criterion in CRITERIA}
    wanted = {(loss, *own) for choices in chosen.values() for loss, own in choices.items()}
    final = complete(
        [
            Run(source, loss, setting, lr, seed, FINAL, budget)
            for loss, setting, lr in sorted(wanted)
            for seed in seeds
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
        "failures": refused | failures(final),
        "standings": {name: standings(final, choices) for name, choices in chosen.items()},
    }


def _write(output: Path, boards: dict[str, dict[str, Any]]) -> str:
    """Write everything that follows from the boards; returns the Markdown."""
    parts = []
    for data, found in boards.items():
        for criterion, title in CRITERIA.items():
            rows = found["standings"][criterion]
            table = markdown(rows, found["levels"], found["trunk"], criterion)
            parts.append(f"### {data}, tuned for {title}\n\n{table}")
        parts += [f"{ENTRANTS[name].title}: {text}\n" for name, text in found["failures"].items()]
    text = "\n".join(parts)
    write_text(output / "leaderboard.md", text)
    write_json(
        output / "leaderboard.json",
        {
            data: {
                **found,
                "standings": {name: plain(rows) for name, rows in found["standings"].items()},
            }
            for data, found in boards.items()
        },
    )
    for criterion, (name, axis) in {
        "h_ap": ("h_ap.png", "H-AP"),
        "ap_0": ("ap.png", "AP of the finest level"),
    }.items():
        panels = {
            data: [
                (ENTRANTS[row.entrant].title, ENTRANTS[row.entrant].group, row.values[criterion])
                for row in found["standings"][criterion]
            ]
            for data, found in boards.items()
        }
        png = standings_figure(panels, axis)
        write_atomic(output / name, lambda file, png=png: file.write(png))  # type: ignore[misc]
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="suprank leaderboard", description=(__doc__ or "").partition("\n")[0]
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
    boards = {}
    try:
        for data in options.data:
            source, budget = DATA[data]
            if options.limit is not None:
                source = Source(**{**asdict(source), "limit": options.limit})
            if options.steps is not None:
                budget = Budget(**{**asdict(budget), "steps": options.steps})
            print(f"{data}: {len(options.losses)} losses", flush=True)
            boards[data] = board(
                source,
                budget,
                options.losses,
                options.seeds,
                options.output,
                workers=options.workers,
                cache_dir=options.cache_dir,
            )
            text = _write(options.output, boards)
    except (ImportError, OSError, ValueError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from here", file=sys.stderr)
        return 130
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

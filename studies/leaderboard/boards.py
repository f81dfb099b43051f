"""A board: every loss tuned on the validation split, then measured on the test split; and its files."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pml_suprank.recipes.files import write_atomic, write_json, write_text
from studies.leaderboard.entrants import ENTRANTS
from studies.leaderboard.features import Source, load_features
from studies.leaderboard.heads import Budget, measure
from studies.leaderboard.leaderboard_figure import standings_figure
from studies.leaderboard.runs import (
    FINAL,
    TUNING,
    Run,
    complete,
    configurations,
)
from studies.leaderboard.standings import CRITERIA, choose, failures, standings
from studies.leaderboard.tables import markdown, plain

__all__ = ["board", "make_boards", "write_figure", "write_tables"]

Board = Mapping[str, Any]


def board(
    source: Source,
    budget: Budget,
    losses: Sequence[str],
    seeds: Sequence[int],
    folder: Path,
    *,
    learning_rates: Sequence[float],
    criteria: Sequence[str],
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
        learning_rates: each loss is tuned over these and its own settings.
        criteria: keys of ``CRITERIA``; each chooses a configuration of a loss.
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
            for setting, lr in configurations(loss, learning_rates)
        ],
        folder,
        workers,
        cache_dir,
    )
    refused = failures(tuning)
    chosen = {criterion: choose(tuning, criterion) for criterion in criteria}
    wanted = {(loss, *own) for choices in chosen.values() for loss, own in choices.items()}
    if not wanted:
        raise ValueError(f"{source.data}: wanted a loss that can be trained, got {refused}")
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
    refused |= failures(final)
    found = {criterion: standings(final, choices) for criterion, choices in chosen.items()}
    if not all(found.values()):
        raise ValueError(f"{source.data}: wanted a loss that can be trained, got {refused}")
    test = load_features(source, FINAL[1], folder / "features", cache_dir=cache_dir)
    return {
        "source": asdict(source),
        "budget": asdict(budget),
        "seeds": list(seeds),
        "levels": list(test.hierarchy.level_names or map(str, range(test.labels.shape[1]))),
        "queries": len(test.labels),
        "trunk": {name: round(value, 5) for name, value in measure(None, test).items()},
        "failures": refused,
        "standings": found,
    }


def make_boards(
    problems: Mapping[str, tuple[Source, Budget]],
    options: Namespace,
    *,
    learning_rates: Sequence[float],
    pictures: Mapping[str, str],
    name: str,
) -> str:
    """Make the boards of a command, and write all files after each; returns the Markdown.

    Args:
        problems: data set to how it is seen, and to what every loss gets on it.
        options: losses, seeds, output, workers, limit and cache_dir of the command line.
        learning_rates: as for :func:`board`.
        pictures: criterion to the name of its picture.
        name: of the tables.

    Raises:
        ValueError: as :func:`board`.
    """
    boards: dict[str, dict[str, Any]] = {}
    text = ""
    for data, (source, budget) in problems.items():
        print(f"{data}: {len(options.losses)} losses", flush=True)
        boards[data] = board(
            replace(source, limit=options.limit),
            budget,
            options.losses,
            options.seeds,
            options.output,
            learning_rates=learning_rates,
            criteria=list(pictures),
            workers=options.workers,
            cache_dir=options.cache_dir,
        )
        text = write_tables(boards, options.output, name)
        for criterion, picture in pictures.items():
            write_figure(boards, criterion, options.output / picture)
    return text


def write_tables(boards: Mapping[str, Board], output: Path, name: str) -> str:
    """Write the boards as Markdown and JSON; returns the Markdown.

    Args:
        boards: data set to its board.
        output: folder.
        name: of both files, without the ending.
    """
    parts = []
    for data, found in boards.items():
        for criterion, rows in found["standings"].items():
            table = markdown(rows, found["levels"], found["trunk"], criterion)
            parts.append(f"### {data}, tuned for {CRITERIA[criterion]}\n\n{table}")
        parts += [f"{ENTRANTS[loss].title}: {text}\n" for loss, text in found["failures"].items()]
    text = "\n".join(parts)
    write_text(output / f"{name}.md", text)
    write_json(
        output / f"{name}.json",
        {
            data: {
                **found,
                "standings": {own: plain(rows) for own, rows in found["standings"].items()},
            }
            for data, found in boards.items()
        },
    )
    return text


def write_figure(boards: Mapping[str, Board], criterion: str, path: Path) -> None:
    """Write the picture of the standings by a criterion, as PNG."""
    panels = {
        data: [
            (ENTRANTS[row.entrant].title, ENTRANTS[row.entrant].group, row.values[criterion])
            for row in found["standings"][criterion]
        ]
        for data, found in boards.items()
    }
    png = standings_figure(panels, CRITERIA[criterion])
    write_atomic(path, lambda file: file.write(png))

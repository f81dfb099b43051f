"""The same data, backbone and number of images for several losses; a table and a plot.

    python -m studies.compare --output runs/compare --seeds 0 1 --lrs 1e-4 3e-4 1e-3

Every combination is one run of the quickstart in a folder of its own; finished ones are skipped,
interrupted ones go on. A loss is shown at the learning rate with its highest mean H-AP over the
seeds, chosen on the test half for every loss alike. Writes ``table.md``, ``table.csv`` (every
run), and ``h_ap.png``, which shows no drawings.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from pml_suprank.recipes.data.emoji import LEVEL_NAMES
from pml_suprank.recipes.engine.checkpoints import CheckpointError
from pml_suprank.recipes.engine.parsing import ConfigError
from pml_suprank.recipes.files import write_atomic, write_csv, write_text
from pml_suprank.recipes.pages.figures import bar_chart
from studies.emoji_runs import COLUMNS, LOSSES, Budget, emoji_settings, trained
from studies.options import add_budget, at_least, budget_of, positive

__all__ = ["Entry", "best_runs", "main", "parse_entry"]

BEFORE = "before training"
# PML's pair and proxy losses see one level: the finest, or the subgroups.
DEFAULT_ENTRIES = (
    "happier",
    "suphap",
    "roadmap",
    "supap",
    "multi-similarity",
    "multi-similarity:subgroup",
    "multi-similarity-mined",
    "ntxent",
    "ntxent:subgroup",
    "smoothap",
    "proxy-anchor",
    "proxy-anchor:subgroup",
)


@dataclass(frozen=True)
class Entry:
    """A line of the comparison: a loss and the level of the labels it gets."""

    loss: str
    level: str = LEVEL_NAMES[0]

    @property
    def title(self) -> str:
        """Name in the table and the plot."""
        library = "pml-suprank" if LOSSES[self.loss].is_ours else "PML"
        return f"{LOSSES[self.loss].title} ({library}, {self.labels})"

    @property
    def labels(self) -> str:
        """What the loss is given."""
        return "all levels" if LOSSES[self.loss].levels == "all" else self.level


def parse_entry(text: str) -> Entry:
    """An entry from ``loss`` or ``loss:level``.

    Raises:
        argparse.ArgumentTypeError: unknown loss or level, or a level the loss does not take.
    """
    loss, _, level = text.partition(":")
    entry = Entry(loss, level or LEVEL_NAMES[0])
    if entry.loss not in LOSSES:
        raise argparse.ArgumentTypeError(f"wanted a loss of {', '.join(LOSSES)}, got {loss!r}")
    if entry.level not in LEVEL_NAMES:
        raise argparse.ArgumentTypeError(
            f"wanted a level of {', '.join(LEVEL_NAMES)}, got {level!r}"
        )
    try:
        emoji_settings(LOSSES[entry.loss], LEVEL_NAMES.index(entry.level), 0, Budget())
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return entry


Result = dict[str, Any]


def best_runs(results: Mapping[tuple[Entry, float], Sequence[Result]]) -> dict[Entry, float]:
    """For each entry the learning rate whose runs have the highest mean H-AP.

    Args:
        results: entry and learning rate to the ``metrics.json`` of its runs.
    """
    best: dict[Entry, float] = {}
    for entry, lr in results:
        if entry not in best or _h_ap(results[entry, lr]) > _h_ap(results[entry, best[entry]]):
            best[entry] = lr
    return best


def _h_ap(runs: Sequence[Result]) -> float:
    return mean(run["after"][COLUMNS["H-AP"]] for run in runs)


def _write(output: Path, results: Mapping[tuple[Entry, float], Sequence[Result]]) -> str:
    """Write table and plot of the runs so far; returns the Markdown."""
    best = best_runs(results)
    order = sorted(best, key=lambda entry: -_h_ap(results[entry, best[entry]]))
    some = next(iter(results.values()))[0]
    lines = [
        "| loss | labels | lr | " + " | ".join(COLUMNS) + " |",
        "|---|---|---|" + "---|" * len(COLUMNS),
        _line(BEFORE, "", "", [[some["before"][name]] for name in COLUMNS.values()]),
    ]
    for entry in order:
        runs = results[entry, best[entry]]
        loss = LOSSES[entry.loss]
        title = f"**{loss.title}**" if loss.is_ours else f"{loss.title} (PML)"
        values = [[run["after"][name] for run in runs] for name in COLUMNS.values()]
        lines.append(_line(title, entry.labels, f"{best[entry]:g}", values))
    text = "\n".join(lines) + "\n"
    write_text(output / "table.md", text)
    write_csv(
        output / "table.csv",
        [
            {"loss": entry.loss, "labels": entry.level, "lr": lr, "run": i}
            | {column: run["after"][name] for column, name in COLUMNS.items()}
            | {"training_seconds": run["training_seconds"]}
            for (entry, lr), runs in results.items()
            for i, run in enumerate(runs)
        ],
    )
    bars = {e.title: [r["after"][COLUMNS["H-AP"]] for r in results[e, best[e]]] for e in best}
    bars[BEFORE] = [some["before"][COLUMNS["H-AP"]]]
    ours = {entry.title for entry in best if LOSSES[entry.loss].is_ours}
    png = bar_chart(bars, ours, "H-AP on held-out emoji")
    write_atomic(output / "h_ap.png", lambda file: file.write(png))
    return text


def _line(title: str, level: str, lr: str, values: Sequence[Sequence[float]]) -> str:
    cells = []
    for runs in values:
        spread = f" ± {(max(runs) - min(runs)) / 2:.3f}" if len(runs) > 1 else ""
        cells.append(f"{mean(runs):.3f}{spread}")
    return "| " + " | ".join([title, level, lr, *cells]) + " |"


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of the recipe; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m studies.compare", description=(__doc__ or "").partition("\n")[0]
    )
    add = parser.add_argument
    add("--output", type=Path, default=Path("runs/compare"), help="folder of the runs")
    add("--losses", nargs="+", type=parse_entry, default=[*map(parse_entry, DEFAULT_ENTRIES)],
        help=f"each a loss or loss:level ({' '.join(DEFAULT_ENTRIES)})")  # fmt: skip
    add("--seeds", nargs="+", type=at_least(0), default=[0], help="of the runs (0)")
    add("--lrs", nargs="+", type=positive, default=[Budget.lr], help=f"({Budget.lr})")
    add_budget(add, "lr")
    options = parser.parse_args(argv)
    results: dict[tuple[Entry, float], list[Result]] = defaultdict(list)
    text = ""
    try:
        for seed in options.seeds:
            for entry in options.losses:
                for lr in options.lrs:
                    print(f"\n{entry.title}, learning rate {lr:g}, seed {seed}", flush=True)
                    settings = emoji_settings(
                        LOSSES[entry.loss],
                        LEVEL_NAMES.index(entry.level),
                        seed,
                        budget_of(options, lr=lr),
                    )
                    folder = options.output / f"{entry.loss}-{entry.level}-{lr:g}-{seed}"
                    results[entry, lr].append(trained(settings, folder))
                    text = _write(options.output, results)
    except (ConfigError, CheckpointError, ImportError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from here", file=sys.stderr)
        return 130
    print(f"\n{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

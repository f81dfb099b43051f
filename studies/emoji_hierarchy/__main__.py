"""What the pipeline of ``build-hierarchy`` makes of emoji whose taxonomy is known but hidden from it.

    python -m studies.emoji_hierarchy rebuild --output runs/emoji_hierarchy --seeds 0 1 2
    python -m studies.emoji_hierarchy training --output runs/emoji_hierarchy --seeds 0 1 2

*rebuild* makes three levels out of the names of all emoji; then it hides some of the names, and puts the emoji without
one into groups by their drawings. Both are compared with the true taxonomy. *training* runs the quickstart on
hierarchies made from the names of the training emoji, and evaluates on the others with the true taxonomy; without a
hierarchy, with random groups and with the true ones for comparison. What is finished is kept, what was interrupted
goes on.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from pml_suprank.recipes.data.emoji import load_emoji
from pml_suprank.recipes.hierarchies.proposal import parse_levels
from studies.emoji_hierarchy.agreement import Study
from studies.emoji_hierarchy.encoders import CLASSIFIERS, ENCODERS, train_tower
from studies.emoji_hierarchy.tables import write_tables
from studies.emoji_hierarchy.training import parse_arm, train_arm, write_results
from studies.options import add_budget, at_least, budget_of, fraction

__all__ = ["main"]

Run = Callable[[argparse.Namespace], str]
LEVELS = ("subgroup=100", "group=10")
ARMS = ("supap:none", "suphap:random", "suphap:sentences", "suphap:true")


def _levels(texts: Sequence[str]) -> dict[str, int]:
    """Levels whose numbers of groups are given."""
    found = parse_levels(texts)
    levels = {name: size for name, size in found.items() if isinstance(size, int)}
    if len(levels) < len(found):
        raise ValueError(f"levels: wanted a number of groups for each, got {list(texts)}")
    return levels


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m studies.emoji_hierarchy",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parts = parser.add_subparsers(dest="part", required=True, metavar="part")

    def part(name: str, text: str, run: Run) -> Callable[..., argparse.Action]:
        own = parts.add_parser(name, help=text, description=text)
        own.set_defaults(run=run)
        add = own.add_argument
        add("--output", type=Path, default=Path("runs/emoji_hierarchy"), help="folder of the runs")
        add("--seeds", nargs="+", type=at_least(0), default=[0, 1, 2], help="(0 1 2)")
        add("--levels", nargs="+", default=LEVELS, help=f"numbers of groups ({' '.join(LEVELS)})")
        add("--limit", type=at_least(8), help="use only so many emoji (all)")
        add("--threads", type=at_least(1), help="CPU threads (torch's own choice)")
        add("--cache-dir", type=Path, help="folder of the drawn emoji (user's cache)")
        return add

    add = part("rebuild", "hierarchies from names and drawings, against the true one", _rebuild)
    add("--encoders", nargs="+", choices=[*ENCODERS], default=[*ENCODERS], help="of names (all)")
    add("--classifiers", nargs="+", choices=[*CLASSIFIERS], default=[*CLASSIFIERS],
        help="of drawings: encoder, what they are compared with, rule (all)")  # fmt: skip
    add("--hide", type=fraction, default=0.3, help="share of the names of every subgroup (0.3)")
    add("--tower-epochs", type=at_least(1), default=15, help="of the OpenCLIP tower (15)")
    add("--tower-batch", type=at_least(4), default=128, help="of the OpenCLIP tower (128)")

    add = part("training", "the quickstart on hierarchies made from names", _training)
    add("--arms", nargs="+", default=ARMS,
        help=f"loss:tree; a tree is none, true, random or an encoder ({' '.join(ARMS)})")  # fmt: skip
    add_budget(add, "limit", "threads", "cache_dir", "embedding_size")
    return parser


def _rebuild(options: argparse.Namespace) -> str:
    levels = _levels(options.levels)
    data = load_emoji(cache_dir=options.cache_dir, limit=options.limit)
    study = Study(data, levels, options.output / "rebuild", options.hide)
    settings = ("levels", "limit", "hide", "tower_epochs", "tower_batch")
    study.prepare({name: getattr(options, name) for name in settings} | {"levels": levels})
    clip = argparse.Namespace(
        name="small-efficientnet",
        weights="packaged",
        limit=options.limit,
        lr=4e-4,
        text_lr=4e-4,
        epochs=options.tower_epochs,
        batch_size=options.tower_batch,
        threads=options.threads,
        test_share=options.hide,
    )
    rows: list[Any] = []
    text = ""
    for seed in options.seeds:
        tower = train_tower(study.folder / f"tower-{seed}", clip, seed, options.cache_dir)
        for name in options.encoders:
            print(f"\nall names, {ENCODERS[name]}, seed {seed}", flush=True)
            rows += study.all_names(name, tower, seed)
            for classifier in options.classifiers:
                print(f"\nhidden names, {ENCODERS[name]}, {classifier}, seed {seed}", flush=True)
                rows += study.hidden_names(name, classifier, tower, seed)
            text = write_tables(options.output, rows, list(levels))
    return text


def _training(options: argparse.Namespace) -> str:
    arms = [parse_arm(text) for text in options.arms]
    levels = _levels(options.levels)
    results: dict[Any, Any] = {}
    text = ""
    for seed in options.seeds:
        for arm, name in zip(arms, options.arms, strict=True):
            print(f"\n{name}, seed {seed}", flush=True)
            plain = "".join(c if c.isalnum() or c in "-_" else "-" for c in name)
            folder = options.output / "training" / f"{plain}-{seed}"
            results[arm, seed] = train_arm(arm, seed, budget_of(options), levels, folder)
            text = write_results(options.output, results, list(levels))
    return text


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of the recipe; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        text = options.run(options)
    except (ImportError, OSError, ValueError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from here", file=sys.stderr)
        return 130
    print(f"\n{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Fine-tune a packaged ImageNet backbone on emoji with a rank loss, offline, in minutes.

    python -m pml_suprank.recipes.commands.quickstart --output runs/quickstart

Half of the emoji of every subgroup train, the other half test (see
:mod:`pml_suprank.recipes.data.emoji`). The run folder gets ``config.json``, ``checkpoint.pt``,
``metrics.json``, ``metrics.csv``, ``history.csv``, ``curve.png``, ``LICENCES.txt`` and
``report.html``. Ctrl-C keeps the last whole epoch; ``--resume`` goes on from there.
"""

import argparse
import platform
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from pml_suprank.integrations.plain_files import read_json
from pml_suprank.recipes.config import GROUP_SIZES, Config, add_options, parse
from pml_suprank.recipes.data.emoji import LICENCES, EmojiDataset, load_emoji, split_emoji
from pml_suprank.recipes.data.emoji_sources import package_versions
from pml_suprank.recipes.evaluation import ROWS, TILES, evaluate, table
from pml_suprank.recipes.files import write_atomic, write_csv, write_json, write_text
from pml_suprank.recipes.loss_choices import LOSSES
from pml_suprank.recipes.pages.figures import loss_curve
from pml_suprank.recipes.pages.quickstart_page import Report, render
from pml_suprank.recipes.pages.quickstart_sheets import sheets
from pml_suprank.recipes.retrievals import Retrieval, choose_queries, retrieve
from pml_suprank.recipes.training import BACKBONE, Session, stored_config

__all__ = ["main", "run"]

CHECKPOINT = "checkpoint.pt"


def run(
    config: Config, output: Path, *, cache_dir: Path | None = None, resume: bool = False
) -> dict[str, Any]:
    """Train, evaluate before and after, and write the run folder.

    Args:
        config: settings.
        output: run folder.
        cache_dir: folder of the drawn emoji; None is the user's cache folder.
        resume: go on from the checkpoint in ``output`` if there is one.

    Returns:
        The content of ``metrics.json``.

    Raises:
        ValueError: settings that do not fit the data, or a checkpoint of other settings.
        KeyboardInterrupt: interrupted; ``output`` holds the last whole epoch.
    """
    config.check()
    train_set, test_set = split_emoji(
        load_emoji(cache_dir=cache_dir, limit=config.limit), config.seed
    )
    session = Session(config, train_set)
    test_set = test_set.with_transform(session.transform)
    queries = choose_queries(test_set.level_labels, config.seed)
    checkpoint = output / CHECKPOINT

    if resume and checkpoint.exists():
        session.load(checkpoint)
        before, sheet_before = _read_before(output)
        print(f"resuming after epoch {session.epoch} of {config.epochs}", flush=True)
    else:
        print(
            f"{len(train_set)} images to train, {len(test_set)} to test; evaluating ImageNet features"
        )
        before, embeddings = evaluate(session.models, test_set, use_trunk_output=True)
        sheet_before = retrieve(embeddings, test_set.level_labels, queries)
        for stale in (CHECKPOINT, "metrics.json"):
            (output / stale).unlink(missing_ok=True)
        write_json(output / "config.json", asdict(config))
        write_json(output / "before.json", {"metrics": before, "sheets": asdict(sheet_before)})
        write_text(output / "LICENCES.txt", _licences())
        session.save(checkpoint)

    session.train(after_epoch=lambda: session.save(checkpoint))
    print("evaluating the trained model", flush=True)
    after, embeddings = evaluate(session.models, test_set)
    sheet_after = retrieve(embeddings, test_set.level_labels, queries)

    metrics = {
        "before": before,
        "after": after,
        "queries": len(test_set),
        "iterations": len(session.history),
        "training_seconds": round(session.seconds, 1),
    }
    page = sheets(test_set, sheet_before, sheet_after)
    _write(output, config, session, metrics, page, train_set, test_set)
    return metrics


def _write(
    output: Path,
    config: Config,
    session: Session,
    metrics: dict[str, Any],
    page: list[dict[str, Any]],
    train_set: EmojiDataset,
    test_set: EmojiDataset,
) -> None:
    """Everything in the run folder that follows from the results."""
    before, after = metrics["before"], metrics["after"]
    title = LOSSES[config.loss].title
    curve = loss_curve(session.history, len(session.sampler), title)
    h_ap = TILES["H-AP"]
    minutes, seconds = divmod(round(session.seconds), 60)
    report = Report(
        title=f"{title} on emoji",
        lead=(
            f"Mean H-AP on {len(test_set):,} images of {len(test_set.emoji)} emoji that were not "
            f"trained on: {before[h_ap]:.3f} with ImageNet features, "
            f"{after[h_ap]:.3f} after {len(session.history)} batches of training "
            f"({minutes} min {seconds:02d} s on a CPU)."
        ),
        before=before,
        after=after,
        rows=ROWS,
        tiles=TILES,
        curve=curve,
        sheets=page,
        setup=_setup(config, session, train_set, test_set),
    )
    write_csv(output / "metrics.csv", table(before, after))
    write_csv(
        output / "history.csv",
        [{"iteration": i, "loss": loss} for i, loss in enumerate(session.history, start=1)],
    )
    write_atomic(output / "curve.png", lambda file: file.write(curve))
    write_text(output / "report.html", render(report))
    write_json(output / "metrics.json", metrics)  # last: its presence says that the run is whole


def _setup(
    config: Config, session: Session, train_set: EmojiDataset, test_set: EmojiDataset
) -> dict[str, str]:
    packages = ["pml-suprank", "pytorch-metric-learning", "torch", "timm"]
    versions = {name: version(name) for name in packages} | package_versions()
    choice = LOSSES[config.loss]
    level = "" if choice.levels == "hierarchy" else f", labels of the level {config.level}"
    return {
        "Training half": f"{len(train_set):,} images of {len(train_set.emoji)} emoji",
        "Test half": f"{len(test_set):,} images of {len(test_set.emoji)} other emoji; each image "
        "is a query against all others",
        "Backbone": f"{BACKBONE}, packaged ImageNet weights, {config.image_size} px, "
        f"batch-norm statistics frozen; linear embedding of {config.embedding_size} dimensions",
        "Before": "ImageNet features of the backbone, pooled, without the embedding layer",
        "Loss": f"{choice.title} ({choice.library}){level}",
        "Training": f"MetricLossOnly, HierarchicalSampler {GROUP_SIZES}, batches of {config.batch_size}, "
        f"{session.epoch} epochs, {len(session.history)} iterations, AdamW, learning rate {config.lr:g}",
        "Seed": str(config.seed),
        "Versions": ", ".join(f"{name} {number}" for name, number in versions.items()),
        "Machine": f"{platform.machine()}, {torch.get_num_threads()} CPU threads, "
        f"Python {platform.python_version()}",
    }


def _read_before(output: Path) -> tuple[dict[str, float], Retrieval]:
    path = output / "before.json"
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read ({error}); start over with --overwrite") from error
    return content["metrics"], Retrieval(**content["sheets"])


def _licences() -> str:
    lines = [f"{vendor}: {text}" for vendor, text in LICENCES.items()]
    return (
        "report.html shows drawings of emoji, rasterised and put on white:\n\n"
        + "\n".join(lines)
        + "\n\nWhoever passes the page on must name these authors and licences.\n"
    )


def _config(options: argparse.Namespace, given: dict[str, Any]) -> Config:
    """Settings of a new run, or those of the run to resume.

    Raises:
        ValueError: the folder holds a run and nothing says what to do with it, or an option
            differs from the run to resume.
    """
    checkpoint = options.output / CHECKPOINT
    if not checkpoint.exists() or options.overwrite:
        return Config(**given)
    if not options.resume:
        raise ValueError(
            f"--output: {options.output} holds a run; pass --resume to go on with it, "
            "--overwrite to start over, or another folder"
        )
    stored = stored_config(checkpoint)
    for name, value in given.items():
        if value != getattr(stored, name):
            raise ValueError(
                f"--{name.replace('_', '-')}: wanted {getattr(stored, name)}, the value of the "
                f"run to resume, got {value}"
            )
    return stored


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of the recipe; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="suprank quickstart", description=(__doc__ or "").partition("\n")[0]
    )
    add_options(parser, "runs/quickstart")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--resume", action="store_true", help="go on with the run in --output, if any"
    )
    what.add_argument("--overwrite", action="store_true", help="start over in --output")
    options, given = parse(parser, argv)
    if options.threads:
        torch.set_num_threads(options.threads)
    start = perf_counter()
    try:
        config = _config(options, given)
        metrics = run(config, options.output, cache_dir=options.cache_dir, resume=options.resume)
    except ValueError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        return _interrupted(options.output)
    _print_summary(metrics, options.output, perf_counter() - start)
    return 0


def _interrupted(output: Path) -> int:
    if (output / CHECKPOINT).exists():
        command = shlex.join(
            [
                sys.executable,
                "-m",
                "pml_suprank.recipes.commands.quickstart",
                "--output",
                str(output),
                "--resume",
            ]
        )
        print(f"\ninterrupted; {output / CHECKPOINT} holds the last whole epoch.", file=sys.stderr)
        print(f"To go on from there:\n  {command}", file=sys.stderr)
    else:
        print("\ninterrupted before training; nothing to resume yet.", file=sys.stderr)
    return 130


def _print_summary(metrics: dict[str, Any], output: Path, seconds: float) -> None:
    print(f"\n{'held-out':<22}{'before':>8}{'after':>8}")
    for row in table(metrics["before"], metrics["after"]):
        name = f"{row['metric']} {row['level']}".strip()
        print(f"{name:<22}{row['before']:>8.3f}{row['after']:>8.3f}")
    print(f"\n{seconds / 60:.1f} minutes; report: {output / 'report.html'}")


if __name__ == "__main__":
    sys.exit(main())

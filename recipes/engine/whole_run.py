"""A run from the first evaluation to the report: train, evaluate before and after, write the run folder."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from pml_suprank.recipes.command_line.errors import CommandError
from pml_suprank.recipes.data.pictures import BrokenImageError
from pml_suprank.recipes.devices import tell_device
from pml_suprank.recipes.engine.accelerator import make_accelerator
from pml_suprank.recipes.engine.checkpoints import BEST, LAST, holds_training
from pml_suprank.recipes.engine.checks import check_settings
from pml_suprank.recipes.engine.encoder import (
    build_model,
    build_without_weights,
    has_new_head,
    is_from_hub,
    load_best,
    model_transforms,
    read_settings,
)
from pml_suprank.recipes.engine.held_out import facts_of_sets
from pml_suprank.recipes.engine.hub import ask_hub
from pml_suprank.recipes.engine.objective import notes_of_memory
from pml_suprank.recipes.engine.parsing import ConfigError, parse_settings, to_yaml
from pml_suprank.recipes.engine.results import read_before, write_after, write_before
from pml_suprank.recipes.engine.run_lock import only_run
from pml_suprank.recipes.engine.run_paths import at_root, resolved, same_but_root, split_root
from pml_suprank.recipes.engine.run_state import first_difference
from pml_suprank.recipes.engine.sets import Sets, check_folder, load_sets
from pml_suprank.recipes.engine.settings import Settings
from pml_suprank.recipes.engine.trainer import Trainer
from pml_suprank.recipes.files import write_text
from pml_suprank.recipes.levels import notes_of_levels
from pml_suprank.recipes.pages.report_file import write_report
from pml_suprank.recipes.pages.run_page import metric_titles
from pml_suprank.recipes.seeding import seed_everything

__all__ = ["finetune", "run_command", "settings_of_run"]


def run_command(options: argparse.Namespace) -> None:
    """What a command line asks for: train, or only check the settings.

    Args:
        options: output, resume, overwrite, check, device, and ``words``, the settings.

    Raises:
        ConfigError, CheckpointError: as :func:`finetune`.
        CommandError: a broken image.
    """
    settings = settings_of_run(options, options.words)
    if options.check:
        check_settings(settings)
        print(to_yaml(settings), end="")
        return
    accelerator = make_accelerator(settings.training.precision, options.device)
    if accelerator.is_main_process:
        tell_device(accelerator.device, in_float64=True)
    try:
        metrics = finetune(settings, options.output, resume=options.resume, accelerator=accelerator)
    except BrokenImageError as error:
        raise CommandError(
            f"{error}\n--data.check_images true leaves broken images out", status=1
        ) from error
    if metrics:
        _print_summary(metrics, options.output)


def finetune(
    settings: Settings,
    output: Path,
    *,
    resume: bool = False,
    sets: Sets | None = None,
    model: Any = None,
    accelerator: Any = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Train, evaluate before and after, and write the run folder.

    Args:
        settings: of the run.
        output: run folder.
        resume: go on from the checkpoint in ``output`` if there is one.
        sets: the data; None loads what the settings say.
        model: the retrieval model; None builds what the settings say.
        accelerator: an ``accelerate.Accelerator``; None makes one, on the device there is.
        progress: whether to show progress bars.

    Returns:
        The content of ``metrics.json``.

    Raises:
        ConfigError: settings that are wrong or do not fit the data, before training.
        CheckpointError: a checkpoint that cannot be written, or is of another run.
    """
    settings = resolved(settings)  # the run is found again from any folder
    training = settings.training
    goes_on = resume and (output / LAST).exists()
    from_hub = model is None and not goes_on and is_from_hub(settings.model)
    if from_hub:
        ask_hub()
    accelerator = accelerator or make_accelerator(training.precision)
    check_settings(settings, accelerator.num_processes)
    if training.threads is not None:
        torch.set_num_threads(training.threads)
    torch.use_deterministic_algorithms(training.deterministic, warn_only=True)
    is_main = accelerator.is_main_process
    of_trunk = model is None and has_new_head(settings.model)
    if from_hub:  # before the images are looked at, which may take long
        if sets is None:
            check_folder(settings.data)
        seed_everything(training.seed)
        model = build_model(settings.model)
    sets = sets or load_sets(settings, progress=progress and is_main)
    if not from_hub:
        seed_everything(training.seed)
    if model is None:
        last = output / LAST
        model = (
            build_without_weights(settings.model, last) if goes_on else build_model(settings.model)
        )
    augment, transform = model_transforms(model, settings.model)
    test = sets.test.with_transform(transform)
    trainer = Trainer(
        settings,
        model,
        sets.train.with_transform(augment),
        test,
        None if sets.gallery is None else sets.gallery.with_transform(transform),
        folder=output,
        accelerator=accelerator,
        progress=progress,
    )
    with only_run(output, is_main):
        return _run(trainer, sets, output, resume, of_trunk)


def _run(
    trainer: Trainer, sets: Sets, output: Path, resume: bool, of_trunk: bool
) -> dict[str, Any]:
    """Train and write the run folder, which nobody else writes to; "before" is of the backbone where ``of_trunk``."""
    accelerator, is_main, settings = trainer.accelerator, trainer.is_main, trainer.settings
    trainer.check_room()
    if resume and (output / LAST).exists():
        trainer.load(output / LAST)
        if is_main:
            read_before(output)  # rather than after the training
            trainer.data.write(output)
            write_text(output / "config.yaml", to_yaml(settings))  # the images may have moved
            print(f"going on after epoch {trainer.epoch}, step {trainer.step}", flush=True)
    else:
        if is_main:
            for stale in (LAST, BEST, "history.csv", "evaluations.csv", "metrics.json"):
                (output / stale).unlink(missing_ok=True)
            write_text(output / "config.yaml", to_yaml(settings))
            trainer.data.write(output)
            print("\n".join([_about(sets), *_notes(sets, settings)]), flush=True)
        first = trainer.evaluate(of_trunk=of_trunk)
        if is_main:
            write_before(output, first, settings.training.seed, sets.gallery is not None)
        trainer.save()
    trainer.train()
    if not is_main:
        accelerator.wait_for_everyone()
        return {}
    load_best(trainer.model.model, output)
    metrics = write_after(
        output,
        trainer,
        trainer.best_found or trainer.measure(),
        trainer.test_set,
        notes=sets.notes,
        left_out=sets.left_out,
        broken=sets.broken,
    )
    write_report([output], output / "report.html")
    accelerator.wait_for_everyone()
    return metrics


def _about(sets: Sets) -> str:
    parts = [f"{len(sets.train):,} images of {sets.train.hierarchy.num_classes:,} classes to train"]
    parts.append(f"{len(sets.test):,} of {sets.test.hierarchy.num_classes:,} classes to test")
    if sets.gallery is not None:
        parts.append(f"{len(sets.gallery):,} in the gallery")
    if sets.broken:
        parts.append(f"{sets.broken:,} broken images left out")
    return ", ".join(parts)


def _notes(sets: Sets, settings: Settings) -> list[str]:
    levels = notes_of_levels(facts_of_sets(sets.test, sets.gallery))
    memory = notes_of_memory(settings)
    return [f"note: {note}" for note in (*sets.notes, *levels, *memory)]


def settings_of_run(options: argparse.Namespace, words: list[str]) -> Settings:
    """Settings of a new run, or of the run to resume.

    Raises:
        ConfigError: the folder holds a run and nothing says what to do with it, or other settings are given.
    """
    if options.overwrite or not (options.output / LAST).exists():
        return parse_settings(words)
    if not options.resume:
        if not holds_training(options.output / LAST):
            return parse_settings(words)
        raise ConfigError(
            f"--output: {options.output} holds a run; pass --resume to go on with it, --overwrite to start over, "
            "or another folder"
        )
    stored = read_settings(options.output)
    root, others = split_root(words)
    if not others:
        return at_root(stored, root)
    given = resolved(parse_settings(words))
    if not same_but_root(given, stored):
        pair = (asdict(at_root(settings, "/")) for settings in (stored, given))
        key, wanted, found = first_difference("", *pair)
        raise ConfigError(
            f"--resume: wanted no settings or those of {options.output / 'config.yaml'}, "
            f"got {key[1:]} {found} in place of {wanted}"
        )
    return given if given.data.root is not None else stored


def _print_summary(metrics: dict[str, Any], output: Path) -> None:
    """Print the metrics before and after."""
    before, after = metrics["before"], metrics["after"]
    titles = metric_titles(list(after), metrics["level_names"])
    width = max(7, *(len(title) for title, _ in titles.values())) + 1
    print(f"\n{'held-out':<{width}}{'':<20}{'before':>8}{'after':>8}")
    for name, (title, level) in titles.items():
        first = f"{before[name]:.3f}" if name in before else ""
        print(f"{title:<{width}}{level:<20}{first:>8}{after[name]:>8.3f}")
    for note in notes_of_levels(metrics["levels"]):
        print(note)
    print(
        f"\nbest epoch {metrics['best_epoch']} by {metrics['monitor']}; report: {output / 'report.html'}"
    )

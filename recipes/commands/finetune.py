"""Fine-tune a backbone for retrieval on anybody's images, evaluate it, write a run folder.

    suprank finetune --output runs/photos --data.root photos --model.name resnet50
    suprank finetune --output runs/sop --config sop-happier --data.root Stanford_Online_Products
    accelerate launch -m pml_suprank.recipes.commands.finetune --output runs/photos --config photos.yaml

Settings come from ``--config`` (a YAML file or the name of published settings) and from options such as
``--training.epochs 20``, later ones first; ``--help`` lists them. The run folder gets ``config.yaml``,
``checkpoint.pt`` (to go on from), ``best.pt`` (best weights), ``history.csv``, ``evaluations.csv``, ``tensorboard/``,
``embeddings.npz`` (of the held-out images), ``metrics.json`` and ``report.html``. A run that was cut off goes on with
``--resume`` and ends with the weights of an unbroken one.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from pml_suprank.hierarchy import HierarchyError
from pml_suprank.recipes.commands.report import write_report
from pml_suprank.recipes.data.images import BrokenImageError
from pml_suprank.recipes.devices import tell_device
from pml_suprank.recipes.engine.checkpoints import BEST, LAST, CheckpointError
from pml_suprank.recipes.engine.checks import check_settings
from pml_suprank.recipes.engine.encoder import (
    build_model,
    load_best,
    model_transforms,
    read_settings,
)
from pml_suprank.recipes.engine.evaluation import facts_of_sets
from pml_suprank.recipes.engine.parsing import ConfigError, parse_settings, to_yaml
from pml_suprank.recipes.engine.results import read_before, write_after, write_before
from pml_suprank.recipes.engine.run_lock import only_run
from pml_suprank.recipes.engine.run_paths import at_root, resolved, same_but_root, split_root
from pml_suprank.recipes.engine.sets import Sets, load_sets
from pml_suprank.recipes.engine.settings import Settings
from pml_suprank.recipes.engine.trainer import Trainer, make_accelerator
from pml_suprank.recipes.files import tolerant_output, write_text
from pml_suprank.recipes.levels import notes_of_levels
from pml_suprank.recipes.pages.run_page import metric_titles
from pml_suprank.recipes.seeding import seed_everything

__all__ = ["finetune", "main"]


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
    if training.threads is not None:
        torch.set_num_threads(training.threads)
    torch.use_deterministic_algorithms(training.deterministic, warn_only=True)
    accelerator = accelerator or make_accelerator(training.precision)
    check_settings(settings, accelerator.num_processes)
    is_main = accelerator.is_main_process
    sets = sets or load_sets(settings, progress=progress and is_main)
    seed_everything(training.seed)
    model = model or build_model(settings.model)
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
        return _run(trainer, sets, output, resume)


def _run(trainer: Trainer, sets: Sets, output: Path, resume: bool) -> dict[str, Any]:
    """Train and write the run folder, which nobody else writes to."""
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
            for stale in (LAST, BEST, "metrics.json"):
                (output / stale).unlink(missing_ok=True)
            write_text(output / "config.yaml", to_yaml(settings))
            trainer.data.write(output)
            print("\n".join([_about(sets), *_notes(sets)]), flush=True)
        first = trainer.evaluate()
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
        trainer.measure(),
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


def _notes(sets: Sets) -> list[str]:
    levels = notes_of_levels(facts_of_sets(sets.test, sets.gallery))
    return [f"note: {note}" for note in (*sets.notes, *levels)]


def _run_options(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options of the run folder, and the words that are settings."""
    parser = argparse.ArgumentParser(prog="suprank finetune", add_help=False, allow_abbrev=False)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--overwrite", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--device", default="auto")
    return parser.parse_known_args(argv)


def _settings(options: argparse.Namespace, words: list[str]) -> Settings:
    """Settings of a new run, or of the run to resume.

    Raises:
        ConfigError: the folder holds a run and nothing says what to do with it, or other settings are given.
    """
    if not (options.output / LAST).exists() or options.overwrite:
        return parse_settings(words)
    if not options.resume:
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
        raise ConfigError(
            f"--resume: wanted no settings or those of {options.output / 'config.yaml'}, got others"
        )
    return given if given.data.root is not None else stored


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of the recipe; returns the exit status."""
    tolerant_output()
    options, words = _run_options(sys.argv[1:] if argv is None else argv)
    if {"-h", "--help"} & set(words):
        print(__doc__)
        print(
            "options of the run:\n  --output FOLDER  --resume  --overwrite\n"
            "  --check          only check the settings\n"
            "  --device DEVICE  cpu, cuda, cuda:1, mps (what accelerate is set to, else the accelerator there is)\n"
        )
        parse_settings(["--help"])
    try:
        if options.output is None:
            raise ConfigError("--output: wanted the run folder, got nothing")
        settings = _settings(options, words)
        if options.check:
            check_settings(settings)
            print(to_yaml(settings), end="")
            return 0
        accelerator = make_accelerator(settings.training.precision, options.device)
        if accelerator.is_main_process:
            tell_device(accelerator.device, in_float64=True)
        metrics = finetune(settings, options.output, resume=options.resume, accelerator=accelerator)
    except (ConfigError, CheckpointError, HierarchyError, FileNotFoundError, ImportError) as error:
        print(f"suprank finetune: {error}", file=sys.stderr)
        return 2
    except BrokenImageError as error:
        print(
            f"suprank finetune: {error}\n--data.check_images true leaves broken images out",
            file=sys.stderr,
        )
        return 1
    except FloatingPointError as error:
        print(f"suprank finetune: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            f"\ninterrupted; go on with:\n  suprank finetune --output {options.output} --resume",
            file=sys.stderr,
        )
        return 130
    if metrics:
        _print_summary(metrics, options.output)
    return 0


def _print_summary(metrics: dict[str, Any], output: Path) -> None:
    before, after = metrics["before"], metrics["after"]
    print(f"\n{'held-out':<8}{'':<20}{'before':>8}{'after':>8}")
    for name, (title, level) in metric_titles(list(after), metrics["level_names"]).items():
        print(f"{title:<8}{level:<20}{before[name]:>8.3f}{after[name]:>8.3f}")
    for note in notes_of_levels(metrics["levels"]):
        print(note)
    print(
        f"\nbest epoch {metrics['best_epoch']} by {metrics['monitor']}; report: {output / 'report.html'}"
    )


if __name__ == "__main__":
    sys.exit(main())

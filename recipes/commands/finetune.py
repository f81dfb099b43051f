"""Fine-tune a backbone for retrieval on anybody's images, evaluate it, write a run folder.

    suprank finetune --output runs/photos --data.root photos --model.name resnet50
    suprank finetune --output runs/sop --config sop-happier --data.root Stanford_Online_Products
    accelerate launch -m pml_suprank.recipes.commands.finetune --output runs/photos --config photos.yaml

Settings come from ``--config`` (a YAML file or the name of published settings) and from options such as
``--training.epochs 20``, later ones first; ``--help`` lists them. The run folder gets ``config.yaml``,
``checkpoint.pt`` (to go on from), ``best.pt`` (best weights), ``history.csv``, ``evaluations.csv``, ``tensorboard/``,
``embeddings.npz`` (of the held-out images), ``metrics.json`` and ``report.html``. A run that was cut off goes on with
``--resume`` and ends with the weights of an unbroken one; Ctrl-C ends the step at work and keeps it.
"""

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from pml_suprank.recipes.command_line.command import Command
from pml_suprank.recipes.command_line.errors import CommandError
from pml_suprank.recipes.engine.parsing import ConfigError
from pml_suprank.recipes.engine.settings_help import print_help

__all__ = ["main"]


class _Parser(argparse.ArgumentParser):
    """Options of the run folder; all other words are settings."""

    def __init__(self, **arguments: Any):
        super().__init__(allow_abbrev=False, **arguments)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        options, options.words = self.parse_known_args(args, namespace)
        return options

    def print_help(self, file: Any = None) -> None:
        super().print_help(file)
        print()
        print_help(self.prog)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options beside the settings."""
    add = parser.add_argument
    add("--output", type=Path, metavar="FOLDER", help="run folder")
    add("--resume", action="store_true", help="go on with the run in --output, if any")
    add("--overwrite", action="store_true", help="start over in --output")
    add("--check", action="store_true", help="only check the settings")
    add(
        "--device",
        default="auto",
        help="cpu, cuda, cuda:1, mps (what accelerate is set to, else the accelerator there is)",
    )


def run(options: argparse.Namespace) -> None:
    """Train, or only check the settings."""
    from pml_suprank.recipes.data.images import BrokenImageError
    from pml_suprank.recipes.devices import tell_device
    from pml_suprank.recipes.engine.accelerator import make_accelerator
    from pml_suprank.recipes.engine.checks import check_settings
    from pml_suprank.recipes.engine.parsing import to_yaml
    from pml_suprank.recipes.engine.whole_run import finetune, print_summary, settings_of_run

    if options.output is None:
        raise ConfigError("--output: wanted the run folder, got nothing")
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
        print_summary(metrics, options.output)


def _interrupted(options: argparse.Namespace) -> str:
    if options.output is None or not (options.output / "checkpoint.pt").exists():
        return "interrupted; there is nothing to resume yet"
    again = shlex.join(["suprank", "finetune", "--output", str(options.output), "--resume"])
    return f"interrupted; checkpoint.pt holds what was trained. To go on from there:\n  {again}"


main = Command(
    "finetune",
    add_options,
    run,
    interrupted=_interrupted,
    parser_type=_Parser,
    description=__doc__ or "",
)

if __name__ == "__main__":
    sys.exit(main())

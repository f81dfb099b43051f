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
import sys
from pathlib import Path
from typing import Any

from pml_suprank.recipes.command_line.command import Command
from pml_suprank.recipes.command_line.runs import SettingsParser, told_interrupted
from pml_suprank.recipes.engine.parsing import ConfigError
from pml_suprank.recipes.engine.settings_help import print_help

__all__ = ["main"]


class _Parser(SettingsParser):
    """Its help lists all settings."""

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
    from pml_suprank.recipes.engine.whole_run import run_command

    if options.output is None:
        raise ConfigError("--output: wanted the run folder, got nothing")
    run_command(options)


main = Command(
    "finetune",
    add_options,
    run,
    interrupted=told_interrupted,
    parser_type=_Parser,
    description=__doc__ or "",
)

if __name__ == "__main__":
    sys.exit(main())

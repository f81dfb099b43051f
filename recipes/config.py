"""Settings of the quickstart, from the command line or from the run folder."""

import argparse
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pml_suprank.recipes.command_line.options import at_least, fraction, positive
from pml_suprank.recipes.data.emoji import LEVEL_NAMES
from pml_suprank.recipes.loss_choices import LOSSES

__all__ = [
    "GROUP_SIZES",
    "Config",
    "add_options",
    "at_least",
    "fraction",
    "given_settings",
    "parse",
    "positive",
]

GROUP_SIZES = (2, 2)
"""Drawings of an emoji in a batch, and emoji of a subgroup."""


@dataclass(frozen=True)
class Config:
    """Everything that decides the numbers of a run; the defaults are the quickstart's."""

    loss: str = "happier"
    level: str = "emoji"
    seed: int = 0
    epochs: int = 15
    batch_size: int = 128
    lr: float = 4e-4
    image_size: int = 64
    embedding_size: int = 256
    limit: int | None = None

    @property
    def level_index(self) -> int:
        """Label column of a loss on one level; 0 is the finest."""
        return LEVEL_NAMES.index(self.level)

    def check(self) -> None:
        """Raise a ValueError that names the first pair of options that do not go together."""
        choice = LOSSES[self.loss]
        if self.level != LEVEL_NAMES[0] and choice.levels != "any":
            takes_one = ", ".join(name for name, item in LOSSES.items() if item.levels == "any")
            raise ValueError(
                f"--level: wanted {LEVEL_NAMES[0]} with --loss {self.loss}, got {self.level}; "
                f"losses that take another level: {takes_one}"
            )
        group = math.prod(GROUP_SIZES)
        if self.batch_size % group:
            raise ValueError(
                f"--batch-size: wanted a multiple of {group} ({GROUP_SIZES[0]} drawings of an emoji, "
                f"{GROUP_SIZES[1]} emoji of a subgroup), got {self.batch_size}"
            )


def add_options(
    parser: argparse.ArgumentParser, default_output: str, without: Sequence[str] = ()
) -> None:
    """Add the options of :class:`Config`, except some, and of the run to a parser."""
    group = parser.add_argument_group("run")
    group.add_argument("--output", type=Path, default=Path(default_output), help="run folder")
    group.add_argument("--cache-dir", type=Path, help="folder of the drawn emoji (user's cache)")
    group.add_argument("--threads", type=at_least(1), help="CPU threads (torch's own choice)")

    options: dict[str, dict[str, Any]] = {
        "loss": {"choices": list(LOSSES), "help": "loss to train with"},
        "level": {"choices": LEVEL_NAMES, "help": "labels for a loss on one level"},
        "seed": {"type": at_least(0), "help": "of the split, the weights and the batches"},
        "epochs": {"type": at_least(0), "help": "passes over the training half"},
        "batch_size": {"type": at_least(4), "help": "images in a batch, two for each emoji"},
        "lr": {"type": positive, "help": "highest learning rate of the trunk"},
        "image_size": {"type": at_least(32), "help": "side of the input in pixels"},
        "embedding_size": {"type": at_least(1), "help": "dimensions of the embedding"},
        "limit": {"type": at_least(8), "help": "use only so many emoji (all)"},
    }
    defaults = asdict(Config())
    group = parser.add_argument_group("experiment")
    for name, option in options.items():
        if name in without:
            continue
        if defaults[name] is not None:
            option["help"] += f" ({defaults[name]})"
        # SUPPRESS tells the options that were given from those that were not.
        group.add_argument(f"--{name.replace('_', '-')}", default=argparse.SUPPRESS, **option)


def parse(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None
) -> tuple[argparse.Namespace, dict[str, Any]]:
    """Parse a command line.

    Returns:
        The options, and those of :class:`Config` that were given, by field name.
    """
    options = parser.parse_args(argv)
    return options, given_settings(options)


def given_settings(options: argparse.Namespace) -> dict[str, Any]:
    """The options of :class:`Config` that were given, by field name."""
    names = {field.name for field in fields(Config)}
    return {name: value for name, value in vars(options).items() if name in names}

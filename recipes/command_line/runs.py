"""What the commands that train have in common; nothing heavy is loaded for it."""

import argparse
import shlex
from typing import Any

from pml_suprank.recipes.command_line.command import Parser

__all__ = ["SettingsParser", "told_interrupted"]

_LAST = "checkpoint.pt"


class SettingsParser(Parser):
    """Takes the words that are no options for settings of a run: they become ``words``."""

    def __init__(self, **arguments: Any):
        super().__init__(allow_abbrev=False, **arguments)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """The options, with ``words``."""
        options, options.words = self.parse_known_args(args, namespace)
        return options


def told_interrupted(options: argparse.Namespace) -> str:
    """What is said after Ctrl-C."""
    if options.output is None or not (options.output / _LAST).exists():
        return "interrupted; there is nothing to resume yet"
    again = shlex.join(["suprank", "finetune", "--output", str(options.output), "--resume"])
    return f"interrupted; {_LAST} holds what was trained. To go on from there:\n  {again}"

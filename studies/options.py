"""Options that several studies share."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pml_suprank.recipes.command_line.options import at_least, fraction, positive
from studies.emoji_runs import Budget

__all__ = ["add_budget", "at_least", "budget_of", "fraction", "positive"]

_BUDGET: dict[str, dict[str, Any]] = {
    "epochs": {"type": at_least(1), "help": "passes over the training half"},
    "batch_size": {"type": at_least(4), "help": "images in a batch, two for each emoji"},
    "lr": {"type": positive, "help": "highest learning rate of the trunk"},
    "image_size": {"type": at_least(32), "help": "side of the input in pixels"},
    "embedding_size": {"type": at_least(1), "help": "dimensions of the embedding"},
    "limit": {"type": at_least(8), "help": "use only so many emoji (all)"},
    "threads": {"type": at_least(1), "help": "CPU threads (torch's own choice)"},
    "cache_dir": {"type": Path, "help": "folder of the drawn emoji (user's cache)"},
}


def add_budget(add: Callable[..., argparse.Action], *without: str) -> None:
    """Add the fields of :class:`Budget`, except some, to a parser by its ``add_argument``."""
    for name, option in _BUDGET.items():
        if name not in without:
            default = getattr(Budget(), name)
            text = option["help"] if default is None else f"{option['help']} ({default})"
            add(f"--{name.replace('_', '-')}", **option | {"help": text, "default": default})


def budget_of(options: argparse.Namespace, **other: Any) -> Budget:
    """The budget that the options say; what they leave out keeps its default."""
    given = {name: value for name, value in vars(options).items() if name in _BUDGET}
    return Budget(**given | other)

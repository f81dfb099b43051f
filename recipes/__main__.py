"""The ``suprank`` command: ``suprank embed [options]`` runs ``pml_suprank.recipes.commands.embed``."""

import difflib
import importlib
import importlib.metadata
import sys
from collections.abc import Sequence

from pml_suprank.recipes.command_line.command import split_debug, tolerant_output
from pml_suprank.recipes.command_line.table import COMMANDS, GROUPS, RENAMED

__all__ = ["RECIPES", "main"]

RECIPES = COMMANDS
"""Names of the commands, each with a line about it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status.

    Raises:
        SystemExit: the help of a command, or options that it refuses.
    """
    tolerant_output()
    words = list(sys.argv[1:] if argv is None else argv)
    first = next(iter(split_debug(words)[0]), None)
    if first in ("-h", "--help", None):
        print(_usage(), file=sys.stderr if first is None else sys.stdout)
        return 2 if first is None else 0
    if first in ("-V", "--version"):
        print(f"suprank {importlib.metadata.version('pml-suprank')}")
        return 0
    words.remove(first)
    if first in RENAMED:
        now = " ".join(RENAMED[first])
        print(
            f"suprank: {first} is called {now} now, and goes with the next release", file=sys.stderr
        )
        first, *more = RENAMED[first]
        words = [*more, *words]
    if first not in COMMANDS:
        print(f"suprank: {_unknown(first)}", file=sys.stderr)
        return 2
    module = importlib.import_module(f"pml_suprank.recipes.commands.{first.replace('-', '_')}")
    return module.main(words)


def _usage() -> str:
    lines = ["usage: suprank <command> [options]"]
    for title, group in GROUPS.items():
        lines += ["", f"{title}:", *(f"  {name:<17} {text}" for name, text in group.items())]
    lines += ["", "suprank <command> --help lists its options; suprank --version"]
    return "\n".join(lines)


def _unknown(name: str) -> str:
    wanted = f"wanted one of {', '.join(COMMANDS)}, got {name!r}"
    near = difflib.get_close_matches(name.lower().replace("_", "-"), COMMANDS, 1, 0.5)
    return f"{wanted}; did you mean {near[0]}?" if near else wanted


if __name__ == "__main__":
    sys.exit(main())

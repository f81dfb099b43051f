"""A command: its options, what it does, and how it ends."""

import argparse
import contextlib
import io
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from pml_suprank.integrations.whole_files import remove_unfinished
from pml_suprank.recipes.command_line.errors import explain
from pml_suprank.recipes.command_line.table import COMMANDS

__all__ = ["Command", "Parser", "split_debug", "tolerant_output"]

_DEBUG = "--debug"
_EPILOG = "--debug, or SUPRANK_DEBUG=1, shows where an error comes from."


class Parser(argparse.ArgumentParser):
    """Says what is wrong in a line; ``--help`` has the options."""

    def error(self, message: str) -> NoReturn:
        """End with a line on stderr and exit status 2."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


@dataclass(frozen=True)
class Command:
    """A command line: called with words, it returns the exit status.

    Args:
        name: of the command, a key of :data:`COMMANDS`.
        add_options: adds the options to a parser.
        run: does it, and returns the exit status if that is not 0. What it needs it imports itself: a module of a
            command loads no large library before.
        interrupted: what is said after Ctrl-C, from the options; a plain text where that is always the same.
        parser_type: of the command line.
        description: of the help; its line in the table where there is none.
        epilog: of the help.
        writes: names of the options that are files or folders which the command writes.
        extra: of the distribution, which brings the libraries of the command.
    """

    name: str
    add_options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int | None]
    interrupted: Callable[[argparse.Namespace], str] | str = "interrupted"
    parser_type: type[Parser] = Parser
    description: str = ""
    epilog: str = ""
    writes: Sequence[str] = ("output",)
    extra: str = "recipes"

    def parser(self) -> argparse.ArgumentParser:
        """The parser of the command line."""
        parser = self.parser_type(
            prog=f"suprank {self.name}",
            description=self.description or COMMANDS[self.name],
            epilog=f"{self.epilog}\n\n{_EPILOG}".strip(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.add_options(parser)
        return parser

    def __call__(self, argv: Sequence[str] | None = None) -> int:
        """Run a command line.

        Args:
            argv: its words; those of the process by default. ``--debug`` may stand anywhere.

        Returns:
            0; 2 where another command line helps, 1 where the machine or the data have to change, 130 after Ctrl-C.

        Raises:
            SystemExit: ``--help``, or options that the parser refuses.
        """
        tolerant_output()
        words, is_debug = split_debug(sys.argv[1:] if argv is None else argv)
        options = argparse.Namespace()
        try:
            options = self.parser().parse_args(words)
            self._clean(options)
            with contextlib.nullcontext() if is_debug else self._warnings_in_a_line():
                status = self.run(options) or 0
            sys.stdout.flush()
            return status
        except KeyboardInterrupt:
            if is_debug:
                raise
            said = self.interrupted
            print(f"\n{said if isinstance(said, str) else said(options)}", file=sys.stderr)
            return 128 + signal.SIGINT
        except BrokenPipeError:
            if is_debug:
                raise
            _drop_output()
            return 128 + 13  # as a program that SIGPIPE ends
        except Exception as error:
            told = explain(error, getattr(options, "device", None), self.extra)
            if is_debug or told is None:
                raise
            print(f"suprank {self.name}: {told.text}", file=sys.stderr)
            with contextlib.suppress(OSError):
                sys.stdout.flush()
                return told.status
            _drop_output()
            return told.status

    @contextlib.contextmanager
    def _warnings_in_a_line(self) -> Iterator[None]:
        """Warnings say what they say, not where in the code."""
        usual = warnings.formatwarning
        warnings.formatwarning = lambda message, *_, **__: (
            f"suprank {self.name}: warning: {message}\n"
        )
        try:
            yield
        finally:
            warnings.formatwarning = usual

    def _clean(self, options: argparse.Namespace) -> None:
        """Remove what a killed command has left half written in the same place."""
        for name in self.writes:
            path = getattr(options, name, None)
            if path is not None:
                remove_unfinished(Path(path))


def split_debug(argv: Sequence[str]) -> tuple[list[str], bool]:
    """The words without ``--debug``, and whether that or ``SUPRANK_DEBUG`` asks for tracebacks."""
    words = [word for word in argv if word != _DEBUG]
    asked = os.environ.get("SUPRANK_DEBUG", "") not in ("", "0")
    return words, asked or len(words) < len(argv)


def tolerant_output() -> None:
    """Print names of files that the terminal has no characters for with escapes, in place of an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """Nobody reads, or the disk is full: what is still to be printed goes nowhere, and says nothing at the end."""
    with contextlib.suppress(OSError, ValueError, io.UnsupportedOperation):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)

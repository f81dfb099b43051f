"""Options that several commands have, and what they take."""

import argparse
import math
from collections.abc import Callable
from typing import Any

from pml_suprank.integrations.plain_files import PlainDataError, json_data

__all__ = ["add_device", "at_least", "fraction", "mapping", "positive"]


def at_least(lowest: int) -> Any:
    """An argparse type: an integer that is not below ``lowest``."""

    def integer(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = lowest - 1
        if value < lowest:
            raise argparse.ArgumentTypeError(f"wanted an integer >= {lowest}, got {text!r}")
        return value

    return integer


def positive(text: str) -> float:
    """An argparse type: a positive finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"wanted a positive finite number, got {text!r}")
    return value


def fraction(text: str) -> float:
    """An argparse type: a number between 0 and 1, both excluded."""
    value = positive(text)
    if value >= 1:
        raise argparse.ArgumentTypeError(f"wanted a number in (0, 1), got {text!r}")
    return value


def mapping(text: str) -> dict[str, Any]:
    """An argparse type: a mapping in JSON."""
    try:
        content = json_data(text)
    except PlainDataError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if not isinstance(content, dict):
        raise argparse.ArgumentTypeError(f"wanted a mapping in JSON, got {text!r:.80}")
    return content


def add_device(add: Callable[..., argparse.Action]) -> None:
    """Add ``--device`` to a parser; the option is a ``torch.device`` that is there.

    Args:
        add: the parser's ``add_argument``.
    """
    add(
        "--device",
        type=_device,
        default="auto",
        help="where to compute: cpu, cuda, cuda:1, mps (the accelerator there is)",
    )


def _device(text: str) -> Any:
    """An argparse type; torch is loaded when a command line is read to its end, not for its help."""
    from pml_suprank.recipes.devices import choose_device

    try:
        return choose_device(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("device: ")) from error

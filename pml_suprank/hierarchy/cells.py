"""Cells of CSV files that people open in a spreadsheet, which takes some texts for formulas and runs them."""

import re

__all__ = ["PATTERN", "guarded", "read_cell", "unguarded"]

_FORMULA = re.compile(r"[\s']*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
PATTERN = r"^'([\s']*[=+\-@\t\r])"
"""A guarded cell; the group is how the text begins."""
_GUARDED = re.compile(PATTERN)


def guarded(text: str) -> str:
    """A text for a cell: an apostrophe before what a spreadsheet would take for a formula. Numbers stay as they are.

    Example:
        >>> [guarded(text) for text in ("=1+1", "-0.5", "oak", "'=a'")]
        ["'=1+1", '-0.5', 'oak', "''=a'"]
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def unguarded(cell: str) -> str:
    """The text that :func:`guarded` made a cell of.

    Example:
        >>> [unguarded(cell) for cell in ("'=1+1", "-0.5", "oak", "''=a'")]
        ['=1+1', '-0.5', 'oak', "'=a'"]
    """
    return _GUARDED.sub(r"\1", cell)


def read_cell(cell: str) -> str:
    """The text of a cell without spaces around it; those that a guard stands before are kept."""
    return unguarded(cell.lstrip()).rstrip()

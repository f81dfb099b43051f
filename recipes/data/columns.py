"""Some columns of a large CSV file, in seconds and in the memory that they take."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pml_suprank.hierarchy.cells import PATTERN
from pml_suprank.hierarchy.regular_files import regular
from pml_suprank.integrations import require

__all__ = ["fixed_width", "read_columns", "split_words"]

_BLOCK = 1 << 24
"""Bytes parsed at a time; a row has to fit."""


def read_columns(path: Path, types: Mapping[str, str]) -> dict[str, Any]:
    """Columns of a CSV file whose first line names them, as Arrow arrays.

    Args:
        path: UTF-8, with or without a byte order mark.
        types: column to "string" or "int64".

    Returns:
        Column to ``pyarrow`` array; texts without spaces and guards (:mod:`pml_suprank.hierarchy.cells`) around them.

    Raises:
        ValueError: a column is missing, a row has another length, or a cell is no integer; names the file.
        ImportError: pyarrow is missing.
    """
    arrow_csv: Any = require("pyarrow.csv", extra="recipes")
    arrow: Any = require("pyarrow", extra="recipes")
    compute: Any = require("pyarrow.compute", extra="recipes")
    try:
        with regular(path).open(newline="", encoding="utf-8-sig") as file:
            header = [cell.strip() for cell in next(csv.reader(file), [])]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: wanted UTF-8 text, got {error}") from None
    twice = sorted({name for name in types if header.count(name) > 1})
    if twice:
        raise ValueError(f"{path}: wanted each column once, got {twice} twice")
    lacking = [name for name in types if name not in header]
    if lacking:
        raise ValueError(f"{path}: wanted the columns {lacking}, got {header}")
    try:
        table = arrow_csv.read_csv(
            path,
            arrow_csv.ReadOptions(column_names=header, skip_rows=1, block_size=_BLOCK),
            arrow_csv.ParseOptions(newlines_in_values=False),
            arrow_csv.ConvertOptions(
                include_columns=list(types),
                column_types={name: getattr(arrow, kind)() for name, kind in types.items()},
                strings_can_be_null=False,
                null_values=[],
            ),
        )
    except arrow.ArrowInvalid as error:
        raise ValueError(f"{path}: wanted {dict(types)}, got {error}") from None
    found = {}
    for name, kind in types.items():
        column = table.column(name).combine_chunks()
        if kind == "string":
            cells = compute.utf8_ltrim_whitespace(column)
            texts = compute.replace_substring_regex(cells, PATTERN, r"\1")
            column = compute.utf8_rtrim_whitespace(texts)
        found[name] = column
    return found


def fixed_width(texts: Any, path: Path, shortest: int = 1) -> np.ndarray:
    """Texts as an array of bytes of one width.

    Args:
        texts: Arrow array of strings.
        path: the file they come from, for the message.
        shortest: characters that each needs.

    Returns:
        [N] of dtype "S" and the length of the longest.

    Raises:
        ValueError: a shorter text, or one that is not ASCII; names the row.
    """
    arrow: Any = require("pyarrow", extra="recipes")
    compute: Any = require("pyarrow.compute", extra="recipes")
    if not len(texts):
        return np.zeros(0, dtype="S1")
    lengths = compute.binary_length(texts).to_numpy(zero_copy_only=False)
    wrong = lengths < shortest
    if not compute.all(compute.string_is_ascii(texts)).as_py():
        wrong |= ~compute.string_is_ascii(texts).to_numpy(zero_copy_only=False)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"{path}: wanted ids of {shortest} ASCII characters at least, got {texts[row].as_py()!r} in row {row + 1}"
        )
    width = int(lengths.max())
    if lengths.min() < width:
        texts = compute.ascii_rpad(texts, width, padding="\0")
    binary = texts.cast(arrow.binary())
    _, offsets, content = binary.buffers()  # pyarrow 14 has no cast to a fixed width
    start = int(np.frombuffer(offsets, dtype=np.int32)[binary.offset])
    raw = np.frombuffer(content, dtype=f"S{width}", count=len(binary), offset=start)
    return raw.copy()


def split_words(texts: Any) -> tuple[Any, np.ndarray]:
    """The words of texts, one after the other, and how many each text has.

    Args:
        texts: Arrow array of strings, words separated by white space.
    """
    compute: Any = require("pyarrow.compute", extra="recipes")
    words = compute.ascii_split_whitespace(texts)
    flat = words.flatten()
    counts = compute.list_value_length(words).to_numpy(zero_copy_only=False)
    filled = compute.binary_length(flat).to_numpy(zero_copy_only=False) > 0
    if not filled.all():  # an empty text has one empty word
        owner = np.repeat(np.arange(len(counts)), counts)
        counts = np.bincount(owner[filled], minlength=len(counts))
        flat = flat.filter(compute.not_equal(compute.binary_length(flat), 0))
    return flat, counts.astype(np.int64)

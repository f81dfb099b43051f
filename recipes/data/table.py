"""Anybody's images in a table: one row per image, its path and one column per level."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pml_suprank.integrations import require
from pml_suprank.recipes.data.assembly import assemble
from pml_suprank.recipes.data.images import ImageDataset
from pml_suprank.recipes.data.layout import PathLike, need, read_table

__all__ = ["load_table"]


def load_table(
    root: PathLike,
    split: str | None = None,
    *,
    table: str = "images.csv",
    levels: Sequence[str],
    path_column: str = "path",
    split_column: str = "split",
    caption_column: str | None = None,
    delimiter: str = ",",
    **items: Any,
) -> ImageDataset:
    """Images listed in a CSV or Parquet file.

    Args:
        root: folder that the paths in the table are relative to (absolute paths stay).
        split: keep the rows with this value in ``split_column``; None keeps all.
        table: the file, below ``root`` or absolute; ".parquet" and ".pq" are read by pandas.
        levels: the columns with the classes, finest first. Empty cells (in Parquet: nulls) at
            the finest levels make a short branch. Whole numbers and text are both names.
        path_column: the column of the image files.
        split_column: the column of the splits; read only if ``split`` is given.
        caption_column: the column of texts that say what the images show; None for none.
        delimiter: between the cells of a CSV file.
        **items: arguments of :class:`ImageDataset`, such as ``transform``.

    Returns:
        Images in the order of the rows; classes are numbered by first appearance in the split.

    Raises:
        FileNotFoundError: no table, or the first image is missing.
        ValueError: no levels, a missing column, no row of the split, an empty cell above a
            filled one, or a number that is not whole.
        ImportError: Parquet without pandas and pyarrow.
    """
    if not levels:
        raise ValueError("levels: wanted at least one column, got none")
    file = need(root, table)
    columns = [path_column, *levels, *([caption_column] if caption_column else [])]
    columns += [split_column] if split is not None else []
    rows: Iterable[tuple[str, ...]]
    if file.suffix.lower() in (".parquet", ".pq"):
        rows = _read_parquet(file, columns)
    else:
        rows = read_table(file, columns, delimiter)
    paths: list[Path] = []
    chains: list[tuple[str, ...]] = []
    captions: list[str] = []
    for number, row in enumerate(rows, 1):
        if split is not None and row[-1] != split:
            continue
        names = list(row[1 : 1 + len(levels)])
        while names and not names[0]:
            names = names[1:]
        if not names or "" in names or not row[0]:
            raise ValueError(
                f"{file}, row {number}: wanted a path and empty cells at the finest levels only, "
                f"got {row}"
            )
        paths.append(Path(root) / row[0])
        chains.append(tuple(reversed(names)))
        if caption_column:
            captions.append(row[1 + len(levels)])
    if caption_column:
        items["captions"] = captions
    depth = max(map(len, chains), default=0)
    return assemble(paths, chains, list(levels)[len(levels) - depth :], file, items)


def _read_parquet(file: Path, columns: Sequence[str]) -> Iterable[tuple[str, ...]]:
    pandas = require("pandas", extra="recipes")
    require("pyarrow", extra="recipes")
    frame = pandas.read_parquet(file, engine="pyarrow")
    lacking = [column for column in columns if column not in frame.columns]
    if lacking:
        raise ValueError(f"{file}: wanted the columns {lacking}, got {list(frame.columns)}")
    cells = [[_text(value, column, file) for value in frame[column]] for column in columns]
    return zip(*cells, strict=True)


def _text(value: Any, column: str, file: Path) -> str:
    """A cell as a CSV file would hold it; a column of ids with nulls comes as floats."""
    if value is None or value != value:
        return ""
    if isinstance(value, float):
        if not value.is_integer():
            raise ValueError(f"{file}: wanted text or whole numbers in {column!r}, got {value}")
        return str(int(value))
    return str(value).strip()

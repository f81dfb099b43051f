"""Anybody's images in a table: one row per image, its path and one column per level."""

import difflib
import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pml_suprank.hierarchy.chains import path_names
from pml_suprank.hierarchy.files import chain_of_cells, check_order
from pml_suprank.hierarchy.folders import LINKS
from pml_suprank.integrations import require
from pml_suprank.recipes.data.assembly import assemble
from pml_suprank.recipes.data.duplicates import check_policy
from pml_suprank.recipes.data.file_check import missing_files
from pml_suprank.recipes.data.images import ImageDataset
from pml_suprank.recipes.data.layout import PathLike, need, read_rows
from pml_suprank.recipes.data.named_classes import find_places
from pml_suprank.recipes.data.paths import outside

__all__ = ["load_table"]

_log = logging.getLogger(__name__)


def load_table(
    root: PathLike,
    split: str | None = None,
    *,
    table: str = "images.csv",
    levels: Sequence[str],
    hierarchy: PathLike | None = None,
    path_column: str = "path",
    split_column: str = "split",
    caption_column: str | None = None,
    delimiter: str | None = None,
    encoding: str | None = None,
    repeated_names: bool = False,
    links: str = "inside",
    duplicates: str = "warn",
    progress: bool = False,
    **items: Any,
) -> ImageDataset:
    """Images listed in a text file (CSV and its relatives) or a Parquet file.

    Args:
        root: folder that the paths in the table are relative to (absolute paths stay, see ``links``). Backslashes
            separate folders where there is no file with such a name.
        split: keep the rows with this value in ``split_column``; None keeps all.
        table: the file, below ``root`` or absolute; ".parquet" and ".pq" are read by pandas.
        levels: the columns with the classes, finest first. Empty cells (in Parquet: nulls) at
            the finest levels make a short branch. Whole numbers and text are both names.
        hierarchy: CSV file with the groups of the classes, as ``suprank build-hierarchy`` writes it. Then ``levels`` is
            the one column of the class names (or ids), and the level names are those of the file.
        path_column: the column of the image files.
        split_column: the column of the splits; read only if ``split`` is given.
        caption_column: the column of texts that say what the images show; None for none.
        delimiter: between the cells; None recognises commas, tabs, semicolons and bars.
        encoding: of the file; None recognises UTF-8, UTF-16 and UTF-32, and reads what is none of them as
            Windows-1252 or Latin-1, with a warning in the log.
        repeated_names: whether a level may have fewer names than the one above it ("left" and "right" of every
            hand); else that is taken for levels in reversed order.
        links: "inside" refuses images that do not lie below ``root``, because of an absolute path, ``..`` or a link;
            "follow" takes them.
        duplicates: a file that is listed twice is an error, except that "drop" takes the first of equal rows, and
            none where their classes differ. The recipes do the same ("warn" counts them) for files of equal content.
        progress: show a progress bar.
        **items: arguments of :class:`ImageDataset`, such as ``transform``.

    Returns:
        Images in the order of the rows; classes are numbered by first appearance in the split.

    Raises:
        FileNotFoundError: no table, or images are missing; names the rows.
        HierarchyError: a class that ``hierarchy`` does not have.
        ValueError: no levels, several with ``hierarchy``, images outside of ``root``, a missing column, no row of the
            split, a row of another length, an empty cell above a filled one, levels in reversed order, a file that is
            listed twice, or a number that is not whole; names file and row.
        ImportError: Parquet without pandas and pyarrow.
    """
    if not levels:
        raise ValueError("levels: wanted at least one column, got none")
    if isinstance(levels, str):
        raise ValueError(f"levels: wanted a list of columns, finest first, got {levels!r}")
    if len(set(levels)) < len(levels):
        raise ValueError(f"levels: wanted different columns, got {list(levels)}")
    if links not in LINKS:
        raise ValueError(f"links: wanted one of {', '.join(map(repr, LINKS))}, got {links!r}")
    if hierarchy is not None and len(levels) > 1:
        raise ValueError(
            f"levels: wanted one column with hierarchy, that of the class names, got {list(levels)}"
        )
    check_policy(duplicates)
    file = need(root, table)
    columns = [path_column, *levels, *([caption_column] if caption_column else [])]
    columns += [split_column] if split is not None else []
    numbered: Iterable[tuple[int, tuple[str, ...]]]
    if file.suffix.lower() in (".parquet", ".pq"):
        kind, numbered = "row", enumerate(_read_parquet(file, columns), 1)
    else:
        kind, numbered = "line", read_rows(file, columns, delimiter, encoding)
    splits: dict[str, None] = {}
    rows: list[_Row] = []
    for number, cells in numbered:
        if split is not None:
            splits[cells[-1]] = None
            if cells[-1] != split:
                continue
        where = f"{file}, {kind} {number}"
        if not cells[0]:
            raise ValueError(f"{where}: wanted a path in {path_column!r}, got an empty cell")
        chain = chain_of_cells(cells[1 : 1 + len(levels)], where)
        caption = cells[1 + len(levels)] if caption_column else ""
        rows.append(_Row(_file(root, cells[0]), chain, caption, f"{kind} {number}"))
    if not rows and splits:
        raise ValueError(
            f"{file}: wanted at least one image of the split, got none of {split!r} in {split_column!r}, which has "
            f"{', '.join(map(repr, list(splits)[:5]))}"
        )
    if hierarchy is not None:
        labels = [row.chain[-1] for row in rows]
        places = find_places(hierarchy, labels, all_classes=split is None)
        rows = [row._replace(chain=places.chains[row.chain[-1]]) for row in rows]
        levels = places.level_names
    elif not repeated_names:
        check_order(
            list(dict.fromkeys(row.chain for row in rows)),
            list(levels),
            str(file),
            f"levels={list(reversed(levels))} is the other order; repeated_names=True takes this one",
        )
    rows = _listed_once(rows, file, duplicates)
    if links == "inside":
        _check_inside(root, rows, file)
    missing = missing_files([row.path for row in rows], progress=progress)
    if missing:
        first = ", ".join(f"{str(rows[i].path)!r} ({rows[i].where})" for i in missing[:3])
        raise FileNotFoundError(
            f"{file}: wanted the images that it lists, got no file for {len(missing):,} of {len(rows):,}: {first}"
        )
    if caption_column:
        items["captions"] = [row.caption for row in rows]
    depth = max((len(row.chain) for row in rows), default=0)
    names = list(levels)[len(levels) - depth :]
    return assemble([row.path for row in rows], [row.chain for row in rows], names, file, items)


def _file(root: PathLike, cell: str) -> Path:
    """An image of a table; one that was written on Windows separates folders by backslashes."""
    path = Path(root) / cell
    return Path(root) / cell.replace("\\", "/") if "\\" in cell and not path.exists() else path


def _check_inside(root: PathLike, rows: list["_Row"], file: Path) -> None:
    """Refuse images outside of the root: a table of others could show any picture of the machine on a page."""
    found = outside(root, [row.path for row in rows])
    if found:
        first = ", ".join(f"{str(rows[i].path)!r} ({rows[i].where})" for i in found[:3])
        raise ValueError(
            f"{file}: wanted images below {os.fspath(root)!r}, got {len(found):,} of {len(rows):,} elsewhere: {first}; "
            "links='follow' takes them"
        )


class _Row(NamedTuple):
    path: Path
    chain: tuple[str, ...]
    caption: str
    where: str


def _listed_once(rows: list[_Row], file: Path, duplicates: str) -> list[_Row]:
    """The rows without files that are listed twice.

    Raises:
        ValueError: there are some, and they are not to be dropped.
    """
    groups: dict[str, list[_Row]] = {}
    for row in rows:
        groups.setdefault(os.path.normpath(row.path), []).append(row)
    twice = [group for group in groups.values() if len(group) > 1]
    torn = [group for group in twice if len({row.chain for row in group}) > 1]
    if twice and duplicates != "drop":
        group = (torn or twice)[0]
        classes = dict.fromkeys(path_names(row.chain for row in group))
        raise ValueError(
            f"{file}: wanted each image once, got {len(twice):,} twice, {len(torn):,} of them in two classes, such as "
            f"{str(group[0].path)!r} in {' and '.join(row.where for row in group[:2])} "
            f"({', '.join(map(repr, classes))}); duplicates='drop' takes the first of equal rows and none of the others"
        )
    left_out = {id(row) for group in twice for row in group[1:]}
    left_out |= {id(row) for group in torn for row in group}
    if left_out:
        _log.warning(
            "%s: %d rows left out, of %d images that are listed twice, %d of them in two classes",
            *(file, len(left_out), len(twice), len(torn)),
        )
    return [row for row in rows if id(row) not in left_out]


def _read_parquet(file: Path, columns: Sequence[str]) -> Iterable[tuple[str, ...]]:
    pandas = require("pandas", extra="recipes")
    require("pyarrow", extra="recipes")
    try:
        frame = pandas.read_parquet(file, engine="pyarrow")
    except (OSError, ValueError) as error:  # pyarrow's errors are both
        raise ValueError(f"{file}: wanted a Parquet file, got {error}") from None
    lacking = [column for column in columns if column not in frame.columns]
    if lacking:
        near = difflib.get_close_matches(lacking[0], list(map(str, frame.columns)), 1)
        hint = f"; nearest to {lacking[0]!r}: {near[0]!r}" if near else ""
        raise ValueError(f"{file}: wanted the columns {lacking}, got {list(frame.columns)}{hint}")
    cells = [
        [_text(value, column, f"{file}, row {row}") for row, value in enumerate(frame[column], 1)]
        for column in columns
    ]
    return zip(*cells, strict=True)


def _text(value: Any, column: str, where: str) -> str:
    """A cell as a CSV file would hold it; a column of ids with nulls comes as floats."""
    if value is None or value != value:
        return ""
    if isinstance(value, float):
        if not value.is_integer():
            raise ValueError(f"{where}: wanted text or whole numbers in {column!r}, got {value}")
        return str(int(value))
    return str(value).strip()

"""Trees that lie on disk as tables."""

from __future__ import annotations

import csv
import os

from pml_suprank.hierarchy.builders import Chains
from pml_suprank.hierarchy.labels import HierarchyError


def chains_from_csv(
    path: str | os.PathLike[str],
    delimiter: str,
    finest_first: bool,
    class_id_column: str | None,
    encoding: str,
) -> Chains:
    """Chains of a table with one column per level."""
    with open(path, newline="", encoding=encoding) as file:
        reader = csv.reader(file, delimiter=delimiter)
        header = [cell.strip() for cell in next(reader, [])]
        if not header or "" in header or len(set(header)) != len(header):
            raise HierarchyError(
                f"path: wanted a first line with one name per level, all different, got {header}"
            )
        if class_id_column is not None and class_id_column not in header:
            raise HierarchyError(
                f"class_id_column: wanted one of {header}, got {class_id_column!r}"
            )
        level_names = [name for name in header if name != class_id_column]
        if not level_names:
            raise HierarchyError("path: wanted at least one level column, got none")
        id_of: dict[tuple[str, ...], int] = {}
        chain_of: dict[int, tuple[str, ...]] = {}
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            where = f"path, line {reader.line_num}"
            if len(row) != len(header):
                raise HierarchyError(f"{where}: wanted {len(header)} cells, got {len(row)}")
            cells = {name: cell.strip() for name, cell in zip(header, row, strict=True)}
            chain = _chain([cells[name] for name in level_names], finest_first, where)
            if class_id_column is None:
                id_of.setdefault(chain, len(id_of))
                continue
            class_id = _class_id(cells[class_id_column], class_id_column, where)
            if id_of.setdefault(chain, class_id) != class_id:
                raise HierarchyError(
                    f"{where}: wanted one id per class, got {class_id} for "
                    f"{'/'.join(chain)!r}, which has {id_of[chain]}"
                )
            if chain_of.setdefault(class_id, chain) != chain:
                raise HierarchyError(
                    f"{where}: wanted one place in the tree per class id, got class {class_id} "
                    f"under {'/'.join(chain)!r} and {'/'.join(chain_of[class_id])!r}"
                )
    if not id_of:
        raise HierarchyError(f"path: wanted at least one row under the header, got none in {path}")
    return Chains(
        list(id_of),
        list(id_of.values()),
        ["/".join(chain) for chain in id_of],
        level_names if finest_first else level_names[::-1],
    )


def _chain(cells: list[str], finest_first: bool, where: str) -> tuple[str, ...]:
    if finest_first:
        cells = cells[::-1]
    while cells and not cells[-1]:
        cells = cells[:-1]
    if not cells or "" in cells:
        raise HierarchyError(
            f"{where}: wanted empty cells at the finest levels only (a short branch), got {cells}"
        )
    return tuple(cells)


def _class_id(cell: str, column: str, where: str) -> int:
    try:
        return int(cell)
    except ValueError:
        raise HierarchyError(f"{where}: wanted an integer in {column!r}, got {cell!r}") from None

"""Trees that lie on disk as tables."""

from __future__ import annotations

import os
from collections.abc import Sequence

from pml_suprank.hierarchy.chains import Chains, path_names
from pml_suprank.hierarchy.integers import HierarchyError
from pml_suprank.hierarchy.text_tables import open_table


def chains_from_csv(
    path: str | os.PathLike[str],
    delimiter: str | None,
    finest_first: bool,
    class_id_column: str | None,
    encoding: str | None,
    repeated_names: bool,
) -> Chains:
    """Chains of a table with one column per level."""
    wanted = () if class_id_column is None else (class_id_column,)
    table = open_table(path, delimiter, encoding, wanted)
    header = table.header
    if not header or "" in header or len(set(header)) != len(header):
        raise HierarchyError(
            f"{path}: wanted a first line with one name per level, all different, got {list(header)}"
        )
    if class_id_column is not None and class_id_column not in header:
        raise HierarchyError(
            f"class_id_column: wanted one of {list(header)}, got {class_id_column!r}"
        )
    columns = [name for name in header if name != class_id_column]
    if not columns:
        raise HierarchyError(f"{path}: wanted at least one level column, got none")
    level_names = columns if finest_first else columns[::-1]
    id_of: dict[tuple[str, ...], int] = {}
    chain_of: dict[int, tuple[str, ...]] = {}
    for line, row in table:
        where = f"{path}, line {line}"
        cells = dict(zip(header, row, strict=True))
        chain = chain_of_cells([cells[name] for name in level_names], where)
        if class_id_column is None:
            id_of.setdefault(chain, len(id_of))
            continue
        class_id = _class_id(cells[class_id_column], class_id_column, where)
        if id_of.setdefault(chain, class_id) != class_id:
            raise HierarchyError(
                f"{where}: wanted one id per class, got {class_id} for "
                f"{path_names([chain])[0]!r}, which has {id_of[chain]}"
            )
        if chain_of.setdefault(class_id, chain) != chain:
            raise HierarchyError(
                f"{where}: wanted one place in the tree per class id, got class {class_id} "
                f"under {' and '.join(map(repr, path_names([chain, chain_of[class_id]])))}"
            )
    if not id_of:
        raise HierarchyError(f"{path}: wanted at least one row under the header, got none")
    if not repeated_names:
        turned = f"finest_first={not finest_first} reads the other order; repeated_names=True takes this one"
        check_order(list(id_of), level_names, str(path), turned)
    return Chains(list(id_of), list(id_of.values()), path_names(list(id_of)), level_names)


def chain_of_cells(cells: Sequence[str], where: str) -> tuple[str, ...]:
    """The names of a row from coarse to fine.

    Args:
        cells: finest first; empty ones at the fine end make a short branch.
        where: file and row, for the message.

    Raises:
        HierarchyError: an empty cell above a filled one, or none that is filled.
    """
    names = list(cells)
    while names and not names[0]:
        names = names[1:]
    if not names or "" in names:
        raise HierarchyError(
            f"{where}: wanted empty cells at the finest levels only (a short branch), "
            f"got {list(cells)}, finest first"
        )
    return tuple(reversed(names))


def check_order(
    chains: Sequence[Sequence[str]], level_names: Sequence[str], source: str, hint: str
) -> None:
    """Refuse levels in reversed order: those where a level has fewer names than the one above it.

    Then some name of the finer level has two parents. A few such names are nodes of the same name ("other" of two
    parents); fewer names than parents are levels that were mixed up.

    Args:
        chains: names from coarse to fine.
        level_names: finest first.
        source: for the message.
        hint: what else the reader can do.

    Raises:
        HierarchyError: names a category with two parents.
    """
    depth = len(level_names)
    for place in range(1, depth):  # of the finer of two levels, from the coarse end
        pairs = dict.fromkeys(
            (chain[place - 1], chain[place]) for chain in chains if len(chain) > place
        )
        parents: dict[str, list[str]] = {}
        for parent, child in pairs:
            parents.setdefault(child, []).append(parent)
        if len(parents) >= len({parent for parent, _ in pairs}):
            continue
        child = next(name for name, above in parents.items() if len(above) > 1)
        fine, coarse = level_names[depth - 1 - place], level_names[depth - place]
        raise HierarchyError(
            f"{source}: wanted levels finest first and one parent for each category, got {child!r} of "
            f"{fine!r} under {', '.join(map(repr, parents[child][:3]))} of {coarse!r}: {fine!r} has "
            f"{len(parents)} names and {coarse!r} above it more. Are the levels reversed? {hint}"
        )


def _class_id(cell: str, column: str, where: str) -> int:
    try:
        return int(cell)
    except ValueError:
        raise HierarchyError(f"{where}: wanted an integer in {column!r}, got {cell!r}") from None

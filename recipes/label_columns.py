"""Labels for embeddings from the columns of a table."""

from collections.abc import Sequence
from pathlib import Path

from pml_suprank.hierarchy import HierarchyError
from pml_suprank.hierarchy.files import chain_of_cells, check_order
from pml_suprank.hierarchy.text_tables import open_table
from pml_suprank.recipes.data.layout import read_rows

__all__ = ["read_label_columns"]


def read_label_columns(
    table: Path,
    levels: list[str] | None,
    paths: Sequence[str] | None,
    count: int,
    *,
    repeated_names: bool = False,
) -> tuple[list[tuple[str, ...]], list[str]]:
    """The names of each row, coarse to fine, and the columns they come from.

    Args:
        table: CSV or a relative of it.
        levels: names of the columns, finest first; None takes all but ``path``.
        paths: [count] of the rows, or None where the order says which is which.
        count: number of rows that are wanted.
        repeated_names: whether a level may have fewer names than the one above it.

    Raises:
        ValueError: a missing column or row, rows of another number, two rows for a path that differ, an empty cell
            above a filled one, or levels in reversed order.
        OSError: the file cannot be read.
    """
    header = open_table(table, columns=levels or ()).header
    names = levels or [name for name in header if name != "path"]
    if not names:
        raise HierarchyError(f"{table}: wanted the columns of labels, got {list(header)}")
    by_path = "path" in header and paths is not None
    chains: list[tuple[str, ...]] = []
    lines: dict[str, int] = {}
    for line, cells in read_rows(table, [*names, *(["path"] if by_path else [])]):
        where = f"{table}, line {line}"
        chain = chain_of_cells(cells[: len(names)], where)
        key = cells[-1] if by_path else str(line)
        if key not in lines:
            lines[key] = len(chains)
            chains.append(chain)
        elif chains[lines[key]] != chain:
            raise HierarchyError(
                f"{where}: wanted one class for each path, got {key!r} again with another"
            )
    if not repeated_names:
        hint = "--repeated-names takes this order"
        check_order(list(dict.fromkeys(chains)), names, str(table), hint)
    if not by_path:
        if len(chains) != count:
            raise HierarchyError(
                f"{table}: wanted {count} rows, one for each embedding, got {len(chains)}"
            )
        return chains, names
    assert paths is not None
    lacking = [path for path in paths if path not in lines]
    if lacking:
        raise HierarchyError(f"{table}: wanted a row for each path, got none for {lacking[:3]}")
    return [chains[lines[path]] for path in paths], names

"""A class tree in the forms that other tools read."""

from __future__ import annotations

import csv
import errno
import io
import os
import secrets
import shutil
from pathlib import Path
from typing import Any

from pml_suprank.hierarchy.cells import guarded
from pml_suprank.hierarchy.chains import Place, chain_rows, children_of, node_keys
from pml_suprank.hierarchy.class_tree import ClassTree
from pml_suprank.hierarchy.integers import HierarchyError

CLASS_ID = "class_id"
_NO_PLACE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY)
"""A file cannot be made in the folder, or its name not be given to another: it is mounted, say."""


def csv_text(tree: ClassTree) -> str:
    """Columns class_id and the levels, finest first; short branches begin with empty cells.

    Names that a spreadsheet would run as formulas are guarded by an apostrophe, which reading takes off.
    """
    if CLASS_ID in tree.level_names:
        raise HierarchyError(f"level_names: wanted none named {CLASS_ID!r} in a CSV file, got one")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([CLASS_ID, *map(guarded, tree.level_names)])
    for class_id, chain in zip(tree.class_ids.tolist(), chain_rows(tree), strict=True):
        names = [tree.node_names(level)[node] for level, node in chain]
        wrong = [name for name in names if name != name.strip() or not name]
        if wrong:
            raise HierarchyError(
                f"node names: wanted text without spaces around it in a CSV file, got {wrong[0]!r}"
            )
        cells = map(guarded, reversed(names))
        writer.writerow([class_id, *[""] * (tree.num_levels - len(names)), *cells])
    return text.getvalue()


def write_text(path: Any, text: str) -> None:
    """Write UTF-8 text whole or not at all: when it fails, the file keeps what it had.

    A link stays one, and a pipe or a device is written to as it is. So is a file in a folder that cannot be written
    to: there is no place for another beside it, and a failure may leave a part.

    Raises:
        OSError: the folder is missing, or neither it nor the file can be written to.
    """
    target = Path(path)
    if target.exists() and not target.is_file():
        target.write_text(text, encoding="utf-8")
        return
    target = target.resolve()
    try:
        _replace(target, text)
    except OSError as error:
        if error.errno not in _NO_PLACE or not target.exists():
            raise
        target.write_bytes(text.encode("utf-8"))


def _replace(target: Path, text: str) -> None:
    """Write a neighbour and give it the name of the file."""
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, temporary)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def parents(tree: ClassTree) -> dict[str, str | None]:
    """Child to parent; a root has None."""
    keys = node_keys(tree)
    found: dict[str, str | None] = {}
    for chain in chain_rows(tree):
        above = None
        for place in chain:
            found.setdefault(keys[place], above)
            above = keys[place]
    return found


def networkx_graph(tree: ClassTree) -> Any:
    """A ``networkx.DiGraph`` with edges parent -> child."""
    try:
        import networkx
    except ImportError as error:
        raise ImportError("Hierarchy.to_networkx needs networkx: pip install networkx") from error
    graph = networkx.DiGraph()
    keys = node_keys(tree)
    for class_id, chain in zip(tree.class_ids.tolist(), chain_rows(tree), strict=True):
        above = None
        for level, node in chain:
            key = keys[level, node]
            graph.add_node(key, name=tree.node_names(level)[node], level=tree.level_names[level])
            if above is not None:
                graph.add_edge(above, key)
            above = key
        graph.nodes[above]["class_id"] = class_id
    return graph


def newick(tree: ClassTree) -> str:
    """The tree in Newick's notation, names quoted where they need it."""
    children = children_of(tree)

    def text(place: Place | None) -> str:
        inside = children.get(place, ())
        name = "" if place is None else _quoted(tree.node_names(place[0])[place[1]])
        return f"({','.join(map(text, inside))}){name}" if inside else name

    roots = children[None]
    return text(roots[0] if len(roots) == 1 else None) + ";"


def _quoted(name: str) -> str:
    if name and not set(name) & set(" ()[]{}/\\,;:='\"\t\n_"):
        return name
    return "'" + name.replace("'", "''") + "'"

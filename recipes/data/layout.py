"""What the loaders of published data sets share: files that must be there, tables, and labels."""

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.recipes.data.images import ImageDataset

__all__ = ["assemble", "choose", "label_chains", "need", "numbered_lines", "read_table"]

PathLike = str | os.PathLike[str]
Value = TypeVar("Value")


def need(root: PathLike, *places: str) -> Path:
    """The first of several places that exists.

    Args:
        root: folder of the data set.
        places: files or folders below it, any of which will do.

    Raises:
        FileNotFoundError: names the root and every place.
    """
    base = Path(root)
    if not base.is_dir():
        raise FileNotFoundError(f"root: wanted the folder of the data set, got {str(base)!r}")
    for place in places:
        if (base / place).exists():
            return base / place
    tried = " or ".join(repr(str(base / place)) for place in places)
    raise FileNotFoundError(f"root: wanted {tried}, got no such file")


def choose(name: str, value: str, options: Mapping[str, Value]) -> Value:
    """The option of that name, or a ValueError that lists the names."""
    if value not in options:
        raise ValueError(f"{name}: wanted one of {', '.join(map(repr, options))}, got {value!r}")
    return options[value]


def read_table(
    path: Path, columns: Sequence[str], delimiter: str = ","
) -> Iterator[tuple[str, ...]]:
    """Cells of some columns, row by row, of a table whose first line names the columns.

    Raises:
        ValueError: a column is missing, or a row is too short; names the file and the line.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, delimiter=delimiter)
        header = [cell.strip() for cell in next(reader, [])]
        lacking = [column for column in columns if column not in header]
        if lacking:
            raise ValueError(f"{path}: wanted the columns {lacking}, got {header}")
        places = [header.index(column) for column in columns]
        for row in reader:
            if len(row) <= max(places):
                if not any(row):
                    continue
                raise ValueError(
                    f"{path}, line {reader.line_num}: wanted {len(header)} cells, got {len(row)}"
                )
            yield tuple(row[place].strip() for place in places)


def numbered_lines(path: Path, kind: Callable[[str], Value]) -> dict[int, Value]:
    """The lines "number value" of a text file.

    Raises:
        ValueError: another line; names the file and the line.
    """
    found: dict[int, Value] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        key, _, value = line.strip().partition(" ")
        try:
            found[int(key)] = kind(value.strip())
        except ValueError:
            raise ValueError(
                f"{path}, line {number}: wanted 'number value', got {line!r}"
            ) from None
    return found


def label_chains(
    chains: Sequence[Sequence[str]],
    level_names: Sequence[str] | None = None,
    classes: Iterable[Sequence[str]] | None = None,
) -> tuple[Hierarchy, Tensor]:
    """The taxonomy of some images and their labels in it.

    Args:
        chains: [N] names from coarse to fine, one chain per image. A name under two parents is
            two nodes; chains of fewer names are short branches.
        level_names: finest first.
        classes: chains of all classes, in the wanted order; None takes those of the images, in
            order of appearance.

    Returns:
        Taxonomy with the classes 0..C-1, and labels [N, L]. Class names are the names joined by
        "/", or by a newline where some name holds a "/".

    Raises:
        HierarchyError: no images, or an empty name.
        ValueError: an image whose class is not among ``classes``.
    """
    rows = [tuple(chain) for chain in chains]
    known = {tuple(c): i for i, c in enumerate(dict.fromkeys(map(tuple, classes or rows)))}
    sep = "\n" if any("/" in name for chain in known for name in chain) else "/"
    tree = Hierarchy.from_paths(map(sep.join, known), sep=sep, level_names=level_names)
    unknown = next((row for row in rows if row not in known), None)
    if unknown is not None:
        raise ValueError(f"chains: wanted one of the {len(known)} classes, got {unknown}")
    return tree, tree.expand(torch.tensor([known[row] for row in rows], dtype=torch.long))


def assemble(
    paths: Sequence[Path],
    chains: Sequence[Sequence[str]],
    level_names: Sequence[str] | None,
    listed_in: Path,
    items: Mapping[str, Any],
    classes: Iterable[Sequence[str]] | None = None,
) -> ImageDataset:
    """The data set of listed images.

    Only the first image is looked for: that finds a wrong root at once, whereas looking for a
    million takes minutes (``check_images`` does).

    Args:
        paths: [N] image files.
        chains: [N] names from coarse to fine.
        level_names: finest first.
        listed_in: the file that lists the images, for the messages.
        items: keyword arguments of :class:`ImageDataset`.
        classes: as in :func:`label_chains`.

    Raises:
        ValueError: no image is listed.
        FileNotFoundError: the first image is missing.
    """
    if not paths:
        raise ValueError(f"{listed_in}: wanted at least one image of the split, got none")
    if not paths[0].is_file():
        raise FileNotFoundError(
            f"{listed_in}: wanted the images that it lists, got no file {str(paths[0])!r}"
        )
    hierarchy, labels = label_chains(chains, level_names, classes)
    return ImageDataset(paths, labels, hierarchy, **items)

"""Dynamic Metric Learning: DyML-Vehicle, DyML-Animal and DyML-Product."""

import re
from pathlib import Path
from typing import Any

from pml_suprank.recipes.data.assembly import assemble
from pml_suprank.recipes.data.images import ImageDataset
from pml_suprank.recipes.data.layout import PathLike, choose, need

__all__ = ["LEVEL_NAMES", "load_dyml"]

LEVEL_NAMES = ("fine", "middle", "coarse")
_HEADER = re.compile(r"\s*fname\s*,\s*(coarse_id\s*,\s*middle_id\s*,\s*fine_id|label(_id|s)?)")
_SPLITS = {
    "train": ("train/label.csv", "imgs"),
    "test": ("mini-bmk_all_in_one/label.csv", "imgs"),
    **{
        f"{role}_{level}": (f"bmk_{level}/{role}.csv", role)
        for role in ("query", "gallery")
        for level in LEVEL_NAMES
    },
}


def load_dyml(root: PathLike, split: str = "train", **items: Any) -> ImageDataset:
    """One of the DyML data sets, with the levels fine < middle < coarse.

    Reads ``train/label.csv`` (fname, coarse_id, middle_id, fine_id) and ``train/imgs``; the test
    sets of DyML-Vehicle and DyML-Animal are ``bmk_fine``, ``bmk_middle`` and ``bmk_coarse``, each
    with ``query.csv``, ``gallery.csv`` (fname, labels) and the folders ``query`` and ``gallery``;
    that of DyML-Product is ``mini-bmk_all_in_one`` with ``label.csv`` and ``imgs``. In the files
    as published no line break follows the header; files with one are read as well.

    Args:
        root: the folder of one data set, such as ``dyml_animal``.
        split: "train"; for vehicles and animals "query_fine", "gallery_fine" and so on for
            middle and coarse, with that level only; for products "test".
        **items: arguments of :class:`ImageDataset`, such as ``transform``.

    Returns:
        Images in the order of the file. Query and gallery of a level share their taxonomy. An
        id under two parents is two nodes.

    Raises:
        ValueError: another split, or a line with another number of cells.
        FileNotFoundError: a missing file (the data set may not have that split), or a missing
            first image.
    """
    name, folder = choose("split", split, _SPLITS)
    file = need(root, name)
    images, chains = _read(file)
    paths = [file.parent / folder / image for image in images]
    if folder == "imgs":
        return assemble(paths, chains, LEVEL_NAMES, file, items, root=root)
    other = file.with_name("gallery.csv" if folder == "query" else "query.csv")
    classes = [*chains, *_read(need(root, str(other.relative_to(root))))[1]]
    level = split.partition("_")[2]
    numbered = sorted({chain for chain in classes}, key=lambda chain: (len(chain[0]), chain))
    return assemble(paths, chains, (level,), file, items, numbered, root)


def _read(file: Path) -> tuple[list[str], list[tuple[str, ...]]]:
    """Image names, and labels from coarse to fine."""
    text = file.read_text(encoding="utf-8-sig")
    header = _HEADER.match(text)
    if header is None:
        start = text.partition("\n")[0]
        raise ValueError(f"{file}: wanted a header that starts with 'fname', got {start!r}")
    width = 2 if header[1].startswith("label") else 4
    images: list[str] = []
    chains: list[tuple[str, ...]] = []
    for line in text[header.end() :].splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if cells == [""]:
            continue
        if len(cells) != width or "" in cells:
            raise ValueError(f"{file}: wanted {width} cells in every line, got {line!r}")
        images.append(cells[0])
        chains.append(tuple(cells[1:]))
    return images, chains

"""The public CSV files of Google Landmarks v2 and of its hierarchical labels, as arrays."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from pml_suprank.recipes.data.columns import fixed_width, read_columns, split_words
from pml_suprank.recipes.data.layout import PathLike, need, read_table

__all__ = [
    "LEVEL_NAMES",
    "Chain",
    "Listing",
    "index_file",
    "read_chains",
    "read_clean",
    "read_listing",
    "read_solved",
]

LEVEL_NAMES = ("landmark", "hierarchical_label", "natural_or_human_made")


class Listing(NamedTuple):
    """Images and the landmark of each.

    Attributes:
        file: that lists them.
        ids: [N] bytes, three characters at least.
        landmarks: [N] int64.
    """

    file: Path
    ids: np.ndarray
    landmarks: np.ndarray


class Chain(NamedTuple):
    """What the hierarchical CSV says of a landmark; empty where it says nothing.

    Attributes:
        label: hierarchical label.
        made: "natural" or "human-made".
    """

    label: str
    made: str


def read_chains(file: Path) -> dict[int, Chain]:
    """Landmark id to what ``*_label_to_hierarchical.csv`` says of it; "unclassified" is read as an empty cell.

    Raises:
        ValueError: a missing column, an id that is no integer, or two rows for a landmark that differ.
    """
    found: dict[int, Chain] = {}
    for landmark, label, made in read_table(file, ["landmark_id", *LEVEL_NAMES[1:]]):
        try:
            number = int(landmark)
        except ValueError:
            raise ValueError(f"{file}: wanted integers in landmark_id, got {landmark!r}") from None
        known = [name if name.lower() != "unclassified" else "" for name in (label, made)]
        if found.setdefault(number, Chain(*known)) != tuple(known):
            raise ValueError(f"{file}: wanted one row for landmark {number}, got two that differ")
    return found


def read_clean(file: Path) -> Listing:
    """``train_clean.csv``: a row for each landmark, with its images.

    Raises:
        ValueError: a missing column, an id that is no integer, an image id of fewer than three characters.
    """
    columns = read_columns(file, {"landmark_id": "int64", "images": "string"})
    words, counts = split_words(columns["images"])
    landmarks = np.repeat(columns["landmark_id"].to_numpy(), counts)
    return Listing(file, fixed_width(words, file, shortest=3), landmarks)


def read_listing(file: Path) -> Listing:
    """``train.csv`` or ``index_image_to_landmark.csv``: a row for each image.

    Raises:
        ValueError: as :func:`read_clean`, or an image in two rows.
    """
    columns = read_columns(file, {"id": "string", "landmark_id": "int64"})
    ids = fixed_width(columns["id"], file, shortest=3)
    ordered = np.sort(ids)
    again = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(again):
        rows = np.flatnonzero(ids == again[0])[:2] + 1
        raise ValueError(
            f"{file}: wanted each image once, got {again[0].decode()!r} in rows {rows[0]} and {rows[1]}"
        )
    return Listing(file, ids, columns["landmark_id"].to_numpy())


def index_file(root: PathLike) -> Path:
    """Where ``index_image_to_landmark.csv`` is: in the root, in ``metadata``, ``index`` or ``test``.

    Raises:
        FileNotFoundError: nowhere.
    """
    name = "index_image_to_landmark.csv"
    return need(root, name, f"metadata/{name}", f"index/{name}", f"test/{name}")


def read_solved(
    file: Path, index: Listing, dropped: dict[str, int]
) -> tuple[Listing, np.ndarray, int]:
    """``retrieval_solution_v2.1.csv``: test images, each with the first index image that solves it.

    Args:
        file: the table.
        index: images of the index.
        dropped: gets the numbers of images left out, by reason.

    Returns:
        The test images that have a solution, with the landmark of the first one; the row of that one in the index; and
        the number of rows of the file.

    Raises:
        ValueError: a missing column, a solution that is no index image, an image id of fewer than three characters.
    """
    images, first, rows = [], [], 0
    ignored = without = 0
    for image, solutions, usage in read_table(file, ["id", "images", "Usage"]):
        rows += 1
        if usage == "Ignored":
            ignored += 1
        elif solutions in ("", "None"):
            without += 1
        else:
            images.append(image)
            first.append(solutions.split()[0])
    dropped["test image ignored by the solution file"] = ignored
    dropped["test image without a solution"] = without
    wanted = np.array([name.encode() for name in first], dtype="S")
    order = index.ids.argsort(kind="stable")
    if not len(order):
        raise ValueError(f"{index.file}: wanted an index image, got none")
    row = order[np.searchsorted(index.ids, wanted, sorter=order).clip(max=len(order) - 1)]
    wrong = index.ids[row] != wanted
    if wrong.any():
        at = int(wrong.argmax())
        raise ValueError(f"{file}: wanted index images, got {first[at]!r} for {images[at]!r}")
    short = next((name for name in images if len(name) < 3), None)
    if short is not None:
        raise ValueError(f"{file}: wanted ids of 3 characters at least, got {short!r}")
    ids = np.array([name.encode() for name in images], dtype="S")
    return Listing(file, ids, index.landmarks[row]), row, rows

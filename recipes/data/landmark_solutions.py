"""The ground truth of Google Landmarks v2 retrieval."""

from pathlib import Path
from typing import NamedTuple

from pml_suprank.recipes.data.layout import PathLike, need, read_table

__all__ = ["Solution", "read_solutions", "solution_file"]


class Solution(NamedTuple):
    """The relevant images of a test image.

    Attributes:
        image: id of the test image.
        relevant: ids of index images.
        usage: "Public" or "Private".
    """

    image: str
    relevant: tuple[str, ...]
    usage: str


def solution_file(root: PathLike) -> Path:
    """Where ``retrieval_solution_v2.1.csv`` is: in the root, in ``metadata``, ``index`` or ``test``.

    Raises:
        FileNotFoundError: nowhere.
    """
    name = "retrieval_solution_v2.1.csv"
    return need(root, name, f"metadata/{name}", f"index/{name}", f"test/{name}")


def read_solutions(root: PathLike) -> list[Solution]:
    """The test images that have a solution, in the order of the file; others do not count in mAP@100.

    Args:
        root: folder of the data set, see :func:`solution_file`; columns id, images, Usage.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a missing column, an image twice in a row, or no solution at all.
    """
    file = solution_file(root)
    found = []
    for image, images, usage in read_table(file, ["id", "images", "Usage"]):
        relevant = tuple(images.split())
        if usage == "Ignored" or relevant in ((), ("None",)):
            continue
        if len(set(relevant)) < len(relevant):
            raise ValueError(f"{file}: wanted each index image once, got some twice for {image!r}")
        found.append(Solution(image, relevant, usage))
    if not found:
        raise ValueError(f"{file}: wanted a test image with a solution, got none")
    return found

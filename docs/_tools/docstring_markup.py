"""Docstrings for mkdocstrings: their formulas, roles, links and section names as Markdown has them."""

from __future__ import annotations

import re
import textwrap
from typing import Any

import griffe

_MATH_BLOCK = re.compile(
    r"^(?P<indent> *)\.\. math::(?P<first>[^\n]*)\n(?P<rest>(?:(?:(?P=indent) +[^\n]*)?\n)*)",
    re.MULTILINE,
)
_MATH = re.compile(r":math:`([^`]*)`")
_ROLE = re.compile(r":(?:class|func|meth|mod|data|attr|exc):`~?([^`]*)`")
_ARXIV = re.compile(r"arXiv (\d{4}\.\d{5})")
_PAGE = re.compile(r"``docs/(\w+)\.md``")
_LITERAL = re.compile(r"::$", re.MULTILINE)
_EXAMPLE = re.compile(r"^Example:$", re.MULTILINE)
_PROSE = re.compile(r"^(Shapes|References):\n((?:(?: {4}[^\n]*)?\n)+)", re.MULTILINE)


def markdown(text: str, package: str = "") -> str:
    """A docstring with dollar formulas, links in place of roles and pages, and sections that Markdown shows.

    Args:
        text: the docstring.
        package: of whose public names it speaks by their last part; a name that has no entry is no link.
    """
    text = _MATH_BLOCK.sub(_block, text + "\n")
    text = _MATH.sub(r"$\1$", text)
    text = _ROLE.sub(lambda match: _name(match[1], package), text)
    text = _PAGE.sub(lambda match: f'<a href="../{match[1]}.html">{_title(match[1])}</a>', text)
    text = _ARXIV.sub(r"[arXiv \1](https://arxiv.org/abs/\1)", text)
    text = _EXAMPLE.sub("Examples:", text)
    text = _PROSE.sub(_prose, text)
    return _LITERAL.sub(":", text).strip()


def _block(match: re.Match[str]) -> str:
    indent = match["indent"]
    body = " ".join(f"{match['first']}\n{textwrap.dedent(match['rest'])}".split())
    return f"{indent}$$\n{indent}{body}\n{indent}$$\n\n"


def _name(name: str, package: str) -> str:
    last = name.rpartition(".")[2]
    if not package:
        return f"`{last}`"
    full = name if name.startswith("pml_suprank") else f"{package}.{name}"
    return f'<autoref identifier="{full}" optional><code>{last}</code></autoref>'


def _title(page: str) -> str:
    return page.replace("_", " ").capitalize()


def _prose(match: re.Match[str]) -> str:
    return f"**{match[1]}:**\n\n{textwrap.dedent(match[2]).strip()}\n\n"


def _package(obj: griffe.Object) -> str:
    """The public module that has an object: ``pml_suprank.losses`` for a file in it."""
    return ".".join(obj.module.path.split(".")[:2])


class DocstringMarkup(griffe.Extension):
    """Rewrites every docstring as it is read."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of a module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value, _package(obj))

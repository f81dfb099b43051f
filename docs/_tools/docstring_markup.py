"""Docstrings for mkdocstrings: their formulas, roles and section names as Markdown has them."""

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
_LITERAL = re.compile(r"::$", re.MULTILINE)
_EXAMPLE = re.compile(r"^Example:$", re.MULTILINE)


def markdown(text: str) -> str:
    """A docstring with dollar formulas, code in place of roles, and a section Examples."""
    text = _MATH_BLOCK.sub(_block, text + "\n")
    text = _MATH.sub(r"$\1$", text)
    text = _ROLE.sub(lambda match: f"`{match[1].rpartition('.')[2]}`", text)
    text = _EXAMPLE.sub("Examples:", text)
    return _LITERAL.sub(":", text).strip()


def _block(match: re.Match[str]) -> str:
    indent = match["indent"]
    body = " ".join(f"{match['first']}\n{textwrap.dedent(match['rest'])}".split())
    return f"{indent}$$\n{indent}{body}\n{indent}$$\n\n"


class DocstringMarkup(griffe.Extension):
    """Rewrites every docstring as it is read."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of a module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)

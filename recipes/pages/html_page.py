"""HTML pages from templates: every text is escaped, and one file holds all that a page shows.

A page loads nothing from elsewhere, and a policy in its head lets the browser run no script but the few lines of
``tables.js``, which sort and filter tables.
"""

import base64
import hashlib
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

__all__ = ["DEFINITIONS", "before_after", "is_picture", "page", "png_picture"]

DEFINITIONS = {
    "H-AP": "hierarchical average precision: the more levels shared, the earlier it should come",
    "NDCG": "normalised discounted cumulative gain; the gain is 2^(shared levels) − 1",
    "ASI": "average set intersection with the ideal order of levels",
    "AP": "average precision; right is what shares this level with the query",
    "P@1": "share of queries whose first result is right",
}

_TEMPLATES = Path(__file__).with_name("templates")
_PICTURE = re.compile(r"data:image/(?:jpeg|png);base64,[A-Za-z0-9+/]+={0,2}")
_FILE = re.compile(r"file:///[^\s\"'<>]*")
_NOTHING = (None, "")


def page(template: str, **content: Any) -> str:
    """A whole page.

    Args:
        template: name of a file in ``templates/``.
        **content: what it shows; its ``title`` among it. Texts are escaped.

    Raises:
        ValueError: a picture that is no data URI of JPEG or PNG, or a link that leads to no file.
        jinja2.UndefinedError: the template shows something that ``content`` lacks.
    """
    return _environment.get_template(template).render(content)


def png_picture(png: bytes, text: str) -> dict[str, str]:
    """A plot for a template: a data URI, and what it shows in words."""
    return {"source": "data:image/png;base64," + base64.b64encode(png).decode(), "text": text}


def before_after(
    before: Mapping[str, float], after: Mapping[str, float], parts: Mapping[str, Mapping[str, str]]
) -> list[dict[str, Any]]:
    """Metrics before and after training for the table of that name; a title is defined where it first comes.

    Args:
        before: value of each metric; one that it lacks has no bar.
        after: the same after training.
        parts: heading of each part of the table, or "" for none, to names of metrics and their titles.
    """
    found, defined = [], set()
    for heading, titles in parts.items():
        rows = []
        for name, title in titles.items():
            was, now = before.get(name), after[name]
            change = None if was is None else now - was
            rows.append(
                {
                    "title": title,
                    "note": "" if title in defined else DEFINITIONS.get(title, ""),
                    "before": was,
                    "after": now,
                    "change": change,
                    "direction": "up" if (change or 0) > 0 else "down" if (change or 0) < 0 else "",
                }
            )
            defined.add(title)
        found.append({"heading": heading, "rows": rows})
    return found


def _number(value: Any) -> str:
    """A cell: whole numbers with commas, others with three digits, a dash for nothing, texts as they are."""
    if value in _NOTHING or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.3f}"


def _percent(value: float | None) -> str:
    """A share of 1 for CSS."""
    share = value if value is not None and math.isfinite(value) else 0.0
    return f"{100 * min(max(share, 0.0), 1.0):.1f}%"


def _sortable(cell: Any) -> str:
    value = cell["value"] if isinstance(cell, Mapping) else cell
    is_number = isinstance(value, int | float) and math.isfinite(value)
    return repr(value) if is_number else ""


def is_picture(source: str) -> bool:
    """Whether a text is a data URI of JPEG or PNG, which a page may show."""
    return _PICTURE.fullmatch(source) is not None


def _picture(source: str) -> str:
    if not is_picture(source):
        raise ValueError(f"picture: wanted a data URI of JPEG or PNG, got {source!r:.60}")
    return source


def _file_link(address: str) -> str:
    if not _FILE.fullmatch(address):
        raise ValueError(f"link: wanted one to a file, got {address!r:.60}")
    return address


def _make_environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., str]] = {
        "number": _number,
        "signed": _signed,
        "percent": _percent,
        "sortable": _sortable,
        "picture": _picture,
        "file_link": _file_link,
    }
    environment.filters.update(filters)
    script = (_TEMPLATES / "tables.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment.globals |= {"script": Markup(script), "script_hash": f"sha256-{digest}"}
    return environment


_environment = _make_environment()

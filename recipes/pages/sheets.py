"""What a model retrieves, for any data set: thumbnails and names are kept, so that no image is needed later."""

import base64
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from PIL import Image

__all__ = ["contact_sheet", "dots", "legend", "level_style", "render_sheets", "thumbnail"]

SIDE = 96
# From nothing in common to everything: apart in lightness too, and every frame carries dots as well.
_COLOURS = ("#dfe3e8", "#f2b84b", "#8fc7a1", "#2fa8a0", "#0b5d57")
_TEXT = ("#8a94a3", "#9a6700", "#3f7d56", "#1d857e", "#0b5d57")


def thumbnail(image: Image.Image, side: int = SIDE) -> str:
    """A small JPEG of an image as a data URI."""
    small = image.convert("RGB")
    small.thumbnail((side, side))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def contact_sheet(
    data: Any, rows: Sequence[Mapping[str, Any]], level_names: Sequence[str]
) -> dict[str, Any]:
    """Retrievals with the thumbnails and names that a page needs, ready for JSON.

    Args:
        data: data set with ``image``, ``labels`` and ``hierarchy``.
        rows: for each a dict of queries, results and levels: indices into ``data``, shared levels.
        level_names: finest first.
    """
    shown = {i for row in rows for i in row["queries"]}
    shown |= {i for row in rows for results in row["results"] for i in results}
    tree = data.hierarchy
    return {
        "level_names": list(level_names),
        "images": {str(i): thumbnail(data.image(i)) for i in sorted(shown)},
        "names": {
            str(i): [tree.node_names(level)[int(node)] for level, node in enumerate(data.labels[i])]
            for i in sorted(shown)
        },
    }


def level_style(levels: int) -> str:
    """CSS of frames for 0..levels shared levels."""
    parts = []
    for shared in range(levels + 1):
        place = round(shared * (len(_COLOURS) - 1) / max(levels, 1))
        parts.append(
            f".s{shared} img, .legend .s{shared} {{ border-color: {_COLOURS[place]}; }} "
            f".s{shared} span {{ color: {_TEXT[place]}; }}"
        )
    return "\n".join(parts)


def legend(level_names: Sequence[str]) -> str:
    """The meaning of the frames, as an HTML list."""
    levels = len(level_names)
    meanings = [(levels - i, f"same {name}") for i, name in enumerate(level_names)]
    meanings.append((0, "nothing in common"))
    items = (
        f'<li><i class="s{shared}"></i><span>{html.escape(text)} '
        f'<span class="dots">{dots(shared, levels)}</span></span></li>'
        for shared, text in meanings
    )
    return f'<ul class="legend">{"".join(items)}</ul>'


def render_sheets(content: Mapping[str, Any], rows: Mapping[str, Mapping[str, Any]]) -> str:
    """One sheet for each query, as HTML.

    Args:
        content: from :func:`contact_sheet`.
        rows: title ("before") to queries, results and levels; all of the same queries.
    """
    first = next(iter(rows.values()))
    levels = len(content["level_names"])
    parts = []
    for i, query in enumerate(first["queries"]):
        names = [_words(name) for name in dict.fromkeys(content["names"][str(query)])]
        lines = "".join(
            _row(content, title, row["results"][i], row["levels"][i], levels)
            for title, row in rows.items()
        )
        parts.append(
            f'<div class="sheet"><div class="query">{_image(content, query)}'
            f"<b>{html.escape(names[0])}</b>"
            f"<small>{html.escape(' · '.join(names[1:]))}</small></div>{lines}</div>"
        )
    return "\n".join(parts)


def dots(shared: int, levels: int) -> str:
    """Shared levels as filled dots."""
    return "●" * shared + "○" * (levels - shared)


def _row(
    content: Mapping[str, Any],
    title: str,
    results: Iterable[int],
    shared: Iterable[int],
    levels: int,
) -> str:
    hits = (
        f'<figure class="hit s{count}">{_image(content, index)}<span>{dots(count, levels)}</span></figure>'
        for index, count in zip(results, shared, strict=True)
    )
    return f'<div class="row"><span class="when">{html.escape(title)}</span>{"".join(hits)}</div>'


def _image(content: Mapping[str, Any], index: int) -> str:
    names = ", ".join(_words(name) for name in dict.fromkeys(content["names"][str(index)]))
    text = html.escape(names)
    return f'<img src="{content["images"][str(index)]}" alt="{text}" title="{text}">'


def _words(name: str) -> str:
    return name.replace("_", " ")

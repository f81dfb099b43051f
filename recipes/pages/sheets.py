"""What a model retrieves, for any data set: thumbnails and names are kept, so that no image is needed later."""

import base64
import functools
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from pml_suprank.recipes.data.pictures import BrokenImageError, as_shown, read_picture

__all__ = [
    "contact_sheet",
    "dots",
    "file_thumbnail",
    "grey_cell",
    "image_tag",
    "legend",
    "lost_note",
    "no_image",
    "render_sheets",
    "result_row",
    "sheet",
    "sheet_style",
    "thumbnail",
    "tile",
]

SIDE = 96
_STYLE = """
.sheet { padding: 18px 0; border-top: 1px solid var(--rule); display: grid;
  grid-template-columns: 150px minmax(0, 1fr); gap: 6px 22px; }
.sheet .query { text-align: center; grid-row: span 2; }
.sheet .query img { width: 72px; height: 72px; }
.sheet .query b { display: block; margin-top: 4px; overflow-wrap: anywhere; line-height: 1.3; }
.sheet .query small { color: var(--muted); display: block; line-height: 1.4; }
.row { display: flex; gap: 7px; align-items: center; }
.row .when { width: 48px; flex: none; color: var(--muted); font-size: 13px; }
.hit { flex: 0 1 74px; min-width: 0; margin: 0; text-align: center; }
.hit img { width: 100%; aspect-ratio: 1; border: 4px solid; border-radius: 9px; padding: 3px;
  box-sizing: border-box; display: block; background: #fff; }
.hit span, .legend .dots { font-size: 10px; letter-spacing: 2px; line-height: 15px; }
.legend { display: flex; flex-wrap: wrap; gap: 8px 22px; margin: 10px 0 18px; padding: 0; }
.legend li { display: flex; align-items: center; gap: 8px; list-style: none; }
.legend i { width: 22px; height: 22px; border: 4px solid; border-radius: 7px;
  box-sizing: border-box; }
@media (max-width: 720px) { .sheet { grid-template-columns: 1fr; }
  .row { gap: 3px; } .hit img { border-width: 3px; padding: 1px; } }
"""

# From nothing in common to everything: apart in lightness too, and every frame carries dots as well.
_COLOURS = ("#dfe3e8", "#f2b84b", "#8fc7a1", "#2fa8a0", "#0b5d57")
_TEXT = ("#8a94a3", "#9a6700", "#3f7d56", "#1d857e", "#0b5d57")


def thumbnail(image: Image.Image, side: int = SIDE) -> str:
    """A small JPEG of an image as a data URI."""
    small = as_shown(image).copy()
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


def sheet_style(levels: int) -> str:
    """CSS of sheets, with frames for 0..levels shared levels."""
    parts = [_STYLE]
    for shared in range(levels + 1):
        place = round(shared * (len(_COLOURS) - 1) / max(levels, 1))
        parts.append(
            f".s{shared} img, .legend .s{shared} {{ border-color: {_COLOURS[place]}; }} "
            f".s{shared} span {{ color: {_TEXT[place]}; }}"
        )
    return "\n".join(parts)


def legend(level_names: Sequence[str], finest_note: str = "") -> str:
    """The meaning of the frames, as an HTML list.

    Args:
        level_names: finest first.
        finest_note: what to say besides of the finest level.
    """
    levels = len(level_names)
    notes = [finest_note] + [""] * levels
    meanings = [(levels - i, f"same {name}{notes[i]}") for i, name in enumerate(level_names)]
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
        lines = [
            result_row(
                title,
                [_image(content, index) for index in row["results"][i]],
                row["levels"][i],
                levels,
            )
            for title, row in rows.items()
        ]
        details = html.escape(" · ".join(names[1:]))
        parts.append(sheet(_image(content, query), names[0], details, lines))
    return "\n".join(parts)


def sheet(image: str, title: str, details: str, rows: Iterable[str]) -> str:
    """The sheet of a query.

    Args:
        image: HTML.
        title: text.
        details: HTML.
        rows: HTML of :func:`result_row`.
    """
    return (
        f'<div class="sheet"><div class="query">{image}<b>{html.escape(title)}</b>'
        f"<small>{details}</small></div>{''.join(rows)}</div>"
    )


def result_row(title: str, images: Iterable[str], shared: Iterable[int], levels: int) -> str:
    """A row of results.

    Args:
        title: text beside it.
        images: HTML of the results.
        shared: levels that each shares with the query.
        levels: their number.
    """
    hits = (
        f'<figure class="hit s{count}">{image}<span>{dots(count, levels)}</span></figure>'
        for image, count in zip(images, shared, strict=True)
    )
    return f'<div class="row"><span class="when">{html.escape(title)}</span>{"".join(hits)}</div>'


def dots(shared: int, levels: int) -> str:
    """Shared levels as filled dots."""
    return "●" * shared + "○" * (levels - shared)


def image_tag(source: str, text: str) -> str:
    """An image that says what it shows."""
    text = html.escape(text)
    return f'<img src="{source}" alt="{text}" title="{text}">'


def tile(found: Any, row: int) -> str:
    """Thumbnail of an image of an ``EmbeddingSet``, or a grey one that says what is wrong with the file."""
    path = found.path(row)
    if path is None:
        if not found.has_file(row):
            return no_image("")
        return no_image("outside" if found.is_outside(row) else "not found")
    return file_thumbnail(path)


def file_thumbnail(path: Path, side: int = SIDE) -> str:
    """Thumbnail of an image file as a data URI; a grey one where it is missing or cannot be read."""
    try:
        return thumbnail(read_picture(path), side)
    except BrokenImageError:
        return no_image("cannot be read" if path.exists() else "not found")


def lost_note(found: Any, rows: Iterable[int]) -> str:
    """A paragraph about images of an ``EmbeddingSet`` that are not where they were; empty where all are."""
    text = found.lost(dict.fromkeys(rows))
    return f"<p><b>{html.escape(text)}</b></p>" if text else ""


@functools.cache
def no_image(text: str, side: int = SIDE) -> str:
    """A grey thumbnail with a few words."""
    return thumbnail(grey_cell(text, side))


def grey_cell(text: str, side: int) -> Image.Image:
    """What stands in the place of a picture that cannot be shown."""
    cell = Image.new("RGB", (side, side), "#f2f4f7")
    ImageDraw.Draw(cell).text((6, side // 2 - 6), text, fill="#5b6472")
    return cell


def _image(content: Mapping[str, Any], index: int) -> str:
    names = ", ".join(_words(name) for name in dict.fromkeys(content["names"][str(index)]))
    return image_tag(content["images"][str(index)], names)


def _words(name: str) -> str:
    return name.replace("_", " ")

"""Contact sheets of search results, as a page and as a picture."""

import html
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import Any, NamedTuple

from PIL import Image, ImageDraw
from torch import Tensor

from pml_suprank.recipes.data.pictures import BrokenImageError, read_picture
from pml_suprank.recipes.pages.html_page import page
from pml_suprank.recipes.pages.sheets import file_thumbnail, grey_cell, lost_note, tile

__all__ = ["Query", "render_picture", "render_results"]

_STYLE = """
.sheet { padding: 18px 0; border-top: 1px solid var(--rule); display: flex; flex-wrap: wrap; gap: 12px; }
.sheet figure { margin: 0; width: 118px; font-size: 12px; line-height: 1.35; overflow-wrap: anywhere; }
.sheet img { width: 118px; height: 118px; object-fit: contain; background: var(--soft); border-radius: 9px; }
.sheet .query img { outline: 3px solid var(--ours); } small { color: var(--muted); }
"""
_SIDE, _GAP = 112, 8


class Query(NamedTuple):
    """What was searched for: a title, and the image if it was one."""

    title: str
    path: Path | None


def render_results(queries: Sequence[Query], gallery: Any, scores: Tensor, indices: Tensor) -> str:
    """The page: a row for each query, with the scores and the labels of the results.

    Args:
        queries: Q of them.
        gallery: the ``EmbeddingSet`` that was searched.
        scores: [Q, k].
        indices: [Q, k] into the gallery; -1 where fewer were found.
    """
    body = []
    asked = f"{len(queries):,} {'query' if len(queries) == 1 else 'queries'}"
    for query, own_scores, own in zip(queries, scores.tolist(), indices.tolist(), strict=True):
        picture = f'<img src="{file_thumbnail(query.path)}" alt="query">' if query.path else ""
        figures = [f'<figure class="query">{picture}<b>{html.escape(query.title)}</b></figure>']
        for score, index in zip(own_scores, own, strict=True):
            if index < 0:
                continue  # an approximate index found fewer
            names = " · ".join(gallery.names(index))
            path = "" if gallery.paths is None else gallery.paths[index]
            figures.append(
                f'<figure><img src="{tile(gallery, index)}" alt="{html.escape(path)}" '
                f'title="{html.escape(path)}"><b>{score:.3f}</b> {html.escape(names)}<br>'
                f"<small>{html.escape(path)}</small></figure>"
            )
        body.append(f'<div class="sheet">{"".join(figures)}</div>')
    content = f"""<h1>Search results</h1>
<p class="lead">{asked} in a gallery of {len(gallery):,} images; cosine similarity.</p>
{lost_note(gallery, indices.flatten().tolist())}
{"".join(body)}"""
    return page("Search results", content, _STYLE)


def render_picture(queries: Sequence[Query], gallery: Any, indices: Tensor) -> Image.Image:
    """The contact sheet as a picture: the query on the left of each row, then its results."""
    step = _SIDE + _GAP
    columns = indices.shape[1] + 1
    sheet = Image.new("RGB", (columns * step + 2 * _GAP, len(queries) * step + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for row, (query, own) in enumerate(zip(queries, indices.tolist(), strict=True)):
        top = _GAP + row * step
        if query.path is None:
            draw.multiline_text((_GAP, top + 8), fill(query.title, 17), fill="#1d2433")
        else:
            _paste(sheet, query.path, _GAP, top)
            draw.rectangle(
                (_GAP - 3, top - 3, _GAP + _SIDE + 2, top + _SIDE + 2), outline="#0f766e", width=3
            )
        for column, index in enumerate((index for index in own if index >= 0), 1):
            path = gallery.path(index)
            lost = "not found" if gallery.has_file(index) else ""
            _paste(sheet, path, 2 * _GAP + column * step, top, lost)
    return sheet


def _paste(sheet: Image.Image, path: Path | None, left: int, top: int, lost: str = "") -> None:
    cell = grey_cell(lost if path is None else "", _SIDE)
    try:
        if path is not None:
            small = read_picture(path)
            small.thumbnail((_SIDE, _SIDE))
            cell.paste(small, ((_SIDE - small.width) // 2, (_SIDE - small.height) // 2))
    except BrokenImageError:
        cell = grey_cell("cannot be read", _SIDE)
    sheet.paste(cell, (left, top))

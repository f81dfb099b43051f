"""Contact sheets of search results, as a page and as a picture."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import Any, NamedTuple

from PIL import Image, ImageDraw
from torch import Tensor

from pml_suprank.recipes.data.pictures import BrokenImageError, read_picture
from pml_suprank.recipes.pages.html_page import page
from pml_suprank.recipes.pages.thumbnails import (
    background_of,
    file_address,
    file_thumbnail,
    grey_cell,
    tile,
)

__all__ = ["Query", "render_picture", "render_results"]

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
    background = background_of(gallery)
    shown = []
    for query, own_scores, own in zip(queries, scores.tolist(), indices.tolist(), strict=True):
        found = [pair for pair in zip(own_scores, own, strict=True) if pair[1] >= 0]
        source = file_thumbnail(query.path, background=background) if query.path else ""
        hits = [_hit(gallery, score, index) for score, index in found]
        shown.append({"title": query.title, "source": source, "hits": hits})
    return page(
        "results.html",
        title="Search results",
        queries=shown,
        size=len(gallery),
        lost=gallery.lost(
            dict.fromkeys(index for index in indices.flatten().tolist() if index >= 0)
        ),
    )


def _hit(gallery: Any, score: float, index: int) -> dict[str, Any]:
    return {
        "source": tile(gallery, index),
        "score": score,
        "names": " · ".join(gallery.names(index)),
        "path": "" if gallery.paths is None else gallery.paths[index],
        "href": file_address(gallery.path(index)),
    }


def render_picture(queries: Sequence[Query], gallery: Any, indices: Tensor) -> Image.Image:
    """The contact sheet as a picture: the query on the left of each row, then its results."""
    step = _SIDE + _GAP
    columns = indices.shape[1] + 1
    sheet = Image.new("RGB", (columns * step + 2 * _GAP, len(queries) * step + _GAP), "white")
    draw, background = ImageDraw.Draw(sheet), background_of(gallery)
    for row, (query, own) in enumerate(zip(queries, indices.tolist(), strict=True)):
        top = _GAP + row * step
        if query.path is None:
            draw.multiline_text((_GAP, top + 8), fill(query.title, 17), fill="#1d2433")
        else:
            _paste(sheet, query.path, _GAP, top, background)
            draw.rectangle(
                (_GAP - 3, top - 3, _GAP + _SIDE + 2, top + _SIDE + 2), outline="#0f766e", width=3
            )
        for column, index in enumerate((index for index in own if index >= 0), 1):
            path = gallery.path(index)
            lost = "not found" if gallery.has_file(index) else ""
            _paste(sheet, path, 2 * _GAP + column * step, top, background, lost)
    return sheet


def _paste(
    sheet: Image.Image, path: Path | None, left: int, top: int, background: str, lost: str = ""
) -> None:
    cell = grey_cell(lost if path is None else "", _SIDE)
    try:
        if path is not None:
            small = read_picture(path, background)
            small.thumbnail((_SIDE, _SIDE))
            cell.paste(small, ((_SIDE - small.width) // 2, (_SIDE - small.height) // 2))
    except BrokenImageError:
        cell = grey_cell("cannot be read", _SIDE)
    sheet.paste(cell, (left, top))

"""What a model retrieves, for any data set: thumbnails and names are kept, so that no image is needed later."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pml_suprank.recipes.pages.thumbnails import item_thumbnail

__all__ = [
    "contact_sheet",
    "dots",
    "frame_colours",
    "legend",
    "result_row",
    "sheet",
    "sheets_of",
    "shown_image",
]

# From nothing in common to everything; every frame carries dots as well.
_COLOURS = ("#b6bfca", "#cf6fc0", "#ee8a2c", "#ecdc3c", "#9fd04a", "#35985a", "#35a5d8", "#0d5c70")


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
        "images": {str(i): item_thumbnail(data, i) for i in sorted(shown)},
        "names": {
            str(i): [tree.node_names(level)[int(node)] for level, node in enumerate(data.labels[i])]
            for i in sorted(shown)
        },
    }


def frame_colours(levels: int) -> list[str]:
    """The colours of frames for 0..levels shared levels; up to seven levels they all differ."""
    last = len(_COLOURS) - 1
    return [_COLOURS[round(shared * last / max(levels, 1))] for shared in range(levels + 1)]


def legend(level_names: Sequence[str], finest_note: str = "") -> list[dict[str, Any]]:
    """The meaning of the frames.

    Args:
        level_names: finest first.
        finest_note: what to say besides of the finest level.
    """
    levels = len(level_names)
    notes = [finest_note] + [""] * levels
    meanings = [(levels - i, f"same {name}{notes[i]}") for i, name in enumerate(level_names)]
    meanings.append((0, "nothing in common"))
    return [
        {"shared": shared, "text": text, "dots": dots(shared, levels)} for shared, text in meanings
    ]


def sheets_of(
    content: Mapping[str, Any], rows: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """One sheet for each query.

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
        details = [" · ".join(names[1:])] if len(names) > 1 else []
        parts.append(sheet(_image(content, query), names[0], details, lines))
    return parts


def sheet(
    image: Mapping[str, str],
    title: str,
    details: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    href: str = "",
) -> dict[str, Any]:
    """The sheet of a query.

    Args:
        image: from :func:`shown_image`.
        title: of the query.
        details: lines below it.
        rows: from :func:`result_row`.
        href: where the title leads to, a file; "" for nowhere.
    """
    return {"image": image, "title": title, "details": details, "rows": rows, "href": href}


def result_row(
    title: str, images: Iterable[Mapping[str, str]], shared: Iterable[int], levels: int
) -> dict[str, Any]:
    """A row of results.

    Args:
        title: beside it.
        images: of the results, from :func:`shown_image`.
        shared: levels that each shares with the query.
        levels: their number.
    """
    hits = [
        {"image": image, "shared": count, "dots": dots(count, levels)}
        for image, count in zip(images, shared, strict=True)
    ]
    return {"title": title, "hits": hits}


def dots(shared: int, levels: int) -> str:
    """Shared levels as filled dots."""
    return "●" * shared + "○" * (levels - shared)


def shown_image(source: str, text: str) -> dict[str, str]:
    """A picture for a template: a data URI, and what it shows."""
    return {"source": source, "text": text}


def _image(content: Mapping[str, Any], index: int) -> dict[str, str]:
    names = ", ".join(_words(name) for name in dict.fromkeys(content["names"][str(index)]))
    return shown_image(content["images"][str(index)], names)


def _words(name: str) -> str:
    return name.replace("_", " ")

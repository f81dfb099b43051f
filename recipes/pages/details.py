"""The content of ``details.json``, which says more of held-out images than means do, and how a page shows it."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from pml_suprank.recipes.data.paths import is_inside
from pml_suprank.recipes.levels import level_title
from pml_suprank.recipes.pages.charts import COLOURS, Points, dot_map
from pml_suprank.recipes.pages.checked import Checked, Number
from pml_suprank.recipes.pages.html_page import is_picture
from pml_suprank.recipes.pages.sheets import result_row, sheet, shown_image
from pml_suprank.recipes.pages.thumbnails import file_address

__all__ = ["Details", "branch_tables", "class_table", "confusions", "embedding_map", "worst_sheets"]


class _Score(Checked):
    name: str
    above: list[str]
    classes: int
    images: int
    values: Annotated[list[Number | None], Field(min_length=3, max_length=3)]


class _Branches(Checked):
    level: int
    rows: list[_Score]


class _Pair(Checked):
    own: str
    got: str
    count: int
    of: int


class _Matrix(Checked):
    level: int
    names: list[str]
    counts: list[list[int]]


class _Confusion(Checked):
    level: int | None
    pairs: list[_Pair]
    matrix: _Matrix | None


class _Map(Checked):
    method: str
    of: int
    level: int
    x: list[Number]
    y: list[Number]
    group: list[str]
    text: list[str]


class _Item(Checked):
    source: str
    names: list[str]
    path: str


class _Query(_Item):
    value: Number


class _Worst(Checked):
    root: str
    queries: list[_Query]
    results: list[list[_Item]]
    levels: list[list[int]]


class Details(Checked):
    """The content of ``details.json``, see :func:`pml_suprank.recipes.engine.findings.findings`."""

    queries: int
    left_out: dict[str, int]
    classes: list[_Score]
    branches: list[_Branches]
    confusion: _Confusion
    map: _Map
    worst: _Worst

    @model_validator(mode="after")
    def _is_whole(self) -> "Details":
        places, worst, matrix = self.map, self.worst, self.confusion.matrix
        if len({len(places.x), len(places.y), len(places.group), len(places.text)}) > 1:
            raise ValueError("wanted a place, a group and a text of each point, got other numbers")
        if matrix is not None and {len(matrix.names)} != {
            len(matrix.counts),
            *map(len, matrix.counts),
        }:
            raise ValueError("wanted a square matrix, got another")
        sizes = [[len(row) for row in part] for part in (worst.results, worst.levels)]
        if sizes[0] != sizes[1] or len(sizes[0]) != len(worst.queries):
            raise ValueError("wanted results and levels of every query, got other numbers")
        items = [*worst.queries, *(item for row in worst.results for item in row)]
        if not all(item.names and is_picture(item.source) for item in items):
            raise ValueError(
                "wanted names and data URIs of JPEG or PNG pictures, got something else"
            )
        if not all(0 <= level <= 64 for row in worst.levels for level in row):
            raise ValueError("wanted numbers of shared levels, got others")
        return self


def class_table(details: Details, levels: list[str]) -> dict[str, Any]:
    """Every class with its groups, its images and its scores, the lowest first."""
    above = [
        level_title(levels, 1 + i) for i in range(max(len(row.above) for row in details.classes))
    ]
    rows = [
        [row.name, *row.above, *[""] * (len(above) - len(row.above)), row.images, *row.values]
        for row in details.classes
    ]
    texts = [level_title(levels, 0), *above]
    return {"columns": _columns(texts, "images", "H-AP", "AP", "P@1"), "rows": rows}


def branch_tables(details: Details, levels: list[str]) -> list[dict[str, Any]]:
    """The same of the groups of each coarser level."""
    return [
        {
            "columns": _columns(
                [level_title(levels, part.level)], "classes", "images", "H-AP", "AP", "P@1"
            ),
            "rows": [[row.name, row.classes, row.images, *row.values] for row in part.rows],
        }
        for part in details.branches
    ]


def confusions(details: Details, levels: list[str]) -> dict[str, Any]:
    """Pairs of groups, and the matrix with the share of each row."""
    found = details.confusion
    pairs = [
        [pair.own, pair.got, pair.count, pair.of, pair.count / max(pair.of, 1)]
        for pair in found.pairs
    ]
    matrix: dict[str, Any] = {}
    if found.matrix is not None:
        totals = [max(sum(row), 1) for row in found.matrix.counts]
        matrix = {
            "level": level_title(levels, found.matrix.level),
            "names": found.matrix.names,
            "rows": [
                [
                    {"count": count, "share": count / total, "own": i == j}
                    for j, count in enumerate(row)
                ]
                for i, (row, total) in enumerate(zip(found.matrix.counts, totals, strict=True))
            ],
        }
    level = "" if found.level is None else level_title(levels, found.level)
    columns = _columns([f"{level} of the query", "of the first result"], "queries", "of", "share")
    return {"level": level, "pairs": {"columns": columns, "rows": pairs}, "matrix": matrix}


def embedding_map(details: Details, levels: list[str]) -> dict[str, Any]:
    """The map and the meaning of its colours, the largest groups first; {} where there are fewer than three points."""
    found = details.map
    if len(found.x) < 3:
        return {}
    names = sorted(set(found.group), key=lambda name: (-found.group.count(name), name))
    colour = {name: place for place, name in enumerate(names)}
    points = Points(found.x, found.y, [colour[name] for name in found.group], found.text)
    keys: list[dict[str, Any]] = [
        {"name": name, "colour": place} for place, name in enumerate(names[:COLOURS])
    ]
    if len(names) > COLOURS:
        keys.append({"name": f"{len(names) - COLOURS:,} others", "colour": "none"})
    return dot_map(points) | {
        "keys": keys,
        "method": found.method,
        "level": level_title(levels, found.level),
        "shown": len(found.x),
        "of": found.of,
    }


def worst_sheets(details: Details, levels: int) -> list[dict[str, Any]]:
    """The queries of lowest H-AP, with the names of their files, which lead to them where they still are."""
    worst = details.worst
    sheets = []
    for query, items, shared in zip(worst.queries, worst.results, worst.levels, strict=True):
        images = [_image(item) for item in items]
        hits = result_row("", images, [min(count, levels) for count in shared], levels)
        lines = [" · ".join(dict.fromkeys(query.names)), f"H-AP {query.value:.3f}"]
        address = _address(worst.root, query.path)
        sheets.append(sheet(_image(query), query.path, lines, [hits], address))
    return sheets


def _image(item: _Item) -> dict[str, str]:
    return shown_image(item.source, f"{', '.join(dict.fromkeys(item.names))} ({item.path})")


def _address(root: str, path: str) -> str:
    """Where a link leads to: a file below the root, if it is there."""
    if not root or "\0" in root + path or not is_inside(root, path):
        return ""
    place = Path(root) / path
    return file_address(place if place.is_file() else None)


def _columns(texts: list[str], *numbers: str) -> list[dict[str, str]]:
    return [
        *({"kind": "text", "title": title} for title in texts),
        *({"kind": "number", "title": title} for title in numbers),
    ]

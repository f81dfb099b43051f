"""The queries that a model does worst on, with what it retrieves for them."""

from typing import Any

from pml_suprank.recipes.pages.html_page import page
from pml_suprank.recipes.pages.sheets import (
    frame_colours,
    legend,
    result_row,
    sheet,
    shown_image,
)
from pml_suprank.recipes.pages.thumbnails import file_address, tile

__all__ = ["render_worst", "worst_queries"]

RANKED_BY = "hierarchical_average_precision"


def worst_queries(found: Any, count: int = 20) -> list[int]:
    """The queries of lowest H-AP, of those with a relevant item; worst first."""
    metric = found.result[RANKED_BY]
    rows = metric.valid.nonzero().flatten().tolist()
    return sorted(rows, key=lambda row: float(metric.values[row]))[:count]


def render_worst(found: Any, count: int = 20) -> str:
    """The page.

    Args:
        found: an ``Evaluated``.
        count: number of queries; those without any relevant item are not among them.
    """
    metric = found.result[RANKED_BY]
    worst = worst_queries(found, count)
    levels = found.queries.names_of_levels()
    results = found.indices[worst].flatten().tolist()
    lost = found.queries.lost(worst) or found.gallery.lost(dict.fromkeys(results))
    return page(
        "worst.html",
        title="Worst queries",
        total=metric.num_valid,
        mean=metric.mean() if worst else None,
        lost=lost,
        colours=frame_colours(len(levels)),
        legend=legend(levels),
        shown=[_sheet(found, row, float(metric.values[row])) for row in worst],
    )


def _sheet(found: Any, row: int, value: float) -> dict[str, Any]:
    queries, gallery = found.queries, found.gallery
    images = [_image(gallery, index) for index in found.indices[row].tolist()]
    hits = result_row("", images, found.shared[row].tolist(), queries.num_levels)
    path = "" if queries.paths is None else queries.paths[row]
    names = " · ".join(queries.names(row))
    details = [names, f"H-AP {value:.3f}"] if path else [f"H-AP {value:.3f}"]
    return sheet(
        _image(queries, row), path or names, details, [hits], file_address(queries.path(row))
    )


def _image(part: Any, row: int) -> dict[str, str]:
    path = "" if part.paths is None else part.paths[row]
    names = ", ".join(part.names(row))
    return shown_image(tile(part, row), f"{names} ({path})" if path else names)

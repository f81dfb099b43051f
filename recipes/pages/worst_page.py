"""The queries that a model does worst on, with what it retrieves for them."""

import html
from typing import Any

from pml_suprank.recipes.pages.html_page import page
from pml_suprank.recipes.pages.sheets import legend, lost_note, render_sheets, sheet_style, tile

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
    offset = len(found.queries)  # queries and gallery are two sets of images on one page
    shown: dict[str, str] = {}
    names: dict[str, list[str]] = {}
    for row in worst:
        _add(shown, names, found.queries, row, row)
        for index in found.indices[row].tolist():
            _add(shown, names, found.gallery, index, offset + index)
    rows = {
        "queries": worst,
        "results": [[offset + index for index in found.indices[row].tolist()] for row in worst],
        "levels": [found.shared[row].tolist() for row in worst],
    }
    content = {"level_names": list(levels), "images": shown, "names": names}
    listing = (
        render_sheets(content, {"": rows}) if worst else "<p>No query has a relevant item.</p>"
    )
    lines = "".join(
        f"<li>{float(metric.values[row]):.3f} {html.escape(_about(found.queries, row))}</li>"
        for row in worst
    )
    results = found.indices[worst].flatten().tolist()
    note = lost_note(found.queries, worst) or lost_note(found.gallery, results)
    body = f"""<h1>Worst queries</h1>
<p class="lead">The {len(worst)} queries of lowest H-AP, of {metric.num_valid:,}; the mean is
{metric.mean():.3f}.</p>
{note}
{legend(levels)}
{listing}
<h2>In figures</h2>
<ol>{lines}</ol>"""
    return page("Worst queries", body, sheet_style(len(levels)))


def _add(shown: dict[str, str], names: dict[str, list[str]], part: Any, row: int, key: int) -> None:
    if str(key) not in shown:
        shown[str(key)] = tile(part, row)
        names[str(key)] = [part.class_name(row, level) for level in range(part.num_levels)]


def _about(part: Any, row: int) -> str:
    path = "" if part.paths is None else part.paths[row]
    return f"{path} ({part.class_name(row)})" if path else part.class_name(row)

"""The queries that a model does worst on, with what it retrieves for them."""

import html
from typing import Any

from pml_suprank.recipes.pages.html_page import page
from pml_suprank.recipes.pages.sheets import legend, render_sheets, sheet_style, tile

__all__ = ["render_worst"]

RANKED_BY = "hierarchical_average_precision"


def render_worst(found: Any, count: int = 20) -> str:
    """The page.

    Args:
        found: an ``Evaluated``.
        count: number of queries; those without any relevant item are not among them.
    """
    metric = found.result[RANKED_BY]
    order = sorted(
        metric.valid.nonzero().flatten().tolist(), key=lambda row: float(metric.values[row])
    )
    worst = order[:count]
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
    body = f"""<h1>Worst queries</h1>
<p class="lead">The {len(worst)} queries of lowest H-AP, of {metric.num_valid:,}; the mean is
{metric.mean():.3f}.</p>
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

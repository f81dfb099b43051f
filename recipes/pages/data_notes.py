"""What the reader of a page has to know about the data: levels that say nothing, notes, and tests that differ."""

import html
from collections.abc import Sequence

from pml_suprank.recipes.levels import level_title
from pml_suprank.recipes.pages.run_folder import RunFolder

__all__ = ["about_data", "different_tests"]


def about_data(run: RunFolder) -> list[str]:
    """The notes of a run, and its levels with the number of nodes; nothing for a run that has none.

    Args:
        run: whose ``metrics.json`` may hold ``notes`` and ``levels``.
    """
    body = [
        f'<p class="note">{html.escape(str(note))}.</p>' for note in run.metrics.get("notes", ())
    ]
    levels = run.metrics.get("levels", ())
    if not any(level["note"] for level in levels):
        return body
    names = [level["name"] for level in levels]
    rows = "".join(
        f"<tr><td>{html.escape(level_title(names, place))}</td>"
        f'<td class="number">{int(level["nodes"]):,}</td>'
        f'<td class="text">{html.escape(level["note"])}{": not reported" if level["note"] else ""}</td></tr>'
        for place, level in enumerate(levels)
    )
    head = "<thead><tr><th>level</th><th>nodes among the held-out images</th><th></th></tr></thead>"
    return [
        *body,
        "<p>A level in which all held-out images agree, or that repeats another one, has no metrics; H-AP, NDCG and "
        "ASI still count it as one of the levels.</p>",
        f'<div class="wide"><table>{head}<tbody>{rows}</tbody></table></div>',
    ]


def different_tests(runs: Sequence[RunFolder], names: Sequence[str]) -> list[str]:
    """What to say where runs were not tested on the same images; nothing where they were, as far as they tell.

    Args:
        runs: to compare.
        names: of the runs, as the page shows them.
    """
    tests = [run.metrics.get("test_set") for run in runs]
    queries = [run.metrics.get("queries") for run in runs]
    known = {test for test in tests if test is not None}
    if len(known) < 2 and len({count for count in queries if count is not None}) < 2:
        return []
    counts = ", ".join(
        f"{html.escape(name)}: {f'{count:,}' if count else 'unknown'}"
        for name, count in zip(names, queries, strict=True)
    )
    return [
        '<p class="note">These runs were tested on different images, so their numbers do not compare and none is '
        f"marked as the best. Queries of each: {counts}.</p>"
    ]

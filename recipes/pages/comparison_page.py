"""Several runs side by side: metrics, curves, and the settings that differ."""

from collections.abc import Mapping, Sequence
from typing import Any

from pml_suprank.recipes.pages.charts import bars, line_chart
from pml_suprank.recipes.pages.html_page import page
from pml_suprank.recipes.pages.run_folder import RunFolder, RunFolderError
from pml_suprank.recipes.pages.run_page import by_epoch, metric_titles, setting_text

__all__ = ["render_comparison", "tested_on"]


def render_comparison(runs: Sequence[RunFolder]) -> str:
    """The page.

    Raises:
        RunFolderError: the runs have no metric in common.
    """
    names = _names(runs)
    shared = [key for key in runs[0].metrics.after if all(key in r.metrics.after for r in runs)]
    if not shared:
        raise RunFolderError("runs: wanted runs with a metric in common, got none")
    titles = metric_titles(shared, max((run.metrics.level_names for run in runs), key=len))
    main = next((name for name in titles if not titles[name][1]), next(iter(titles)))
    differ = tested_on(runs)
    parts: dict[str, list[dict[str, Any]]] = {}
    for key, (title, level) in titles.items():
        values = [run.metrics.after[key] for run in runs]
        best = None if differ else max(values)
        parts.setdefault(level, []).append({"title": title, "values_": values, "best": best})
    by_name = dict(zip(names, runs, strict=True))
    means = {name: _means(run.history) for name, run in by_name.items()}
    unit = "epoch" if all("epoch" in run.history[0] for run in runs if run.history) else "iteration"
    plotted = [line_chart(means, unit, "mean loss")]
    if all(len(run.evaluations) > 1 for run in runs):
        lines = {name: by_epoch(run, main) for name, run in by_name.items()}
        plotted.append(line_chart(lines, "epoch", titles[main][0]))
    return page(
        "comparison.html",
        title="Comparison of runs",
        runs=names,
        tested_on=differ,
        parts=[{"heading": level, "rows": rows} for level, rows in parts.items()],
        bars=[] if differ else _bars(by_name, main),
        plotted=plotted,
        differences=_differences(runs),
    )


def _bars(runs: Mapping[str, RunFolder], metric: str) -> list[dict[str, Any]]:
    values = {name: run.metrics.after[metric] for name, run in runs.items()}
    return bars(values, max(values, key=values.__getitem__))


def tested_on(runs: Sequence[RunFolder]) -> str:
    """The queries of each run where they were not tested on the same images; "" where they were, as far as they tell.

    Args:
        runs: to compare.
    """
    known = {run.metrics.test_set for run in runs if run.metrics.test_set is not None}
    counts = {run.metrics.queries for run in runs if run.metrics.queries is not None}
    if len(known) < 2 and len(counts) < 2:
        return ""
    return ", ".join(
        f"{name}: {run.metrics.queries or 'unknown'}"
        for name, run in zip(_names(runs), runs, strict=True)
    )


def _names(runs: Sequence[RunFolder]) -> list[str]:
    """What runs are called: by their folders, or by their paths where two folders have one name."""
    names = [run.name for run in runs]
    return names if len(set(names)) == len(names) else [str(run.path) for run in runs]


def _means(history: Sequence[Mapping[str, float]]) -> tuple[list[float], list[float]]:
    """Epochs, or iterations where there are none, and the mean loss of each."""
    groups: dict[float, list[float]] = {}
    for row in history:
        groups.setdefault(row.get("epoch", row.get("iteration", 0.0)), []).append(row["loss"])
    return list(groups), [sum(group) / len(group) for group in groups.values()]


def _differences(runs: Sequence[RunFolder]) -> list[tuple[str, list[str]]]:
    keys = dict.fromkeys(key for run in runs for key in run.settings)
    texts = {key: [setting_text(run.settings.get(key)) for run in runs] for key in keys}
    return [(key, row) for key, row in texts.items() if len(set(row)) > 1]

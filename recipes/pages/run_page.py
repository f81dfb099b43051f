"""The page of a run: metrics before and after, what is retrieved, the training, the data and the settings."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pml_suprank.recipes.engine.text_evaluation import DIRECTIONS
from pml_suprank.recipes.levels import level_title
from pml_suprank.recipes.pages.charts import line_chart, loss_chart
from pml_suprank.recipes.pages.details import (
    branch_tables,
    class_table,
    confusions,
    embedding_map,
    worst_sheets,
)
from pml_suprank.recipes.pages.html_page import before_after, page
from pml_suprank.recipes.pages.run_folder import RunFolder
from pml_suprank.recipes.pages.sheets import frame_colours, legend, sheets_of

__all__ = ["metric_titles", "render_run", "setting_text"]

_TITLES = {
    "hierarchical_average_precision": "H-AP",
    "ndcg": "NDCG",
    "asi": "ASI",
    "mean_average_precision": "AP",
    "average_precision": "AP",
    "mean_average_precision_at_r": "AP@R",
    "precision_at_1": "P@1",
}


def metric_titles(names: Sequence[str], level_names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Metric to its title and the level it is of ("" for all levels), in the order of the levels.

    R@1 is P@1 and left out where that is there.

    Args:
        names: as evaluations have them, such as ``recall_at_5_level0``.
        level_names: finest first; may be shorter.
    """
    found: dict[str, tuple[str, str]] = {}
    places = {}
    for name in names:
        match = re.fullmatch(r"(.+)_level(\d+)", name)
        base, level = (match[1], int(match[2])) if match else (name, -1)
        if base == "recall_at_1" and name.replace(base, "precision_at_1") in names:
            continue
        way = next((prefix for prefix in DIRECTIONS if base.startswith(prefix)), "")
        base = base.removeprefix(way)
        title = _TITLES.get(base) or base.replace("recall_at_", "R@").replace("_", " ")
        title += f", {DIRECTIONS[way]}" if way else ""
        found[name] = (title, "" if level < 0 else level_title(level_names, level))
        first = list(_TITLES).index(base) if base in _TITLES else len(_TITLES)
        depth = re.search(r"(\d+)$", base)
        places[name] = (level, ["", *DIRECTIONS].index(way), first, int(depth[1]) if depth else 0)
    return {name: found[name] for name in sorted(found, key=places.__getitem__)}


def render_run(run: RunFolder) -> str:
    """The page of one run."""
    before, after = run.metrics.before, run.metrics.after
    levels = run.metrics.level_names
    titles = metric_titles(list(after), levels)
    main = [name for name in titles if not titles[name][1]]
    loss = setting_text(run.settings.get("loss.name") or run.settings.get("loss", ""))
    parts: dict[str, dict[str, str]] = {}
    for name, (title, level) in titles.items():
        parts.setdefault(level, {})[name] = title
    return page(
        "run.html",
        title=f"{loss}: {run.name}",
        lead=_lead(run),
        tiles=[
            {"title": titles[name][0], "before": before.get(name), "after": after[name]}
            for name in main[:3]
        ],
        parts=before_after(before, after, parts),
        notes=run.metrics.notes,
        credits=run.metrics.credits,
        levels=_levels(run),
        colours=frame_colours(len(levels)),
        legend=legend([level_title(levels, level) for level in range(len(levels))]),
        shown=_sheets(run),
        counts=_counts(run),
        details=_details(run),
        plotted=_plots(run, loss, {name: titles[name][0] for name in main}),
        left_out=_left_out(run),
        settings=[
            (name, setting_text(value))
            for name, value in (run.settings | run.metrics.setup).items()
            if value not in (None, "", {}, [])
        ],
    )


def _counts(run: RunFolder) -> list[tuple[str, str]]:
    """How much there is of everything, and how much was left out."""
    metrics, found = run.metrics, []
    for what, images, classes in (
        ("trained on", metrics.training_images, metrics.training_classes),
        ("held out", metrics.queries, metrics.classes),
    ):
        if images is not None:
            of = "" if classes is None else f" of {classes:,} classes"
            found.append((what, f"{images:,} images{of}"))
    alone = {} if run.details is None else run.details.left_out
    for level, count in alone.items():
        name = level_title(metrics.level_names, int(level)) if level.isdecimal() else level
        if count:
            found.append(
                (
                    f"no other of the same {name}",
                    f"{count:,} queries, left out of the metrics of this level",
                )
            )
    if metrics.broken:
        found.append(("broken", f"{metrics.broken:,} images left out"))
    if metrics.left_out:
        total = sum(row.count for row in metrics.left_out)
        found.append(("not read", f"{total:,} files or folders, see below"))
    return found


def _details(run: RunFolder) -> dict[str, Any]:
    """Scores of classes and branches, confusions, the map and the worst queries; {} for a run without."""
    if run.details is None or not run.details.classes:
        return {}
    levels = run.metrics.level_names
    return {
        "drawn": run.details.queries if run.details.queries != run.metrics.queries else 0,
        "map": embedding_map(run.details, levels),
        "worst": worst_sheets(run.details, len(levels)),
        "classes": class_table(run.details, levels),
        "branches": branch_tables(run.details, levels),
        "confusions": confusions(run.details, levels),
    }


def setting_text(value: Any) -> str:
    """A setting, or a dash for none."""
    return "–" if value in (None, "", {}) else str(value)


def _lead(run: RunFolder) -> str:
    queries, steps = run.metrics.queries, run.metrics.iterations
    asked = f"{queries:,} queries that were not trained on" if queries else "held-out queries"
    took = ""
    if run.metrics.training_seconds:
        minutes, seconds = divmod(round(run.metrics.training_seconds), 60)
        took = f" in {minutes} min {seconds:02d} s"
    return f"{asked}; {len(run.history) if steps is None else steps:,} steps of training{took}"


def _levels(run: RunFolder) -> dict[str, Any]:
    """The levels with the number of their nodes, where one of them says nothing."""
    levels = run.metrics.levels
    if not any(level.note for level in levels):
        return {}
    names = [level.name for level in levels]
    rows = [
        [
            level_title(names, place),
            level.nodes,
            f"{level.note}: not reported" if level.note else "",
        ]
        for place, level in enumerate(levels)
    ]
    columns = _columns(text="level", number="nodes among the held-out images", text_="note")
    return {"columns": columns, "rows": rows}


def _left_out(run: RunFolder) -> dict[str, Any]:
    """What lay beside the images and was not read: how much, why, and the first of each."""
    rows = [[row.count, row.reason, ", ".join(row.examples)] for row in run.metrics.left_out]
    columns = _columns(number="files or folders", text="reason", text_="such as")
    return {"columns": columns, "rows": rows} if rows else {}


def _columns(**titles: str) -> list[dict[str, str]]:
    return [{"kind": kind.rstrip("_"), "title": title} for kind, title in titles.items()]


def _sheets(run: RunFolder) -> list[dict[str, Any]]:
    if run.sheets is None:
        return []
    content = run.sheets.model_dump()
    return sheets_of(content, {"before": content["before"], "after": content["after"]})


def _plots(run: RunFolder, loss: str, titles: Mapping[str, str]) -> list[dict[str, Any]]:
    found = []
    steps = len(run.history)
    if steps:
        epochs = max(1, int(run.history[-1].get("epoch", 1)))
        losses = [row["loss"] for row in run.history]
        found.append(loss_chart(losses, max(1, steps // epochs), loss))
    if len(run.evaluations) > 1:
        lines = {title: by_epoch(run, name) for name, title in titles.items()}
        found.append(line_chart(lines, "epoch", "held-out images"))
        every = metric_titles(list(run.metrics.after), run.metrics.level_names)
        lines = {
            f"AP, same {level}": by_epoch(run, name)
            for name, (title, level) in every.items()
            if title == "AP"
        }
        if lines:
            found.append(line_chart(lines, "epoch", "average precision by level"))
    return found


def by_epoch(run: RunFolder, metric: str) -> tuple[list[float], list[float]]:
    """Epochs of the evaluations, and the metric at each; those that lack it are left out."""
    rows = [row for row in run.evaluations if metric in row]
    return [row["epoch"] for row in rows], [row[metric] for row in rows]

"""The runs of the decomposability study as rows, and as Markdown."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from studies.leaderboard.tables import spread

__all__ = ["PIVOTS", "Pivot", "Row", "pivot", "rows", "table"]

Content = Mapping[str, Any]
Fields = Mapping[str, Any]  # of a Row, and their values


class Row(NamedTuple):
    """What the runs of a row share."""

    data: str
    loss: str
    arm: str
    memory: float
    batch_size: int
    is_hierarchical: bool
    steps: int
    lr: float


class Pivot(NamedTuple):
    """A table for one question: which rows its lines and columns pick.

    Attributes:
        lines: title to the fields that a row has.
        columns: likewise; a cell has the fields of both.
        has_gap: whether the gap on the training set stands behind H-AP, or AP of the finest level.
    """

    lines: Mapping[str, Fields]
    columns: Mapping[str, Fields]
    has_gap: bool = True


_SHUFFLED: Fields = {"steps": 150, "is_hierarchical": False}
_GROUPS: Fields = {"steps": 150, "is_hierarchical": True}
_BOTH = {
    f"{data}, {loss}": {"data": data, "loss": loss}
    for data in ("emoji", "signwriting")
    for loss in ("SupAP", "SupHAP")
}
_WEIGHTED = "whole memory, `batch_weight=0.25`"
_MEANS: Mapping[str, Fields] = {
    "batch alone": {"arm": "batch"},
    "calibration": {"arm": "calibration"},
    "proxies": {"arm": "proxies"},
    "queue of a quarter": {"arm": "cross-batch memory", "memory": 0.25},
    "whole memory, empty at first": {"arm": "whole memory, empty at first"},
    "whole memory": {"arm": "whole memory"},
    _WEIGHTED: {"arm": "whole memory and batch"},
}

PIVOTS = {
    "decomposability-shuffled": Pivot(
        {title: {**_SHUFFLED, "batch_size": 32, **fields} for title, fields in _MEANS.items()},
        _BOTH,
    ),
    "decomposability-batches": Pivot(
        {
            title: {**fields, "batch_size": 128}
            for title, fields in {
                "shuffled, batch alone": {**_SHUFFLED, "arm": "batch"},
                "shuffled, whole memory": {**_SHUFFLED, "arm": "whole memory"},
                "hierarchical, batch alone": {**_GROUPS, "arm": "batch"},
                "hierarchical, whole memory": {**_GROUPS, "arm": "whole memory"},
                f"hierarchical, {_WEIGHTED}": {**_GROUPS, "arm": "whole memory and batch"},
            }.items()
        },
        _BOTH,
    ),
    "decomposability-ideals": Pivot(
        {
            "batch alone": {"arm": "batch"},
            "batch alone, references without gradient": {"arm": "batch, references detached"},
            "whole memory": {"arm": "whole memory"},
            "whole set, embedded anew": {"arm": "whole set, embedded anew"},
            "whole set, with gradient": {"arm": "whole set, with gradient"},
        },
        {
            f"{loss}, {title}": {**fields, "data": "emoji", "batch_size": 128, "loss": loss}
            for loss in ("SupAP", "SupHAP")
            for title, fields in {"shuffled": _SHUFFLED, "hierarchical": _GROUPS}.items()
        },
    ),
    "decomposability-remedies": Pivot(
        {
            "**batch alone**": {"arm": "batch"},
            "whole memory": {"arm": "whole memory"},
            _WEIGHTED: {"arm": "whole memory and batch"},
            "... weights that fall with age": {"arm": "whole memory, weights by age"},
            "... relatives alone": {"arm": "whole memory, relatives alone"},
            "... positives alone": {"arm": "whole memory, positives alone"},
            "momentum encoder": {"arm": "whole set, momentum encoder"},
            "whole set, with gradient": {"arm": "whole set, with gradient"},
            "four batches as references, with gradient": {"arm": "four batches, with gradient"},
            "batch of 512 alone": {"arm": "batch", "batch_size": 512},
            "**batch alone**, logarithm": {"arm": "batch, logarithm"},
            "whole memory, logarithm": {"arm": "whole memory, logarithm"},
            f"{_WEIGHTED}, logarithm": {"arm": "whole memory and batch, logarithm"},
            "four batches, with gradient, logarithm": {
                "arm": "four batches, with gradient, logarithm"
            },
            "whole set, with gradient, logarithm": {"arm": "whole set, with gradient, logarithm"},
        },
        {
            data: {**_GROUPS, "batch_size": 128, "loss": "SupHAP", "data": data}
            for data in ("emoji", "signwriting", "glyphs")
        },
        has_gap=False,
    ),
}
"""The small tables of docs/decomposability.md, by name."""


def rows(found: Sequence[Content]) -> dict[Row, list[Content]]:
    """Row to its runs, one for each seed, in the order in which they came."""
    grouped: dict[Row, list[Content]] = {}
    for content in found:
        run = content["run"]
        row = Row(
            run["data"],
            run["loss"],
            run["arm"],
            run["memory"],
            run["batch_size"],
            run["group_sizes"] is not None,
            run["steps"],
            run["lr"],
        )
        grouped.setdefault(row, []).append(content)
    return grouped


def table(found: Sequence[Content]) -> str:
    """Markdown: a row for each setting, mean ± deviation over the seeds."""
    lines = [
        "| data | loss | arm | batch | steps | lr | H-AP | AP finest | gap, train | gap, test | alone |",
        "|---" * 11 + "|",
    ]
    for row, seeds in rows(found).items():
        arm = f"{row.arm}, {row.memory:g}" if row.memory else row.arm
        batch = f"{row.batch_size}, groups" if row.is_hierarchical else f"{row.batch_size}"
        cells = [row.data, row.loss, arm, batch, f"{row.steps}", f"{row.lr:g}"]
        cells += [spread([seed["metrics"][name] for seed in seeds]) for name in ("h_ap", "ap_0")]
        cells += [
            spread([seed[name]["gap"] for seed in seeds]) for name in ("gap_train", "gap_test")
        ]
        cells.append(f"{fmean(seed['gap_train']['without_positives'] for seed in seeds):.0%}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def pivot(found: Sequence[Content], chosen: Pivot) -> str:
    """Markdown: held-out H-AP and, behind a slash, the second value; means over the seeds.

    Raises:
        ValueError: a cell that more than one row fits.
    """
    grouped = rows(found)
    lines = [f"| | {' | '.join(chosen.columns)} |", "|---" * (1 + len(chosen.columns)) + "|"]
    for title, fields in chosen.lines.items():
        cells = [
            _cell(grouped, {**column, **fields}, chosen.has_gap)
            for column in chosen.columns.values()
        ]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(
    grouped: Mapping[Row, Sequence[Content]], fields: Mapping[str, Any], has_gap: bool
) -> str:
    fitting = [seeds for row, seeds in grouped.items() if fields.items() <= row._asdict().items()]
    if len(fitting) > 1:
        raise ValueError(f"fields: wanted those of one row, got {len(fitting)} for {dict(fields)}")
    if not fitting:
        return ""
    (seeds,) = fitting
    h_ap = fmean(seed["metrics"]["h_ap"] for seed in seeds)
    if has_gap:
        return f"{h_ap:.3f} / {fmean(seed['gap_train']['gap'] for seed in seeds):.2f}"
    return f"{h_ap:.3f} / {fmean(seed['metrics']['ap_0'] for seed in seeds):.3f}"

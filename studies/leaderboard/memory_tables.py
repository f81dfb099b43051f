"""The runs of the decomposability study as rows, and as Markdown."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from studies.leaderboard.tables import spread

__all__ = ["Row", "rows", "table"]

Content = Mapping[str, Any]


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

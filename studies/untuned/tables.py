"""What ``studies.untuned`` found, as Markdown."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from studies.leaderboard.significance import holm, paired_p_value
from studies.leaderboard.tables import spread
from studies.untuned.arms import ARMS, COMPARED

__all__ = ["METRICS", "gains", "tables", "values"]

METRICS = {"h_ap": "H-AP", "ap_0": "AP of the finest level", "r1_0": "R@1 of the finest level"}
RECOMMENDED = "happier"
LEVEL = 0.05

Boards = Mapping[str, Mapping[str, Any]]


def tables(boards: Boards) -> dict[str, str]:
    """Name to Markdown: the values of each size and metric, and what the recommended setting gains."""
    found: dict[str, str] = {}
    sizes = dict.fromkeys(board["run"]["size"] for board in boards.values())
    for size in sizes:
        own = {
            board["run"]["data"]: board for board in boards.values() if board["run"]["size"] == size
        }
        for metric in METRICS:
            found[f"untuned-{size}-{metric}"] = values(own, metric)
        compared = [
            arm for arm in COMPARED if all(arm in board["values"] for board in own.values())
        ]
        if compared and all(RECOMMENDED in board["values"] for board in own.values()):
            found[f"untuned-{size}-gain"] = gains(own, compared)
    return found


def values(boards: Boards, metric: str) -> str:
    """A row for each loss, a column for each collection: mean ± deviation over the seeds; the highest mean is bold."""
    arms = [arm for arm in ARMS if any(arm in board["values"] for board in boards.values())]
    best = {data: _first(board["values"], metric) for data, board in boards.items()}
    lines = _head([METRICS[metric], *boards, "mean"])
    for arm in arms:
        cells, means = [], []
        for data, board in boards.items():
            own = board["values"].get(arm)
            if own is None:
                cells.append("")
                continue
            means.append(fmean(own[metric]))
            cells.append(f"**{spread(own[metric])}**" if best[data] == arm else spread(own[metric]))
        whole = f"{fmean(means):.3f}" if len(means) == len(boards) else ""
        lines.append(_row([ARMS[arm][0], *cells, whole]))
    return "\n".join(lines) + "\n"


def gains(boards: Boards, compared: Sequence[str]) -> str:
    """What the recommended setting gains over each other loss: the mean difference over the seeds.

    The last column is over all collections. Star: not told from 0 (paired t-test, Holm over the losses of a column).
    """
    lines = _head(["recommended, against", "metric", *boards, "all"])
    rows: dict[tuple[str, str], list[str]] = {(m, arm): [] for m in METRICS for arm in compared}
    for metric in METRICS:
        columns = [*([board] for board in boards.values()), list(boards.values())]
        for column in columns:
            pairs = {
                arm: (
                    [v for board in column for v in board["values"][RECOMMENDED][metric]],
                    [v for board in column for v in board["values"][arm][metric]],
                )
                for arm in compared
            }
            known = {arm: paired_p_value(*pair) for arm, pair in pairs.items() if len(pair[0]) > 1}
            p_values = holm(known)
            for arm, (ours, theirs) in pairs.items():
                star = "" if p_values.get(arm, 1.0) < LEVEL else r"\*"
                rows[metric, arm].append(f"{fmean(ours) - fmean(theirs):+.3f}{star}")
    for (metric, arm), cells in rows.items():
        lines.append(_row([ARMS[arm][0], METRICS[metric], *cells]))
    return "\n".join(lines) + "\n"


def _first(rows: Mapping[str, Any], metric: str) -> str:
    means = {arm: fmean(own[metric]) for arm, own in rows.items()}
    return max(means, key=lambda arm: means[arm])


def _head(cells: Sequence[str]) -> list[str]:
    return [_row(cells), "|" + "---|" * len(cells)]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"

"""The standings as Markdown and as JSON."""

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from studies.leaderboard.entrants import ENTRANTS
from studies.leaderboard.significance import leaders
from studies.leaderboard.standings import Standing, by_metric

__all__ = ["columns", "markdown", "plain", "spread"]


def columns(level_names: Sequence[str]) -> dict[str, str]:
    """Metric to its heading, the ones of all levels first."""
    found = {"h_ap": "H-AP", "ndcg": "NDCG", "asi": "ASI"}
    for level, name in enumerate(level_names):
        found |= {f"ap_{level}": f"AP {name}", f"r1_{level}": f"R@1 {name}"}
    return found


def markdown(
    rows: Sequence[Standing],
    level_names: Sequence[str],
    trunk: Mapping[str, float],
    order: str = "h_ap",
) -> str:
    """A table, best first: mean ± deviation over the seeds.

    The best value of a column is bold; a star marks the others that cannot be told from it: a paired t-test over the
    seeds, Holm's correction for the number of losses, p >= 0.05. Losses of this library's rank family are bold too.

    Args:
        rows: of one data set.
        level_names: finest first.
        trunk: the metrics of the frozen features.
        order: metric to sort by.
    """
    titles = columns(level_names)
    heads = ["loss", "kind", *titles.values(), "s"]
    lines = ["| " + " | ".join(heads) + " |", "|---|---|" + "---|" * (len(titles) + 1)]
    best = {metric: leaders(by_metric(rows, metric)) for metric in titles}
    for row in sorted(rows, key=lambda row: -row.mean(order)):
        entrant = ENTRANTS[row.entrant]
        title = f"**{entrant.title}**" if entrant.is_ours else entrant.title
        cells = [_cell(row, metric, *best[metric]) for metric in titles]
        lines.append(f"| {title} | {entrant.group} | {' | '.join(cells)} | {row.seconds:.1f} |")
    values = " | ".join(f"{trunk[metric]:.3f}" for metric in titles)
    lines.append(f"| frozen features | | {values} | |")
    return "\n".join(lines) + "\n"


def spread(values: Sequence[float]) -> str:
    """Mean ± standard deviation; the mean alone for one value, nothing for none."""
    if not values:
        return ""
    deviation = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
    return f"{fmean(values):.3f}{deviation}"


def _cell(row: Standing, metric: str, best: str, tied: set[str]) -> str:
    text = f"{row.mean(metric):.3f} ± {row.deviation(metric):.3f}"
    if row.entrant == best:
        return f"**{text}**"
    return f"{text}\\*" if row.entrant in tied else text


def plain(rows: Sequence[Standing]) -> list[dict[str, Any]]:
    """The standings ready for JSON: configuration, values of every seed, means and deviations."""
    return [
        {
            "loss": row.entrant,
            "title": ENTRANTS[row.entrant].title,
            "kind": ENTRANTS[row.entrant].group,
            "options": dict(row.options),
            "lr": row.lr,
            "seconds": round(row.seconds, 2),
            "mean": {metric: round(row.mean(metric), 5) for metric in row.values},
            "deviation": {metric: round(row.deviation(metric), 5) for metric in row.values},
            "values": {
                metric: [round(value, 5) for value in values]
                for metric, values in row.values.items()
            },
        }
        for row in rows
    ]

"""What ``studies.leaderboard.robustness`` found, as Markdown: values, gains of the recommended settings, agreement."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import fmean
from typing import Any

import numpy as np
from scipy import stats

from studies.leaderboard.entrants import ENTRANTS
from studies.leaderboard.significance import holm, leaders, paired_p_value
from studies.leaderboard.tables import spread

__all__ = ["METRICS", "agreement", "gains", "ranks", "tables", "title", "values"]

METRICS = {"h_ap": "H-AP", "ap_0": "AP of the finest level", "r1_0": "R@1 of the finest level"}
LEVEL = 0.05

Field = Mapping[str, Any]
Fields = Mapping[str, Field]


def tables(fields: Fields) -> dict[str, str]:
    """Name to Markdown of all tables; none where no field is there."""
    if not fields:
        return {}
    found = {"robustness": values(fields, "h_ap")}
    found |= {f"robustness-gain-{metric}": gains(fields, metric) for metric in METRICS}
    return found | {"robustness-agreement": agreement(fields)}


def title(field: Field) -> str:
    """Data set and trunk, in short."""
    trunk = field["source"]["backbone"].rpartition("_")[2].capitalize()
    return f"{field['source']['data']}, {trunk}"


def by_loss(field: Field, metric: str) -> dict[str, Sequence[float]]:
    """Loss to its values over the splits."""
    return {row["loss"]: row["values"][metric] for row in field["standings"]}


def ranks(field: Field, metric: str) -> dict[str, float]:
    """Loss to its place in a field by the mean over the splits; 1 is the highest, ties share the mean of theirs."""
    found = {loss: fmean(own) for loss, own in by_loss(field, metric).items()}
    places = stats.rankdata([-value for value in found.values()])
    return dict(zip(found, places.tolist(), strict=True))


def mean_ranks(fields: Fields, metric: str) -> dict[str, float]:
    """Loss to the mean of its places, first to last; of the losses that every field has."""
    places = [ranks(field, metric) for field in fields.values()]
    common = [loss for loss in places[0] if all(loss in own for own in places)]
    found = {loss: fmean(own[loss] for own in places) for loss in common}
    return dict(sorted(found.items(), key=lambda item: item[1]))


def values(fields: Fields, metric: str) -> str:
    """A row for each loss, a column for each field: mean ± deviation over the splits.

    Bold: the best tuned loss of a column. Star: not told from it (paired t-test, Holm over the column).
    """
    found = {name: by_loss(field, metric) for name, field in fields.items()}
    best = {name: leaders(own) for name, own in found.items()}
    lines = _head("loss, tuned", [*map(title, fields.values()), "mean place"])
    for loss, place in mean_ranks(fields, metric).items():
        cells = [_marked(spread(found[name][loss]), loss, *best[name]) for name in fields]
        lines.append(_row(ENTRANTS[loss].title, [*cells, f"{place:.1f}"]))
    recommended = [spread(_recommended(field, metric)) for field in fields.values()]
    lines.append(_row("HAPPIER, recommended, not tuned", [*recommended, ""]))
    trunk = [spread(field["trunk"][metric]) for field in fields.values()]
    return "\n".join([*lines, _row("frozen features", [*trunk, ""])]) + "\n"


def gains(fields: Fields, metric: str) -> str:
    """What the recommended settings, not tuned, gain over each other loss, tuned: the mean difference over the splits.

    Star: not told from 0 (paired t-test, Holm over the losses of the column).
    """
    cells: dict[str, list[str]] = {}
    won, lost = [], []
    for field in fields.values():
        own = _recommended(field, metric)
        others = {name: runs for name, runs in by_loss(field, metric).items() if name != "happier"}
        found = holm({name: paired_p_value(own, runs) for name, runs in others.items()})
        told = []
        for name, runs in others.items():
            difference = fmean(own) - fmean(runs)
            star = "" if found[name] < LEVEL else "\\*"
            cells.setdefault(name, []).append(f"{difference:+.3f}{star}")
            told += [difference] if found[name] < LEVEL else []
        won.append(str(sum(difference > 0 for difference in told)))
        lost.append(str(sum(difference < 0 for difference in told)))
    lines = _head(f"{METRICS[metric]}, against", [title(field) for field in fields.values()])
    order = [name for name in mean_ranks(fields, metric) if name in cells]
    lines += [_row(ENTRANTS[name].title, cells[name]) for name in order]
    lines += [_row("told to be better than", won), _row("told to be worse than", lost)]
    return "\n".join(lines) + "\n"


def agreement(fields: Fields, metric: str = "h_ap") -> str:
    """Spearman's rank correlation of the losses: between splits, between trunks, and with the other data sets.

    Each is the mean over all pairs of what is compared; data sets are compared on the same trunk.
    """
    of_data: dict[str, list[Field]] = {}
    for field in fields.values():
        of_data.setdefault(field["source"]["data"], []).append(field)
    lines = _head("order of the losses", ["from split to split", "from trunk to trunk",
                  *(f"with {data}" for data in of_data)])  # fmt: skip
    for data, own in of_data.items():
        cells = [
            _mean([rho for field in own for rho in _between_splits(field, metric)]),
            _mean([_rho(one, other, metric) for one, other in combinations(own, 2)]),
        ]
        for other, theirs in of_data.items():
            pairs = [
                (one, two)
                for one in own
                for two in theirs
                if one["source"]["backbone"] == two["source"]["backbone"] and data != other
            ]
            cells.append(_mean([_rho(one, two, metric) for one, two in pairs]))
        lines.append(_row(data, cells))
    return "\n".join(lines) + "\n"


def _between_splits(field: Field, metric: str) -> list[float]:
    splits = np.array(list(by_loss(field, metric).values())).T
    return [float(stats.spearmanr(one, other)[0]) for one, other in combinations(splits, 2)]


def _rho(one: Field, other: Field, metric: str) -> float:
    first, second = ranks(one, metric), ranks(other, metric)
    common = [loss for loss in first if loss in second]
    places = [[own[loss] for loss in common] for own in (first, second)]
    return float(stats.spearmanr(*places)[0])


def _recommended(field: Field, metric: str) -> Sequence[float]:
    return field["recommended"][0]["values"][metric]


def _mean(found: Sequence[float]) -> str:
    return f"{fmean(found):.2f}" if found else ""


def _marked(text: str, loss: str, best: str, tied: set[str]) -> str:
    if loss == best:
        return f"**{text}**"
    return f"{text}\\*" if loss in tied else text


def _head(first: str, others: Sequence[str]) -> list[str]:
    return [_row(first, others), "|---|" + "---|" * len(others)]


def _row(first: str, others: Sequence[str]) -> str:
    return f"| {' | '.join([first, *others])} |"

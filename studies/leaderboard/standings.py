"""From runs to standings: the configuration that each entrant is shown with, and its values on the test split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from studies.leaderboard.runs import Run, find_entrant

__all__ = ["CRITERIA", "Standing", "choose", "standings"]

CRITERIA = {"h_ap": "H-AP", "ap_0": "AP of the finest level"}
"""What a configuration is chosen by on the validation split: two leaderboards."""

Result = Mapping[str, Any]


@dataclass(frozen=True)
class Standing:
    """An entrant in the table of a data set.

    Attributes:
        entrant: a key of ``ENTRANTS`` or ``ABLATIONS``.
        options: of the chosen setting.
        lr: the chosen learning rate.
        values: metric to its value for each seed.
        seconds: mean time of a training.
    """

    entrant: str
    options: Mapping[str, Any]
    lr: float
    values: Mapping[str, tuple[float, ...]]
    seconds: float

    def mean(self, metric: str) -> float:
        """Mean over the seeds."""
        return fmean(self.values[metric])

    def deviation(self, metric: str) -> float:
        """Standard deviation over the seeds, 0 for a single one."""
        values = self.values[metric]
        return stdev(values) if len(values) > 1 else 0.0


def choose(tuning: Mapping[Run, Result], criterion: str) -> dict[str, tuple[int, float]]:
    """For each entrant the configuration with the highest criterion on the validation split.

    An entrant none of whose runs could be trained is left out.
    """
    best: dict[str, Run] = {}
    for run, content in tuning.items():
        if "metrics" not in content:
            continue
        leader = best.get(run.entrant)
        if leader is None or content["metrics"][criterion] > tuning[leader]["metrics"][criterion]:
            best[run.entrant] = run
    return {entrant: run.configuration for entrant, run in best.items()}


def standings(
    final: Mapping[Run, Result], chosen: Mapping[str, tuple[int, float]]
) -> list[Standing]:
    """The chosen configurations on the test split, in the order of ``chosen``; seeds in ascending order."""
    rows = []
    for entrant, configuration in chosen.items():
        runs = sorted(
            (run for run in final if (run.entrant, run.configuration) == (entrant, configuration)),
            key=lambda run: run.seed,
        )
        results = [final[run] for run in runs]
        if not results or any("metrics" not in content for content in results):
            continue
        rows.append(
            Standing(
                entrant,
                find_entrant(entrant).settings[configuration[0]],
                configuration[1],
                {
                    metric: tuple(content["metrics"][metric] for content in results)
                    for metric in results[0]["metrics"]
                },
                fmean(content["seconds"] for content in results),
            )
        )
    return rows


def failures(results: Mapping[Run, Result]) -> dict[str, str]:
    """Entrants that could not be trained, and the first reason."""
    found: dict[str, str] = {}
    for run, content in results.items():
        if "error" in content:
            found.setdefault(run.entrant, content["error"])
    return found


def by_metric(rows: Sequence[Standing], metric: str) -> dict[str, tuple[float, ...]]:
    """Entrant to its values of a metric."""
    return {row.entrant: row.values[metric] for row in rows}

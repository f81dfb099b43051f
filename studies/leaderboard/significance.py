"""Whether one loss is better than another, from runs in pairs."""

from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np
from scipy import stats

__all__ = ["holm", "leaders", "paired_p_value"]


def paired_p_value(one: Sequence[float], other: Sequence[float]) -> float:
    """The two-sided p-value of a paired t-test.

    Args:
        one: a value for each seed.
        other: the values of the same seeds.

    Returns:
        In [0, 1]; 1 where all differences are 0, 0 where all are equal and not 0.

    Raises:
        ValueError: sequences of other lengths, or fewer than two pairs.
    """
    if len(one) != len(other) or len(one) < 2:
        raise ValueError(f"one, other: wanted at least 2 pairs, got {len(one)} and {len(other)}")
    differences = np.subtract(one, other)
    if np.ptp(differences) == 0:
        return float(differences[0] == 0)
    return float(stats.ttest_rel(one, other).pvalue)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """P-values of several tests, corrected so that all of them together are wrong as seldom as one would be.

    Holm's rule: the smallest of m p-values counts m times, the next one m - 1 times, and so on; none counts for less
    than a smaller one does.

    Args:
        p_values: name of a test to its p-value.

    Returns:
        The names in the given order, each with its corrected p-value in [0, 1].

    References:
        Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6, 1979.
    """
    corrected: dict[str, float] = {}
    least = 0.0
    for place, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        least = max(least, min(1.0, (len(p_values) - place) * p_values[name]))
        corrected[name] = least
    return {name: corrected[name] for name in p_values}


def leaders(values: Mapping[str, Sequence[float]], level: float = 0.05) -> tuple[str, set[str]]:
    """The entrant of the highest mean, and all that cannot be told from it, itself included.

    Every other entrant is compared with the best one by a paired t-test; their p-values are corrected by :func:`holm`.

    Args:
        values: entrant to its values, the seeds in one order.
        level: of significance.
    """
    best = max(values, key=lambda name: fmean(values[name]))
    others = {name: runs for name, runs in values.items() if name != best}
    found = holm({name: paired_p_value(values[best], runs) for name, runs in others.items()})
    return best, {best} | {name for name, p_value in found.items() if p_value >= level}

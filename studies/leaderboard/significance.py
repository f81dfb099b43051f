"""Whether one loss is better than another, from runs in pairs."""

from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np
from scipy import stats

__all__ = ["leaders", "paired_p_value"]


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


def leaders(values: Mapping[str, Sequence[float]], level: float = 0.05) -> tuple[str, set[str]]:
    """The entrant of the highest mean, and all that are not significantly below it, itself included.

    Args:
        values: entrant to its values, the seeds in one order.
        level: of significance.
    """
    best = max(values, key=lambda name: fmean(values[name]))
    tied = {
        name
        for name, runs in values.items()
        if name == best or paired_p_value(values[best], runs) >= level
    }
    return best, tied

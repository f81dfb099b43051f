"""Where a ranking in float32 says less than its scores: too many items within rounding of each other."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

UNITS, UNITS_OF_ONE_SIGN = 8.0, 32.0
"""Two scores that differ by less than so many 2^-24 of the product of the norms may be in the wrong order.

In products of 8 to 2,048 dimensions the rounding was .6 units on average (root mean square) and 4 at most, for
embeddings around the origin; 2.6 and 12 for embeddings whose products all have one sign, because their mean is far
from the origin.
"""

_PAIRS = 2**20
"""(query, item) pairs whose levels are compared at a time."""


@lru_cache(maxsize=16)
def boundaries(length: int) -> tuple[int, ...]:
    """Places, from 0 to the last, that divide a list of some length: one by one, then by steps of an eighth.

    Example:
        >>> boundaries(24)
        (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 20, 22, 23)
    """
    places = [0]
    while places[-1] < length - 1:
        places.append(min(places[-1] + max(1, places[-1] // 8), length - 1))
    # The last item may be the query itself, which has no score.
    return tuple(sorted({*places, max(0, length - 2)}))


def unresolved(scores: Tensor, gap: Tensor, levels: Tensor) -> Tensor:
    """Which rankings are not those of exact scores, by more than a rank in eight.

    A ranking is unresolved if the scores at two neighbouring boundaries are closer than ``gap`` while the levels
    from the one to the other differ, so that their order counts.

    Args:
        scores: (b, P) at the boundaries of the rankings, sorted; NaN and infinity are far from anything.
        gap: (b,) the least difference of scores that their rounding leaves in order.
        levels: (b, N) in order of rank.

    Returns:
        (b,) bool.

    Example:
        >>> scores = torch.tensor([[3.0, 2.0, 2.0, 1.0]] * 3)
        >>> levels = torch.tensor([[1, 1, 0, 0], [1, 0, 0, 1], [0, 0, 0, 0]])
        >>> unresolved(scores, torch.tensor([0.5, 0.5, 0.5]), levels)
        tensor([ True, False, False])
    """
    # The difference of two floats that are close is exact.
    close = (scores[:, 1:] - scores[:, :-1]).abs_() <= gap.to(scores)[:, None]
    found = torch.zeros(len(scores), dtype=torch.bool, device=scores.device)
    if not bool(close.any()):
        return found
    places = torch.tensor(boundaries(levels.shape[1]), device=scores.device)
    rows = close.any(1).nonzero().flatten()
    for some in rows.split(max(1, _PAIRS // levels.shape[1])):
        here = levels[some]
        changes = (here[:, 1:] != here[:, :-1]).cumsum(1, dtype=torch.int32)
        inside = torch.nn.functional.pad(changes, (1, 0))[:, places].diff(dim=1) > 0
        found[some] = (inside & close[some]).any(1)
    return found

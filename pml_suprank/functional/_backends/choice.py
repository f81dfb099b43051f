"""Which backend ``auto`` takes: the fastest by what was measured on each kind of device."""

import logging
from typing import NamedTuple

from pml_suprank.functional._backends import blocked, fast, fused
from pml_suprank.functional._backends.request import RankRequest


class Limits(NamedTuple):
    """Where one backend begins to win over another."""

    fused: float
    """``fused`` up to this many comparisons of ranked items with all items."""
    dense: int
    """Else ``dense`` up to this many comparisons B N^2."""
    fast_ranked: int
    """Else ``fast`` from ``fast_ranked (L + 1) (1 + FAST_ITEMS / N)`` ranked items for each query on: its grid costs
    as much as so many items, and levels cost it passes."""
    fast_ranked_others: int
    """The same for surrogates and relevances for which ``blocked`` takes more passes."""


LIMITS = {
    # two cores of an AMD EPYC; dense wins up to about 20 queries and items
    "cpu": Limits(fused=0, dense=1 << 13, fast_ranked=5, fast_ranked_others=3),
    # an H100, 256 queries. fused: a prototype of it against fast, 4,096 to 1,048,576 items, 11 or a third of them
    # ranked. Without it, dense wins in a batch of 256 (7.9 ms, 0.5 GiB; fast 32 ms), fast against more items. These
    # times of fast are of its grid; its sums of exponentials, which it takes where fused can run, are not measured.
    "cuda": Limits(fused=4e9, dense=1 << 24, fast_ranked=0, fast_ranked_others=0),
}
"""By type of device; one that is not named takes the CPU's."""
FAST_ITEMS = 1300

_LOGGER = logging.getLogger("pml_suprank")
_logged: set[tuple[str, str]] = set()


def choose(request: RankRequest) -> str:
    """Return the fastest backend for a request, by device and size, and log each choice once."""
    device = request.scores.device.type
    backend, because = _by_size(request, LIMITS.get(device, LIMITS["cpu"]))
    if (device, backend) not in _logged:
        _logged.add((device, backend))
        num_queries, num_items = request.scores.shape
        size = f"{num_queries} queries, {num_items} items, {request.num_targets} of them to rank"
        reasons = "; ".join([size, *because])
        _LOGGER.info("backend 'auto' takes %r on %s: %s", backend, device, reasons)
    return backend


def _by_size(request: RankRequest, limits: Limits) -> tuple[str, list[str]]:
    """Return the backend, and why those that would have been faster cannot run."""
    num_queries, num_items = request.scores.shape
    comparisons = request.num_targets * num_items
    because: list[str] = []
    can_fuse = False
    if limits.fused:
        reason = fused.why_not(request)
        can_fuse = reason is None
        if can_fuse and comparisons <= limits.fused:
            return "fused", because
        if reason is not None:
            because.append(f"not 'fused', {reason}")
    if not can_fuse and num_queries * num_items * num_items <= limits.dense:
        return "dense", because
    if comparisons >= _least_for_fast(request, limits):
        reason = fast.why_not(request)
        if reason is None:
            return "fast", because
        because.append(f"not 'fast', {reason}")
    return "fused" if can_fuse else "blocked", because


def _least_for_fast(request: RankRequest, limits: Limits) -> int:
    """Return from how many comparisons of ranked items on ``fast`` is the faster one."""
    num_queries, num_items = request.scores.shape
    few = blocked.takes_few_passes(request)
    each = limits.fast_ranked if few else limits.fast_ranked_others
    return each * (request.num_levels + 1) * (num_items + FAST_ITEMS) * num_queries

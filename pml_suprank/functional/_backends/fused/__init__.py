"""Exact ranks of few positives on a GPU: every pair of a target and an item, in one kernel each way.

Time B P N, memory O(B N) as for ``blocked``, which it equals. Deterministic: no sum depends on timing. The kernels are
Triton's, which comes with torch's builds for CUDA; without a GPU its interpreter runs them, for tests.
"""

import functools
import importlib.util

import torch

from pml_suprank.functional._backends.fused.operator import form_of, fused_ranks, step_of
from pml_suprank.functional._backends.request import (
    LevelRelevance,
    RankRequest,
    TargetRanks,
    targets_of,
)
from pml_suprank.functional.steps import HardRank, SmoothRank, SupRank

_KNOWN = (HardRank, SmoothRank, SupRank)


def why_not(request: RankRequest) -> str | None:
    """Return why the kernels cannot run, or None."""
    kind = type(request.surrogate)
    if kind not in _KNOWN:
        return f"it knows HardRank, SmoothRank and SupRank, not {kind.__name__}"
    return _why_not_on(request.scores.device)


@functools.cache
def _why_not_on(device: torch.device) -> str | None:
    if importlib.util.find_spec("triton") is None:
        return "it needs Triton, which is not installed"
    try:
        from pml_suprank.functional._backends.fused import kernels

        if device.type != "cuda" and not kernels.INTERPRETED:
            return f"it needs scores on a CUDA device, got them on {device}"
        flag = torch.zeros(1, device=device)
        with torch.cuda.device_of(flag):
            kernels.nothing[(1,)](flag)
    except Exception as error:  # whatever a missing compiler, an old driver or an old card may raise
        return f"Triton cannot build its kernels for {device}: {error!r}"
    return None


def ranks(request: RankRequest) -> TargetRanks:
    """Rank every positive item."""
    surrogate, scores, relevance = request.surrogate, request.scores, request.relevance
    assert isinstance(surrogate, _KNOWN)
    query, item = targets_of(request.levels, request.num_targets)
    by_level = isinstance(relevance, LevelRelevance)
    if isinstance(relevance, LevelRelevance):
        relevance = relevance.table.to(scores.dtype)
    rank, hrank, _, _ = fused_ranks(
        (scores if surrogate.rank_has_gradient else scores.detach()).contiguous(),
        request.levels.contiguous(),
        None if relevance is None else relevance.detach().contiguous(),
        query,
        item,
        form_of(surrogate, by_level=by_level),
        step_of(surrogate),
    )
    if relevance is None:
        return TargetRanks(query, item, rank, None)
    return TargetRanks(query, item, rank, hrank if surrogate.hrank_has_gradient else hrank.detach())

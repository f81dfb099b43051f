"""Exact ranks of few positives on a GPU: every pair of a target and an item, in one kernel each way.

Time B P N, memory O(B N) as for ``blocked``, which it equals. Deterministic: no sum depends on timing. The kernels are
Triton's, which comes with torch's builds for CUDA; without a GPU its interpreter runs them, for tests. Scores in
float64 are compared in float64, which few cards are quick at.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from pml_suprank.functional._backends.definition import (
    RankOperation,
    RankRequest,
    TargetRanks,
    targets_of,
)
from pml_suprank.functional._backends.fused.form import form_of, step_of
from pml_suprank.functional._backends.fused.operator import fused_ranks, fused_ranks_backward
from pml_suprank.functional.devices import why_no_kernels
from pml_suprank.functional.steps import HardRank, SmoothRank, SupRank
from pml_suprank.relevance import LevelRelevance

_KNOWN = (HardRank, SmoothRank, SupRank)


def why_not(request: RankRequest) -> str | None:
    """Return why the kernels cannot run, or None."""
    kind = type(request.surrogate)
    if kind not in _KNOWN:
        return f"it knows HardRank, SmoothRank and SupRank, not {kind.__name__}"
    return why_no_kernels(request.scores.device)


def ranks(request: RankRequest) -> TargetRanks:
    """Rank every positive item."""
    return _FusedRanks(request, targets_of(request.common_levels, request.num_targets)).ranks()


class _FusedRanks(RankOperation):
    """The two operators, put to work."""

    def value(self, scores: Tensor) -> tuple[Tensor, ...]:
        """Return the ranks."""
        surrogate, relevance = self.request.surrogate, self.request.relevance
        assert isinstance(surrogate, _KNOWN)
        by_level = isinstance(relevance, LevelRelevance)
        if isinstance(relevance, LevelRelevance):
            relevance = relevance.table.to(scores.dtype)
        self.form, self.step = form_of(surrogate, by_level=by_level), step_of(surrogate)
        self.levels = self.request.common_levels.contiguous()
        self.relevance = None if relevance is None else relevance.contiguous()
        rank, hrank, *self.slopes = fused_ranks(scores.detach(), *self._rest())
        return self.results(rank, None if relevance is None else hrank)

    def _rest(self) -> tuple[Any, ...]:
        return self.levels, self.relevance, self.query, self.item, self.form, self.step

    def gradient(
        self,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        grads: Sequence[Tensor],
        wanted: Sequence[bool],
    ) -> tuple[Tensor]:
        """Return the gradient of the scores."""
        (scores,), (rank_pull, *hrank_pull) = inputs, grads
        pulls = rank_pull, hrank_pull[0] if hrank_pull else rank_pull[:0]
        return (fused_ranks_backward(scores.detach(), *self._rest(), *self.slopes, *pulls),)

"""Executions of one definition: a backend changes time and memory, never the answer.

Each module has ``why_not(request) -> str | None``, the reason why it cannot take a request, and
``ranks(request) -> TargetRanks``.
"""

from pml_suprank.functional._backends import blocked, dense, fast, fused
from pml_suprank.functional._backends.request import (
    LevelRelevance,
    RankRequest,
    Ranks,
    TargetRanks,
)

__all__ = ["BACKENDS", "LevelRelevance", "RankRequest", "Ranks", "TargetRanks"]

BACKENDS = {"dense": dense, "blocked": blocked, "fast": fast, "fused": fused}

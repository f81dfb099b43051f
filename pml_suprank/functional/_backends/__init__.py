"""Executions of one definition: a backend changes time and memory, never the answer.

Each module has ``why_not(request) -> str | None``, the reason why it cannot take a request, and
``ranks(request) -> TargetRanks``.
"""

from pml_suprank.functional._backends import blocked, definition, fast, fused

__all__ = ["BACKENDS"]

BACKENDS = {"dense": definition, "blocked": blocked, "fast": fast, "fused": fused}

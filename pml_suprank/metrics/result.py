"""Values per query and their means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from pml_suprank.metrics import catalogue


@dataclass(frozen=True)
class MetricResult:
    """One metric of every query.

    Args:
        values: (Q,) float64 on the CPU; 0 for the queries that are left out.
        valid: (Q,) bool; False for the queries without anything relevant in the gallery.

    Example:
        >>> import torch
        >>> result = MetricResult(torch.tensor([1.0, 0.5, 0.0]), torch.tensor([True, True, False]))
        >>> result.mean(), result.num_left_out
        (0.75, 1)
    """

    values: Tensor
    valid: Tensor

    def mean(self) -> float:
        """Mean over the valid queries; 0 if there are none (see ``num_valid``), never NaN."""
        return float(self.values[self.valid].mean()) if self.num_valid else 0.0

    def means_of(self, groups: Tensor) -> Tensor:
        """Mean over the valid queries of each group that has any, by increasing number: float64.

        Args:
            groups: (Q,) integers.
        """
        _, ids = groups[self.valid].unique(return_inverse=True)
        total = torch.zeros(int(ids.max()) + 1, dtype=torch.float64)
        return total.index_add_(0, ids, self.values[self.valid]) / ids.bincount()

    @property
    def num_valid(self) -> int:
        """Number of queries that count."""
        return int(self.valid.sum())

    @property
    def num_left_out(self) -> int:
        """Number of queries that are left out."""
        return len(self.valid) - self.num_valid

    def to_dict(self) -> dict[str, float | int]:
        """Plain numbers: ``mean``, ``num_valid``, ``num_left_out``."""
        return {
            "mean": self.mean(),
            "num_valid": self.num_valid,
            "num_left_out": self.num_left_out,
        }

    def __repr__(self) -> str:
        return (
            f"MetricResult(mean={self.mean():.6g}, num_valid={self.num_valid}, "
            f"num_left_out={self.num_left_out})"
        )


class EvaluationResult(Mapping[str, MetricResult]):
    """Several metrics of the same queries, by name.

    A name without its level is that of the finest, as PML has it: "recall_at_1" finds "recall_at_1_level0".

    Args:
        results: metric by name.
    """

    def __init__(self, results: Mapping[str, MetricResult]) -> None:
        self._results = dict(results)

    def __getitem__(self, name: str) -> MetricResult:
        for key in (name, f"{name}_level0"):
            if key in self._results:
                return self._results[key]
        new = catalogue.current(name)
        if new == name:
            raise KeyError(f"{name!r} is none of {list(self._results)}")
        return self[new]

    def __iter__(self) -> Iterator[str]:
        return iter(self._results)

    def __len__(self) -> int:
        return len(self._results)

    def mean(self) -> dict[str, float]:
        """Mean of each metric over its valid queries."""
        return {name: result.mean() for name, result in self.items()}

    @property
    def num_left_out(self) -> dict[str, int]:
        """Number of queries that each metric leaves out."""
        return {name: result.num_left_out for name, result in self.items()}

    def to_dict(self) -> dict[str, dict[str, float | int]]:
        """Plain numbers for each metric, ready for JSON."""
        return {name: result.to_dict() for name, result in self.items()}

    def __repr__(self) -> str:
        lines = "".join(f"\n  {name}: {result!r}" for name, result in self.items())
        return f"EvaluationResult({lines}\n)"

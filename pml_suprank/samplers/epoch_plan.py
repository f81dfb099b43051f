"""The batches of one epoch, one after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pml_suprank.samplers.class_groups import ClassGroups, arranged, node_of_class
from pml_suprank.samplers.quotas import Quotas


class EpochPlan:
    """An endless row of batches over some samples.

    A batch is split from the coarsest level down: into nodes, into their children, into samples of classes. Every
    node has a deck of its children; a class has its samples in random order, and starts anew when they are through.

    Args:
        groups: all samples by class.
        samples: positions of those to draw from, distinct, all usable.
        group_sizes: K integers >= 1.
        batch_size: a number of samples that can be drawn.
        rng: generator.
    """

    def __init__(
        self,
        groups: ClassGroups,
        samples: np.ndarray,
        group_sizes: Sequence[int],
        batch_size: int,
        rng: np.random.Generator,
    ) -> None:
        self._batch_size, self._rng = batch_size, rng
        self._items = arranged(samples, groups.class_of, rng)
        counts = np.bincount(groups.class_of[samples], minlength=len(groups.rows))
        rows, capacity = groups.rows[counts > 0], counts[counts > 0]
        self._ends: list[int] = np.cumsum(capacity).tolist()
        self._starts: list[int] = [0, *self._ends[:-1]]
        self._next = self._starts.copy()

        only_even = np.zeros(len(capacity), dtype=bool)
        node = np.arange(len(rows))
        sizes = [*group_sizes[1:], batch_size // math.prod(group_sizes)]
        self._quotas = []
        for level, group_size in enumerate(sizes):
            minimum = groups.minimum if level >= groups.unit_level else 1
            if level == groups.unit_level and minimum == 2:
                only_even = capacity == 2
            first = np.unique(node, return_index=True)[1]
            above = (
                node_of_class(rows[:, level + 1])
                if level + 1 < rows.shape[1]
                else np.zeros(len(rows), dtype=int)
            )
            parent_of, node = above[first], above
            size = math.prod(group_sizes[: level + 1])
            self._quotas.append(
                Quotas(parent_of, capacity, only_even, group_size, size, minimum, rng)
            )
            capacity = np.bincount(parent_of, weights=capacity).astype(int)
            only_even = np.bincount(parent_of, weights=~only_even) == 0
        self._quotas.reverse()

    def batch(self) -> np.ndarray:
        """Return the samples of the next batch; those of a node stand together."""
        nodes = {0: self._batch_size}
        for quotas in self._quotas:
            children: dict[int, int] = {}
            for node, quota in nodes.items():
                children.update(quotas.split(node, quota))
            nodes = children
        parts = []
        for class_, quota in nodes.items():
            begin = self._next[class_]
            end = begin + quota
            if end > self._ends[class_]:
                parts.append(self._turn(class_, quota))
            else:
                parts.append(self._items[begin:end])
                self._next[class_] = end
        return np.concatenate(parts)

    def _turn(self, class_: int, quota: int) -> np.ndarray:
        """Return what is left of a class, and the first samples of its next turn."""
        start, begin, end = self._starts[class_], self._next[class_], self._ends[class_]
        due = self._items[begin:end].copy()
        again = self._rng.permutation(self._items[start:begin])
        number = quota - len(due)
        first, rest = again[:number], np.concatenate([again[number:], due])
        self._rng.shuffle(rest)
        self._items[start:end] = np.concatenate([first, rest])
        self._next[class_] = start + number
        return np.concatenate([due, first])

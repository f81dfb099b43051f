"""The samples of a data set by class, the classes under their coarser nodes, and a process's share of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from pml_suprank.hierarchy.labels import check_tree


class ClassGroups:
    """A data set's samples by class, and which of them can have a positive.

    The *unit* is the finest level at which ``group_sizes`` asks for two or more: the class, unless one sample of a
    class is enough. A unit with one sample has no positive there; its sample is left out.

    Args:
        labels: (N, L) integers, column 0 finest.
        columns: an ascending choice of K, one for each group size.
        group_sizes: K integers >= 1.

    Attributes:
        rows: (C, K) labels of each class of the first of them; the classes of a node stand together.
        class_of: (N,) row of each sample.
        usable: positions of the samples that can have a positive, ascending.
        left_out: positions of the others, ascending.
        minimum: least number of samples of a unit in a batch: 2, or 1 where all group sizes are 1.
        unit_level: column of the unit.

    Raises:
        HierarchyError: a class, or a coarser node, with two parents, in any column.
    """

    def __init__(
        self, labels: np.ndarray, columns: slice | list[int], group_sizes: Sequence[int]
    ) -> None:
        first, class_of = _distinct(labels[:, 0])
        rows = labels[first]
        is_tree = all(
            np.array_equal(row[class_of], column)
            for row, column in zip(rows.T, labels.T, strict=True)
        )
        check_tree(torch.from_numpy(rows if is_tree else labels))
        rows = rows[:, columns]
        first, drawn_by = _distinct(rows[:, 0])
        rows = rows[first]
        order = np.lexsort(tuple(rows.T))
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        self.rows = rows[order]
        self.class_of = place[drawn_by][class_of]

        wanted = [level for level, size in enumerate(group_sizes) if size > 1]
        self.minimum = 2 if wanted else 1
        self.unit_level = wanted[0] if wanted else 0
        self._unit_size = group_sizes[self.unit_level]
        self._unit_of_class = node_of_class(self.rows[:, self.unit_level])
        unit_of = self._unit_of_class[self.class_of]
        counts = np.bincount(unit_of)
        is_usable = (counts >= self.minimum)[unit_of]
        self.usable, self.left_out = is_usable.nonzero()[0], (~is_usable).nonzero()[0]
        self._unit_counts = np.where(counts >= self.minimum, counts, 0)
        # a unit is cut into pieces of at least the group size, and a smaller unit is one piece
        self._pieces = np.where(
            self._unit_counts > 0, np.maximum(1, self._unit_counts // self._unit_size), 0
        )

    def reachable(self, world_size: int) -> tuple[int, bool]:
        """Return the most samples that every process is sure to have in every epoch, and whether any number works.

        Without world_size this is exact. A process of several gets at least ``pieces // world_size`` pieces of units;
        these may be the smallest. Where all units have exactly two samples, only even numbers work.
        """
        units = self._pieces > 0
        pieces = self._pieces[units]
        least, larger = np.divmod(self._unit_counts[units], pieces)
        sizes = np.repeat(
            np.concatenate([least, least + 1]), np.concatenate([pieces - larger, larger])
        )
        sizes = self._unit_counts[units] if world_size == 1 else sizes
        sizes = np.sort(sizes)[: len(sizes) // world_size]
        return int(sizes.sum()), self.minimum == 1 or bool(len(sizes) and sizes[-1] > 2)

    def share(self, rank: int, world_size: int, rng: np.random.Generator) -> np.ndarray:
        """Return the samples of one process; those of all processes are disjoint, for generators in the same state.

        Pieces of units are dealt out along the tree, whose branches are shuffled, so that every process gets its part
        of every node, as far as that has pieces.
        """
        if world_size == 1:
            return self.usable
        items = arranged(self.usable, self.class_of, rng)
        unit_of = self._unit_of_class[self.class_of[items]]
        before = np.cumsum(self._unit_counts) - self._unit_counts
        piece_in_unit = (np.arange(len(items)) - before[unit_of]) % self._pieces[unit_of]

        _, first = np.unique(self._unit_of_class, return_index=True)
        keys = []
        for column in self.rows[first, self.unit_level :].T:
            node = node_of_class(column)
            keys.append(rng.permutation(int(node[-1]) + 1)[node])
        order = np.lexsort(tuple(keys))
        start = np.empty_like(order)
        start[order] = np.cumsum(self._pieces[order]) - self._pieces[order]
        # of each world_size consecutive pieces, every process gets one
        rounds = math.ceil(self._pieces.sum() / world_size)
        dealt = rng.random((rounds, world_size)).argsort(axis=1).reshape(-1)
        return items[dealt[start[unit_of] + piece_in_unit] == rank]


def arranged(samples: np.ndarray, class_of: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the samples by class, in random order within each."""
    shuffled = rng.permutation(samples)
    return shuffled[np.argsort(class_of[shuffled], kind="stable")]


def node_of_class(column: np.ndarray) -> np.ndarray:
    """Return 0, 1, ... for each run of equal labels."""
    return np.concatenate([[0], np.cumsum(column[1:] != column[:-1])])


def _distinct(column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where each distinct label stands first, and which of them every label is."""
    _, first, which = np.unique(column, return_index=True, return_inverse=True)
    return first, which.reshape(-1)

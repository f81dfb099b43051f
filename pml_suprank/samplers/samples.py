"""The samples of a data set as a sampler sees them: their labels, without those to ignore, in groups."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.hierarchy.labels import (
    as_level_labels,
    checked_ignore_index,
    ignored_rows,
    label_tensor,
)
from pml_suprank.samplers.class_groups import ClassGroups
from pml_suprank.samplers.settings import check_batch_size, checked_columns


class Samples:
    """Samples to draw from, and their positions in the data set.

    Args:
        labels: in any of the three forms.
        group_sizes: K integers >= 1.
        hierarchy: expands 1-D labels to all levels.
        levels: label columns of the group sizes; None for the finest ones.
        num_samples: length of the data set; None for that of the labels.
        ignore_index: finest label of the samples that do not count.

    Attributes:
        groups: the samples that count, by class.
        checksum: of their labels at the levels of the group sizes, and of which samples count.

    Raises:
        ValueError: no samples, levels that do not fit, or an ``ignore_index`` that is no integer.
        HierarchyError: labels in none of the forms, of another length, or that form no tree.
    """

    def __init__(
        self,
        labels: Any,
        group_sizes: tuple[int, ...],
        *,
        hierarchy: Hierarchy | None,
        levels: Sequence[int] | None,
        num_samples: int | None,
        ignore_index: int | None,
    ) -> None:
        rows, ignored = _label_rows(labels, hierarchy, num_samples, ignore_index)
        columns = checked_columns(levels, len(group_sizes), rows.shape[1])
        self._group_sizes = group_sizes
        self.groups = ClassGroups(rows, columns, group_sizes)
        self.checksum = zlib.crc32(np.ascontiguousarray(rows[:, columns]).data)
        self._kept: np.ndarray | None = None  # positions of the rows, where some are ignored
        if len(rows) < len(ignored):
            self.checksum = zlib.crc32(ignored.data, self.checksum)
            self._kept = (~ignored).nonzero()[0]
        self._count = len(ignored)

    def __len__(self) -> int:
        """Return the length of the data set."""
        return self._count

    def positions(self, rows: np.ndarray) -> np.ndarray:
        """Return where samples that count stand in the data set."""
        return rows if self._kept is None else self._kept[rows]

    def check_reachable(self, batch_size: int, world_size: int) -> None:
        """Raise a ValueError unless each of so many processes can fill batches of a size."""
        groups, sizes = self.groups, self._group_sizes
        if not len(groups.usable):
            level, size = groups.unit_level, sizes[groups.unit_level]
            raise ValueError(
                f"labels: wanted two samples with one label at least, for group_sizes[{level}]={size}, "
                f"got {len(groups.class_of)} samples with different labels; group_sizes[{level}]=1 would do"
            )
        most, any_number = groups.reachable(world_size)
        where = f"from group_sizes {sizes} and {len(groups.usable)} samples with a positive"
        if world_size > 1:
            where += f" in {world_size} processes"
        check_batch_size(batch_size, math.prod(sizes), most, any_number, where)


def _label_rows(
    labels: Any, hierarchy: Hierarchy | None, num_samples: int | None, ignore_index: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return (n, L) labels of the samples that are not ignored, and (N,) whether each sample is.

    That the rows form a tree is left to :class:`ClassGroups`, which looks at the classes only.

    Raises:
        ValueError: no samples, all of them ignored, or an ``ignore_index`` that is no integer.
        HierarchyError: labels in none of the three forms, or of another length than ``num_samples``.
    """
    ignore_index = checked_ignore_index(ignore_index)
    given = label_tensor(labels, length=num_samples)
    if given.ndim == 2:
        given = as_level_labels(given, hierarchy, check=False)
    if len(given) == 0:
        raise ValueError("labels: wanted one row per sample of the data set, got none")
    ignored = ignored_rows(given, ignore_index)
    if ignored is None:
        ignored = torch.zeros(len(given), dtype=torch.bool, device=given.device)
    if bool(ignored.all()):
        raise ValueError(
            f"labels: wanted samples that are not ignored, got {len(given)} with ignore_index {ignore_index}"
        )
    counted = given[~ignored] if bool(ignored.any()) else given
    rows = as_level_labels(counted, hierarchy, check=False)
    return rows.cpu().numpy(), ignored.cpu().numpy()

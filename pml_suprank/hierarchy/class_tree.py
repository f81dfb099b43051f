"""A numbered class tree: what it holds and answers, however it was made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pml_suprank.hierarchy.labels import (
    HierarchyError,
    as_level_labels,
    check_tree,
    common_levels,
    integer_tensor,
)


class ClassTree:
    """The contents of a ``Hierarchy``: a table of node ids, names, and look-ups in them."""

    def __init__(
        self,
        table: Any,
        class_ids: Any,
        *,
        node_names: Sequence[Sequence[str]],
        class_names: Sequence[str] | None = None,
        level_names: Sequence[str] | None = None,
    ) -> None:
        """Take a finished table; the ``from_*`` constructors are the usual way.

        Args:
            table: (C, L) node ids, column 0 finest and equal to 0..C-1, each column contiguous.
            class_ids: (C,) increasing finest-level labels as users pass them.
            node_names: for each column, the name of each node.
            class_names: one name per class, all different.
            level_names: one name per column; "level_0", ... by default.

        Raises:
            HierarchyError: the table is no tree, or a list has the wrong length.
        """
        self._table = integer_tensor(table, "table").cpu().clone()
        self._class_ids = integer_tensor(class_ids, "class_ids").cpu().clone()
        self._node_names = tuple(tuple(names) for names in node_names)
        self._class_names = None if class_names is None else tuple(class_names)
        if self._table.ndim != 2 or 0 in self._table.shape:
            raise HierarchyError(
                f"table: wanted [num_classes, num_levels], got shape {tuple(self._table.shape)}"
            )
        if level_names is None:
            level_names = [f"level_{level}" for level in range(self._table.shape[1])]
        self._level_names = _checked_level_names(level_names, self._table.shape[1])
        self._check()
        self._contiguous = bool((self._class_ids == torch.arange(self.num_classes)).all())
        self._on_device: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def _check(self) -> None:
        count = self.num_classes
        if self._class_ids.shape != (count,) or bool((self._class_ids.diff() <= 0).any()):
            raise HierarchyError(f"class_ids: wanted {count} increasing ids")
        if not torch.equal(self._table[:, 0], torch.arange(count)):
            raise HierarchyError("table: wanted column 0 to be 0..C-1")
        check_tree(self._table, "table")
        if len(self._node_names) != self.num_levels:
            raise HierarchyError(
                f"node_names: wanted one list for each of {self.num_levels} levels"
            )
        for level, column in enumerate(self._table.unbind(1)):
            nodes = column.unique()
            if not torch.equal(nodes, torch.arange(len(nodes))):
                raise HierarchyError(f"table: wanted the ids 0..n-1 in column {level}")
            if len(self._node_names[level]) != len(nodes):
                raise HierarchyError(f"node_names: wanted {len(nodes)} names in column {level}")
        if self._class_names is not None and len(set(self._class_names)) != count:
            raise HierarchyError(f"class_names: wanted {count} different names")

    @property
    def table(self) -> Tensor:
        """(C, L) int64 node ids on the CPU, column 0 finest; a copy."""
        return self._table.clone()

    @property
    def class_ids(self) -> Tensor:
        """(C,) int64, increasing: the finest-level labels that ``expand`` knows; a copy."""
        return self._class_ids.clone()

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """One name per row of the table, or None for ``from_labels``."""
        return self._class_names

    @property
    def level_names(self) -> tuple[str, ...]:
        """One name per column, finest first."""
        return self._level_names

    @property
    def num_classes(self) -> int:
        """C, the number of finest classes."""
        return self._table.shape[0]

    @property
    def num_levels(self) -> int:
        """L, the number of levels."""
        return self._table.shape[1]

    def node_names(self, level: int) -> tuple[str, ...]:
        """Names of the nodes of a level, by node id; the raw ids as text for ``from_labels``."""
        if not 0 <= level < self.num_levels:
            raise HierarchyError(f"level: wanted 0..{self.num_levels - 1}, got {level}")
        return self._node_names[level]

    def class_id(self, name: str) -> int:
        """The label of a class, from its full name or from its last name where that is unique.

        Args:
            name: an entry of ``class_names``, or the name of a finest node.

        Returns:
            The entry of ``class_ids``.

        Raises:
            HierarchyError: no such class, or several.
        """
        if self._class_names is not None and name in self._class_names:
            return int(self._class_ids[self._class_names.index(name)])
        rows = [row for row, node in enumerate(self._node_names[0]) if node == name]
        if len(rows) != 1:
            raise HierarchyError(
                f"name: wanted the name of one class, got {name!r}, of {len(rows)}"
            )
        return int(self._class_ids[rows[0]])

    def expand(self, class_ids: Any) -> Tensor:
        """The node of each item at every level.

        Args:
            class_ids: (B,) finest labels.

        Returns:
            (B, L) int64 on the device of ``class_ids``.

        Raises:
            HierarchyError: not 1-D integers, or ids that are no classes of this tree.
        """
        ids = integer_tensor(class_ids, "class_ids")
        if ids.ndim != 1:
            raise HierarchyError(f"class_ids: wanted 1-D labels, got shape {tuple(ids.shape)}")
        return self._expand(ids, "class_ids")

    def _expand(self, ids: Tensor, name: str) -> Tensor:
        if ids.device not in self._on_device:
            self._on_device[ids.device] = (
                self._table.to(ids.device),
                self._class_ids.to(ids.device),
            )
        table, known = self._on_device[ids.device]
        rows = ids if self._contiguous else torch.searchsorted(known, ids.contiguous())
        rows = rows.clamp(0, self.num_classes - 1)
        unknown = known[rows] != ids
        if bool(unknown.any()):
            offenders = ids[unknown].unique().tolist()
            listed = ", ".join(map(str, offenders[:5])) + (", ..." if len(offenders) > 5 else "")
            raise HierarchyError(
                f"{name}: wanted ids of the {self.num_classes} classes of the hierarchy "
                f"({int(known[0])}..{int(known[-1])}), got {len(offenders)} unknown: {listed}"
            )
        return table[rows]

    def common_levels(self, labels: Any, ref_labels: Any = None) -> Tensor:
        """Number of levels each query shares with each reference.

        Args:
            labels: (B,) class ids or (B, L) rows.
            ref_labels: (N,) class ids or (N, L) rows; None compares ``labels`` with themselves.

        Returns:
            (B, N) int64 in 0..L: the depth of the lowest common ancestor, L within a class.

        Raises:
            HierarchyError: unknown ids, or labels of a wrong form.
        """
        labels = as_level_labels(labels, self)
        if ref_labels is not None:
            ref_labels = as_level_labels(ref_labels, self, name="ref_labels")
        return common_levels(labels, ref_labels)

    def __len__(self) -> int:
        return self.num_classes

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ClassTree):
            return NotImplemented
        return (
            torch.equal(self._table, other._table)
            and torch.equal(self._class_ids, other._class_ids)
            and self._node_names == other._node_names
            and self._class_names == other._class_names
            and self._level_names == other._level_names
        )

    def __hash__(self) -> int:
        return hash((self._table.numpy().tobytes(), self._class_ids.numpy().tobytes()))

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (
            type(self),
            self._table.numpy(),
            self._class_ids.numpy(),
            self._node_names,
            self._class_names,
            self._level_names,
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> ClassTree:
        return self

    def __repr__(self) -> str:
        levels = ", ".join(
            f"{name}: {len(nodes)}"
            for name, nodes in zip(self._level_names, self._node_names, strict=True)
        )
        return f"{type(self).__name__}({levels})"


def _restore(cls: type[ClassTree], table: Any, class_ids: Any, *names: Any) -> ClassTree:
    node_names, class_names, level_names = names
    return cls(
        table,
        class_ids,
        node_names=node_names,
        class_names=class_names,
        level_names=level_names,
    )


def _checked_level_names(names: Sequence[str], num_levels: int) -> tuple[str, ...]:
    names = tuple(names)
    if len(names) != num_levels or len(set(names)) != num_levels:
        raise HierarchyError(
            f"level_names: wanted {num_levels} different names, finest level first, got {names}"
        )
    return names

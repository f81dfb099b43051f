"""A numbered class tree: what it holds and answers, however it was made."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pml_suprank.checks import demand
from pml_suprank.hierarchy.integers import HierarchyError, integer_tensor
from pml_suprank.hierarchy.level_rows import check_tree
from pml_suprank.values import as_integer, checked_items, shown


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
        self._node_names = tuple(
            _checked_names("node_names", names)
            for names in checked_items("node_names", node_names, "a list of names for each level")
        )
        self._class_names = (
            None if class_names is None else _checked_names("class_names", class_names)
        )
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
        column = as_integer(level)
        if column is None or not 0 <= column < self.num_levels:
            raise HierarchyError(f"level: wanted 0..{self.num_levels - 1}, got {shown(level)}")
        return self._node_names[column]

    def class_id(self, name: str) -> int:
        """The label of a class, from its full name or from its last name where that is unique.

        Args:
            name: an entry of ``class_names``, or the name of a finest node.

        Returns:
            The entry of ``class_ids``.

        Raises:
            HierarchyError: no such class, or several.
        """
        found = self._ids_by_name.get(name) if isinstance(name, str) else None
        if found is None:
            count = self._node_names[0].count(name) if isinstance(name, str) else 0
            raise HierarchyError(
                f"name: wanted the name of one class, got {shown(name)}, of {count}"
            )
        return found

    def ids(self, names: Any) -> Tensor:
        """The labels of samples whose class names are known.

        Args:
            names: list or array of names, one for each sample, each as ``class_id`` takes them.

        Returns:
            int64 class ids on the CPU, in the shape of ``names``.

        Raises:
            HierarchyError: names of no class, or of several; they are named, with the nearest names.

        Example:
            >>> from pml_suprank import Hierarchy
            >>> Hierarchy.from_paths(["pet/dog", "pet/cat"]).ids(["cat", "pet/dog", "cat"])
            tensor([1, 0, 1])
        """
        try:
            if isinstance(names, (str, bytes, Tensor)):
                raise ValueError
            array = np.asarray(names, dtype=object)
        except ValueError:
            message = f"names: wanted a list or an array of names, got {shown(names)}"
            raise HierarchyError(message) from None
        flat = array.ravel().tolist()
        known = self._ids_by_name
        try:
            return torch.tensor([known[name] for name in flat], dtype=torch.long).view(array.shape)
        except (KeyError, TypeError):
            raise HierarchyError(f"names: {self._unknown(flat)}") from None

    @cached_property
    def _ids_by_name(self) -> dict[str, int]:
        """Class ids by the unique names of finest nodes, and by class names, which go first."""
        ids = self._class_ids.tolist()
        last = self._node_names[0]
        counts = Counter(last)
        found = {name: ids[row] for row, name in enumerate(last) if counts[name] == 1}
        if self._class_names is not None:
            found.update(zip(self._class_names, ids, strict=True))
        return found

    def _unknown(self, names: list[Any]) -> str:
        """Say which names are wrong."""
        known = self._ids_by_name
        for name in names:
            if not isinstance(name, str):
                return f"wanted names of classes, got {name!r} of type {type(name).__name__}"
        wrong = list(dict.fromkeys(name for name in names if name not in known))
        listed = []
        for name in wrong[:5]:
            count = self._node_names[0].count(name)
            near = difflib.get_close_matches(name, known, n=1) if self.num_classes < 20000 else []
            hint = f" ({count} classes; give the full name)" if count else ""
            listed.append(repr(name) + hint + "".join(f" (nearest: {each!r})" for each in near))
        more = ", ..." if len(wrong) > 5 else ""
        return (
            f"wanted names of the {self.num_classes} classes of the hierarchy, got {len(wrong)} "
            f"others: {', '.join(listed)}{more}"
        )

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
        """Rows of the table, which is a tree: so are they, together with any others of it."""
        if ids.device not in self._on_device:
            self._on_device[ids.device] = (
                self._table.to(ids.device),
                self._class_ids.to(ids.device),
            )
        table, known = self._on_device[ids.device]
        rows = ids if self._contiguous else torch.searchsorted(known, ids.contiguous())
        rows = rows.clamp(0, self.num_classes - 1)
        is_known = (rows if self._contiguous else known[rows]) == ids

        def complain() -> None:
            offenders = ids[~is_known].unique().tolist()
            listed = ", ".join(map(str, offenders[:5])) + (", ..." if len(offenders) > 5 else "")
            raise HierarchyError(
                f"{name}: wanted ids of the {self.num_classes} classes of the hierarchy "
                f"({int(known[0])}..{int(known[-1])}), got {len(offenders)} unknown: {listed}"
            )

        demand(is_known.all(), complain)
        return table.index_select(0, rows)

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


def checked_hierarchy(hierarchy: Any, name: str = "hierarchy", *, needed: bool = False) -> Any:
    """Return a class tree, or None where it is not ``needed``; raise a HierarchyError for anything else."""
    if isinstance(hierarchy, ClassTree) or (hierarchy is None and not needed):
        return hierarchy
    wanted = "a Hierarchy" if needed else "a Hierarchy or None"
    raise HierarchyError(f"{name}: wanted {wanted}, got {shown(hierarchy)}")


def _checked_names(name: str, names: Any) -> tuple[str, ...]:
    several = not isinstance(names, set | frozenset | Tensor) and isinstance(names, Iterable)
    found = tuple(names) if several and not isinstance(names, str | bytes) else (None,)
    if not all(isinstance(each, str) for each in found):
        raise HierarchyError(f"{name}: wanted a list of names, got {shown(names)}")
    return found


def _checked_level_names(names: Sequence[str], num_levels: int) -> tuple[str, ...]:
    names = _checked_names("level_names", names)
    if len(names) != num_levels or len(set(names)) != num_levels:
        raise HierarchyError(
            f"level_names: wanted {num_levels} different names, finest level first, got {names}"
        )
    return names

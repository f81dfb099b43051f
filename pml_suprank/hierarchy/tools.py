"""What can be done with a finished class tree: look at it, edit it, compare it, write it out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from torch import Tensor

from pml_suprank.hierarchy import difference, editing, exports, reports
from pml_suprank.hierarchy.class_tree import ClassTree
from pml_suprank.hierarchy.labels import as_level_labels, common_levels
from pml_suprank.values import checked_path

Self = TypeVar("Self", bound="TreeTools")


class TreeTools(ClassTree):
    """The tools of ``Hierarchy``. None changes the tree; those that edit give a new one."""

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

    def counts(self, labels: Any = None) -> tuple[Tensor, ...]:
        """How many items each node has.

        Args:
            labels: (B,) class ids or (B, L) rows of items; None counts classes.

        Returns:
            For each level, finest first, (nodes of the level,) int64.

        Raises:
            HierarchyError: unknown class ids or nodes.
        """
        return reports.counts(self, labels)

    def balance(self, labels: Any = None) -> reports.TreeBalance:
        """How evenly items spread over the nodes of each level; ``print`` shows a table.

        Args:
            labels: (B,) class ids or (B, L) rows of items; None counts classes.

        Raises:
            HierarchyError: unknown class ids or nodes.
        """
        return reports.balance(self, labels)

    def to_text(
        self,
        labels: Any = None,
        *,
        max_depth: int | None = None,
        max_children: int | None = None,
    ) -> str:
        """The tree drawn with lines, with the number of classes, or of items, behind the nodes.

        Args:
            labels: (B,) class ids or (B, L) rows of items; None counts classes.
            max_depth: levels to draw, from the coarsest; None for all.
            max_children: children of a node to draw; None for all. How many were left out is said.

        Raises:
            HierarchyError: limits below 1, or unknown class ids.

        Example:
            >>> from pml_suprank import Hierarchy
            >>> print(Hierarchy.from_paths(["animal/dog", "animal/cat", "rose"]).to_text())
            animal (2)
            ├── dog
            └── cat
            rose
        """
        return reports.text_tree(self, labels, max_depth, max_children)

    def prune(self: Self, labels: Any, min_items: int, level: int | str = 0) -> Self:
        """The tree without the small nodes of a level and all their classes.

        Args:
            labels: (B,) class ids or (B, L) rows of items; None counts classes.
            min_items: what a node needs to stay, at least 1.
            level: number or name; 0 prunes classes.

        Returns:
            The other classes, with their class ids.

        Raises:
            HierarchyError: nothing would be left.

        Example:
            >>> from pml_suprank import Hierarchy
            >>> tree = Hierarchy.from_paths(["animal/dog", "animal/cat", "plant/rose"])
            >>> tree.prune(None, min_items=2, level=1).class_names
            ('animal/dog', 'animal/cat')
        """
        return editing.prune(self, labels, min_items, level)

    def restrict(self: Self, levels: Sequence[int | str]) -> Self:
        """The tree with some of its levels.

        Args:
            levels: numbers or names of those to keep.

        Returns:
            With level 0 the classes keep their ids. Without it the nodes of the finest level kept are the classes,
            and their ids are the node ids: ``tree.expand(labels)[:, level]`` are the labels then.

        Raises:
            HierarchyError: an unknown level, or none.

        Example:
            >>> from pml_suprank import Hierarchy
            >>> tree = Hierarchy.from_paths(["a/dog/pug", "a/cat/manx"], level_names=["breed", "kind", "realm"])
            >>> tree.restrict(["kind", "realm"]).class_names
            ('a/dog', 'a/cat')
        """
        return editing.restrict(self, levels)

    def merge(
        self: Self,
        level: int | str,
        groups: Mapping[str, Sequence[str | int]],
        parent: str | None = None,
    ) -> Self:
        """The tree with nodes of a level put together; what was below them is below the new one.

        Args:
            level: number or name of a level above the classes.
            groups: new name to the nodes that it replaces, by name or node id.
            parent: where they go if they have several parents.

        Raises:
            HierarchyError: an unknown or ambiguous node, a node in two groups, or several parents without ``parent``.

        Example:
            >>> from pml_suprank import Hierarchy
            >>> tree = Hierarchy.from_paths(["dog/pug", "cat/manx", "rose/tea"])
            >>> tree.merge(1, {"pet": ["dog", "cat"]}).class_names
            ('pet/pug', 'pet/manx', 'rose/tea')
        """
        return editing.merge(self, level, groups, parent)

    def diff(self, other: ClassTree, on: str = "name") -> difference.HierarchyDiff:
        """What this tree and another over the same classes disagree on; true where there is anything.

        Args:
            other: another tree.
            on: "name" matches classes by the name of their finest node, "id" by class id.

        Raises:
            HierarchyError: names that several classes have.

        Example:
            >>> from pml_suprank import Hierarchy
            >>> one = Hierarchy.from_paths(["pet/dog", "pet/cat", "plant/rose"])
            >>> print(one.diff(Hierarchy.from_paths(["pet/dog", "wild/cat", "plant/rose"])))
            other ancestors (1):
              cat: pet | wild
            pairs of classes that share as many levels: 66.7%
        """
        return difference.diff(self, other, on)

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write a table that ``Hierarchy.from_csv(path, class_id_column="class_id")`` reads back, whole or not at all.

        A file in a folder that cannot be written to is written in place.

        Args:
            path: its columns are class_id and the levels, finest first; short branches begin with empty cells. A
                tree with a level of fewer names than the level above it needs ``repeated_names=True`` to be read.

        Raises:
            HierarchyError: a level named class_id, or a name that a CSV file does not keep (empty, spaces around it).
            OSError: the folder is missing, or neither it nor the file can be written to; a file that was there keeps
                what it had, unless it is written in place.
        """
        exports.write_text(checked_path("path", path), exports.csv_text(self))

    def to_parents(self) -> dict[str, str | None]:
        r"""Child to parent, None for a root. A node whose name is there twice is called by its path, "a/b".

        Where a name that holds "/" makes two nodes the same, "\" and "/" in names are written "\\" and "\/".

        Example:
            >>> from pml_suprank import Hierarchy
            >>> Hierarchy.from_paths(["a/x", "b/x"]).to_parents()
            {'a': None, 'a/x': 'a', 'b': None, 'b/x': 'b'}
        """
        return exports.parents(self)

    def to_networkx(self) -> Any:
        """A ``networkx.DiGraph`` with edges parent -> child.

        Nodes are called as in :meth:`to_parents` and have the attributes name and level, classes also class_id.

        Raises:
            ImportError: networkx is not installed.
        """
        return exports.networkx_graph(self)

    def to_newick(self) -> str:
        """The tree in Newick's notation; several roots lie below one without a name.

        Example:
            >>> from pml_suprank import Hierarchy
            >>> Hierarchy.from_paths(["animal/dog", "animal/red cat", "rose"]).to_newick()
            "((dog,'red cat')animal,rose);"
        """
        return exports.newick(self)

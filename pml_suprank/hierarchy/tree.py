"""The immutable tree over classes, and the sources it can be read from."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from pml_suprank.hierarchy import chains as sources
from pml_suprank.hierarchy import files, folders
from pml_suprank.hierarchy.labels import HierarchyError, check_tree, integer_tensor
from pml_suprank.hierarchy.tools import TreeTools
from pml_suprank.values import checked_flag, checked_path, shown

_INT64 = torch.iinfo(torch.int64)


class Hierarchy(TreeTools):
    """A tree over classes, as a table with one row per class and one column per level.

    Column 0 is the finest level, as in PML's 2-D labels. Node ids count from 0 within each
    column and belong to one node of the whole tree, so the number of equal columns of two rows
    is the number of ancestors the two classes share.

    Branches may differ in length: a short one repeats its deepest node at the fine end, so two
    items of that class share all levels, and it shares with others only its real ancestors.

    Build one with ``from_labels``, ``from_parents``, ``from_paths``, ``from_folder``,
    ``from_csv`` or ``from_networkx``. Instances are immutable, compare by content, and pickle; ``TreeTools`` says what
    can be done with them: ``to_text``, ``balance``, ``prune``, ``merge``, ``diff``, ``to_csv``, ...

    Example:
        >>> tree = Hierarchy.from_paths(["animal/dog", "animal/cat", "plant/rose"])
        >>> tree.table.tolist()
        [[0, 0], [1, 0], [2, 1]]
        >>> tree.common_levels(torch.tensor([0]), torch.tensor([0, 1, 2])).tolist()
        [[2, 1, 0]]
    """

    @classmethod
    def from_labels(cls, labels: Any, level_names: Sequence[str] | None = None) -> Hierarchy:
        """The tree that a table of labels spells out.

        Args:
            labels: (B, L) integers, column 0 finest; one row per class or per item. An id
                stands for one node of its whole column.
            level_names: one name per column.

        Returns:
            Its class ids are the values of column 0; node ids keep the order of the labels.

        Raises:
            HierarchyError: not 2-D integers, empty, or a node with two parents.

        Example:
            >>> Hierarchy.from_labels([[30, 5], [10, 5], [20, 7], [10, 5]]).class_ids.tolist()
            [10, 20, 30]
        """
        rows = integer_tensor(labels, "labels").cpu().numpy()
        if rows.ndim != 2 or 0 in rows.shape:
            raise HierarchyError(f"labels: wanted a filled [B, L] table, got shape {rows.shape}")
        class_ids, first, class_of = np.unique(rows[:, 0], return_index=True, return_inverse=True)
        classes = rows[first]
        wrong = (classes[class_of.reshape(-1)] != rows).any(1)
        if wrong.any():
            row = rows[wrong.argmax()]
            other = classes[np.searchsorted(class_ids, row[0])]
            raise HierarchyError(
                f"labels: wanted one set of ancestors per finest class, got class {row[0]} with "
                f"the rows {other.tolist()} and {row.tolist()}"
            )
        check_tree(torch.from_numpy(classes))
        columns, names = [], []
        for column in classes.T:
            nodes, ids = np.unique(column, return_inverse=True)
            columns.append(ids.reshape(-1))
            names.append([str(node) for node in nodes])
        return cls(np.stack(columns, 1), class_ids, node_names=names, level_names=level_names)

    @classmethod
    def from_parents(
        cls, parents: Mapping[Any, Any], level_names: Sequence[str] | None = None
    ) -> Hierarchy:
        """The tree of a child -> parent mapping; its leaves are the classes.

        Args:
            parents: nodes are ints or strings; the parent None, or no entry, means a root. A
                root above all nodes is kept as a level that all share.
            level_names: one name per level, finest first.

        Returns:
            Int leaves are the class ids; string leaves are numbered in the mapping's order.

        Raises:
            HierarchyError: a cycle, a node with several parents, a mixture of int and string
                leaves, or other things than nodes.

        Example:
            >>> tree = Hierarchy.from_parents({"dog": "animal", "cat": "animal", "rose": "plant"})
            >>> tree.class_id("rose"), tree.node_names(1)
            (2, ('animal', 'plant'))
        """
        return cls._from_chains(sources.chains_from_parents(parents), level_names)

    @classmethod
    def from_paths(
        cls,
        paths: Iterable[str | Sequence[str]],
        sep: str = "/",
        level_names: Sequence[str] | None = None,
    ) -> Hierarchy:
        """The tree of paths from coarse to fine, one per class.

        Args:
            paths: "animal/dog/husky" and the like, or ("animal", "dog", "husky"), which may hold ``sep`` in a
                name. A name under two parents is two nodes.
            sep: what joins the names.
            level_names: one name per level, finest first.

        Returns:
            Class ids are the positions of the paths; class names are the paths. Those of sequences are joined by "/";
            a "/" in a name is escaped by a backslash.

        Raises:
            HierarchyError: an empty name, a path twice, none at all, or something not a string.

        Example:
            >>> tree = Hierarchy.from_paths(["animal/dog/husky", "animal/dog/pug", "plant"])
            >>> tree.table.tolist()
            [[0, 0, 0], [1, 0, 0], [2, 1, 1]]
        """
        return cls._from_chains(sources.chains_from_paths(paths, sep), level_names)

    @classmethod
    def from_folder(
        cls,
        root: str | os.PathLike[str],
        level_names: Sequence[str] | None = None,
        *,
        extensions: Collection[str] | None = folders.IMAGE_EXTENSIONS,
        stray: str = "refuse",
        links: str = "inside",
    ) -> Hierarchy:
        """The tree of nested image folders; every leaf folder is a class.

        Hidden files and folders, those of systems (``__MACOSX``, ``Thumbs.db``), files of other formats or at the root,
        and folders without a file that counts are left out, and so are pipes, sockets and devices; all are logged
        together, once, with counts and reasons.

        Args:
            root: the folder above the coarsest nodes (itself no node).
            level_names: one name per level, finest first.
            extensions: the files that count; None counts all.
            stray: for a folder with files beside folders: "refuse" lists all such folders in one error, "class" makes
                each a class of its own, "skip" leaves the files beside folders out.
            links: "inside" follows links that stay below the root, "follow" follows all.

        Returns:
            Class ids number the class folders in the sorted order of their paths, name by name;
            class names are the paths below ``root``, joined by "/".

        Raises:
            HierarchyError: no such folder, no class in it, or files beside folders with ``stray="refuse"``.
            ValueError: another ``stray`` or ``links``.
        """
        chains = folders.chains_from_folder(checked_path("root", root), extensions, stray, links)
        return cls._from_chains(chains, level_names)

    @classmethod
    def from_csv(
        cls,
        path: str | os.PathLike[str],
        *,
        delimiter: str | None = None,
        finest_first: bool = True,
        class_id_column: str | None = None,
        encoding: str | None = None,
        repeated_names: bool = False,
    ) -> Hierarchy:
        """The tree of a table with one column per level, finest first, and one row per class or item.

        Args:
            path: its first line names the levels. Rows may repeat. Empty cells at the finest
                levels make a short branch. A name under two parents is two nodes.
            delimiter: between cells; None recognises commas, tabs, semicolons and bars.
            finest_first: whether the first level column is the finest, as everywhere, or the coarsest.
            class_id_column: the column, no level, that holds the integer class ids.
            encoding: of the file; None recognises UTF-8, UTF-16 and UTF-32, and reads what is none of them as
                Windows-1252 or Latin-1, with a warning in the log.
            repeated_names: whether a level may have fewer names than the one above it ("left" and "right" of every
                hand); else that is taken for levels in reversed order.

        Returns:
            Without ``class_id_column``, classes are numbered by first appearance. Class names
            are the names from coarse to fine, joined by "/"; a "/" in a name is escaped by a backslash.

        Raises:
            HierarchyError: a bad header, a row of the wrong length, an empty cell above a filled
                one, no rows, levels in reversed order, or one class id at two places; names the file and the line.
        """
        for name, text in (
            ("delimiter", delimiter),
            ("class_id_column", class_id_column),
            ("encoding", encoding),
        ):
            if text is not None and not isinstance(text, str):
                raise HierarchyError(f"{name}: wanted a text, or None, got {shown(text)}")
        checked_flag("finest_first", finest_first)
        checked_flag("repeated_names", repeated_names)
        return cls._from_chains(
            files.chains_from_csv(
                checked_path("path", path),
                delimiter,
                finest_first,
                class_id_column,
                encoding,
                repeated_names,
            )
        )

    @classmethod
    def from_networkx(cls, digraph: Any, level_names: Sequence[str] | None = None) -> Hierarchy:
        """The tree of a ``networkx.DiGraph`` with edges parent -> child.

        Args:
            digraph: nodes are ints or strings; nodes without successors are the classes.
            level_names: one name per level, finest first.

        Returns:
            Ids as in ``from_parents``.

        Raises:
            HierarchyError: undirected, a node with two parents, a cycle.
            ImportError: networkx is not installed.
        """
        return cls._from_chains(sources.chains_from_networkx(digraph), level_names)

    @classmethod
    def _from_chains(
        cls, source: sources.Chains, level_names: Sequence[str] | None = None
    ) -> Hierarchy:
        """Number the nodes of every level; a node is the chain of names that leads to it."""
        if any(not _INT64.min <= class_id <= _INT64.max for class_id in source.class_ids):
            raise HierarchyError("class ids: wanted values that int64 holds, got larger ones")
        order = sorted(range(len(source.chains)), key=source.class_ids.__getitem__)
        chains = [source.chains[index] for index in order]
        depth = max(len(chain) for chain in chains)
        columns: list[list[int]] = []
        names: list[list[str]] = []
        for length in range(depth, 0, -1):
            nodes: dict[sources.Chain, int] = {}
            # A chain that ends above this level stands for itself there: longer ones differ.
            columns.append([nodes.setdefault(chain[:length], len(nodes)) for chain in chains])
            names.append([str(node[-1]) for node in nodes])
        return cls(
            torch.tensor(columns).T,
            [source.class_ids[index] for index in order],
            node_names=names,
            class_names=[source.class_names[index] for index in order],
            level_names=source.level_names if level_names is None else level_names,
        )

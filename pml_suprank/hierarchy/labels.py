"""The door for labels: the three forms that users pass, brought to one.

What other parts of the library need of labels, they take from here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pml_suprank.checks import demand
from pml_suprank.hierarchy.class_tree import ClassTree, checked_hierarchy
from pml_suprank.hierarchy.integers import HierarchyError, index_tensor, integer_tensor
from pml_suprank.hierarchy.known_trees import is_known, remember
from pml_suprank.hierarchy.level_rows import (
    check_nested,
    check_tree,
    common_levels,
    is_tree,
    one_hot_hint,
)
from pml_suprank.values import as_integer, checked_flag, checked_integer, shown

__all__ = [
    "HierarchyError",
    "as_joint_labels",
    "as_level_labels",
    "check_nested",
    "check_tree",
    "checked_hierarchy",
    "checked_ignore_index",
    "common_levels",
    "ignored_rows",
    "index_tensor",
    "integer_tensor",
    "label_tensor",
]


def as_level_labels(
    labels: Any,
    hierarchy: ClassTree | None = None,
    *,
    name: str = "labels",
    length: int | None = None,
    ignore_index: int | None = None,
    check: bool = True,
) -> Tensor:
    """Any of the three label forms as 2-D labels.

    1-D class labels without a hierarchy become one column; 2-D labels stay, and have to be a tree; 1-D labels with a
    hierarchy become rows of its table, which are a tree: neither they nor, where they are given again, what was made
    of them is checked.

    Args:
        labels: [B] or [B, L] integers, see :func:`integer_tensor`.
        hierarchy: the class tree that 1-D labels are finest classes of.
        name: the argument's name, for the messages.
        length: the wanted B, if it is known.
        ignore_index: the finest label of samples to ignore, see :func:`ignored_rows`: it is not looked up, and such
            rows are left out of the check; where 1-D labels are expanded, they hold this value in all columns.
        check: whether 2-D labels are checked to be a tree; :func:`as_joint_labels` checks two together.

    Returns:
        (B, L) int64 on the device of ``labels``, column 0 finest.

    Raises:
        HierarchyError: wrong dtype, number of dimensions, length or number of columns, class ids that the hierarchy
            does not know, or rows that are no tree, such as one-hot ones.

    Example:
        >>> as_level_labels(torch.tensor([7, 9])).tolist()
        [[7], [9]]
    """
    given = labels
    check = checked_flag("check", check)
    checked_hierarchy(hierarchy)
    labels = label_tensor(labels, name=name, length=length)
    ignored = ignored_rows(labels, ignore_index)
    if labels.ndim == 1:
        if hierarchy is None:
            return labels[:, None]
        if ignored is None:
            rows = hierarchy._expand(labels, name)
        else:
            assert ignore_index is not None
            rows = labels.new_full((len(labels), hierarchy.num_levels), ignore_index)
            rows[~ignored] = hierarchy._expand(labels[~ignored], name)
        remember((rows,), ignore_index)  # the parts of a loss may be given these
        return rows
    if labels.shape[1] == 0:
        raise HierarchyError(f"{name}: wanted at least one level, got shape {tuple(labels.shape)}")
    if hierarchy is not None and labels.shape[1] != hierarchy.num_levels:
        raise HierarchyError(
            f"{name}: wanted {hierarchy.num_levels} columns, one per level of the hierarchy, "
            f"or 1-D class ids, got {labels.shape[1]} columns{one_hot_hint(labels, name)}"
        )
    if check and labels.shape[1] > 1 and not is_known((given,), ignore_index):
        _demand_tree(
            labels if ignored is None else labels[~ignored],
            lambda rows: check_tree(rows, name),
            lambda: remember((given,), ignore_index),
        )
    return labels


def _demand_tree(
    rows: Tensor, complain: Callable[[Tensor], None], settle: Callable[[], None]
) -> None:
    """Demand that rows be a tree; unlike ``check_tree``, in :func:`one_look` an accelerator is asked later."""
    demand(is_tree(rows), lambda: complain(rows), settle)


def as_joint_labels(
    labels: Any,
    ref_labels: Any,
    hierarchy: ClassTree | None = None,
    *,
    lengths: tuple[int | None, int | None] = (None, None),
    ignore_index: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Labels of queries and of references as 2-D labels that are one tree, checked once.

    Args:
        labels: of the queries, as for :func:`as_level_labels`.
        ref_labels: of the references; the same object where these are the queries.
        hierarchy: the class tree that 1-D labels are finest classes of; what it expands needs no check.
        lengths: the wanted numbers of rows, if they are known.
        ignore_index: as for :func:`as_level_labels`.

    Returns:
        (B, L) and (N, L) int64, each on its device; one tensor if ``ref_labels`` is ``labels``.

    Raises:
        HierarchyError: as :func:`as_level_labels`; different numbers of columns; an id under two parents, one of
            them among the references perhaps.
    """
    checked_hierarchy(hierarchy)
    if not isinstance(lengths, tuple | list) or len(lengths) != 2:
        raise HierarchyError(f"lengths: wanted two integers or None, got {shown(lengths)}")
    for length in lengths:
        checked_integer("lengths", length, 0, optional=True)
    raw = (labels,) if ref_labels is labels else (labels, ref_labels)
    given: list[Tensor] = []
    for name, values, length in zip(
        ("labels", "ref_labels"), (labels, ref_labels), lengths, strict=True
    ):
        if given and values is labels and length in (None, len(given[0])):
            given.append(given[0])
        else:
            given.append(label_tensor(values, name=name, length=length))
    options: dict[str, Any] = {"ignore_index": ignore_index, "check": False}
    queries = as_level_labels(given[0], hierarchy, **options)
    references = queries
    if given[1] is not given[0]:
        references = as_level_labels(given[1], hierarchy, name="ref_labels", **options)
    if references.shape[1] != queries.shape[1]:
        raise HierarchyError(
            f"ref_labels: wanted {queries.shape[1]} label columns as in labels, got {references.shape[1]}"
        )
    if queries.shape[1] == 1:
        return queries, references
    if hierarchy is not None and given[0].ndim == given[1].ndim == 1:  # rows of one tree
        if references is not queries:
            remember((queries, references), ignore_index)
        return queries, references
    as_they_came = all(each.ndim == 2 for each in given)
    if as_they_came and is_known(raw, ignore_index):
        return queries, references
    rows = []
    for each, expanded in ((given[0], queries), (given[1], references)):
        ignored = ignored_rows(each, ignore_index)
        rows.append(expanded if ignored is None else expanded[~ignored])

    def complain(both: Tensor) -> None:
        check_tree(rows[0])
        if references is not queries:
            check_tree(rows[1], "ref_labels")
            check_tree(both, "labels and ref_labels")

    both = rows[0]
    if references is not queries:
        both = torch.cat([rows[0], rows[1].to(rows[0].device)])
    settle = (lambda: remember(raw, ignore_index)) if as_they_came else (lambda: None)
    _demand_tree(both, complain, settle)
    return queries, references


def label_tensor(labels: Any, *, name: str = "labels", length: int | None = None) -> Tensor:
    """Labels of one of the forms, as they came, in int64.

    Args:
        labels: [B] or [B, L], see :func:`integer_tensor`.
        name: the argument's name, for the messages.
        length: the wanted B, if it is known.

    Raises:
        HierarchyError: wrong dtype, number of dimensions or length.
    """
    labels = integer_tensor(labels, name)
    if length is not None and type(length) is not int:
        length = checked_integer("length", length, 0)
    if labels.ndim not in (1, 2):
        raise HierarchyError(
            f"{name}: wanted 1-D class labels [B] or 2-D labels [B, L], "
            f"got shape {tuple(labels.shape)}"
        )
    if length is not None and len(labels) != length:
        raise HierarchyError(f"{name}: wanted {length} rows, got {len(labels)}")
    return labels


def ignored_rows(labels: Tensor, ignore_index: int | None) -> Tensor | None:
    """Which samples are ignored: those whose finest label is ``ignore_index``.

    Args:
        labels: (B,) or (B, L) as they came, not expanded by a hierarchy, whose node ids are no class ids.
        ignore_index: None for none.

    Returns:
        (B,) bool, or None if ``ignore_index`` is None.
    """
    if ignore_index is None:
        return None
    labels = label_tensor(labels)
    wanted: Any = checked_ignore_index(ignore_index)
    if labels.ndim == 2 and not labels.shape[1]:
        raise HierarchyError(f"labels: wanted at least one level, got shape {tuple(labels.shape)}")
    found: Tensor = (labels if labels.ndim == 1 else labels[:, 0]) == wanted
    return found


def checked_ignore_index(ignore_index: Any) -> int | None:
    """Return ``ignore_index``, or raise a ValueError unless it is None or an integer."""
    if ignore_index is None:
        return None
    found = as_integer(ignore_index)
    if found is None or not -(2**63) <= found < 2**63:
        raise ValueError(f"ignore_index: wanted an integer, or None, got {shown(ignore_index)}")
    return found

"""Label tensors: the three forms users pass, brought to one, and the levels two items share."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from pml_suprank.hierarchy.class_tree import ClassTree


class HierarchyError(ValueError):
    """Labels or a class tree that cannot be used; the message names what is wrong with them."""


def integer_tensor(values: Any, name: str) -> Tensor:
    """Integer labels as an int64 tensor, exact, on the device they came on.

    Args:
        values: a tensor, a NumPy array or nested lists of integers.
        name: the argument's name, for the messages.

    Returns:
        int64 tensor of the same shape and device.

    Raises:
        HierarchyError: not numbers, bool, floating point (NaN included), or beyond int64.
    """
    if not isinstance(values, Tensor):
        try:
            values = torch.as_tensor(np.asarray(values))
        except (TypeError, ValueError) as error:
            raise HierarchyError(
                f"{name}: wanted a tensor or array of integers, got {type(values).__name__} "
                f"that is none ({error})"
            ) from None
    dtype = str(values.dtype).removeprefix("torch.")
    if values.dtype == torch.bool or values.is_complex() or values.is_quantized:
        raise HierarchyError(f"{name}: wanted integers, got dtype {dtype}")
    if values.is_floating_point():
        extra = " with NaN" if bool(torch.isnan(values).any()) else ""
        raise HierarchyError(
            f"{name}: wanted integers (floats merge class ids above 2**24 or 2**53), "
            f"got dtype {dtype}{extra}"
        )
    exact = values.long()
    if values.dtype == torch.uint64 and bool((exact < 0).any()):
        raise HierarchyError(f"{name}: wanted ids below 2**63, got larger uint64 values")
    return exact


def common_levels(
    labels: Tensor, ref_labels: Tensor | None = None, dtype: torch.dtype = torch.long
) -> Tensor:
    """Number of label columns on which each query agrees with each reference.

    On a tree with ids unique within a column this is the depth of the lowest common ancestor.

    Args:
        labels: (B, L) integers, column 0 finest.
        ref_labels: (N, L) integers; None compares ``labels`` with themselves.
        dtype: of the result, an integer one.

    Returns:
        (B, N) in 0..L: L for the same finest class, 0 where nothing is shared.

    Raises:
        HierarchyError: not 2-D integers, or different numbers of columns.

    Example:
        >>> common_levels(torch.tensor([[0, 0]]), torch.tensor([[0, 0], [1, 0], [2, 1]]))
        tensor([[2, 1, 0]])
    """
    labels = integer_tensor(labels, "labels")
    ref_labels = labels if ref_labels is None else integer_tensor(ref_labels, "ref_labels")
    for name, value in (("labels", labels), ("ref_labels", ref_labels)):
        if value.ndim != 2:
            raise HierarchyError(f"{name}: wanted 2-D labels [B, L], got {value.ndim}-D")
    if labels.shape[1] != ref_labels.shape[1]:
        raise HierarchyError(
            f"ref_labels: wanted {labels.shape[1]} levels as in labels, got {ref_labels.shape[1]}"
        )
    shape = len(labels), len(ref_labels)
    levels = torch.zeros(shape, dtype=torch.int8, device=labels.device)
    if labels.shape[1] > 127:
        levels = levels.long()
    same = torch.empty(shape, dtype=torch.bool, device=labels.device)
    for column, ref_column in zip(labels.unbind(1), ref_labels.unbind(1), strict=True):
        levels += torch.eq(column[:, None], ref_column, out=same).view(torch.int8)
    return levels.to(dtype)


def as_level_labels(
    labels: Any,
    hierarchy: ClassTree | None = None,
    *,
    name: str = "labels",
    length: int | None = None,
) -> Tensor:
    """Any of the three label forms as 2-D labels.

    1-D class labels without a hierarchy become one column; 2-D labels stay; 1-D labels with a
    hierarchy are expanded to all its levels.

    Args:
        labels: [B] or [B, L] integers.
        hierarchy: the class tree that 1-D labels are finest classes of.
        name: the argument's name, for the messages.
        length: the wanted B, if it is known.

    Returns:
        (B, L) int64 on the device of ``labels``, column 0 finest.

    Raises:
        HierarchyError: wrong dtype, number of dimensions, length or number of columns, or
            class ids that the hierarchy does not know.

    Example:
        >>> as_level_labels(torch.tensor([7, 9])).tolist()
        [[7], [9]]
    """
    labels = integer_tensor(labels, name)
    if labels.ndim not in (1, 2):
        raise HierarchyError(
            f"{name}: wanted 1-D class labels [B] or 2-D labels [B, L], "
            f"got shape {tuple(labels.shape)}"
        )
    if length is not None and len(labels) != length:
        raise HierarchyError(f"{name}: wanted {length} rows, got {len(labels)}")
    if labels.ndim == 1:
        return labels[:, None] if hierarchy is None else hierarchy._expand(labels, name)
    if labels.shape[1] == 0:
        raise HierarchyError(f"{name}: wanted at least one level, got shape {tuple(labels.shape)}")
    if hierarchy is not None and labels.shape[1] != hierarchy.num_levels:
        raise HierarchyError(
            f"{name}: wanted {hierarchy.num_levels} columns, one per level of the hierarchy, "
            f"or 1-D class ids, got {labels.shape[1]} columns"
        )
    return labels


def check_tree(labels: Tensor, name: str = "labels") -> None:
    """Raise where an id stands under two different ids of the next coarser column.

    Args:
        labels: (n, L) integers, column 0 finest.
        name: the argument's name, for the message.

    Raises:
        HierarchyError: names the id, its column and the two ids above it.
    """
    columns = [column.unique(return_inverse=True) for column in labels.unbind(1)]
    for level, (fine, coarse) in enumerate(itertools.pairwise(columns)):
        check_nested(level, fine, coarse, name)


def check_nested(
    level: int, fine: tuple[Tensor, Tensor], coarse: tuple[Tensor, Tensor], name: str = "labels"
) -> None:
    """Check two neighbouring columns, each as its distinct labels and the place of every item's."""
    pairs = (fine[1].long() * len(coarse[0]) + coarse[1]).unique()
    children = pairs // len(coarse[0])
    twice = (children.diff() == 0).nonzero().flatten()
    if len(twice):
        child, parents = children[twice[0]], pairs[twice[0] : twice[0] + 2] % len(coarse[0])
        first, second = coarse[0][parents].tolist()
        raise HierarchyError(
            f"{name}: wanted a tree, one parent per node, with ids that stand for one node of the "
            f"whole column, got {int(fine[0][child])} of column {level} under {first} and "
            f"{second} of column {level + 1}"
        )

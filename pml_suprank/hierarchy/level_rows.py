"""Labels of all levels, column 0 finest: whether they are a tree, and how many levels two items share."""

import itertools

import torch
from torch import Tensor

from pml_suprank.hierarchy.integers import HierarchyError, integer_tensor
from pml_suprank.values import shown


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
    if not isinstance(dtype, torch.dtype) or dtype.is_floating_point or dtype.is_complex:
        raise HierarchyError(f"dtype: wanted an integer dtype of torch, got {shown(dtype)}")
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
    if labels.shape[1] == 0:
        return torch.zeros(shape, dtype=dtype, device=labels.device)
    pairs = list(zip(labels.unsqueeze(1).unbind(2), ref_labels.unbind(1), strict=True))
    levels = (pairs[0][0] == pairs[0][1]).view(torch.int8)
    if len(pairs) > 127:
        levels = levels.long()
    same = torch.empty(shape, dtype=torch.bool, device=labels.device) if len(pairs) > 1 else None
    for column, ref_column in pairs[1:]:
        levels += torch.eq(column, ref_column, out=same).view(torch.int8)
    return levels.to(dtype)


def is_tree(labels: Tensor) -> Tensor:
    """Whether no id stands under two different ids of the next coarser column, as a boolean on the device.

    Args:
        labels: (n, L) integers, column 0 finest.
    """
    columns = labels.T.contiguous()
    fine, order = columns[:-1].sort(dim=1)
    coarse = columns[1:].gather(1, order)
    return ((fine[:, 1:] != fine[:, :-1]) | (coarse[:, 1:] == coarse[:, :-1])).all()


def check_tree(labels: Tensor, name: str = "labels") -> None:
    """Raise where an id stands under two different ids of the next coarser column.

    Args:
        labels: (n, L) integers, column 0 finest.
        name: the argument's name, for the message.

    Raises:
        HierarchyError: names the id, its column and the two ids above it.
    """
    labels = integer_tensor(labels, name)
    if labels.ndim != 2:
        raise HierarchyError(f"{name}: wanted 2-D labels [B, L], got {labels.ndim}-D")
    if is_tree(labels):
        return
    columns = [column.unique(return_inverse=True) for column in labels.unbind(1)]
    for level, (fine, coarse) in enumerate(itertools.pairwise(columns)):
        try:
            check_nested(level, fine, coarse, name)
        except HierarchyError as error:
            raise HierarchyError(f"{error}{one_hot_hint(labels, name)}") from None


def one_hot_hint(labels: Tensor, name: str) -> str:
    """Say what one-hot rows should have been."""
    is_binary = bool(((labels == 0) | (labels == 1)).all())
    if not len(labels) or not is_binary or not bool((labels.sum(dim=1) == 1).all()):
        return ""
    return f"; the rows look one-hot: give class ids, {name}.argmax(dim=1)"


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

"""Label tensors: the three forms users pass, brought to one, and the levels two items share."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from pml_suprank.checks import demand
from pml_suprank.hierarchy.known_trees import is_known, remember

if TYPE_CHECKING:
    from pml_suprank.hierarchy.class_tree import ClassTree


class HierarchyError(ValueError):
    """Labels or a class tree that cannot be used; the message names what is wrong with them."""


def integer_tensor(values: Any, name: str) -> Tensor:
    """Integer labels as an int64 tensor, exact, on the device they came on.

    Args:
        values: a tensor, a NumPy array or nested lists: integers of any width, bool (classes 0 and 1), or floats that
            hold integers exactly: below 2**24, or 2048 for float16 and 256 for bfloat16, beyond which a float may
            stand for several ids.
        name: the argument's name, for the messages.

    Returns:
        int64 tensor of the same shape and device.

    Raises:
        HierarchyError: not numbers, not integral, NaN, or values that the dtype or int64 does not hold exactly.

    Example:
        >>> integer_tensor([[3.0, 0.0]], "labels"), integer_tensor([True, False], "labels")
        (tensor([[3, 0]]), tensor([1, 0]))
    """
    values = _as_tensor(values, name)
    if values.is_complex() or values.is_quantized:
        raise HierarchyError(f"{name}: wanted integers, got dtype {_dtype_name(values)}")
    if values.is_floating_point():
        return _integral(values, name)
    exact = values.long()
    if values.dtype == torch.uint64 and bool((exact < 0).any()):
        raise HierarchyError(f"{name}: wanted ids below 2**63, got larger uint64 values")
    return exact


def index_tensor(values: Any, name: str) -> Tensor:
    """Indices as an int64 tensor, as :func:`integer_tensor` but without floats and bool, which may be a mask.

    Raises:
        HierarchyError: not integers, or beyond int64.
    """
    values = _as_tensor(values, name)
    if values.numel() and (values.is_floating_point() or values.dtype == torch.bool):
        raise HierarchyError(f"{name}: wanted integers, got dtype {_dtype_name(values)}")
    return integer_tensor(values, name)


def _as_tensor(values: Any, name: str) -> Tensor:
    if isinstance(values, Tensor):
        return values
    try:
        array = np.asarray(values)
        if array.dtype.kind in "iuf":  # torch takes the machine's byte order alone
            array = array.astype(array.dtype.newbyteorder("="), copy=False)
        if not array.flags.writeable or min(array.strides, default=0) < 0:
            array = array.copy()
        return torch.as_tensor(array)
    except (TypeError, ValueError) as error:
        raise HierarchyError(
            f"{name}: wanted a tensor or array of integers, got {type(values).__name__} "
            f"that is none ({error}); names become ids by Hierarchy.ids"
        ) from None


def _dtype_name(values: Tensor) -> str:
    return str(values.dtype).removeprefix("torch.")


def _integral(values: Tensor, name: str) -> Tensor:
    """Floats that are exact integers as int64."""
    bound = min(2.0**24, 2 / torch.finfo(values.dtype).eps)
    wide = values.detach().double()
    fits = (wide.abs() < bound) & (wide == wide.round())  # False for NaN
    if bool(fits.all()):
        return wide.long()
    wrong = wide[~fits].flatten()
    what = "NaN" if bool(wrong.isnan().any()) else f"{float(wrong[0]):g}"
    raise HierarchyError(
        f"{name}: wanted integers, or floats that are integers below {bound:.0f} (larger ones merge ids), "
        f"got dtype {_dtype_name(values)} with {what}"
    )


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
    hierarchy are expanded to all its levels.

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
    labels = label_tensor(labels, name=name, length=length)
    ignored = ignored_rows(labels, ignore_index)
    if labels.ndim == 1:
        if hierarchy is None:
            return labels[:, None]
        if ignored is None:
            return hierarchy._expand(labels, name)
        assert ignore_index is not None
        rows = labels.new_full((len(labels), hierarchy.num_levels), ignore_index)
        rows[~ignored] = hierarchy._expand(labels[~ignored], name)
        return rows
    if labels.shape[1] == 0:
        raise HierarchyError(f"{name}: wanted at least one level, got shape {tuple(labels.shape)}")
    if hierarchy is not None and labels.shape[1] != hierarchy.num_levels:
        raise HierarchyError(
            f"{name}: wanted {hierarchy.num_levels} columns, one per level of the hierarchy, "
            f"or 1-D class ids, got {labels.shape[1]} columns{_one_hot_hint(labels, name)}"
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
    if queries.shape[1] == 1 or (hierarchy is not None and given[0].ndim == given[1].ndim == 1):
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
    return (labels if labels.ndim == 1 else labels[:, 0]) == ignore_index


def checked_ignore_index(ignore_index: Any) -> int | None:
    """Return ``ignore_index``, or raise a ValueError unless it is None or an integer."""
    try:
        if isinstance(ignore_index, bool):
            raise TypeError
        return None if ignore_index is None else operator.index(ignore_index)
    except TypeError:
        raise ValueError(
            f"ignore_index: wanted an integer, or None, got {ignore_index!r}"
        ) from None


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
    if is_tree(labels):
        return
    columns = [column.unique(return_inverse=True) for column in labels.unbind(1)]
    for level, (fine, coarse) in enumerate(itertools.pairwise(columns)):
        try:
            check_nested(level, fine, coarse, name)
        except HierarchyError as error:
            raise HierarchyError(f"{error}{_one_hot_hint(labels, name)}") from None


def _one_hot_hint(labels: Tensor, name: str) -> str:
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

"""Labels as integers, exact: the error about labels, and what any tensor, array or list of them becomes."""

from typing import Any

import numpy as np
import torch
from torch import Tensor


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
    if values.is_meta or values.layout != torch.strided:
        where = "on the meta device" if values.is_meta else f"of layout {values.layout}"
        raise HierarchyError(f"{name}: wanted a dense tensor of integers, got one {where}")
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
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
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

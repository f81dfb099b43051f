"""The options of the memories: which losses and miners they take, ranges, what they ignore."""

from collections.abc import Mapping
from typing import Any

import torch

from pml_suprank.hierarchy.labels import checked_ignore_index
from pml_suprank.losses.calibration_loss import CalibrationLoss
from pml_suprank.losses.decomposable_rank_loss import DecomposableRankLoss
from pml_suprank.losses.rank_loss import QueryLoss
from pml_suprank.pml import BaseMetricLossFunction, PMLCrossBatchMemory
from pml_suprank.values import checked_callable, checked_integer, checked_number, shown


def supported_losses() -> list[str]:
    """Return the names of the losses that work with a memory."""
    ours = _subclass_names(QueryLoss) | _subclass_names(DecomposableRankLoss)
    ours |= _subclass_names(CalibrationLoss)
    return [*PMLCrossBatchMemory.supported_losses(), *sorted(ours)]


def _subclass_names(cls: type) -> set[str]:
    children: list[type] = cls.__subclasses__()
    return {cls.__name__}.union(*(_subclass_names(child) for child in children))


def mines_without_self(miner: Any) -> bool:
    """Whether ``miner`` is told where the queries stand in the memory, as those of this library are."""
    return getattr(miner, "takes_self_indices", False)


def check_memory_options(
    sizes: Mapping[str, int], warmup: int, batch_weight: float, storage_dtype: torch.dtype | None
) -> None:
    """Raise a ValueError unless all ``sizes`` are >= 1 and the options are in their ranges."""
    least = dict.fromkeys(sizes, 1) | {"warmup": 0}
    for name, value in {**sizes, "warmup": warmup}.items():
        checked_integer(name, value, least[name])
    checked_number("batch_weight", batch_weight, 0, 1)
    is_dtype = isinstance(storage_dtype, torch.dtype) and storage_dtype.is_floating_point
    if storage_dtype is not None and not is_dtype:
        raise ValueError(f"storage_dtype: wanted a floating dtype, got {shown(storage_dtype)}")


def check_parts(loss: Any, miner: Any) -> None:
    """Raise a ValueError unless a memory can serve a loss, and call a miner or have none."""
    if type(loss).__name__ not in supported_losses():
        raise ValueError(
            f"loss: wanted one of {supported_losses()}, got {type(loss).__name__}; "
            "memories are not supported for others"
        )
    if miner is not None:
        checked_callable("miner", miner, "a miner, or None")


def ignored_by(loss: BaseMetricLossFunction, ignore_index: int | None) -> int | None:
    """Return the label that a memory ignores: its own option, or that of the loss that it serves."""
    if ignore_index is not None:
        return checked_ignore_index(ignore_index)
    losses = (part for part in loss.modules() if isinstance(part, BaseMetricLossFunction))
    found = (getattr(part, "ignore_index", None) for part in losses)
    return next((index for index in found if index is not None), None)

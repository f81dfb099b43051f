"""The options of the memories: which losses and miners they take, ranges, what they ignore."""

from collections.abc import Mapping
from typing import Any

import torch

from pml_suprank.hierarchy.labels import checked_ignore_index
from pml_suprank.losses.calibration_loss import CalibrationLoss
from pml_suprank.losses.decomposable_rank_loss import DecomposableRankLoss
from pml_suprank.losses.rank_loss import QueryLoss
from pml_suprank.pml import BaseMetricLossFunction, PMLCrossBatchMemory


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
        if isinstance(value, bool) or not isinstance(value, int) or value < least[name]:
            raise ValueError(f"{name}: wanted an integer >= {least[name]}, got {value!r}")
    if not 0 <= batch_weight <= 1:
        raise ValueError(f"batch_weight: wanted a number in [0, 1], got {batch_weight!r}")
    if storage_dtype is not None and not storage_dtype.is_floating_point:
        raise ValueError(f"storage_dtype: wanted a floating dtype, got {storage_dtype}")


def ignored_by(loss: BaseMetricLossFunction, ignore_index: int | None) -> int | None:
    """Return the label that a memory ignores: its own option, or that of the loss that it serves."""
    if ignore_index is not None:
        return checked_ignore_index(ignore_index)
    losses = (part for part in loss.modules() if isinstance(part, BaseMetricLossFunction))
    found = (getattr(part, "ignore_index", None) for part in losses)
    return next((index for index in found if index is not None), None)

"""Slots of a memory that has one for each sample of a data set."""

import torch
from torch import Tensor


def filled_slots(
    indices: Tensor, memory: Tensor, memory_labels: Tensor, is_filled: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the filled slots, their labels, and where among them the samples stand."""
    if bool(is_filled.all()):
        return memory, memory_labels, indices
    position = is_filled.cumsum(0) - 1
    return memory[is_filled], memory_labels[is_filled], position[indices]


def check_indices(indices: Tensor, length: int, num_samples: int) -> None:
    """Raise a ValueError unless ``indices`` are (length,) integers in 0..num_samples-1."""
    wrong = indices.is_floating_point() or indices.is_complex() or indices.dtype == torch.bool
    if wrong or indices.shape != (length,):
        raise ValueError(
            f"indices: wanted integers of shape ({length},), "
            f"got {indices.dtype} of shape {tuple(indices.shape)}"
        )
    least, largest = int(indices.min()), int(indices.max())
    if least < 0 or largest >= num_samples:
        raise ValueError(f"indices: wanted 0..{num_samples - 1}, got {least}..{largest}")


def check_distinct(indices: Tensor) -> None:
    """Raise a ValueError where a sample is there twice."""
    values, counts = indices.unique(return_counts=True)
    twice = values[counts > 1]
    if len(twice):
        raise ValueError(
            f"indices: wanted every sample once in a batch, got {len(twice)} more often, "
            f"the first {int(twice[0])}"
        )


def last_of_each(indices: Tensor) -> Tensor:
    """Return where each distinct index stands last."""
    arranged = indices.argsort(stable=True)
    in_order = indices[arranged]
    is_last = torch.ones_like(in_order, dtype=torch.bool)
    is_last[:-1] = in_order[1:] != in_order[:-1]
    return arranged[is_last]

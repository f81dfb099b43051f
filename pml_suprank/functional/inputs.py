"""The door of the functions: what they are given is of the right type, shape, dtype and device, and finite."""

from typing import Any

import torch
from torch import Tensor

from pml_suprank.checks import all_finite, check_tensor, demand, has_finite_sum
from pml_suprank.functional.operation import plain

_KINDS = {
    "positive": "boolean",
    "mask": "boolean",
    "common_levels": "integers",
    "relevance": "numbers",
    "gains": "numbers",
}


def check_items(scores: Tensor, *, finite: bool = True, **others: Any) -> None:
    """Raise a ValueError unless scores, and what goes with every one of them, are as the functions want them.

    Args:
        scores: (B, N), floating.
        finite: whether to look for NaN and infinity among the scores, which waits for a GPU; no where what follows
            looks.
        others: ``positive``, ``common_levels``, ``relevance`` or ``gains``, each (B, N), or ``mask``, or None for it.
    """
    check_tensor("scores", scores, "floating", ("B", "N"))
    for name, value in others.items():
        if value is None and name == "mask":
            continue
        check_tensor(name, value, _KINDS[name])
        if value.shape != scores.shape:
            raise ValueError(
                f"{name}: wanted the shape of scores {tuple(scores.shape)}, got {tuple(value.shape)}"
            )
        if value.device != scores.device:
            raise ValueError(
                f"{name}: wanted the device of scores {scores.device}, got {value.device}"
            )
        if _KINDS[name] == "numbers":
            _check_amounts(name, value)
    if finite:
        _check_finite(plain(scores.detach()))


def _check_finite(scores: Tensor) -> None:
    def complain() -> None:
        if not all_finite(scores):
            raise ValueError("scores: wanted finite numbers, got NaN or infinity")

    if scores.numel():
        demand(has_finite_sum(scores), complain)


def _check_amounts(name: str, amounts: Tensor) -> None:
    amounts = plain(amounts.detach())

    def complain() -> None:
        raise ValueError(
            f"{name}: wanted finite numbers >= 0, got {amounts.min().item():g} to {amounts.max().item():g}"
        )

    demand(((amounts >= 0) & (amounts < torch.inf)).all(), complain)


def check_common_levels(common_levels: Tensor, num_levels: int) -> None:
    """Raise a ValueError where an item shares more levels with a query than there are."""
    values = plain(common_levels)

    def complain() -> None:
        raise ValueError(
            f"common_levels: wanted at most {num_levels}, one for each number given, got {int(values.max())}"
        )

    demand((values <= num_levels).all(), complain)

"""The options that losses and miners of this library hand on to PML, which does not look at them."""

from collections.abc import Mapping
from typing import Any

import torch

from pml_suprank.pml import BaseDistance
from pml_suprank.values import checked_flag, checked_instance, checked_number

_MODULES = {
    "distance": (
        BaseDistance,
        "a similarity or a distance of PML such as CosineSimilarity(), or None",
    ),
    "reducer": (torch.nn.Module, "a PML reducer such as MeanReducer(), or None"),
    "embedding_regularizer": (
        torch.nn.Module,
        "a PML regularizer such as LpRegularizer(), or None",
    ),
}


def check_pml_options(options: Mapping[str, Any]) -> None:
    """Raise a ValueError unless those of PML's options that are given are of the right kind.

    Args:
        options: keywords of ``BaseMetricLossFunction``, or of a subclass, some of them.
    """
    for name, (kind, what) in _MODULES.items():
        if options.get(name) is not None:
            checked_instance(name, options[name], kind, what)
    if "embedding_reg_weight" in options:
        checked_number("embedding_reg_weight", options["embedding_reg_weight"])
    if options.get("collect_stats") is not None:
        checked_flag("collect_stats", options["collect_stats"])

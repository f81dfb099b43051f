"""All that this library takes from PyTorch Metric Learning (PML), and the check that PML is there.

A port to another version of PML is a change to this file alone; ``docs/pml_versions.md`` says what each name becomes in
version 3. Classes that share a name with one of this library have ``PML`` in front. What imports faiss or
scikit-learn loads on first use.
"""

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pml_suprank.pml_version import PML_VERSIONS

# isort: split
from pytorch_metric_learning import (
    distances,
    losses,
    miners,
    reducers,
    regularizers,
)
from pytorch_metric_learning.distances import (
    BaseDistance,
    CosineSimilarity,
    DotProductSimilarity,
    LpDistance,
)
from pytorch_metric_learning.losses import (
    BaseMetricLossFunction,
    ContrastiveLoss,
    NormalizedSoftmaxLoss,
)
from pytorch_metric_learning.losses import CrossBatchMemory as PMLCrossBatchMemory
from pytorch_metric_learning.losses.mixins import WeightMixin
from pytorch_metric_learning.miners import BaseMiner
from pytorch_metric_learning.reducers import (
    AvgNonZeroReducer,
    BaseReducer,
    MeanReducer,
    MultipleReducers,
    PerAnchorReducer,
    SumReducer,
)
from pytorch_metric_learning.utils import common_functions
from pytorch_metric_learning.utils.common_functions import TorchInitWrapper, numpy_to_torch
from pytorch_metric_learning.utils.distributed import (
    DistributedLossWrapper as PMLDistributedLossWrapper,
)
from pytorch_metric_learning.utils.distributed import DistributedMinerWrapper, is_distributed
from pytorch_metric_learning.utils.module_with_records import ModuleWithRecords

if TYPE_CHECKING:
    from pytorch_metric_learning.samplers import MPerClassSampler
    from pytorch_metric_learning.testers import GlobalEmbeddingSpaceTester
    from pytorch_metric_learning.utils import accuracy_calculator

__all__ = [
    "PML_VERSIONS",
    "AvgNonZeroReducer",
    "BaseDistance",
    "BaseMetricLossFunction",
    "BaseMiner",
    "BaseReducer",
    "ContrastiveLoss",
    "CosineSimilarity",
    "DistributedMinerWrapper",
    "DotProductSimilarity",
    "GlobalEmbeddingSpaceTester",
    "LpDistance",
    "MPerClassSampler",
    "MeanReducer",
    "ModuleWithRecords",
    "MultipleReducers",
    "NormalizedSoftmaxLoss",
    "PMLCrossBatchMemory",
    "PMLDistributedLossWrapper",
    "PerAnchorReducer",
    "SumReducer",
    "TorchInitWrapper",
    "WeightMixin",
    "accuracy_calculator",
    "distances",
    "is_distributed",
    "logger",
    "losses",
    "miners",
    "numpy_to_torch",
    "reducers",
    "regularizers",
]

_ON_FIRST_USE = {
    "GlobalEmbeddingSpaceTester": "testers",
    "MPerClassSampler": "samplers",
    "accuracy_calculator": "utils.accuracy_calculator",
}


def __getattr__(name: str) -> Any:
    """Load what imports faiss, scikit-learn or more when it is asked for."""
    if name not in _ON_FIRST_USE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"pytorch_metric_learning.{_ON_FIRST_USE[name]}")
    return module if module.__name__.endswith(f".{name}") else getattr(module, name)


def logger() -> logging.Logger:
    """Return the logger that PML writes to now."""
    found: logging.Logger = common_functions.LOGGER
    return found

"""Whether a version of PyTorch Metric Learning (PML) is installed that works. Importing this module asks."""

import importlib.metadata
import re
from importlib import import_module

PML_VERSIONS = ">=2.6,<3"
"""The versions of PML that work, as in ``pyproject.toml``."""


def _check_version() -> None:
    """Raise an ImportError that names both versions unless a version of PML that works is installed."""
    try:
        found = importlib.metadata.version("pytorch-metric-learning")
    except importlib.metadata.PackageNotFoundError:
        try:
            found = str(import_module("pytorch_metric_learning").__version__)
        except (ImportError, AttributeError):
            found = "none"  # not installed
    match = re.match(r"(\d+)\.(\d+)", found)
    if match and (2, 6) <= (int(match[1]), int(match[2])) < (3, 0):
        return
    import pml_suprank

    raise ImportError(
        f"pml-suprank {pml_suprank.__version__} wants pytorch-metric-learning {PML_VERSIONS}, found {found}. "
        f'Install one that works: pip install "pytorch-metric-learning{PML_VERSIONS}"'
    )


_check_version()

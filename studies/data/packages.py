"""The packages of ``studies/requirements.txt``."""

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType

__all__ = ["needed_folder", "needed_module"]


def needed_module(name: str) -> ModuleType:
    """Import a module of the requirements.

    Raises:
        ImportError: its package is not installed.
    """
    package = name.partition(".")[0]
    if importlib.util.find_spec(package) is None:
        raise _missing(package)
    return importlib.import_module(name)


def needed_folder(package: str) -> Path:
    """The folder of a package that is wanted for its data files; nothing is imported.

    Raises:
        ImportError: the package is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise _missing(package)
    return Path(spec.submodule_search_locations[0])


def _missing(package: str) -> ImportError:
    message = f"{package} is not installed; run: pip install -r studies/requirements.txt"
    return ImportError(message, name=package)

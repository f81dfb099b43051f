"""Bridges to optional libraries; each module names the extra that installs what it needs."""

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType

__all__ = ["package_folder", "require"]


def require(module: str, extra: str) -> ModuleType:
    """Import an optional library, or say which extra of pml-suprank installs it.

    Args:
        module: dotted name of the module to import.
        extra: extra of the ``pml-suprank`` distribution that brings the library.

    Returns:
        The imported module.

    Raises:
        ImportError: the library is not installed. A library that is installed but fails for
            another reason raises its own error.

    Example:
        >>> require("numpy", extra="timm").__name__
        'numpy'
        >>> require("no_such_library", extra="timm")
        Traceback (most recent call last):
        ImportError: no_such_library is not installed; run: pip install "pml-suprank[timm]"
    """
    library = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or library).partition(".")[0] != library:
            raise
        raise _missing(library, extra) from error


def package_folder(package: str, extra: str) -> Path:
    """The folder of an installed package that is wanted for its data files; nothing is imported.

    Args:
        package: name of a top-level package.
        extra: extra of the ``pml-suprank`` distribution that brings it.

    Returns:
        The folder.

    Raises:
        ImportError: the package is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise _missing(package, extra)
    return Path(spec.submodule_search_locations[0])


def _missing(library: str, extra: str) -> ImportError:
    message = f'{library} is not installed; run: pip install "pml-suprank[{extra}]"'
    return ImportError(message, name=library)

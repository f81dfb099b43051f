"""Bridges to optional libraries; each module names the extra that installs what it needs."""

import importlib
from types import ModuleType

__all__ = ["require"]


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
        message = f'{library} is not installed; run: pip install "pml-suprank[{extra}]"'
        raise ImportError(message, name=library) from error

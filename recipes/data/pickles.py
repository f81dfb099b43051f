"""Published pickle files, read without running what they may hold."""

import importlib
import pickle
from pathlib import Path
from typing import Any

__all__ = ["load_plain_pickle"]

_NUMPY = {"dtype", "ndarray", "scalar", "_reconstruct", "_frombuffer"}
_BUILTINS = {"bytearray", "complex", "frozenset", "range", "set", "slice"}

_LOAD_ERRORS: tuple[type[Exception], ...] = (
    *(pickle.UnpicklingError, EOFError, ValueError, LookupError),
    *(TypeError, AttributeError, OverflowError, ImportError),
)


class _PlainUnpickler(pickle.Unpickler):
    """Knows NumPy arrays, and of the builtins those that hold data."""

    def find_class(self, module: str, name: str) -> Any:
        module = {"__builtin__": "builtins"}.get(module, module)
        module = module.replace("numpy.core.", "numpy._core.")  # where NumPy 2 keeps them
        if module == "_codecs" and name == "encode":  # how Python 2 protocols write bytes
            return _encode
        numeric = module in ("numpy", "numpy._core.multiarray", "numpy._core.numeric")
        if (numeric and name in _NUMPY) or (module == "builtins" and name in _BUILTINS):
            return getattr(_module(module), name)
        raise pickle.UnpicklingError(f"wanted plain data and NumPy arrays, got {module}.{name}")


def load_plain_pickle(path: Path) -> Any:
    """The content of a pickle of lists, dicts, numbers, text and NumPy arrays, Python 2's too.

    Raises:
        ValueError: the file is no pickle, is cut short, or names anything else; names the file.
    """
    with path.open("rb") as file:
        try:
            return _PlainUnpickler(file, encoding="latin1").load()
        except _LOAD_ERRORS as error:
            raise ValueError(f"{path}: wanted a pickle of plain data, got {error}") from error


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:  # NumPy 1
        return importlib.import_module(name.replace("numpy._core", "numpy.core"))


def _encode(text: str, encoding: str = "latin1") -> bytes:
    return text.encode(encoding)

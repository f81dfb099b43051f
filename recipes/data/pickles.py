"""Published pickle files, read without running what they may hold."""

import io
import math
import pickle
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pml_suprank.hierarchy.regular_files import regular

__all__ = ["load_plain_pickle"]

_LOAD_ERRORS: tuple[type[Exception], ...] = (
    *(pickle.UnpicklingError, EOFError, ValueError, LookupError, MemoryError, RecursionError),
    *(TypeError, AttributeError, OverflowError, ImportError, struct.error),
)
_DTYPE = re.compile(r"[biufc][0-9]{1,2}|[SU][0-9]{1,6}")


_Unpickler: Any = pickle._Unpickler  # the one in C crashes on damaged files


class _PlainUnpickler(_Unpickler):
    """Makes arrays of numbers and text from their bytes by itself, and of the builtins those that hold data.

    No class or function of NumPy is handed to the pickle, which could call or change it.
    """

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("__builtin__", "builtins").replace("numpy.core.", "numpy._core.")
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"wanted plain data and NumPy arrays, got {module}.{name}")
        return _Call(_KNOWN[module, name])


class _Call:
    """A function that a pickle may call but not change."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]):
        self._function = function

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("wanted plain data, got a state for a function")


class _Dtype:
    """The type of an array: numbers or text, never objects or records."""

    __slots__ = ("order", "spec")

    def __init__(self, spec: Any, *_: Any):
        spec = spec.decode("latin1") if isinstance(spec, bytes) else spec
        if not isinstance(spec, str) or not _DTYPE.fullmatch(spec):
            raise pickle.UnpicklingError(
                f"wanted arrays of numbers or text, got dtype {spec!r:.40}"
            )
        self.spec, self.order = spec, "="

    def __setstate__(self, state: Any) -> None:
        _, order, subdtype, names, members, *_ = state
        if order not in ("<", ">", "|", "=") or (subdtype, names, members) != (None, None, None):
            raise pickle.UnpicklingError("wanted arrays of numbers or text, got records")
        self.order = order

    def array(self, shape: Any, content: Any, order: str) -> np.ndarray:
        """A copy of the content, whose size has to be that of the shape."""
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        content = content.encode("latin1") if isinstance(content, str) else bytes(content)
        dtype = np.dtype(self.order + self.spec)
        if any(type(n) is not int or n < 0 for n in shape):
            raise pickle.UnpicklingError(f"wanted the shape of an array, got {shape!r:.80}")
        if math.prod(shape) * dtype.itemsize != len(content):
            raise pickle.UnpicklingError(
                f"wanted the bytes of a {shape!r:.80} array, got {len(content)}"
            )
        return np.frombuffer(content, dtype).reshape(shape, order=order).copy()  # type: ignore[call-overload]


class _Array:
    """An array to come: NumPy's pickles make an empty one, then give it its state."""

    __slots__ = ("found",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, *_: Any):
        self.found: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        shape, dtype, is_fortran, content = state[-4:]
        if not isinstance(dtype, _Dtype):
            raise pickle.UnpicklingError("wanted the dtype of an array")
        self.found = dtype.array(shape, content, "F" if is_fortran else "C")


def _from_buffer(content: Any, dtype: Any, shape: Any, order: Any, *_: Any) -> np.ndarray:
    if not isinstance(dtype, _Dtype) or not isinstance(content, bytes | bytearray):
        raise pickle.UnpicklingError("wanted the dtype and the bytes of an array")
    return dtype.array(shape, content, "F" if order == "F" else "C")


def _scalar(dtype: Any, content: Any) -> Any:
    if not isinstance(dtype, _Dtype):
        raise pickle.UnpicklingError("wanted the dtype of a number")
    return dtype.array((), content, "C").item()


def _refused(*_: Any) -> Any:
    raise pickle.UnpicklingError("wanted plain data and NumPy arrays, got an array over a buffer")


def _encode(text: str, encoding: str = "latin1") -> bytes:  # how Python 2 protocols write bytes
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"wanted bytes as latin1, got {encoding!r:.40}")
    return text.encode("latin1")


def _bytes(*args: Any) -> bytes:
    if args and isinstance(args[0], int):  # so many zeros
        raise pickle.UnpicklingError("wanted the bytes of bytes, got a number")
    return _encode(*args) if args and isinstance(args[0], str) else bytes(*args)


def _bytearray(*args: Any) -> bytearray:
    return bytearray(_bytes(*args))


_KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _refused,  # an argument of _reconstruct
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("_codecs", "encode"): _encode,
    ("builtins", "bytearray"): _bytearray,
    ("builtins", "bytes"): _bytes,
    ("builtins", "xrange"): range,
    **{("builtins", cls.__name__): cls for cls in (complex, frozenset, range, set, slice)},
}


def load_plain_pickle(path: Path) -> Any:
    """The content of a pickle of lists, dicts, numbers, text and NumPy arrays, Python 2's too.

    Arrays hold numbers or text; NumPy's numbers become Python's.

    Raises:
        ValueError: the file is no pickle, is cut short, or names anything else; names the file.
    """
    file = io.BytesIO(regular(path).read_bytes())  # reads no more than there is
    try:
        return _finished(_PlainUnpickler(file, encoding="latin1").load(), {})
    except _LOAD_ERRORS as error:
        raise ValueError(f"{path}: wanted a pickle of plain data, got {error}") from error


def _finished(value: Any, seen: dict[int, Any]) -> Any:
    """The content with its arrays; what is there twice, or within itself, stays so."""
    if id(value) in seen:
        return seen[id(value)]
    if isinstance(value, _Array):
        if value.found is None:
            raise pickle.UnpicklingError("wanted whole arrays, got one without content")
        return value.found
    if isinstance(value, _Call | _Dtype):
        raise pickle.UnpicklingError("wanted plain data, got a name")
    if isinstance(value, list):
        seen[id(value)] = value
        value[:] = [_finished(item, seen) for item in value]
    elif isinstance(value, dict):
        seen[id(value)] = value
        value.update({key: _finished(item, seen) for key, item in value.items()})
    elif isinstance(value, tuple):
        seen[id(value)] = value  # for one within itself
        seen[id(value)] = tuple(_finished(item, seen) for item in value)
        return seen[id(value)]
    return value

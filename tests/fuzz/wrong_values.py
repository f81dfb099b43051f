"""Values to put in the place of a right one, by the name of what is wrong with them."""

import importlib.util
import math

import numpy as np
import torch

from pml_suprank import Hierarchy


class Inapplicable(Exception):
    """What is wrong with this kind cannot be wrong with this value."""


def _of_tensors(change):
    def changed(right):
        if isinstance(right, tuple) and right and all(map(torch.is_tensor, right)):
            return (change(right[0]), *right[1:])
        if not torch.is_tensor(right):
            raise Inapplicable
        return change(right.detach().clone())

    return changed


def _filled(number, everywhere=True):
    def fill(tensor):
        if not tensor.is_floating_point():
            raise Inapplicable
        tensor[... if everywhere else (0,) * tensor.ndim] = number
        return tensor

    return _of_tensors(fill)


def _read_only(tensor):
    array = tensor.numpy()
    array.flags.writeable = False
    return array


def _series(tensor):
    if importlib.util.find_spec("pandas") is None:
        raise Inapplicable
    import pandas

    return pandas.Series(list(tensor.numpy()))


def _spread(tensor):
    wide = torch.zeros(*tensor.shape[:-1], 2 * tensor.shape[-1], dtype=tensor.dtype)
    wide[..., ::2] = tensor
    return wide[..., ::2]


class _Thing:
    """An instance of nothing that anybody takes."""


_THING = _Thing()

ANY = {
    "none": None,
    "text": "wide",
    "empty text": "",
    "number as text": "1",
    "bytes": b"ab",
    "true": True,
    "nan": math.nan,
    "inf": math.inf,
    "minus inf": -math.inf,
    "minus one": -1,
    "minus five": -5.0,
    "zero": 0,
    "fraction": 1.5,
    "tiny": 1e-40,
    "huge": 1e300,
    "2**62": 2**62,
    "10**30": 10**30,
    "130": 130,
    "complex": 1j,
    "numpy number": np.float32(0.5),
    "number as tensor": torch.tensor(0.5),
    "nan as tensor": torch.tensor(math.nan),
    "vector": torch.tensor([0.5, 0.25]),
    "matrix": torch.ones(2, 3),
    "integers": torch.tensor([0, 1]),
    "empty tensor": torch.zeros(0),
    "empty array": np.zeros((0, 3)),
    "meta scalar": torch.zeros((), device="meta"),
    "empty list": [],
    "empty dict": {},
    "list of numbers": [0.5, -1],
    "list of nan": [math.nan, 0.5, 0.5],
    "list of infinity": [math.inf, 0.5, 0.5],
    "list of texts": ["1", "2", "3"],
    "list of none": [None, None, None],
    "130 numbers": [0.5] * 130,
    "ragged lists": [[1, 2], [3]],
    "set": {1, 2},
    "dict": {"a": 1},
    "dict of texts": {"beta": "4"},
    "class": Hierarchy,
    "thing": _THING,
    "function": abs,
    "module": torch.nn.Identity(),
    "tuple of tensors": (torch.arange(2), torch.ones(2), torch.arange(2)),
    "tuple of shapes": (torch.arange(2), torch.arange(3), torch.arange(2)),
    "tuple of matrices": (torch.ones(2, 2).long(),) * 3,
    "tuple beyond": (torch.tensor([0]), torch.tensor([99]), torch.tensor([2])),
}
"""In the place of anything."""

FROM_RIGHT = {
    "generator": lambda right: iter([right]),
    "as list": _of_tensors(lambda t: t.tolist()),
    "in a list": lambda right: [right],
    "numpy": _of_tensors(lambda t: t.numpy()),
    "reversed": _of_tensors(lambda t: t.numpy()[::-1]),
    "reversed columns": _of_tensors(lambda t: t.numpy()[..., ::-1]),
    "big-endian": _of_tensors(lambda t: t.numpy().astype(t.numpy().dtype.newbyteorder(">"))),
    "read-only": _of_tensors(_read_only),
    "object array": _of_tensors(lambda t: t.numpy().astype(object)),
    "array of texts": _of_tensors(lambda t: t.numpy().astype(str)),
    "series": _of_tensors(_series),
    "non-contiguous": _of_tensors(_spread),
    "transposed": _of_tensors(lambda t: t.t() if t.ndim == 2 else t[None]),
    "half": _of_tensors(lambda t: t.half()),
    "double": _of_tensors(lambda t: t.double()),
    "bool": _of_tensors(lambda t: t > 0),
    "int8": _of_tensors(lambda t: t.to(torch.int8)),
    "uint16": _of_tensors(lambda t: t.long().abs().to(torch.uint16)),
    "complex tensor": _of_tensors(lambda t: t.to(torch.complex64)),
    "sparse": _of_tensors(lambda t: t.to_sparse()),
    "meta": _of_tensors(lambda t: t.to("meta")),
    "one row less": _of_tensors(lambda t: t[:-1]),
    "one column less": _of_tensors(lambda t: t[..., :-1]),
    "no rows": _of_tensors(lambda t: t[:0]),
    "no columns": _of_tensors(lambda t: t[..., :0]),
    "one dimension more": _of_tensors(lambda t: t[None]),
    "without dimensions": _of_tensors(lambda t: t.flatten()[0]),
    "first column": _of_tensors(lambda t: t[..., 0]),
    "130 columns": _of_tensors(lambda t: t[..., :1].expand(*t.shape[:-1], 130)),
    "negative": _of_tensors(lambda t: -1 - t.abs() if t.dtype != torch.bool else ~t),
    "2**62 more": _of_tensors(
        lambda t: t + 2**62 if t.dtype == torch.int64 else t.double() + 2**62
    ),
    "many": _of_tensors(lambda t: t + 130),
    "all nan": _filled(math.nan),
    "a nan": _filled(math.nan, everywhere=False),
    "an infinity": _filled(math.inf, everywhere=False),
    "minus infinity": _filled(-math.inf),
    "all zero": _filled(0.0),
    "below 1e-30": _of_tensors(lambda t: t * 1e-35 if t.is_floating_point() else t * 0),
    "above 1e30": _of_tensors(lambda t: t * 1e35 if t.is_floating_point() else t * 10**9),
    "number as a float": lambda right: float(right) if type(right) is int else _inapplicable(),
    "as a tensor": lambda right: (
        torch.tensor(right) if isinstance(right, int | float) else _inapplicable()
    ),
    "one less": lambda right: (
        right[:-1] if isinstance(right, tuple | list | str) and right else _inapplicable()
    ),
    "one more": lambda right: (
        (*right, right[0]) if isinstance(right, tuple | list) and right else _inapplicable()
    ),
    "its class": lambda right: type(right),
}
"""Made from a right value."""

NEVER_RIGHT = {"thing", "complex", "bytes"}
"""What no parameter takes."""

KINDS = (*ANY, *FROM_RIGHT)


def _inapplicable():
    raise Inapplicable


def wrong_value(kind, right):
    """Return a value of a kind in the place of a right one."""
    if kind in FROM_RIGHT:
        try:
            return FROM_RIGHT[kind](right)
        except (TypeError, IndexError, RuntimeError, ValueError) as error:
            raise Inapplicable from error
    value = ANY[kind]
    return value.clone() if torch.is_tensor(value) else value

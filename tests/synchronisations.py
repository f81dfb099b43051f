"""Counts what a GPU would be given to do and how often it would be waited for, without a GPU.

Tensors stay on the CPU, but say that they are on a CUDA device, so that code that goes by device takes the way that it
takes there. Operations are counted as torch dispatches them; so are those whose result has to come back to the host.
"""

import collections
import inspect
import re
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

WAITS = {
    "_local_scalar_dense",
    "_unique",
    "_unique2",
    "argwhere",
    "bincount",
    "equal",
    "is_nonzero",
    "masked_select",
    "nonzero",
    "unique_consecutive",
    "unique_dim",
}
"""Operations that read a value, or whose result has a size that depends on values."""
VIEWS = {
    "alias",
    "as_strided",
    "detach",
    "expand",
    "permute",
    "select",
    "slice",
    "split",
    "squeeze",
    "t",
    "transpose",
    "unbind",
    "unsqueeze",
    "view",
}
"""Operations without a kernel."""
ANSWERS = {
    Tensor.device.__get__: torch.device("cuda", 0),
    Tensor.is_cuda.__get__: True,
    Tensor.is_cpu.__get__: False,
}
"""What a tensor pretends."""


class Counted:
    """What happened between ``__enter__`` and ``__exit__``: ``kernels`` and ``waits``, as counters by place or name.

    Args:
        pretend: let tensors say that they are on a CUDA device; else they are counted as they are.
    """

    def __init__(self, *, pretend: bool = True) -> None:
        self.kernels: collections.Counter[str] = collections.Counter()
        self.waits: collections.Counter[str] = collections.Counter()
        self.on_host = WeakIdKeyDictionary()
        self._modes = [_Dispatched(self), _Pretended(self) if pretend else ExitStack()]

    @property
    def num_kernels(self) -> int:
        """Operations but views."""
        return self.kernels.total()

    @property
    def num_waits(self) -> int:
        """Times that the host would wait."""
        return self.waits.total()

    def host(self, tensor: Tensor) -> Tensor:
        """Return a copy that counts as one on the host."""
        tensor = tensor.clone()
        self.on_host[tensor] = True
        return tensor

    def wait(self, what: str) -> None:
        """Count one wait, under the name of the operation and the line of the library that asks for it."""
        self.waits[f"{what} at {_place()}"] += 1

    def __enter__(self) -> "Counted":
        self._stack = ExitStack()
        for mode in self._modes:
            self._stack.enter_context(mode)
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.close()


def _place() -> str:
    for frame in inspect.stack(context=0):
        found = re.search(r"(pml_suprank|pytorch_metric_learning)/.*", frame.filename)
        if found:
            return f"{found[0]}:{frame.lineno}"
    return "elsewhere"


class _Dispatched(TorchDispatchMode):
    def __init__(self, counted: Counted) -> None:
        super().__init__()
        self.counted = counted

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__.removeprefix("aten.")
        kwargs = kwargs or {}
        here = bool(args) and isinstance(args[0], Tensor) and args[0] in self.counted.on_host
        if not here:
            by_mask = name.startswith("index") and any(map(_is_mask, _indices(args)))
            unsized = name == "repeat_interleave" and kwargs.get("output_size") is None
            if name in WAITS or by_mask or unsized:
                self.counted.wait(name)
            if name not in VIEWS:
                self.counted.kernels[name] += 1
        return func(*args, **kwargs)


def _indices(args: Any) -> Any:
    return args[1] if len(args) > 1 and isinstance(args[1], list | tuple) else ()


def _is_mask(index: Any) -> bool:
    return isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8)


class _Pretended(TorchFunctionMode):
    def __init__(self, counted: Counted) -> None:
        super().__init__()
        self.counted = counted

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        own = args[0] if args and isinstance(args[0], Tensor) else None
        on_host = own is not None and own in self.counted.on_host
        if own is not None and not on_host:
            if func in ANSWERS:
                return ANSWERS[func]
            if func is Tensor.numpy:
                raise TypeError("can't convert cuda:0 device type tensor to numpy")
            if func is Tensor.tolist:
                self.counted.wait("tolist")
        if func is Tensor.cpu or (func is Tensor.to and _device(args[1:], kwargs) == "cpu"):
            if on_host:
                return func(*args, **kwargs)
            self.counted.wait("to the host")
            return self.counted.host(func(*args, **kwargs))
        if on_host and func is Tensor.to and _device(args[1:], kwargs) == "cuda":
            self.counted.wait("from the host")
            return func(own, *map(_real, args[1:]), **_all_real(kwargs)).clone()
        result = func(*map(_real, args), **_all_real(kwargs))
        if func is torch.tensor and _device((), kwargs) == "cuda":
            self.counted.wait("from the host")
        return result


def _device(args: Any, kwargs: Any) -> str | None:
    """Return the type of the device among the arguments."""
    for value in (*args, kwargs.get("device")):
        if isinstance(value, str | torch.device):
            return torch.device(value).type
        if isinstance(value, Tensor):
            return value.device.type
    return None


def _real(value: Any) -> Any:
    """Return an argument with the CPU in place of the device pretended."""
    is_pretended = isinstance(value, torch.device) and value.type == "cuda"
    return torch.device("cpu") if is_pretended else value


def _all_real(kwargs: Any) -> Any:
    return {name: _real(value) for name, value in kwargs.items()}

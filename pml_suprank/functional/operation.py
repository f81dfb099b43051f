r"""Functions whose gradient is written out, in one form for all that torch does with functions.

An :class:`Operation` states its value, its gradient, and its definition in plain differentiable operations. Put to work
by :func:`apply`,

* ``backward`` takes the gradient that is written out;
* a derivative of that gradient, in whichever way it is asked for (``create_graph=True``, ``hvp``, ``torch.func``), is
  that of the definition: it is right, and takes the time and memory of the definition;
* ``torch.func.grad`` and ``vjp``, nested or not, see a function like any other. An operation computes on plain
  tensors there too: NumPy, threads and kernels that read memory are allowed within it. What it takes from elsewhere
  than its inputs goes through :func:`plain`;
* autocast is off within it, forward and backward.

``torch.compile`` is not to look into any of this: what reads data in Python (how many positives there are, whether a
tensor is finite) would be compiled again for every batch. Whatever calls it, losses and miners included, is
:func:`untraced`: it runs as it is between two compiled parts, in ``fullgraph=True`` it is torch's error. A
kernel launched from an operation hence needs neither a registration with ``torch.library`` nor a fake version.

A rank backend is one subclass of :class:`pml_suprank.functional._backends.definition.RankOperation`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["Operation", "apply", "numbers", "plain", "untraced"]

untraced = getattr(torch, "_disable_dynamo", torch.compiler.disable)
"""Decorator of a function that ``torch.compile`` leaves as it is: ``torch.compiler.disable``, which takes a second to
import, from the first call on."""


class Operation:
    """A function of tensors with a gradient of its own; an object serves one call.

    What the gradient can use again is kept in attributes, in detached tensors.
    """

    needs_gradient = False
    """Whether ``value`` is to keep what the gradient can use again."""

    def value(self, *inputs: Any) -> tuple[Tensor, ...]:
        """Return the differentiable results; what has no gradient goes to attributes."""
        raise NotImplementedError

    def gradient(
        self,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        grads: Sequence[Tensor],
        wanted: Sequence[bool],
    ) -> tuple[Tensor | None, ...]:
        """Return the gradient of each input that it is ``wanted`` of, for those of the ``outputs``.

        Called as often as a graph is gone back through; ``value`` has been called before, with ``needs_gradient``.
        """
        raise NotImplementedError

    def definition(self, *inputs: Any) -> tuple[Tensor, ...]:
        """Return what ``value`` returns, up to a constant, in operations that torch can differentiate again."""
        raise NotImplementedError


@untraced
def apply(operation: Operation, *inputs: Tensor) -> tuple[Tensor, ...]:
    """Return the value of an operation, with its derivatives."""
    tracked = any(tensor.requires_grad for tensor in inputs)
    operation.needs_gradient = tracked and torch.is_grad_enabled()
    return _Value.apply(operation, *inputs)


def plain(tensor: Tensor) -> Tensor:
    """Return a tensor without gradient as one with memory of its own, where ``torch.func`` has wrapped it."""
    try:
        tensor.data_ptr()
    except RuntimeError:
        found: list[Tensor] = []
        _Unwrapped.apply(found.append, tensor)
        return found[0]
    return tensor


def numbers(tensor: Tensor) -> list[Any]:
    """Return what a tensor without gradient holds, also where ``torch.func`` has wrapped it.

    Read within ``forward``: in older torch the very reading is wrapped again outside.
    """
    try:
        return tensor.tolist()
    except RuntimeError:
        found: list[list[Any]] = []
        _Unwrapped.apply(lambda own: found.append(own.tolist()), tensor)
        return found[0]


class _Unwrapped(torch.autograd.Function):
    """Hands over the tensor that ``forward`` sees."""

    @staticmethod
    def forward(give: Callable[[Tensor], None], tensor: Tensor) -> None:
        give(tensor.detach())

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: None) -> None:
        pass


class _Value(torch.autograd.Function):
    @staticmethod
    def forward(operation: Operation, *inputs: Tensor) -> tuple[Tensor, ...]:
        with torch.autocast(inputs[0].device.type, enabled=False):
            return operation.value(*inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.operation, *tensors = inputs
        ctx.save_for_backward(*tensors, *output)
        ctx.num_inputs = len(tensors)

    @staticmethod
    @untraced
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        inputs = ctx.saved_tensors[: ctx.num_inputs]
        outputs = [output.detach() for output in ctx.saved_tensors[ctx.num_inputs :]]
        wanted = ctx.needs_input_grad[1:]
        # without a graph of the gradient, a call as it is: half the overhead
        gradient = _Gradient.apply if torch.is_grad_enabled() else _Gradient.forward
        return None, *gradient(ctx.operation, wanted, *inputs, *grads, *outputs)


class _Gradient(torch.autograd.Function):
    """The gradient as a function of the inputs and of the gradients of the results."""

    @staticmethod
    def forward(
        operation: Operation, wanted: Sequence[bool], *tensors: Tensor
    ) -> tuple[Tensor | None, ...]:
        inputs, grads, outputs = _parts(wanted, tensors)
        with torch.autocast(tensors[0].device.type, enabled=False):
            if not operation.needs_gradient:
                operation.needs_gradient = True
                operation.value(*inputs)
            return operation.gradient(inputs, outputs, grads, wanted)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor | None, ...]) -> None:
        ctx.operation, ctx.wanted, *tensors = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    @untraced
    def backward(ctx: Any, *pulls: Tensor | None) -> tuple[Tensor | None, ...]:
        inputs, grads, outputs = _parts(ctx.wanted, ctx.saved_tensors)
        chosen = [number for number, is_wanted in enumerate(ctx.wanted) if is_wanted]

        def definition(*some: Tensor) -> tuple[Tensor, ...]:
            given = list(inputs)
            for number, tensor in zip(chosen, some, strict=True):
                given[number] = tensor
            return ctx.operation.definition(*given)

        def gradient(*tensors: Tensor) -> tuple[Tensor, ...]:
            pull_back = torch.func.vjp(definition, *tensors[: len(chosen)])[1]
            return pull_back(tensors[len(chosen) :])

        with torch.autocast(inputs[0].device.type, enabled=False):
            pull_back = torch.func.vjp(gradient, *(inputs[n] for n in chosen), *grads)[1]
            second = pull_back(tuple(pulls[number] for number in chosen))
        of_inputs: list[Tensor | None] = [None] * len(inputs)
        for number, tensor in zip(chosen, second, strict=False):
            of_inputs[number] = tensor
        return None, None, *of_inputs, *second[len(chosen) :], *(None for _ in outputs)


def _parts(
    wanted: Sequence[bool], tensors: Sequence[Tensor]
) -> tuple[Sequence[Tensor], Sequence[Tensor], Sequence[Tensor]]:
    """Return inputs, gradients of the results, and results."""
    first = len(wanted)
    second = first + (len(tensors) - first) // 2
    return tensors[:first], tensors[first:second], tensors[second:]

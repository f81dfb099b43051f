"""One training step: the gradient of a loss on a whole batch, in one pass over it or in two.

In two passes the batch is embedded without graph in micro-batches, the loss gives the gradient of all
embeddings, and each micro-batch is embedded again, with graph and the same random numbers, to carry its part of that
gradient into the weights. Memory for activations is that of one micro-batch; the gradient is that of one pass, as
long as the images do not see each other in the network (batch norm in training mode does that).
Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", arXiv 2101.06983.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["gradient_step"]

Inputs = tuple[Tensor, ...]


def gradient_step(
    model: nn.Module,
    inputs: Inputs,
    loss_of: Callable[[Tensor], Tensor],
    *,
    micro_batch_size: int | None = None,
    backward: Callable[[Tensor], Any] = torch.Tensor.backward,
    no_sync: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Tensor:
    """Add the gradient of a loss to the parameters of a model and of the loss.

    Args:
        model: from inputs to embeddings [B, D], or [k B, D] with the k parts of a batch one after the other
            for each kind of input, such as images and captions.
        inputs: tensors with as many rows each.
        loss_of: the loss of the embeddings [k B, D] of the whole batch.
        micro_batch_size: rows that are in memory with their activations; None for all, in one pass.
        backward: starts the backward pass of the loss; a gradient scaler's goes here.
        no_sync: context in which data-parallel training does not exchange gradients yet.

    Returns:
        The loss, without graph.

    Raises:
        ValueError: micro_batch_size below 1, or no rows.
    """
    rows = len(inputs[0])
    if not rows:
        raise ValueError("inputs: wanted at least one row, got none")
    if micro_batch_size is not None and micro_batch_size < 1:
        raise ValueError(f"micro_batch_size: wanted an integer >= 1, got {micro_batch_size}")
    if micro_batch_size is None or micro_batch_size >= rows:
        loss = loss_of(model(*inputs))
        backward(loss)
        return loss.detach()
    parts = list(zip(*(tensor.split(micro_batch_size) for tensor in inputs), strict=True))
    states, outputs = [], []
    with torch.no_grad(), no_sync():
        for part in parts:
            states.append(_random_states())
            outputs.append(model(*part))
    whole = _join(outputs, parts).requires_grad_()
    loss = loss_of(whole)
    backward(loss)
    after = _random_states()
    assert whole.grad is not None
    gradients = _split(whole.grad, parts)
    for number, (part, state, gradient) in enumerate(zip(parts, states, gradients, strict=True)):
        last = number == len(parts) - 1
        _restore(state)
        with nullcontext() if last else no_sync():
            model(*part).backward(gradient)
    _restore(after)
    return loss.detach()


def _kinds(rows: int, part: Inputs) -> int:
    """How many embeddings the model gives for a row."""
    return rows // len(part[0])


def _join(outputs: Sequence[Tensor], parts: Sequence[Inputs]) -> Tensor:
    """[k B, D] from the embeddings of the parts: first kind of all parts, then the second."""
    kinds = _kinds(len(outputs[0]), parts[0])
    chunks = [output.chunk(kinds) for output in outputs]
    return torch.cat([chunk[kind] for kind in range(kinds) for chunk in chunks])


def _split(whole: Tensor, parts: Sequence[Inputs]) -> list[Tensor]:
    """The reverse of :func:`_join`."""
    lengths = [len(part[0]) for part in parts]
    kinds = _kinds(len(whole), (whole.new_empty(sum(lengths)),))
    by_kind = [kind.split(lengths) for kind in whole.chunk(kinds)]
    return [torch.cat([kind[i] for kind in by_kind]) for i in range(len(parts))]


def _random_states() -> list[Tensor]:
    states = [torch.get_rng_state()]
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states.append(torch.cuda.get_rng_state())
    return states


def _restore(states: Sequence[Tensor]) -> None:
    torch.set_rng_state(states[0])
    if len(states) > 1:
        torch.cuda.set_rng_state(states[1])

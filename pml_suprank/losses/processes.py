"""Rows of all processes of a distributed run."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, distributed

from pml_suprank.pml import is_distributed

Rows = tuple[Tensor, ...]


def gather_rows(produce: Callable[[], Rows]) -> list[Rows]:
    """Return what ``produce`` returns on each process, one's own with its graph.

    Every process calls this; numbers of rows may differ. In a single process nothing is gathered.

    Args:
        produce: returns tensors with as many rows each, on the device of the process.

    Returns:
        The tensors of every process, in the order of the processes.

    Raises:
        ValueError: ``produce`` raised on another process, or the dtypes or widths differ; on all of them.
        Exception: what ``produce`` raised on this process.
    """
    if not is_distributed() or distributed.get_world_size() == 1:
        return [produce()]
    own: Rows = ()
    error: Exception | None = None
    try:
        own = produce()
    except Exception as caught:  # the others wait to be told
        error = caught
    message = None if error is None else f"{type(error).__name__}: {error}"
    forms = [(str(tensor.dtype), tuple(tensor.shape[1:])) for tensor in own]
    states: list = [None] * distributed.get_world_size()
    distributed.all_gather_object(states, (message, forms, len(own[0]) if own else 0))
    if error is not None:
        raise error
    for rank, (message, forms, _) in enumerate(states):
        if message is not None:
            raise ValueError(f"process {rank}: {message}")
        if forms != states[0][1]:
            raise ValueError(f"process {rank}: wanted {states[0][1]} as process 0 has, got {forms}")
    columns = [_gather(tensor, [count for *_, count in states]) for tensor in own]
    return list(zip(*columns, strict=True))


def _gather(own: Tensor, counts: Sequence[int]) -> list[Tensor]:
    """Return one tensor of every process; the shorter ones travel with padding."""
    padded = own.new_zeros((max(counts), *own.shape[1:]))
    padded[: len(own)] = own.detach()
    received = [torch.empty_like(padded) for _ in counts]
    distributed.all_gather(received, padded)
    received[distributed.get_rank()] = own
    return [tensor[:count] for tensor, count in zip(received, counts, strict=True)]

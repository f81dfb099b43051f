"""One pass of a model over a loader, to store what it gives."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

Batch = tuple[Tensor, Tensor, Tensor]
GetBatch = Callable[[Any], tuple[Any, Tensor, Tensor]]


@torch.no_grad()
def embedded_batches(
    loader: Iterable[Any],
    embed: Callable[[Any], Tensor],
    get_batch: GetBatch | None = None,
    progress: bool = False,
) -> Generator[Batch]:
    """Yield embeddings, labels and sample indices of every batch, without gradients.

    Args:
        loader: yields batches.
        embed: data of a batch to embeddings; a module is in evaluation mode during the pass, and gets tensors
            on its own device.
        get_batch: takes what the loader yields to (data, labels, indices); None where it yields that.
        progress: whether to show a progress bar.

    Raises:
        ValueError: a batch that is something else than three things.
    """
    from tqdm import tqdm

    parameter = next(embed.parameters(), None) if isinstance(embed, torch.nn.Module) else None
    with evaluating(embed):
        for item in tqdm(loader, desc="embedding", unit="batch", disable=not progress):
            batch = item if get_batch is None else get_batch(item)
            if not isinstance(batch, tuple | list) or len(batch) != 3:
                got = len(batch) if isinstance(batch, tuple | list) else type(batch).__name__
                name = "loader" if get_batch is None else "get_batch"
                raise ValueError(f"{name}: wanted (data, labels, indices) per batch, got {got}")
            data, labels, indices = batch
            if parameter is not None and torch.is_tensor(data):
                data = data.to(parameter.device)
            yield embed(data), labels, indices


@contextmanager
def evaluating(embed: Any) -> Iterator[None]:
    """Set a module to evaluation, and every part of it back to what it was; leave a function alone."""
    modules = list(embed.modules()) if isinstance(embed, torch.nn.Module) else []
    before = [module.training for module in modules]
    if modules:
        embed.eval()
    try:
        yield
    finally:
        for module, training in zip(modules, before, strict=True):
            module.training = training

"""PML's wrapper for several processes, for batches of any sizes and memories that agree."""

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from pml_suprank.losses.cross_batch_memory import CrossBatchMemory
from pml_suprank.losses.decomposable_rank_loss import takes_self_indices
from pml_suprank.losses.processes import Rows, gather_rows
from pml_suprank.pml import PMLDistributedLossWrapper
from pml_suprank.values import checked_flag

Part = TypeVar("Part")


class DistributedLossWrapper(PMLDistributedLossWrapper):
    """A loss on the batches of all processes together.

    Change the import and PML code goes on as before, with what PML's wrapper lacks:

    - the processes' batches may differ in length, as the last ones of an epoch do; PML's wrapper aborts there;
    - what one process refuses is an error in all of them, so that none waits for the others;
    - a :class:`CrossBatchMemory` gets the batches in the order of the processes. So every process has the same
      memory, that of one process with the joint batch, whatever its size. PML's wrapper puts each process's own
      batch first, and the memories come to differ where ``memory_size`` is no multiple of the joint batch.

    The value is that of the joint batch times the number of processes, as in PML: data-parallel training, which
    averages the gradients, then has the gradient of the joint batch.

    Args:
        loss: a loss of this library or of PML, or a ``CrossBatchMemory``.
        efficient: each process computes the loss of its own samples against all; needs batches of one length.

    Raises:
        TypeError: something else than a loss.
        ValueError: a memory with ``efficient=True``.
    """

    def __init__(self, loss: Any, efficient: bool = False) -> None:
        super().__init__(loss, checked_flag("efficient", efficient))
        if isinstance(loss, CrossBatchMemory):
            loss.has_joint_order = True

    def forward_regular_loss(
        self,
        emb: Tensor,
        labels: Tensor | None,
        indices_tuple: Sequence[Tensor] | None,
        ref_emb: Tensor | None,
        ref_labels: Tensor | None,
        world_size: int,
    ) -> Tensor:
        """Return the loss of the joint batch, the own samples first, times the number of processes."""
        if world_size == 1:
            return self.loss(emb, labels, indices_tuple, ref_emb, ref_labels)
        parts = _gathered(emb, labels)
        joint: list[Tensor | None] = [*_own_first(parts, labels)]
        refs: list[Tensor | None] = [None, None]
        if ref_emb is not None:
            refs = [*_own_first(_gathered(ref_emb, ref_labels), ref_labels)]
        if not self.efficient:
            return self.loss(*joint, indices_tuple, *refs) * world_size
        lengths = [len(part[0]) for part in parts]
        if len(set(lengths)) > 1:
            raise ValueError(
                f"efficient: wanted batches of one length in all processes, got {lengths}; leave out the last batch "
                "(drop_last=True in the loader), or take efficient=False"
            )
        if takes_self_indices(self.loss) and ref_emb is None:  # without the list of all pairs
            own = torch.arange(len(emb), device=emb.device)
            return self.loss(emb, labels, indices_tuple, *joint, own) * world_size
        return super().forward_regular_loss(
            emb, labels, indices_tuple, ref_emb, ref_labels, world_size
        )

    def forward_cross_batch(
        self,
        emb: Tensor,
        labels: Tensor,
        indices_tuple: Sequence[Tensor] | None,
        ref_emb: Tensor | None,
        ref_labels: Tensor | None,
        world_size: int,
        enqueue_mask: Tensor | None,
    ) -> Tensor:
        """Return the loss of the joint batch and a memory, times the number of processes."""
        if ref_emb is not None or ref_labels is not None:
            raise ValueError("ref_emb: wanted None, as the memory is the reference set, got one")
        if world_size == 1:
            return self.loss(emb, labels, indices_tuple, enqueue_mask)
        parts = _gathered(emb, labels, enqueue_mask)
        columns = [torch.cat(column) for column in zip(*parts, strict=True)]
        mask = None if enqueue_mask is None else columns[2].bool()
        if indices_tuple is not None:
            place = _places([len(part[0]) for part in parts], emb.device)
            indices_tuple = [place[member] for member in indices_tuple]
        return self.loss(columns[0], columns[1], indices_tuple, mask) * world_size


def _gathered(emb: Tensor, labels: Any, mask: Any = None) -> list[Rows]:
    """Return embeddings, labels and mask of each process, those that there are."""

    def own() -> Rows:
        rows = [emb]
        for name, column in (("labels", labels), ("enqueue_mask", mask)):
            if column is not None:
                column = torch.as_tensor(column, device=emb.device)
                if len(column) != len(emb):
                    raise ValueError(f"{name}: wanted {len(emb)} rows, got {len(column)}")
                rows.append(column.to(torch.uint8) if column.dtype == torch.bool else column)
        return tuple(rows)

    return gather_rows(own)


def _own_first(parts: list[Rows], labels: Any) -> tuple[Tensor, Tensor | None]:
    """Return the joint embeddings and labels as PML has them: the own ones, then the others' in their order."""
    columns = [torch.cat(column) for column in zip(*_as_pml(parts), strict=True)]
    return columns[0], None if labels is None else columns[1]


def _places(lengths: list[int], device: torch.device) -> Tensor:
    """Return where each sample of PML's joint batch, the own ones first, stands in the order of the processes."""
    return torch.cat(_as_pml(torch.arange(sum(lengths), device=device).split(lengths)))


def _as_pml(parts: Sequence[Part]) -> list[Part]:
    """Return the processes' parts in PML's order: the own one, then the others."""
    rank = distributed.get_rank()
    return [parts[rank], *parts[:rank], *parts[rank + 1 :]]

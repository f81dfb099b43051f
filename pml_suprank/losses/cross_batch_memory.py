"""PML's cross-batch memory, for rank losses too, with a state that can be saved."""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pml_suprank.checks import check_tensor, tensor_of
from pml_suprank.functional.operation import untraced
from pml_suprank.losses.decomposable_rank_loss import takes_self_indices
from pml_suprank.losses.memory_mixin import MemoryMixin
from pml_suprank.losses.memory_options import (
    check_memory_options,
    check_parts,
    ignored_by,
    mines_without_self,
    supported_losses,
)
from pml_suprank.losses.pml_options import check_pml_options
from pml_suprank.pml import BaseMetricLossFunction, PMLCrossBatchMemory, is_distributed


class CrossBatchMemory(MemoryMixin, PMLCrossBatchMemory):
    """A queue of past embeddings that serves a loss as its reference set.

    Use it with shuffled batches. With those of :class:`~pml_suprank.samplers.HierarchicalSampler` take no memory: there
    it lowered H-AP, see ``docs/decomposability.md``. Where a loop knows the index of each sample, take
    :class:`DatasetMemory`, which gained more.

    Change the import and PML code goes on as before: PML's losses give the same values. The losses of this library
    work as well, without the list of all pairs, with 1-D or 2-D labels; a query's own copy in the queue
    is never its positive (unless the loss has ``include_self=True``).

    Without a miner the losses of this library rank the whole memory; an ``indices_tuple`` then says what is ranked of
    the batch, and all older slots are. With a miner, they rank what it pairs with the query, and what the tuple pairs
    with it in the batch. (PML's losses get the tuple's pairs on top of all others; as in PML, its second members are
    then slots of the queue, counted from 0, not places in the batch.)

    In ``eval()`` the loss is the same, and nothing is stored: a validation batch leaves no trace.

    Args:
        loss: one of PML's supported losses, or any loss of this library but a proxy loss by itself.
        embedding_size: D.
        memory_size: slots of the queue, at least the largest batch. Take a quarter of the training set or more: from an
            eighth to all of it, H-AP changed little.
        miner: a PML miner, called with the memory as references.
        warmup: number of batches, >= 0, that only fill the queue, while the loss sees the batch alone.
        batch_weight: in [0, 1], share of the loss on the batch alone; the rest is the loss on the memory, which
            holds the batch too. 0 is PML's behaviour, and did best or as well with shuffled batches; 0.5 is the
            authors' code.
        storage_dtype: dtype of the stored embeddings, such as ``torch.float16``; None for float32 or wider.
        ignore_index: label (2-D: finest label) of samples that are neither stored nor trained on; None takes that of
            the loss.
        **kwargs: PML's ``collect_stats``.

    Raises:
        ValueError: a value outside its range.
        Exception: PML's, for a loss that does not work with a memory.

    The ``state_dict`` holds the queue exactly (contents, position, fill, batches seen), so that a resumed
    run equals an uninterrupted one.

    Example:
        The third batch is ranked against itself and the two before it.

        >>> import torch
        >>> from pml_suprank import losses
        >>> memory = CrossBatchMemory(losses.SupAPLoss(), embedding_size=2, memory_size=6)
        >>> for _ in range(3):
        ...     loss = memory(torch.eye(2), torch.tensor([0, 1]))
        >>> memory.label_memory.tolist(), round(loss.item(), 3)
        ([0, 1, 0, 1, 0, 1], 0.0)

    References:
        Wang et al., Cross-Batch Memory for Embedding Learning, arXiv 1912.06798.
    """

    def __init__(
        self,
        loss: BaseMetricLossFunction,
        embedding_size: int,
        memory_size: int = 1024,
        miner: Any = None,
        *,
        warmup: int = 0,
        batch_weight: float = 0.0,
        storage_dtype: torch.dtype | None = None,
        ignore_index: int | None = None,
        **kwargs: Any,
    ) -> None:
        sizes = {"embedding_size": embedding_size, "memory_size": memory_size}
        check_memory_options(sizes, warmup, batch_weight, storage_dtype)
        check_parts(loss, miner)
        super().__init__(loss, embedding_size, memory_size, miner, **kwargs)
        check_pml_options(kwargs)
        self.warmup = warmup
        self.batch_weight = batch_weight
        self.storage_dtype = storage_dtype
        self.ignore_index = ignored_by(loss, ignore_index)
        self.has_joint_order = False
        self.reset_queue()

    @staticmethod
    def supported_losses() -> list[str]:
        """Return the names of the losses that work with a memory."""
        return supported_losses()

    def reset_queue(self) -> None:
        """Empty the queue."""
        super().reset_queue()
        if self.storage_dtype is not None:
            self.embedding_memory = self.embedding_memory.to(self.storage_dtype)
        self.num_batches = 0

    @untraced
    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        indices_tuple: Sequence[Tensor] | None = None,
        enqueue_mask: Tensor | None = None,
    ) -> Tensor:
        """Store the batch, and return the loss of the batch against the memory.

        Args:
            embeddings: (B, D).
            labels: (B,), or (B, L) for the losses of this library; integers of any kind, stored as int64.
            indices_tuple: pairs or triplets within the batch.
            enqueue_mask: (B,), boolean: those that are True are only stored, the others only train.

        Returns:
            The loss. It is 0, and ``backward()`` still works, when nothing trains or the memory is empty.

        Raises:
            ValueError: embeddings that are not finite or of another width, labels or a mask of another length,
                labels of another form than those stored, more embeddings than slots, a malformed tuple, or both of
                it and ``enqueue_mask``. The memory is then as it was, as it is when the loss or the
                miner raises.
        """
        labels, enqueue_mask = self._checked(embeddings, labels, indices_tuple, enqueue_mask)
        self.reset_stats()
        self._tell_of_orders(len(embeddings))
        kept, indices_tuple = self._kept(labels, indices_tuple)
        nothing = embeddings.sum() * 0
        if kept is not None:
            embeddings, labels = embeddings[kept], labels[kept]
            enqueue_mask = None if enqueue_mask is None else enqueue_mask[kept]
        stored, stored_labels = embeddings, labels
        if enqueue_mask is not None:
            stored, stored_labels = embeddings[enqueue_mask], labels[enqueue_mask]
            embeddings, labels = embeddings[~enqueue_mask], labels[~enqueue_mask]
        state = self.get_extra_state()
        slots = self.curr_batch_idx = self._next_slots(len(stored), labels.device)
        filled = max(self._num_filled, min(self.queue_idx + len(stored), self.memory_size))
        if self.training:
            before = self._store(stored, stored_labels, slots)
            memory, memory_labels = self.embedding_memory, self.label_memory
        else:
            memory, memory_labels = self._with_batch(stored, stored_labels, slots)
        if len(embeddings) == 0 or filled == 0:
            return nothing
        try:
            return self._combined_loss(
                embeddings,
                labels,
                indices_tuple,
                memory[:filled],
                memory_labels[:filled],
                slots if enqueue_mask is None else None,
                state["num_batches"] + 1,
            )
        except Exception:
            if self.training:
                self.embedding_memory[slots], self.label_memory[slots] = before
                self.set_extra_state(state)
            raise

    def _tell_of_orders(self, num_samples: int) -> None:
        """Warn once where PML's wrapper makes the memories of the processes differ."""
        if self.has_joint_order or self.memory_size % max(num_samples, 1) == 0:
            return
        if is_distributed() and torch.distributed.get_world_size() > 1:
            self.has_joint_order = True  # told
            warnings.warn(
                f"memory_size: wanted a multiple of the joint batch, {num_samples}, in several processes, got "
                f"{self.memory_size}: PML's DistributedLossWrapper puts each process's own samples first, and the "
                "memories come to differ; pml_suprank.losses.DistributedLossWrapper keeps them equal",
                stacklevel=3,
            )

    def add_to_memory(self, embeddings: Tensor, labels: Tensor, batch_size: int) -> None:
        """Put embeddings and labels into the next slots, over the oldest ones."""
        self.embedding_memory, self.label_memory = self._reserved(embeddings, labels)
        super().add_to_memory(embeddings.to(self.embedding_memory.dtype), labels, batch_size)

    def _store(self, embeddings: Tensor, labels: Tensor, slots: Tensor) -> tuple[Tensor, Tensor]:
        """Put a batch into the next slots of the queue, count it, and return what was there."""
        self.embedding_memory, self.label_memory = self._reserved(embeddings, labels)
        before = self.embedding_memory[slots], self.label_memory[slots]
        if len(embeddings):
            self.add_to_memory(embeddings, labels, len(embeddings))
        self.num_batches += 1
        return before

    def _next_slots(self, count: int, device: torch.device) -> Tensor:
        slots = torch.arange(self.queue_idx, self.queue_idx + count, device=device)
        return slots % self.memory_size

    @property
    def _num_filled(self) -> int:
        return self.memory_size if self.has_been_filled else self.queue_idx

    @property
    def _pairs_as_pml(self) -> bool:
        return not takes_self_indices(self.loss) and not mines_without_self(self.miner)

    def _num_paired(self, batch_size: int) -> int:
        """Return PML's range for its losses and miners: there, the second members of a tuple are slots."""
        as_pml = self._pairs_as_pml and self.ignore_index is None
        return self.memory_size if as_pml else batch_size

    def _pairs(
        self,
        embeddings: Tensor,
        labels: Tensor,
        indices_tuple: Sequence[Tensor] | None,
        memory: Tensor,
        memory_labels: Tensor,
        slots: Tensor | None,
    ) -> Sequence[Tensor]:
        """Return PML's own pairs for PML's losses and miners, to the bit."""
        if not self._pairs_as_pml:
            return super()._pairs(embeddings, labels, indices_tuple, memory, memory_labels, slots)
        return self.create_indices_tuple(
            embeddings, labels, memory, memory_labels, indices_tuple, slots is not None
        )

    def _checked(
        self,
        embeddings: Tensor,
        labels: Any,
        indices_tuple: Sequence[Tensor] | None,
        enqueue_mask: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """Return labels and mask on the device of the embeddings, or raise a ValueError."""
        labels = self._checked_labels(embeddings, labels, is_empty=self._num_filled == 0)
        num_stored = len(embeddings)
        if enqueue_mask is not None:
            if indices_tuple is not None:
                raise ValueError("indices_tuple and enqueue_mask are mutually exclusive")
            what = f"a boolean tensor of length {len(embeddings)}"
            enqueue_mask = tensor_of("enqueue_mask", enqueue_mask, what)
            if enqueue_mask.dtype != torch.bool or enqueue_mask.shape != labels.shape[:1]:
                raise ValueError(
                    f"enqueue_mask: wanted a boolean tensor of length {len(embeddings)}, "
                    f"got {enqueue_mask.dtype} of shape {tuple(enqueue_mask.shape)}"
                )
            check_tensor("enqueue_mask", enqueue_mask, "boolean")
            num_stored = int(enqueue_mask.sum())
        if num_stored > self.memory_size:
            raise ValueError(
                f"embeddings: wanted at most memory_size {self.memory_size} to store, "
                f"got {num_stored}"
            )
        device = embeddings.device
        return labels.to(device), None if enqueue_mask is None else enqueue_mask.to(device)

    def get_extra_state(self) -> dict[str, int]:
        """Return the position and fill of the queue, for ``state_dict``."""
        return {
            "queue_idx": self.queue_idx,
            "has_been_filled": int(self.has_been_filled),
            "num_batches": self.num_batches,
        }

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Take over the position and fill of the queue, from ``load_state_dict``."""
        self.queue_idx = state["queue_idx"]
        self.has_been_filled = bool(state["has_been_filled"])
        self.num_batches = state["num_batches"]

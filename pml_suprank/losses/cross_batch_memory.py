"""PML's cross-batch memory, for rank losses too, with a state that can be saved."""

from collections.abc import Sequence
from typing import Any

import torch
from pytorch_metric_learning import losses as pml_losses
from pytorch_metric_learning.losses import BaseMetricLossFunction
from torch import Tensor

from pml_suprank.functional.operation import untraced
from pml_suprank.losses.decomposable_rank_loss import takes_self_indices
from pml_suprank.losses.memory_mixin import (
    MemoryMixin,
    check_memory_options,
    mines_without_self,
    supported_losses,
)


class CrossBatchMemory(MemoryMixin, pml_losses.CrossBatchMemory):
    """A queue of past embeddings that serves a loss as its reference set.

    Change the import and PML code goes on as before: PML's losses give the same values. The losses of this library
    work as well, without the list of all pairs, with 1-D or 2-D labels; a query's own copy in the queue
    is never its positive (unless the loss has ``include_self=True``).

    Without a miner the losses of this library rank the whole memory; an ``indices_tuple`` then adds nothing. With
    one, they rank what it pairs with the query, and what the tuple pairs with it in the batch.

    Args:
        loss: one of PML's supported losses, or any loss of this library but a proxy loss by itself.
        embedding_size: D.
        memory_size: slots of the queue, at least the largest batch.
        miner: a PML miner, called with the memory as references.
        warmup: number of batches that only fill the queue, while the loss sees the batch alone.
        batch_weight: in [0, 1], share of the loss on the batch alone; the rest is the loss on the memory, which
            holds the batch too. 0 is PML's behaviour, 0.5 the authors' code.
        storage_dtype: dtype of the stored embeddings, such as ``torch.float16``; None for float32 or wider.
        **kwargs: PML's ``collect_stats``.

    Raises:
        ValueError: a value outside its range.
        Exception: PML's, for a loss that does not work with a memory.

    The ``state_dict`` holds the queue exactly (contents, position, fill, batches seen), so that a resumed
    run equals an uninterrupted one.

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
        **kwargs: Any,
    ) -> None:
        sizes = {"embedding_size": embedding_size, "memory_size": memory_size}
        check_memory_options(sizes, warmup, batch_weight, storage_dtype)
        super().__init__(loss, embedding_size, memory_size, miner, **kwargs)
        self.warmup = warmup
        self.batch_weight = batch_weight
        self.storage_dtype = storage_dtype
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
            labels: (B,), or (B, L) for the losses of this library.
            indices_tuple: pairs or triplets within the batch.
            enqueue_mask: (B,), boolean: those that are True are only stored, the others only train.

        Returns:
            The loss; zero, with a graph, when nothing trains or the memory is empty.

        Raises:
            ValueError: embeddings that are not finite or of another width, labels or a mask of another length,
                labels of another form than those stored, more embeddings than slots, or both of
                ``indices_tuple`` and ``enqueue_mask``. The memory is then as it was. What only the loss or a
                miner can object to (classes without a proxy, say) is found when the batch is stored already.
        """
        self._check(embeddings, labels, indices_tuple, enqueue_mask)
        self.reset_stats()
        labels = labels.to(embeddings.device)
        stored, stored_labels = embeddings, labels
        if enqueue_mask is not None:
            enqueue_mask = torch.as_tensor(enqueue_mask, device=embeddings.device)
            stored, stored_labels = embeddings[enqueue_mask], labels[enqueue_mask]
            embeddings, labels = embeddings[~enqueue_mask], labels[~enqueue_mask]
        if len(stored):
            self.add_to_memory(stored, stored_labels, len(stored))
        self.num_batches += 1

        filled = self.memory_size if self.has_been_filled else self.queue_idx
        if len(embeddings) == 0 or filled == 0:
            return (embeddings.sum() + stored.sum()) * 0
        memory, memory_labels = self.embedding_memory[:filled], self.label_memory[:filled]
        slots = self.curr_batch_idx if enqueue_mask is None else None
        return self._combined_loss(embeddings, labels, indices_tuple, memory, memory_labels, slots)

    def add_to_memory(self, embeddings: Tensor, labels: Tensor, batch_size: int) -> None:
        """Put embeddings and labels into the next slots, over the oldest ones."""
        self._reserve(embeddings, labels)
        super().add_to_memory(embeddings.to(self.embedding_memory.dtype), labels, batch_size)

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
        if takes_self_indices(self.loss) or mines_without_self(self.miner):
            return super()._pairs(embeddings, labels, indices_tuple, memory, memory_labels, slots)
        return self.create_indices_tuple(
            embeddings, labels, memory, memory_labels, indices_tuple, slots is not None
        )

    def _check(
        self,
        embeddings: Tensor,
        labels: Tensor,
        indices_tuple: Sequence[Tensor] | None,
        enqueue_mask: Tensor | None,
    ) -> None:
        is_empty = self.queue_idx == 0 and not self.has_been_filled
        self._check_batch(embeddings, labels, is_empty=is_empty)
        num_stored = len(embeddings)
        if enqueue_mask is not None:
            if indices_tuple is not None:
                raise ValueError("indices_tuple and enqueue_mask are mutually exclusive")
            if not torch.is_tensor(enqueue_mask):
                enqueue_mask = torch.as_tensor(enqueue_mask)
            if enqueue_mask.dtype != torch.bool or enqueue_mask.shape != labels.shape[:1]:
                raise ValueError(
                    f"enqueue_mask: wanted a boolean tensor of length {len(embeddings)}, "
                    f"got {enqueue_mask.dtype} of shape {tuple(enqueue_mask.shape)}"
                )
            num_stored = int(enqueue_mask.sum())
        if num_stored > self.memory_size:
            raise ValueError(
                f"embeddings: wanted at most memory_size {self.memory_size} to store, "
                f"got {num_stored}"
            )

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

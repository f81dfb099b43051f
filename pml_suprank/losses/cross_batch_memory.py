"""PML's cross-batch memory, for rank losses too, with a state that can be saved."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from pytorch_metric_learning import losses as pml_losses
from pytorch_metric_learning.losses import BaseMetricLossFunction
from pytorch_metric_learning.utils import loss_and_miner_utils as lmu
from torch import Tensor

from pml_suprank.checks import check_embeddings, checked_level
from pml_suprank.hierarchy import as_level_labels
from pml_suprank.losses.calibration_loss import CalibrationLoss
from pml_suprank.losses.decomposable_rank_loss import DecomposableRankLoss, takes_self_indices
from pml_suprank.losses.rank_loss import RankLoss


class CrossBatchMemory(pml_losses.CrossBatchMemory):
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

    storage_dtype: torch.dtype | None = None
    embedding_memory: Tensor
    label_memory: Tensor

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
        for name, value, least in (
            ("embedding_size", embedding_size, 1),
            ("memory_size", memory_size, 1),
            ("warmup", warmup, 0),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name}: wanted an integer >= {least}, got {value!r}")
        if not 0 <= batch_weight <= 1:
            raise ValueError(f"batch_weight: wanted a number in [0, 1], got {batch_weight!r}")
        if storage_dtype is not None and not storage_dtype.is_floating_point:
            raise ValueError(f"storage_dtype: wanted a floating dtype, got {storage_dtype}")
        super().__init__(loss, embedding_size, memory_size, miner, **kwargs)
        self.warmup = warmup
        self.batch_weight = batch_weight
        self.storage_dtype = storage_dtype
        self.reset_queue()

    @staticmethod
    def supported_losses() -> list[str]:
        """Return the names of the losses that work with a memory."""
        ours = _subclass_names(RankLoss) | _subclass_names(DecomposableRankLoss)
        ours |= _subclass_names(CalibrationLoss)
        return [*pml_losses.CrossBatchMemory.supported_losses(), *sorted(ours)]

    def reset_queue(self) -> None:
        """Empty the queue."""
        super().reset_queue()
        if self.storage_dtype is not None:
            self.embedding_memory = self.embedding_memory.to(self.storage_dtype)
        self.num_batches = 0

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
        if self.num_batches <= self.warmup:
            return self._batch_loss(embeddings, labels, indices_tuple)
        memory = self.embedding_memory[:filled].to(embeddings.dtype)
        memory_labels = self.label_memory[:filled]
        slots = self.curr_batch_idx if enqueue_mask is None else None
        loss = self._memory_loss(embeddings, labels, indices_tuple, memory, memory_labels, slots)
        if self.batch_weight == 0:
            return loss
        batch_loss = self._batch_loss(embeddings, labels, indices_tuple)
        return (1 - self.batch_weight) * loss + self.batch_weight * batch_loss

    def add_to_memory(self, embeddings: Tensor, labels: Tensor, batch_size: int) -> None:
        """Put embeddings and labels into the next slots, over the oldest ones."""
        dtype = self.storage_dtype
        if dtype is None:
            dtype = torch.promote_types(self.embedding_memory.dtype, embeddings.dtype)
        self.embedding_memory = self.embedding_memory.to(embeddings.device, dtype)
        if self.label_memory.shape[1:] != labels.shape[1:]:
            self.label_memory = self.label_memory.new_zeros((self.memory_size, *labels.shape[1:]))
        self.label_memory = self.label_memory.to(labels.device, labels.dtype)
        super().add_to_memory(embeddings.to(dtype), labels, batch_size)

    def _batch_loss(
        self, embeddings: Tensor, labels: Tensor, indices_tuple: Sequence[Tensor] | None
    ) -> Tensor:
        if indices_tuple is None and self.miner is not None:
            indices_tuple = self.miner(embeddings, labels)
        return self.loss(embeddings, labels, indices_tuple)

    def _memory_loss(
        self,
        embeddings: Tensor,
        labels: Tensor,
        indices_tuple: Sequence[Tensor] | None,
        memory: Tensor,
        memory_labels: Tensor,
        slots: Tensor | None,
    ) -> Tensor:
        if not takes_self_indices(self.loss):
            pairs = self.create_indices_tuple(
                embeddings, labels, memory, memory_labels, indices_tuple, slots is not None
            )
            return self.loss(embeddings, labels, pairs, memory, memory_labels)
        pairs = None
        if self.miner is not None:
            pairs = self.miner(embeddings, labels, memory, memory_labels)
            if slots is not None:
                pairs = lmu.remove_self_comparisons(pairs, slots, self.memory_size)
            if indices_tuple is not None:
                in_memory = _in_memory(indices_tuple, slots)
                pairs = [torch.cat(both) for both in zip(_as_pairs(pairs), in_memory, strict=True)]
        return self.loss(embeddings, labels, pairs, memory, memory_labels, slots)

    def _check(
        self,
        embeddings: Tensor,
        labels: Tensor,
        indices_tuple: Sequence[Tensor] | None,
        enqueue_mask: Tensor | None,
    ) -> None:
        check_embeddings("embeddings", embeddings)
        if not torch.is_tensor(labels):
            raise ValueError(f"labels: wanted a tensor, got {type(labels).__name__}")
        if embeddings.shape[1] != self.embedding_size:
            raise ValueError(
                f"embeddings: wanted {self.embedding_size} dimensions, got {embeddings.shape[1]}"
            )
        if not takes_self_indices(self.loss):
            if labels.ndim != 1 or len(labels) != len(embeddings):
                raise ValueError(
                    f"labels: {type(self.loss).__name__} wants 1-D labels of length "
                    f"{len(embeddings)}, got {tuple(labels.shape)}"
                )
        else:
            for part in self.loss.modules():
                hierarchy = getattr(part, "hierarchy", None)
                columns = as_level_labels(labels, hierarchy, length=len(embeddings)).shape[1]
                if getattr(part, "level", None) is not None:
                    checked_level(part.level, columns)
        is_empty = self.queue_idx == 0 and not self.has_been_filled
        if not is_empty and labels.shape[1:] != self.label_memory.shape[1:]:
            raise ValueError(
                f"labels: wanted the form of the stored labels (*, "
                f"{tuple(self.label_memory.shape[1:])}), got {tuple(labels.shape)}"
            )
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

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Take over the dtype of the stored embeddings and the form of the stored labels."""
        for name in ("embedding_memory", "label_memory"):
            saved = state_dict.get(prefix + name)
            buffer = getattr(self, name)
            if saved is not None and len(saved) == self.memory_size:
                setattr(self, name, torch.zeros_like(saved, device=buffer.device))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def _as_pairs(indices_tuple: Sequence[Tensor]) -> Sequence[Tensor]:
    if len(indices_tuple) == 3:
        anchor, positive, negative = indices_tuple
        return anchor, positive, anchor, negative
    return indices_tuple


def _in_memory(indices_tuple: Sequence[Tensor], slots: Tensor | None) -> Sequence[Tensor]:
    """Return a batch's tuple as pairs whose second members are the slots of the batch."""
    assert slots is not None
    query, positive, other_query, negative = _as_pairs(indices_tuple)
    return query, slots[positive], other_query, slots[negative]


def _subclass_names(cls: type) -> set[str]:
    children: list[type] = cls.__subclasses__()
    return {cls.__name__}.union(*(_subclass_names(child) for child in children))

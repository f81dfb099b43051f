"""What the memories share: checks, the loss on batch and memory, the saved state."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pml_suprank.checks import check_embeddings, checked_level
from pml_suprank.hierarchy import as_level_labels
from pml_suprank.hierarchy.labels import ignored_rows, label_tensor
from pml_suprank.losses.decomposable_rank_loss import takes_self_indices
from pml_suprank.losses.memory_options import mines_without_self
from pml_suprank.losses.tuples import (
    all_pairs_without_self,
    as_pairs,
    checked_tuple,
    of_kept,
    of_slots,
    outside_slots,
    without_self,
)
from pml_suprank.pml import BaseMetricLossFunction


class MemoryMixin:
    """Put before a PML module: a loss with stored embeddings as references.

    The class it is mixed into says which slots a batch goes to. In ``train()`` a batch stays in its slots; in
    ``eval()`` it is there for the time of the call, on a copy of the memory, and nothing of the state changes.
    """

    loss: BaseMetricLossFunction
    miner: Any
    embedding_size: int
    warmup: int
    batch_weight: float
    storage_dtype: torch.dtype | None = None
    ignore_index: int | None = None
    num_batches: int
    training: bool
    embedding_memory: Tensor
    label_memory: Tensor
    _buffers: dict[str, Tensor]

    def _reserved(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the buffers on the device and in the dtype of a batch, and in the form of its labels."""
        dtype = self.storage_dtype
        if dtype is None:
            dtype = torch.promote_types(self.embedding_memory.dtype, embeddings.dtype)
        label_memory = self.label_memory
        if label_memory.shape[1:] != labels.shape[1:]:
            label_memory = label_memory.new_zeros((len(label_memory), *labels.shape[1:]))
        return self.embedding_memory.to(embeddings.device, dtype), label_memory.to(labels.device)

    def _with_batch(
        self, embeddings: Tensor, labels: Tensor, slots: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return copies of the buffers with a batch in its slots; the memory stays as it is."""
        memory, memory_labels = (buffer.clone() for buffer in self._reserved(embeddings, labels))
        memory[slots] = embeddings.detach().to(memory.dtype)
        memory_labels[slots] = labels
        return memory, memory_labels

    def _combined_loss(
        self,
        embeddings: Tensor,
        labels: Tensor,
        indices_tuple: Sequence[Tensor] | None,
        memory: Tensor,
        memory_labels: Tensor,
        slots: Tensor | None,
        num_batches: int,
    ) -> Tensor:
        """Return the loss on the batch alone, on the memory, or their mixture, as the options say.

        Args:
            embeddings: (B, D).
            labels: (B,) or (B, L).
            indices_tuple: pairs or triplets within the batch.
            memory: (N, D), the filled slots.
            memory_labels: (N,) or (N, L).
            slots: (B,), where each query stands in ``memory``; None where it does not.
            num_batches: the batches seen, this one included.
        """
        if num_batches <= self.warmup:
            return self._batch_loss(embeddings, labels, indices_tuple)
        memory = memory.to(embeddings.dtype)
        loss = self._memory_loss(embeddings, labels, indices_tuple, memory, memory_labels, slots)
        if self.batch_weight == 0:
            return loss
        batch_loss = self._batch_loss(embeddings, labels, indices_tuple)
        return (1 - self.batch_weight) * loss + self.batch_weight * batch_loss

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
        batch = (embeddings, labels, indices_tuple, memory, memory_labels, slots)
        if not takes_self_indices(self.loss):
            return self.loss(embeddings, labels, self._pairs(*batch), memory, memory_labels)
        pairs = None
        if self.miner is not None or indices_tuple is not None:
            pairs = self._pairs(*batch)
        if slots is None:  # nowhere, which the loss need not ask about
            slots = torch.full((len(embeddings),), -1, device=embeddings.device)
        return self.loss(embeddings, labels, pairs, memory, memory_labels, slots)

    def _pairs(
        self,
        embeddings: Tensor,
        labels: Tensor,
        indices_tuple: Sequence[Tensor] | None,
        memory: Tensor,
        memory_labels: Tensor,
        slots: Tensor | None,
    ) -> Sequence[Tensor]:
        """Return what the miner, or else every label, pairs with the memory, and a batch's own tuple.

        A loss of this library without a miner ranks, beside what the tuple pairs in the batch, all older slots: what
        the memory holds of the batch is the tuple's to say.
        """
        pairs: Sequence[Tensor]
        if self.miner is not None:
            pairs = self._mined(embeddings, labels, memory, memory_labels, slots)
        else:
            columns = [self._column(each) for each in (labels, memory_labels)]
            nowhere = torch.full_like(columns[0], -1)
            pairs = all_pairs_without_self(
                columns[0], columns[1], nowhere if slots is None else slots
            )
            if slots is not None and takes_self_indices(self.loss):
                pairs = outside_slots(pairs, slots, len(memory))
        if indices_tuple is None:
            return pairs
        assert slots is not None
        both = as_pairs(pairs), of_slots(indices_tuple, slots)
        return [torch.cat(each) for each in zip(*both, strict=True)]

    def _column(self, labels: Tensor) -> Tensor:
        """Return the labels (B,) that tell positive pairs: those of the loss's level, the finest for all levels."""
        parts = [getattr(self.loss, "rank_loss", self.loss), self.loss]
        level = next((part.level for part in parts if getattr(part, "level", None)), 0)
        if level and labels.ndim == 1:
            hierarchy = next(filter(None, (getattr(p, "hierarchy", None) for p in parts)), None)
            labels = as_level_labels(labels, hierarchy, ignore_index=self.ignore_index)
        return labels if labels.ndim == 1 else labels[:, level]

    def _mined(
        self,
        embeddings: Tensor,
        labels: Tensor,
        memory: Tensor,
        memory_labels: Tensor,
        slots: Tensor | None,
    ) -> Sequence[Tensor]:
        """Return what the miner pairs with the memory, without a query's own slot."""
        if mines_without_self(self.miner):
            return self.miner(embeddings, labels, memory, memory_labels, self_indices=slots)
        pairs = self.miner(embeddings, labels, memory, memory_labels)
        return pairs if slots is None else without_self(pairs, slots)

    def _checked_labels(self, embeddings: Tensor, labels: Any, *, is_empty: bool) -> Tensor:
        """Return the labels in int64, or raise a ValueError unless the batch can be stored and the loss takes it."""
        check_embeddings("embeddings", embeddings)
        if embeddings.shape[1] != self.embedding_size:
            raise ValueError(
                f"embeddings: wanted {self.embedding_size} dimensions, got {embeddings.shape[1]}"
            )
        if self.storage_dtype is not None:
            most, largest = (
                torch.finfo(self.storage_dtype).max,
                float(embeddings.detach().abs().max()),
            )
            if largest > most:
                raise ValueError(
                    f"embeddings: wanted at most {most:g}, which {self.storage_dtype} can store, "
                    f"got {largest:g}"
                )
        labels = label_tensor(labels, length=len(embeddings))
        if not takes_self_indices(self.loss):
            if labels.ndim != 1:
                raise ValueError(
                    f"labels: {type(self.loss).__name__} wants 1-D labels of length "
                    f"{len(embeddings)}, got {tuple(labels.shape)}"
                )
        else:
            num_levels: dict[int, int] = {}  # of each hierarchy, of which the parts share one
            for part in self.loss.modules():
                hierarchy = getattr(part, "hierarchy", None)
                if id(hierarchy) not in num_levels:
                    rows = as_level_labels(labels, hierarchy, ignore_index=self.ignore_index)
                    num_levels[id(hierarchy)] = rows.shape[1]
                if getattr(part, "level", None) is not None:
                    checked_level(part.level, num_levels[id(hierarchy)])
        if not is_empty and labels.shape[1:] != self.label_memory.shape[1:]:
            raise ValueError(
                f"labels: wanted the form of the stored labels (*, "
                f"{tuple(self.label_memory.shape[1:])}), got {tuple(labels.shape)}"
            )
        return labels

    def _num_paired(self, batch_size: int) -> int:
        """Return how many items the second members of a tuple choose from: those of the batch."""
        return batch_size

    def _kept(
        self, labels: Tensor, indices_tuple: Sequence[Tensor] | None
    ) -> tuple[Tensor | None, Sequence[Tensor] | None]:
        """Return which samples are not ignored, (B,), None for all, and the tuple of those alone, checked."""
        if indices_tuple is not None:
            shape = len(labels), self._num_paired(len(labels))
            indices_tuple = checked_tuple(indices_tuple, shape, labels.device)
        ignored = ignored_rows(labels, self.ignore_index)
        if ignored is None or not bool(ignored.any()):
            return None, indices_tuple
        kept = ~ignored
        if indices_tuple is not None:
            indices_tuple = of_kept(indices_tuple, kept, kept)
        return kept, indices_tuple

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Take over the dtype of the stored embeddings and the form of the stored labels.

        A state of another size is refused as a whole: nothing of it is loaded.
        """
        saved = {
            name: state_dict[prefix + name] for name in self._buffers if prefix + name in state_dict
        }
        refused = [
            f"size mismatch for {prefix}{name}: wanted {tuple(buffer.shape)}, got {tuple(saved[name].shape)}"
            for name, buffer in self._buffers.items()
            if name in saved and not _fits(name, saved[name], buffer)
        ]
        if refused:
            error_msgs.extend(refused)
            return
        for name, value in saved.items():
            dtype = torch.long if name == "label_memory" else value.dtype
            here = torch.zeros_like(value, device=getattr(self, name).device, dtype=dtype)
            setattr(self, name, here)
        super()._load_from_state_dict(  # type: ignore[misc]
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )


def _fits(name: str, saved: Tensor, buffer: Tensor) -> bool:
    if name == "label_memory":
        return saved.ndim in (1, 2) and len(saved) == len(buffer)
    return saved.shape == buffer.shape

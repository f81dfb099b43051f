"""A memory with one slot per training sample, so that a rank loss sees the whole training set."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from typing import Any

import torch
from torch import Tensor, distributed

from pml_suprank.checks import has_items
from pml_suprank.functional.operation import untraced
from pml_suprank.hierarchy.labels import index_tensor, label_tensor
from pml_suprank.losses.loader_pass import GetBatch, embedded_batches
from pml_suprank.losses.memory_mixin import MemoryMixin
from pml_suprank.losses.memory_options import (
    check_memory_options,
    check_parts,
    ignored_by,
)
from pml_suprank.losses.pml_options import check_pml_options
from pml_suprank.losses.processes import Rows, gather_rows
from pml_suprank.losses.slots import check_distinct, check_indices, filled_slots, last_of_each
from pml_suprank.pml import BaseMetricLossFunction, ModuleWithRecords
from pml_suprank.values import checked_callable, checked_flag, shown


class DatasetMemory(MemoryMixin, ModuleWithRecords):
    """The last embedding of every training sample, as the reference set of a loss.

    Use it with shuffled batches in a loop of your own, and ``fill`` it before the first step: with a memory that starts
    empty, SupAP lost most of its gain on emoji. With the batches of
    :class:`~pml_suprank.samplers.HierarchicalSampler` take no memory: there it lowered H-AP. Both are measured in
    ``docs/decomposability.md``. PML's trainers and wrappers pass no ``indices``: in theirs, take
    :class:`CrossBatchMemory`.

    Each batch is written to the slots of its samples and ranked against all filled slots: the metric of the
    training set, not of a batch. A sample is there once, and a query's own slot is never its positive
    (unless the loss has ``include_self=True``). Gradients flow through the queries only.

    Without a miner the losses of this library rank the whole memory; an ``indices_tuple`` then says what is ranked of
    the batch, and all other slots are. With a miner, they rank what it pairs with the query, and what the tuple pairs
    with it in the batch.

    In ``eval()`` the loss is the same, with the batch in the slots of its indices for the time of the call, and nothing
    is written.

    Where torch.distributed runs, the batches of all processes are gathered: every process holds the same
    memory, and returns the loss of the joint batch times the number of processes, with the gradient of
    its own embeddings. Averaged over the processes, as data-parallel training does, this is the
    gradient of one process on the joint batch. That is PML's convention, without ``DistributedLossWrapper``, which
    does not pass ``indices``. The memory may start on the CPU; it moves to the device of the first batch.

    Args:
        loss: one of PML's supported losses, or any loss of this library but a proxy loss by itself.
        num_samples: slots, the number of training samples.
        embedding_size: D.
        miner: a PML miner, called with the memory as references.
        warmup: number of batches, >= 0, that only fill slots, while the loss sees the batch alone; 0 with a memory that
            was filled.
        batch_weight: in [0, 1], share of the loss on the batch alone; the rest is the loss on the memory, which
            holds the batch too. With shuffled batches 0 did best, or as well.
        storage_dtype: dtype of the stored embeddings, such as ``torch.float16``; None for float32 or wider.
        ignore_index: label (2-D: finest label) of samples that are neither stored nor trained on; None takes that of
            the loss.
        **kwargs: PML's ``collect_stats``.

    Raises:
        ValueError: a value outside its range, or a loss that does not work with a memory.

    The ``state_dict`` holds the memory exactly (contents, which slots are filled, batches seen), so that a
    resumed run equals an uninterrupted one.

    Example:
        >>> from pml_suprank import losses
        >>> memory = DatasetMemory(losses.SupAPLoss(), num_samples=4, embedding_size=2)
        >>> points = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> _ = memory(points, torch.tensor([0, 1]), indices=torch.tensor([3, 0]))
        >>> memory.is_filled.tolist()
        [True, False, False, True]
    """

    is_filled: Tensor

    def __init__(
        self,
        loss: BaseMetricLossFunction,
        num_samples: int,
        embedding_size: int,
        miner: Any = None,
        *,
        warmup: int = 0,
        batch_weight: float = 0.0,
        storage_dtype: torch.dtype | None = None,
        ignore_index: int | None = None,
        **kwargs: Any,
    ) -> None:
        sizes = {"num_samples": num_samples, "embedding_size": embedding_size}
        check_memory_options(sizes, warmup, batch_weight, storage_dtype)
        check_parts(loss, miner)
        super().__init__(**kwargs)
        check_pml_options(kwargs)
        self.loss = loss
        self.miner = miner
        self.num_samples = num_samples
        self.embedding_size = embedding_size
        self.warmup = warmup
        self.batch_weight = batch_weight
        self.storage_dtype = storage_dtype
        self.ignore_index = ignored_by(loss, ignore_index)
        self.reset_memory()
        self.add_to_recordable_attributes(list_of_names=["num_samples", "num_filled"])

    def reset_memory(self) -> None:
        """Empty all slots."""
        dtype = self.storage_dtype or torch.float32
        contents = torch.zeros(self.num_samples, self.embedding_size, dtype=dtype)
        self.register_buffer("embedding_memory", contents)
        self.register_buffer("label_memory", torch.zeros(self.num_samples, dtype=torch.long))
        self.register_buffer("is_filled", torch.zeros(self.num_samples, dtype=torch.bool))
        self.num_batches = 0

    @property
    def num_filled(self) -> int:
        """Number of slots that hold a sample."""
        return int(self.is_filled.sum())

    @untraced
    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        indices: Tensor,
        indices_tuple: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """Write the batch to its slots, and return the loss of the batch against all filled slots.

        Args:
            embeddings: (B, D).
            labels: (B,), or (B, L) for the losses of this library.
            indices: (B,), the slots: which sample of the training set each one is.
            indices_tuple: pairs or triplets within the batch; with several processes within the joint one,
                one's own first, as PML's ``DistributedMinerWrapper`` gives them.

        Returns:
            The loss; times the number of processes if there are several.

        Raises:
            ValueError: embeddings that are not finite or of another width, labels or indices of another length or
                dtype, labels of another form than those stored, an index outside 0..num_samples-1 or twice
                in the batch, a malformed tuple, tensors of different devices (labels and indices may be on the
                CPU). The memory is then as it was, as it is when the loss or the miner raises.
        """
        rows = gather_rows(lambda: self._checked(embeddings, labels, indices))
        num_processes = len(rows)
        if num_processes > 1:
            rows.insert(0, rows.pop(distributed.get_rank()))
        embeddings, labels, indices = map(torch.cat, zip(*rows, strict=True))
        kept, indices_tuple = self._kept(labels, indices_tuple)
        nothing = embeddings.sum() * 0
        if kept is not None:
            embeddings, labels, indices = embeddings[kept], labels[kept], indices[kept]
        check_distinct(indices)
        self.reset_stats()
        num_batches = self.num_batches + 1
        if self.training:
            before = self._store(embeddings, labels, indices)
            buffers = self.embedding_memory, self.label_memory, self.is_filled
        else:
            is_filled = self.is_filled.to(indices.device).index_fill(0, indices, True)
            buffers = *self._with_batch(embeddings, labels, indices), is_filled
        self.num_batches = num_batches if self.training else self.num_batches
        if len(embeddings) == 0:
            return nothing
        try:
            loss = self._combined_loss(
                embeddings, labels, indices_tuple, *filled_slots(indices, *buffers), num_batches
            )
        except Exception:
            if self.training:
                self._exchange(indices, before)
                self.num_batches -= 1
            raise
        return loss if num_processes == 1 else loss * num_processes

    def fill(
        self,
        loader: Iterable[Any],
        embed: Callable[[Any], Tensor],
        *,
        get_batch: GetBatch | None = None,
        progress: bool = False,
    ) -> None:
        """Write the embeddings of a pass over the training set, without gradients.

        Slots that the pass does not reach stay as they are; a sample that it reaches twice keeps its last
        embedding. Nothing is written before the pass is over. With several processes, each
        passes over its share, and every one gets all of it.

        Args:
            loader: yields batches.
            embed: data of a batch to embeddings (B, D). A module is set to evaluation for the pass, and gets
                tensors on its own device.
            get_batch: takes what the loader yields to (data, labels, indices); None where it yields that.
            progress: whether to show a progress bar.

        Raises:
            ValueError: the loader yields nothing or something else, or as in ``forward``. The memory is
                then as it was.
        """
        if not has_items(loader) or isinstance(loader, str | bytes):
            raise ValueError(f"loader: wanted what yields batches, got {shown(loader)}")
        checked_callable("embed", embed, "a function of the data of a batch")
        if get_batch is not None:
            checked_callable(
                "get_batch", get_batch, "a function of what the loader yields, or None"
            )
        checked_flag("progress", progress)
        rows = gather_rows(lambda: self._embedded(loader, embed, get_batch, progress))
        embeddings, labels, indices = map(torch.cat, zip(*rows, strict=True))
        kept, _ = self._kept(labels, None)
        last = last_of_each(indices)
        last = last if kept is None else last[kept[last]]
        self._store(embeddings[last], labels[last], indices[last])

    refresh = fill  # the same pass later on, when the stored embeddings have become stale

    def get_extra_state(self) -> dict[str, int]:
        """Return the number of batches, for ``state_dict``."""
        return {"num_batches": self.num_batches}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Take over the number of batches, from ``load_state_dict``."""
        self.num_batches = state["num_batches"]

    def _store(self, embeddings: Tensor, labels: Tensor, indices: Tensor) -> Rows:
        """Write rows to their slots, and return what was there."""
        self.embedding_memory, self.label_memory = self._reserved(embeddings, labels)
        return self._exchange(indices, (embeddings, labels, torch.ones_like(indices)))

    def _exchange(self, indices: Tensor, rows: Rows) -> Rows:
        """Put rows of all buffers into slots, and return what was there."""
        self.is_filled = self.is_filled.to(indices.device)
        buffers = (self.embedding_memory, self.label_memory, self.is_filled)
        before = tuple(buffer[indices] for buffer in buffers)
        for buffer, values in zip(buffers, rows, strict=True):
            buffer[indices] = values.detach().to(buffer.dtype)
        return before

    def _embedded(self, *arguments: Any) -> Rows:
        """Return all rows of a pass, the embeddings in the dtype that is stored."""
        batches: list[Rows] = []
        with closing(embedded_batches(*arguments)) as passed:
            for batch in passed:
                embeddings, labels, indices = self._checked(*batch)
                if batches and labels.shape[1:] != batches[0][1].shape[1:]:
                    raise ValueError(
                        f"labels: wanted the form of the first batch {tuple(batches[0][1].shape)}, "
                        f"got {tuple(labels.shape)}"
                    )
                batches.append(
                    (embeddings.to(self.storage_dtype or embeddings.dtype), labels, indices)
                )
        if not batches:
            raise ValueError("loader: wanted at least one batch, got none")
        embeddings, labels, indices = map(torch.cat, zip(*batches, strict=True))
        return embeddings, labels, indices

    def _checked(self, embeddings: Tensor, labels: Tensor, indices: Tensor) -> Rows:
        """Return a batch on one device, labels and indices in int64."""
        if not torch.is_tensor(embeddings):
            raise ValueError(f"embeddings: wanted a tensor, got {type(embeddings).__name__}")
        if indices is None or isinstance(indices, tuple):
            raise ValueError(
                f"indices: wanted a tensor, got {type(indices).__name__}: the place of each sample in "
                "the data set. PML's trainers and wrappers pass (embeddings, labels, indices_tuple) "
                "and no places: call DatasetMemory in a loop of your own, or use CrossBatchMemory"
            )
        labels = labels if torch.is_tensor(labels) else label_tensor(labels)
        indices = indices if torch.is_tensor(indices) else index_tensor(indices, "indices")
        device, home = embeddings.device, self.embedding_memory.device
        if home.type != "cpu" and device != home:
            raise ValueError(f"embeddings: wanted the device of the memory {home}, got {device}")
        for name, value in (("labels", labels), ("indices", indices)):
            if value.device.type != "cpu" and value.device != device:
                raise ValueError(
                    f"{name}: wanted the device of embeddings {device} or the CPU, "
                    f"got {value.device}"
                )
        labels = self._checked_labels(embeddings, labels, is_empty=self.num_filled == 0)
        check_indices(indices, len(embeddings), self.num_samples)
        return embeddings, labels.to(device), indices.to(device).long()

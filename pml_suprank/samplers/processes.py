"""Which process draws: asked in every epoch, so that a sampler may be older than the process group."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

from torch import distributed
from torch.utils.data import Sampler

from pml_suprank.samplers.settings import checked_integer


class Processes:
    """Rank and number of the processes that share an epoch.

    Args:
        rank: below ``world_size``; None for both looks them up whenever they are asked for.
        world_size: >= 1.

    Raises:
        ValueError: one without the other, or outside its range.
    """

    def __init__(self, rank: int | None, world_size: int | None) -> None:
        if (rank is None) != (world_size is None):
            raise ValueError(
                f"rank: wanted rank and world_size or neither, got rank={rank!r}, "
                f"world_size={world_size!r}"
            )
        self._given: tuple[int, int] | None = None
        if rank is not None:
            world_size = checked_integer("world_size", world_size, 1)
            rank = checked_integer("rank", rank, 0)
            if rank >= world_size:
                raise ValueError(f"rank: wanted 0..{world_size - 1}, got {rank}")
            self._given = rank, world_size

    @property
    def are_known(self) -> bool:
        """Whether their number can no longer change."""
        return self._given is not None or _is_distributed()

    @property
    def is_first(self) -> bool:
        """Whether this process speaks for all."""
        if self._given is None and _is_distributed():
            return distributed.get_rank() == 0
        return self.now()[0] == 0

    def now(self) -> tuple[int, int]:
        """Return rank and world size: those given, or torch.distributed's, or 0 and 1 where accelerate deals."""
        if self._given is not None:
            return self._given
        if not _is_distributed() or _accelerate_runs() or _asking_loaders():
            return 0, 1
        return distributed.get_rank(), distributed.get_world_size()

    def of_a_pass(self) -> tuple[int, int]:
        """Return rank and world size for the one who asks for batches.

        Raises:
            ValueError: accelerate would deal out the batches of one process once more, or would not deal out those
                of all.
        """
        rank, world_size = self.now()
        loaders = _asking_loaders()
        if world_size > 1 and loaders & {"BatchSamplerShard", "DataLoaderDispatcher"}:
            raise ValueError(
                "world_size: wanted rank and world_size left out, or 0 and 1, as accelerate deals out the batches of "
                f"a loader it has prepared, got rank={rank}, world_size={world_size}: most samples would be lost"
            )
        if self._given is None and _accelerate_runs() and not loaders:
            raise ValueError(
                "rank: wanted a loader that accelerate deals out, accelerator.prepare(loader), or "
                "rank=accelerator.process_index, world_size=accelerator.num_processes for one it does not, got "
                "neither: all processes would draw the same batches"
            )
        return rank, world_size


class Positions:
    """The ``sampler`` of a batch sampler: all positions; Lightning and accelerate call its ``set_epoch``."""

    def __init__(self, num_samples: int, set_epoch: Callable[[int], None]) -> None:
        self._num_samples = num_samples
        self.set_epoch = set_epoch

    def __len__(self) -> int:
        return self._num_samples

    def __iter__(self) -> Iterator[int]:
        return iter(range(self._num_samples))


def refuse_another_sampler(labels: Any, sampler: Any, drop_last: Any) -> None:
    """Raise a ValueError where Lightning makes a batch sampler anew, around a sampler of its own.

    It calls the class with its sampler as the first argument, or with the arguments it has noted and its sampler as
    ``sampler``.
    """
    other = labels if isinstance(labels, Sampler) else sampler
    if other is not None:
        raise ValueError(
            "sampler: wanted None, as HierarchicalSampler itself gives every process its batches, got "
            f"{type(other).__name__}; in Lightning write Trainer(use_distributed_sampler=False), in Fabric "
            "setup_dataloaders(loader, use_distributed_sampler=False), and predict with a loader without this sampler"
        )
    if drop_last is not True:
        raise ValueError(f"drop_last: wanted True, as every batch is full, got {drop_last!r}")


def _is_distributed() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def _accelerate_runs() -> bool:
    """Whether an Accelerator has several processes; its loaders give all batches to each until they are prepared."""
    state: Any = sys.modules.get("accelerate.state")
    return state is not None and state.is_initialized() and state.PartialState().num_processes > 1


def _asking_loaders() -> set[str]:
    """Names of the classes of accelerate's prepared loaders among the callers.

    A loader does not tell its batch sampler that it takes one batch of several, hence this look at who asks.
    """
    names: set[str] = set()
    frame: Any = sys._getframe(1) if "accelerate.data_loader" in sys.modules else None
    while frame is not None:
        if frame.f_globals.get("__name__") == "accelerate.data_loader":
            names.update(kind.__name__ for kind in type(frame.f_locals.get("self")).__mro__)
        frame = frame.f_back
    return names & {"BatchSamplerShard", "DataLoaderDispatcher", "DataLoaderShard"}

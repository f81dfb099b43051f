"""Batches that depend on the seed, the epoch and their place in it, and on nothing else.

A step can therefore be repeated exactly, in a resumed run too, with any number of loading processes: nothing of
the generators has to be saved.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pml_suprank.pml import MPerClassSampler
from pml_suprank.recipes.engine.parsing import ConfigError
from pml_suprank.recipes.engine.settings import SamplerSettings
from pml_suprank.recipes.seeding import seed_everything
from pml_suprank.samplers import HierarchicalSampler

__all__ = ["BatchPlan", "SeededItems", "check_sampler", "epoch_loader", "usual_batch_size"]


USUAL_SIZES = (128, 64, 32)
LEAST_STEPS = 5
"""Of an epoch. On few images too few steps cost more than a small batch, see docs/leaderboard.md."""


class SeededItems(Dataset[Any]):
    """A data set whose items are drawn with generators of their own.

    Args:
        data: gives ``(image, labels, index)``.
        seed: of the run.
    """

    def __init__(self, data: Any, seed: int):
        self.data, self.seed = data, seed

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, key: tuple[int, int, int]) -> Any:
        """The item ``index`` at a place of an epoch, the key being (index, epoch, place)."""
        index, epoch, place = key
        seed_everything(self.seed, epoch, place, index)
        return self.data[index]


class BatchPlan:
    """The batches of every epoch, as lists of indices over all processes.

    Args:
        settings: kind of sampler.
        labels: [N, L] of the training images.
        batch_size: images in a batch, over all processes; None for :func:`usual_batch_size`.
        seed: of the run.
        processes: that share a batch.

    Attributes:
        batch_size: images in a batch.
        batches_per_epoch: batches of an epoch.

    Raises:
        ConfigError: a batch that the labels or the settings do not allow.
    """

    def __init__(
        self,
        settings: SamplerSettings,
        labels: Tensor,
        batch_size: int | None,
        seed: int,
        processes: int = 1,
    ):
        self.settings, self.labels = settings, labels
        if batch_size is None:
            batch_size = usual_batch_size(settings, labels, processes)
        self.batch_size, self.seed = batch_size, seed
        if batch_size > len(labels):
            raise ConfigError(
                f"training.batch_size: wanted at most {len(labels)}, the number of training images, got {batch_size}"
            )
        default = len(labels) // batch_size
        self._hierarchical: HierarchicalSampler | None = None
        if settings.kind == "hierarchical":
            try:
                self._hierarchical = HierarchicalSampler(
                    labels,
                    batch_size,
                    settings.group_sizes,
                    batches_per_epoch=settings.batches_per_epoch,
                    seed=seed,
                    rank=0,
                    world_size=1,
                )
            except ValueError as error:
                raise ConfigError(f"sampler: {error}") from error
            default = len(self._hierarchical)
        elif settings.kind == "m_per_class":
            classes = len(labels[:, 0].unique())
            if settings.m * classes < batch_size:
                raise ConfigError(
                    f"training.batch_size: wanted at most sampler.m x classes = {settings.m} x {classes}, "
                    f"got {batch_size}"
                )
        self.batches_per_epoch = settings.batches_per_epoch or default

    def epoch(self, epoch: int) -> list[list[int]]:
        """The batches of one epoch, the same whenever asked."""
        seed_everything(self.seed, epoch)
        if self._hierarchical is not None:
            self._hierarchical.set_epoch(epoch)
            return list(self._hierarchical)
        count, size = self.batches_per_epoch, self.batch_size
        order: list[int] = []
        while len(order) < count * size:
            order += self._pass()
        return [order[i * size : (i + 1) * size] for i in range(count)]

    def _pass(self) -> list[int]:
        if self.settings.kind == "random":
            whole = len(self.labels) // self.batch_size * self.batch_size
            return torch.randperm(len(self.labels))[:whole].tolist()
        length = self.batches_per_epoch * self.batch_size
        sampler = MPerClassSampler(self.labels[:, 0], self.settings.m, self.batch_size, length)
        return [int(index) for index in sampler]


class _Places:
    """Batch sampler: the share of one process, from a step on, with the keys of :class:`SeededItems`."""

    def __init__(self, batches: list[list[int]], epoch: int, first: int, rank: int, processes: int):
        self.batches, self.epoch, self.first = batches, epoch, first
        self.rank, self.processes = rank, processes

    def __len__(self) -> int:
        return len(self.batches) - self.first

    def __iter__(self) -> Iterator[list[tuple[int, int, int]]]:
        for number in range(self.first, len(self.batches)):
            batch = self.batches[number]
            share = len(batch) // self.processes
            own = range(self.rank * share, (self.rank + 1) * share)
            yield [(batch[i], self.epoch, number * len(batch) + i) for i in own]


def epoch_loader(
    items: SeededItems,
    plan: BatchPlan,
    epoch: int,
    *,
    first: int = 0,
    rank: int = 0,
    processes: int = 1,
    workers: int = 0,
    pin_memory: bool = False,
) -> DataLoader[Any]:
    """The batches of one epoch that are left.

    Args:
        items: training images.
        plan: says which.
        epoch: number of the epoch.
        first: batches that were done already.
        rank: of this process.
        processes: that share a batch in equal parts.
        workers: loading processes.
        pin_memory: as in torch.
    """
    places = _Places(plan.epoch(epoch), epoch, first, rank, processes)
    return DataLoader(
        items,
        batch_sampler=places,
        num_workers=workers,
        pin_memory=pin_memory,
        generator=torch.Generator(),
    )


def usual_batch_size(settings: SamplerSettings, labels: Tensor, processes: int = 1) -> int:
    """The batch size that is taken where none is asked for: the largest of 128, 64 and 32 that leaves enough steps.

    It is the next multiple below of a group and of the processes, and no more than the images allow.

    Args:
        settings: of the sampler.
        labels: [N, L] of the training images.
        processes: that share a batch.
    """
    unit = math.lcm(_group(settings)[0], processes)
    most = len(labels)
    if settings.kind == "m_per_class":
        most = min(most, settings.m * len(labels[:, 0].unique()))
    sizes = [max(min(size, most) // unit * unit, unit) for size in USUAL_SIZES]
    if settings.batches_per_epoch is not None:
        return sizes[0]
    enough = [size for size in sizes if len(labels) // size >= LEAST_STEPS]
    return enough[0] if enough else sizes[-1]


def check_sampler(settings: SamplerSettings, batch_size: int | None, processes: int = 1) -> None:
    """What can be said about batches before any data is read.

    Raises:
        ConfigError: a batch size that is no multiple of a group or of the number of processes.
    """
    for name, sizes in (("group_sizes", settings.group_sizes), ("m", (settings.m,))):
        if not sizes or any(size < 1 for size in sizes):
            raise ConfigError(f"sampler.{name}: wanted integers >= 1, got {sizes}")
    if settings.batches_per_epoch is not None and settings.batches_per_epoch < 1:
        raise ConfigError(
            f"sampler.batches_per_epoch: wanted >= 1, got {settings.batches_per_epoch}"
        )
    if batch_size is None:
        return
    if batch_size % processes:
        raise ConfigError(
            f"training.batch_size: wanted a multiple of the {processes} processes, got {batch_size}"
        )
    group, name = _group(settings)
    if batch_size % group:
        low = batch_size // group * group
        raise ConfigError(
            f"training.batch_size: wanted a multiple of {group} for {name}, got {batch_size}; "
            f"nearest: {', '.join(str(n) for n in (low, low + group) if n)}"
        )


def _group(settings: SamplerSettings) -> tuple[int, str]:
    """Images that go together, and the option that says so."""
    if settings.kind == "hierarchical":
        return math.prod(settings.group_sizes), f"sampler.group_sizes {settings.group_sizes}"
    if settings.kind == "m_per_class":
        return settings.m, f"sampler.m {settings.m}"
    return 1, ""

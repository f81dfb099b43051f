"""Batches of several samples of a class, several classes of a parent, and so on up the levels."""

from __future__ import annotations

import math
import warnings
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch.utils.data import BatchSampler

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.samplers.class_groups import ClassGroups
from pml_suprank.samplers.epoch_plan import EpochPlan
from pml_suprank.samplers.settings import (
    check_batch_size,
    checked_group_sizes,
    checked_integer,
    checked_process,
    label_columns,
)


class HierarchicalSampler(BatchSampler):
    """Batch sampler over a class tree of any number of levels.

    ``group_sizes=(4, 3, 2)`` asks for four samples of a class, three classes of a parent and two parents of a
    grandparent; a batch of 96 then holds four grandparents. With a size of 1, as in ``(4, 1, 2)``, each of the two
    parents gives one class. Give the sampler to PML's trainers as ``sampler=``, or to a ``DataLoader`` as
    ``batch_sampler=``.

    What every batch keeps to:

    - It has ``batch_size`` samples, none of them twice.
    - Every sample has a positive in its batch, another sample with the same label, at the finest level whose group
      size is above 1, and so at all coarser levels.
    - The samples of a class stand together, as do those of any coarser node.

    What becomes of small nodes:

    - A class with fewer samples than its group size gives all it has. Samples are not repeated: a copy of the query
      is its closest positive, and teaches nothing. The missing ones come from one more class of the same parent if
      they are half a group or more; if not, or if there is none, from the classes already drawn. The same holds
      at every level, up to the batch: with too few of the coarsest nodes, those there give more.
    - A class with a single sample has no positive, and is never drawn where ``group_sizes[0]`` is above 1. With
      ``(1, 4)``, one sample of a class is enough, and a parent with a single sample is never drawn. ``left_out``
      holds the positions of such samples, and a warning gives their number.
    - Classes of the hierarchy without samples are not drawn.

    How often a sample comes: nodes are drawn in proportion to their samples, and the samples of a class in random
    order until all have come. An epoch of the default length shows each sample about once, unless the group sizes
    ask otherwise: a large node that would have to be in a batch twice comes less often, and the small ones beside it
    more often. Combinations of nodes are never listed.

    With several processes, each draws from its own share of the samples. The shares are new in every epoch and
    disjoint, so that no sample is in the batches of two processes in one epoch. Classes are divided among
    processes where they are large enough for pieces of the group size. ``rank`` and ``world_size`` come from
    torch.distributed where it runs; pass 0 and 1 where something else deals out the batches, as accelerate does.

    An epoch depends on the seed, its number and the process, never on global generators. Each pass yields the next
    epoch, unless ``set_epoch`` says which. A ``state_dict`` taken in the middle of an epoch and loaded into a sampler
    with the same settings makes its next pass yield the rest of that epoch.

    Args:
        labels: [N] class labels or [N, L] labels, column 0 finest: those of the data set, in its order.
        batch_size: samples in a batch of one process, a multiple of the product of the group sizes.
        group_sizes: one integer >= 1 for each level from the finest on, at most L.
        hierarchy: expands 1-D labels to all levels.
        levels: ascending label columns that ``group_sizes`` speaks of; None for the finest ones.
        batches_per_epoch: for each process; None for as many as the samples (without those left out) fill once.
        seed: >= 0.
        rank: process, below ``world_size``; None for that of torch.distributed, or 0.
        world_size: number of processes; None for that of torch.distributed, or 1.
        num_samples: length of the data set, to check the labels against.

    Attributes:
        left_out: (n,) positions of the samples that are never drawn.
        epoch: the epoch that runs, or comes next if none has begun.

    Raises:
        ValueError: an argument outside its range; a batch size that cannot be reached, with the nearest that can.
        HierarchyError: labels in none of the forms, of a wrong length, or that form no tree.

    Example:
        >>> labels = [[0, 0], [0, 0], [1, 0], [1, 0], [2, 1], [2, 1], [3, 1], [3, 1]]
        >>> sampler = HierarchicalSampler(labels, batch_size=4, group_sizes=(2, 2))
        >>> [sorted(batch) for batch in sampler]
        [[4, 5, 6, 7], [0, 1, 2, 3]]
    """

    def __init__(
        self,
        labels: Any,
        batch_size: int,
        group_sizes: Sequence[int],
        *,
        hierarchy: Hierarchy | None = None,
        levels: Sequence[int] | None = None,
        batches_per_epoch: int | None = None,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        num_samples: int | None = None,
    ) -> None:
        self.group_sizes = checked_group_sizes(group_sizes)
        batch_size = checked_integer("batch_size", batch_size, 1)
        self.seed = checked_integer("seed", seed, 0)
        self.rank, self.world_size = checked_process(rank, world_size)
        columns = label_columns(labels, hierarchy, levels, len(self.group_sizes), num_samples)
        super().__init__(range(len(columns)), batch_size, drop_last=True)
        self._fingerprint = zlib.crc32(np.ascontiguousarray(columns).data)
        self._groups = ClassGroups(columns, self.group_sizes)
        self._check_reachable()
        if batches_per_epoch is None:
            batches_per_epoch = len(self._groups.usable) // (batch_size * self.world_size)
        self.batches_per_epoch = checked_integer("batches_per_epoch", batches_per_epoch, 1)
        self.left_out = self._groups.left_out
        self._warn()
        self.epoch = self._position = 0
        self._has_begun = False
        self._runs = 0

    @property
    def num_left_out(self) -> int:
        """Number of samples that are never drawn."""
        return len(self.left_out)

    def __len__(self) -> int:
        return self.batches_per_epoch

    def __iter__(self) -> Iterator[list[int]]:
        # up to the first batch nothing changes: a DataLoader with workers makes two iterators and uses one
        if self._has_begun or self._position == len(self):
            self.epoch, self._position = self.epoch + 1, 0
        self._has_begun = True
        self._runs += 1
        run, begin = self._runs, self._position
        plan = self._plan(self.epoch)
        for _ in range(begin):
            plan.batch()
        for position in range(begin, len(self)):
            batch = plan.batch().tolist()
            if run == self._runs:
                self._position = position + 1
            yield batch

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next pass yields.

        The rest of an epoch that ``load_state_dict`` restored stays the rest where ``epoch`` is its number.

        Raises:
            ValueError: no integer >= 0.
        """
        epoch = checked_integer("epoch", epoch, 0)
        if self._has_begun or epoch != self.epoch:
            self._move(epoch, 0)

    def state_dict(self, batches_done: int | None = None) -> dict[str, Any]:
        """Return the place in the epoch, and the settings it belongs to.

        Args:
            batches_done: batches of the epoch that the training has seen. None for those that the sampler has
                yielded, which is more where the workers of a DataLoader fetch ahead.

        Raises:
            ValueError: ``batches_done`` is no integer in 0..len(self).
        """
        done = self._position
        if batches_done is not None:
            done = self._checked_position("batches_done", batches_done)
        return {"epoch": self.epoch, "batches_done": done, "settings": self._settings()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the place of a sampler with the same settings; the next pass yields the rest of its epoch.

        Raises:
            ValueError: the state belongs to other settings, or is none.
        """
        missing = {"epoch", "batches_done", "settings"} - set(state)
        if missing:
            raise ValueError(f"state: wanted what state_dict gives, got none of {sorted(missing)}")
        for name, value in self._settings().items():
            other = state["settings"].get(name)
            if other != value:
                raise ValueError(f"state: wanted {name} {value} as in this sampler, got {other}")
        epoch = checked_integer("state['epoch']", state["epoch"], 0)
        self._move(epoch, self._checked_position("state['batches_done']", state["batches_done"]))

    def _move(self, epoch: int, position: int) -> None:
        self.epoch, self._position, self._has_begun = epoch, position, False
        self._runs += 1  # iterators made before no longer count

    def _checked_position(self, name: str, value: Any) -> int:
        position = checked_integer(name, value, 0)
        if position > len(self):
            raise ValueError(f"{name}: wanted at most {len(self)}, got {position}")
        return position

    def _settings(self) -> dict[str, Any]:
        """What an epoch depends on; the rank is left out, so that one state serves all processes."""
        return {
            "labels": f"checksum {self._fingerprint} of {len(self._groups.class_of)}",
            "batch_size": self.batch_size,
            "group_sizes": list(self.group_sizes),
            "batches_per_epoch": self.batches_per_epoch,
            "seed": self.seed,
            "world_size": self.world_size,
        }

    def _plan(self, epoch: int) -> EpochPlan:
        shared = np.random.default_rng((self.seed, epoch))
        samples = self._groups.share(self.rank, self.world_size, shared)
        entropy = np.random.SeedSequence((self.seed, epoch), spawn_key=(self.rank,))
        own = np.random.default_rng(entropy)
        return EpochPlan(self._groups, samples, self.group_sizes, self.batch_size, own)

    def _check_reachable(self) -> None:
        groups, sizes = self._groups, self.group_sizes
        if not len(groups.usable):
            level, size = groups.unit_level, sizes[groups.unit_level]
            raise ValueError(
                f"labels: wanted two samples with one label at least, for group_sizes[{level}]={size}, "
                f"got {len(groups.class_of)} samples with different labels; group_sizes[{level}]=1 would do"
            )
        most, any_number = groups.reachable(self.world_size)
        where = f"from group_sizes {sizes} and {len(groups.usable)} samples with a positive"
        if self.world_size > 1:
            where += f" in {self.world_size} processes"
        check_batch_size(self.batch_size, math.prod(sizes), most, any_number, where)

    def _warn(self) -> None:
        if self.num_left_out and self.rank == 0:
            level = self._groups.unit_level
            warnings.warn(
                f"{self.num_left_out} of {len(self._groups.class_of)} samples are left out: each is "
                f"the only one with its label, and group_sizes[{level}]={self.group_sizes[level]} asks for more",
                stacklevel=3,
            )

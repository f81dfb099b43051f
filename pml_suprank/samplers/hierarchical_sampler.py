"""Batches of several samples of a class, several classes of a parent, and so on up the levels."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch.utils.data import BatchSampler

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.samplers.epoch_plan import EpochPlan
from pml_suprank.samplers.processes import Positions, Processes, refuse_another_sampler
from pml_suprank.samplers.samples import Samples
from pml_suprank.samplers.settings import (
    checked_group_sizes,
    checked_position,
)
from pml_suprank.values import checked_integer, shown


class HierarchicalSampler(BatchSampler):
    """Batches that hold relatives: several samples of a class, several classes of a parent, and so on.

    Use it with every loss that ranks a batch, above all with one on a hierarchy: ``group_sizes`` of (2, 4) to (2, 8)
    ranked best here, see the ablation in ``docs/leaderboard.md``. With it take no memory. For classes without parents
    take (2,) to (4,), the same as PML's ``MPerClassSampler`` but for full batches without repeated samples.

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
    processes where they are large enough for pieces of the group size.

    Which process this is, torch.distributed is asked whenever a pass begins or the length is wanted: the sampler may
    be built before ``init_process_group``. Where accelerate runs several processes, all of them draw the same epoch,
    whose batches the loader from ``accelerator.prepare`` deals out. In Lightning, write
    ``Trainer(use_distributed_sampler=False)``. ``rank`` and ``world_size`` overrule this, as where several processes
    hold parts of one model.

    An epoch depends on the seed, its number and the process, never on global generators. Each pass yields the next
    epoch, unless ``set_epoch`` says which. A ``state_dict`` taken in the middle of an epoch and loaded into a sampler
    with the same settings makes its next pass yield the rest of that epoch.

    Args:
        labels: [N] class labels or [N, L] labels, column 0 finest: those of the data set, in its order. A tensor, an
            array or lists, of integers or of what holds them exactly.
        batch_size: samples in a batch of one process, a multiple of the product of the group sizes. Take as many as
            fit: without a memory the batch is all that a loss ranks.
        group_sizes: one integer >= 1 for each level from the finest on, at most L. The first should be 2 or more, or
            queries have no positive of their own class.
        hierarchy: expands 1-D labels to all levels.
        levels: ascending label columns that ``group_sizes`` speaks of; None for the finest ones.
        batches_per_epoch: for each process, or for those together among which accelerate deals them out; None for as
            many as the samples (without those left out) fill once.
        seed: >= 0.
        rank: process, below ``world_size``; None to look it up in every epoch.
        world_size: number of processes; None to look it up in every epoch.
        num_samples: length of the data set, to check the labels against.
        ignore_index: label of samples that are never drawn, in column 0 of 2-D labels; ``hierarchy`` need not know it.
        sampler: None. With ``drop_last`` it stands for the arguments by which Lightning makes batch samplers anew, so
            that this ends in an error that says what to write.
        drop_last: True.

    Attributes:
        left_out: (n,) positions of the samples that are never drawn for want of a positive.
        epoch: the epoch that runs, or comes next if none has begun.

    Raises:
        ValueError: an argument outside its range; a batch size that cannot be reached, with the nearest that can, at
            the latest when a pass begins or the length is asked for in more processes than there were before.
        HierarchyError: labels in none of the forms, of a wrong length, or that form no tree, such as one-hot rows.

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
        group_sizes: Sequence[int] = (),
        *,
        hierarchy: Hierarchy | None = None,
        levels: Sequence[int] | None = None,
        batches_per_epoch: int | None = None,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        num_samples: int | None = None,
        ignore_index: int | None = None,
        sampler: None = None,
        drop_last: bool = True,
    ) -> None:
        refuse_another_sampler(labels, sampler, drop_last)
        self.group_sizes = checked_group_sizes(group_sizes)
        batch_size = checked_integer("batch_size", batch_size, 1)
        self.seed = checked_integer("seed", seed, 0, 2**63 - 1)
        self._processes = Processes(rank, world_size)
        if batches_per_epoch is not None:
            batches_per_epoch = checked_integer("batches_per_epoch", batches_per_epoch, 1)
        self._batches_per_epoch = batches_per_epoch
        self._samples = Samples(
            labels,
            self.group_sizes,
            hierarchy=hierarchy,
            levels=levels,
            num_samples=checked_integer("num_samples", num_samples, 0, optional=True),
            ignore_index=ignore_index,
        )
        super().__init__(Positions(len(self._samples), self.set_epoch), batch_size, drop_last=True)
        self._reachable: set[int] = set()
        self._check_reachable(self.world_size)
        self.left_out = self._samples.positions(self._samples.groups.left_out)
        self._warn()
        self.epoch = self._position = self._runs = 0
        self._has_begun = self._is_chosen = False
        self._counted_in: int | None = None  # processes, whose batches the position counts

    @property
    def rank(self) -> int:
        """This process, as of now."""
        return self._processes.now()[0]

    @property
    def world_size(self) -> int:
        """Number of processes that share the samples, as of now."""
        return self._processes.now()[1]

    @property
    def batches_per_epoch(self) -> int:
        """Batches of an epoch for each of as many processes as there are now."""
        return self._length(self.world_size)

    @property
    def num_left_out(self) -> int:
        """Number of samples that are never drawn for want of a positive."""
        return len(self.left_out)

    def __len__(self) -> int:
        return self.batches_per_epoch

    def __iter__(self) -> Iterator[list[int]]:
        # up to the first batch nothing changes: a DataLoader with workers makes two iterators and uses one
        rank, world_size = self._processes.of_a_pass()
        length = self._length(world_size)
        if not self._has_begun and self._counted_in not in (None, world_size):
            raise ValueError(
                f"state: wanted world_size {world_size} as in this sampler, got {self._counted_in}"
            )
        if self._has_begun or self._position == length:
            self.epoch, self._position = self.epoch + 1, 0
        self._has_begun, self._is_chosen, self._counted_in = True, False, world_size
        self._runs += 1
        run, begin = self._runs, self._position
        plan = self._plan(self.epoch, rank, world_size)
        for _ in range(begin):
            plan.batch()
        for position in range(begin, length):
            batch = self._samples.positions(plan.batch()).tolist()
            if run == self._runs:
                self._position = position + 1
            yield batch

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next pass yields.

        The rest of an epoch that ``load_state_dict`` restored stays the rest where ``epoch`` is its number. Another
        number gives it up with a warning, as it does an epoch that was set before and has not begun: two loops then
        count the epochs.

        Raises:
            ValueError: no integer >= 0.
        """
        epoch = checked_integer("epoch", epoch, 0, 2**63 - 1)
        if not self._has_begun and epoch == self.epoch:
            return
        if self._is_chosen:
            warnings.warn(
                f"set_epoch({epoch}) gives up epoch {self.epoch} from batch {self._position} on, the place set or "
                "restored before, where no pass has begun: let one loop count the epochs, and where that is "
                f"accelerate's, call loader.set_epoch({self.epoch})",
                stacklevel=2,
            )
        self._move(epoch, 0)

    def state_dict(self, batches_done: int | None = None) -> dict[str, Any]:
        """Return the place in the epoch, and the settings it belongs to.

        Args:
            batches_done: batches of the epoch that the training has seen. None for those that the sampler has
                yielded, which is more where the workers of a DataLoader fetch ahead.

        Raises:
            ValueError: ``batches_done`` is no integer in 0..len(self).
        """
        world_size = self.world_size if self._counted_in is None else self._counted_in
        done = self._position
        if batches_done is not None:
            done = checked_position("batches_done", batches_done, self._length(world_size))
        settings = self._settings(world_size)
        return {"epoch": self.epoch, "batches_done": done, "settings": settings}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the place of a sampler with the same settings; the next pass yields the rest of its epoch.

        Raises:
            ValueError: the state belongs to other settings, or is none. Another number of processes is noticed when
                the next pass begins, if torch.distributed does not run yet.
        """
        if not isinstance(state, Mapping) or not isinstance(state.get("settings", {}), Mapping):
            raise ValueError(f"state: wanted what state_dict gives, got {shown(state)}")
        missing = {"epoch", "batches_done", "settings"} - set(state)
        if missing:
            raise ValueError(f"state: wanted what state_dict gives, got none of {sorted(missing)}")
        world_size = self.world_size
        if not self._processes.are_known:
            world_size = checked_integer(
                "state['settings']['world_size']", state["settings"].get("world_size"), 1
            )
        for name, value in self._settings(world_size).items():
            other = state["settings"].get(name)
            if other != value:
                raise ValueError(f"state: wanted {name} {value} as in this sampler, got {other}")
        epoch = checked_integer("state['epoch']", state["epoch"], 0)
        length = self._length(world_size)
        done = checked_position("state['batches_done']", state["batches_done"], length)
        self._move(epoch, done, world_size)

    def _move(self, epoch: int, position: int, counted_in: int | None = None) -> None:
        """Go to a place that is counted in batches of one of so many processes."""
        self.epoch, self._position, self._has_begun = epoch, position, False
        self._is_chosen, self._counted_in = True, counted_in
        self._runs += 1  # iterators made before no longer count

    def _length(self, world_size: int) -> int:
        self._check_reachable(world_size)
        if self._batches_per_epoch is not None:
            return self._batches_per_epoch
        return len(self._samples.groups.usable) // (self.batch_size * world_size)

    def _settings(self, world_size: int) -> dict[str, Any]:
        """What an epoch depends on; the rank is left out, so that one state serves all processes."""
        return {
            "labels": f"checksum {self._samples.checksum} of {len(self._samples)}",
            "batch_size": self.batch_size,
            "group_sizes": list(self.group_sizes),
            "world_size": world_size,
            "batches_per_epoch": self._length(world_size),
            "seed": self.seed,
        }

    def _plan(self, epoch: int, rank: int, world_size: int) -> EpochPlan:
        shared = np.random.default_rng((self.seed, epoch))
        groups = self._samples.groups
        samples = groups.share(rank, world_size, shared)
        entropy = np.random.SeedSequence((self.seed, epoch), spawn_key=(rank,))
        own = np.random.default_rng(entropy)
        return EpochPlan(groups, samples, self.group_sizes, self.batch_size, own)

    def _check_reachable(self, world_size: int) -> None:
        if world_size not in self._reachable:
            self._samples.check_reachable(self.batch_size, world_size)
            self._reachable.add(world_size)

    def _warn(self) -> None:
        if self.num_left_out and self._processes.is_first:
            groups = self._samples.groups
            level = groups.unit_level
            warnings.warn(
                f"{self.num_left_out} of {len(groups.class_of)} samples are left out: each is "
                f"the only one with its label, and group_sizes[{level}]={self.group_sizes[level]} asks for more",
                stacklevel=3,
            )

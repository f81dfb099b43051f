"""The sampler inside DataLoader, PML's trainers and two processes, and its memory."""

import gc
import itertools
import tracemalloc

import numpy as np
import pytest
import torch
import torch.distributed as dist
from pytorch_metric_learning.trainers import MetricLossOnly
from torch.utils.data import BatchSampler, DataLoader, Dataset

from pml_suprank import Hierarchy, losses
from pml_suprank.samplers import HierarchicalSampler
from tests.reference.batches import faults

TREE = Hierarchy.from_paths([f"{top}/{name}" for top in "abcd" for name in "pqrst"])
CLASSES = torch.arange(20).repeat(6)
GROUPS = (3, 2)
BATCH = 12


class Points(Dataset):
    """Random points with their class; the third entry says which sample it is."""

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.points = torch.randn(len(CLASSES), 8, generator=generator)

    def __len__(self):
        return len(CLASSES)

    def __getitem__(self, index):
        return self.points[index], CLASSES[index], index


def sampler(**options):
    return HierarchicalSampler(CLASSES, BATCH, GROUPS, hierarchy=TREE, **options)


def drawn(loader):
    return [indices.tolist() for _, _, indices in loader]


def test_it_is_what_loaders_expect():
    one = sampler()
    assert isinstance(one, BatchSampler)
    assert (one.batch_size, one.drop_last, len(one)) == (BATCH, True, len(CLASSES) // BATCH)
    assert len(DataLoader(Points(), batch_sampler=one)) == len(one)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_workers": 2},
        {"num_workers": 2, "persistent_workers": True},
        {"num_workers": 1, "prefetch_factor": 4},
    ],
    ids=str,
)
def test_loaders_get_every_epoch_from_its_first_batch(options):
    plain = sampler()
    epochs = [list(plain) for _ in range(3)]
    loader = DataLoader(Points(), batch_sampler=sampler(), **options)
    assert [drawn(loader) for _ in range(3)] == epochs


@pytest.mark.parametrize("num_workers", [0, 2])
def test_training_resumes_in_the_middle_of_an_epoch_whatever_was_fetched(num_workers):
    plain = sampler()
    epochs = [list(plain) for _ in range(3)]
    one = sampler()
    one.set_epoch(1)
    loader = DataLoader(Points(), batch_sampler=one, num_workers=num_workers)
    assert drawn(itertools.islice(loader, 4)) == epochs[1][:4]
    state = one.state_dict(batches_done=4)
    if num_workers == 0:
        assert one.state_dict() == state
    else:
        assert one.state_dict()["batches_done"] > 4
    other = sampler()
    other.load_state_dict(state)
    loader = DataLoader(Points(), batch_sampler=other, num_workers=num_workers)
    assert drawn(loader) == epochs[1][4:]
    assert drawn(loader) == epochs[2]


def train(one, num_epochs, iterations=None, num_workers=0):
    """Train with PML's trainer, and return which samples were in each iteration."""
    seen = []

    def get(batch):
        seen.append(batch[2].tolist())
        return batch[0], batch[1]

    def record(trainer):  # the trainer formats the loss next, and a tensor would warn
        trainer.losses["total_loss"] = trainer.losses["total_loss"].item()

    torch.manual_seed(0)
    model = torch.nn.Linear(8, 4)
    trainer = MetricLossOnly(
        models={"trunk": model},
        optimizers={"trunk_optimizer": torch.optim.SGD(model.parameters(), lr=0.1)},
        batch_size=BATCH,
        loss_funcs={"metric_loss": losses.SupHAPLoss(hierarchy=TREE)},
        dataset=Points(),
        sampler=one,
        iterations_per_epoch=iterations,
        dataloader_num_workers=num_workers,
        data_and_label_getter=get,
        data_device=torch.device("cpu"),
        end_of_iteration_hook=record,
    )
    trainer.train(num_epochs=num_epochs)
    return seen


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_pml_trainer_trains_on_these_batches(num_workers):
    plain = sampler()
    expected = [batch for _ in range(3) for batch in plain]
    assert train(sampler(), 3, num_workers=num_workers) == expected
    rows = TREE.expand(CLASSES).tolist()
    assert all(faults(batch, rows, GROUPS, BATCH) == [] for batch in expected)


def test_a_pml_trainer_may_have_epochs_of_another_length():
    plain = sampler()
    expected = [batch for _ in range(3) for batch in plain]
    assert train(sampler(), 2, iterations=13) == expected[:26]


def test_a_pml_trainer_called_once_an_epoch_gets_new_batches():
    plain, one = sampler(), sampler()
    expected = [list(plain) for _ in range(3)]
    assert [train(one, 1) for _ in range(3)] == expected


def in_process(rank, folder):
    """What one of two processes draws, without being told its rank."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    one = sampler()
    torch.save((one.rank, one.world_size, list(one)), folder / f"{rank}.pt")
    dist.barrier()  # the other one may still be connecting
    dist.destroy_process_group()


@pytest.mark.distributed
@pytest.mark.slow
def test_processes_find_their_rank_themselves(tmp_path):
    torch.multiprocessing.spawn(in_process, (tmp_path,), nprocs=2)
    results = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    assert [result[:2] for result in results] == [(0, 2), (1, 2)]
    for rank, (_, _, batches) in enumerate(results):
        assert batches == list(sampler(rank=rank, world_size=2))
    samples = [{index for batch in batches for index in batch} for _, _, batches in results]
    assert not samples[0] & samples[1]


def test_memory_does_not_grow_over_a_thousand_batches():
    """200,000 samples on seven levels; the thousand batches pass the end of an epoch."""
    classes = np.random.default_rng(0).permutation(200_000) % 20_000
    labels = np.stack([classes // 3**level for level in range(7)], 1)
    one = HierarchicalSampler(labels, 64, (2, 2, 1, 2, 1, 2, 2), batches_per_epoch=600)
    batches = itertools.chain.from_iterable(itertools.repeat(one))
    list(itertools.islice(batches, 100))
    tracemalloc.start()
    try:
        list(itertools.islice(batches, 10))
        sizes = []
        for _ in range(2):
            for _ in itertools.islice(batches, 600):
                pass
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert sizes[1] - sizes[0] < 1 << 20

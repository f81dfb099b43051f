"""The wrapper of this library: batches of any lengths, and memories that are those of one process."""

import warnings

import pytest
import torch
import torch.distributed as dist
from pytorch_metric_learning import miners
from pytorch_metric_learning.utils.distributed import DistributedLossWrapper as PMLWrapper

from pml_suprank import losses
from tests.losses.cases import DIM, TREE, batch, make
from tests.losses.test_distributed import WORLD, averaged, layer

pytestmark = [pytest.mark.distributed, pytest.mark.slow]
SHARES = slice(0, 15), slice(15, 24)
NAMES = ["SupAPLoss", "SupHAPLoss", "HAPPIERLoss", "CalibrationLoss", "BlackBoxAPLoss"]
SIZE = 40  # no multiple of 24


def step(loss_fn, share, name):
    """Return loss and gradient of a step of a process."""
    points, labels = batch(24)
    labels = TREE.expand(labels) if name == "SupHAPLoss" else labels
    model = layer()
    loss = loss_fn(model(points[share]), labels[share])
    loss.backward()
    return loss.detach(), averaged(model.weight.grad)


def memory_steps(memory, wrapped, share):
    """Return the losses of four steps and the memory after them; the third has a mask, the fourth a tuple."""
    found = []
    model = layer()
    for number in range(4):
        points, labels = batch(24, seed=number)
        embeddings = model(points[share])
        mask = (torch.arange(24) % 3 == 0)[share] if number == 2 else None
        pairs = None
        if number == 3:
            order = places(share)
            pairs = miners.MultiSimilarityMiner()(model(points), labels)
            pairs = [order[member] for member in pairs]
        found.append(wrapped(embeddings, labels[share], pairs, enqueue_mask=mask).detach())
    return torch.stack(found), memory.embedding_memory.clone(), memory.label_memory.clone()


def places(share):
    """Return where PML's joint batch, the own samples first, has each sample of the joint batch."""
    everything = torch.arange(24)
    own = everything[share]
    order = torch.cat([own, everything[~torch.isin(everything, own)]])
    return order.argsort()


def refusals(rank):
    points, labels = batch(12, seed=rank)
    wrapped = losses.DistributedLossWrapper(losses.SupAPLoss())
    told = {}
    for name, arguments in {
        "labels": (points, labels[:-1] if rank else labels),
        "width": (points[:, : DIM - rank], labels),
    }.items():
        with pytest.raises(ValueError, match="wanted") as caught:
            wrapped(*arguments)
        told[name] = str(caught.value)
    efficient = losses.DistributedLossWrapper(losses.SupAPLoss(), efficient=True)
    with pytest.raises(ValueError, match="drop_last") as caught:
        efficient(points[: 12 - rank], labels[: 12 - rank])
    told["efficient"] = str(caught.value)
    return told


def worker(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=WORLD
    )
    results = {}
    for name in NAMES:
        results[name] = step(losses.DistributedLossWrapper(make(name)), SHARES[rank], name)
    memory = losses.CrossBatchMemory(losses.SupHAPLoss(hierarchy=TREE), DIM, SIZE)
    results["memory"] = memory_steps(memory, losses.DistributedLossWrapper(memory), SHARES[rank])
    even = slice(rank * 12, rank * 12 + 12)
    wrappers = losses.DistributedLossWrapper, PMLWrapper
    for name in ("SupAPLoss", "CalibrationLoss", "SupHAPLoss"):
        results[f"efficient {name}"] = [
            step(each(make(name), efficient=True), even, "1-D labels") for each in wrappers
        ]
    rows = losses.DistributedLossWrapper(make("SupHAPLoss"), efficient=True)
    results["efficient SupHAPLoss"].append(step(rows, even, "SupHAPLoss"))
    results["refusals"] = refusals(rank)
    for name, size in (("multiple", 48), ("other", SIZE)):
        memory = PMLWrapper(losses.CrossBatchMemory(losses.SupAPLoss(), DIM, size))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(3):
                step(memory, even, name)
        results[name] = [str(each.message) for each in caught]
    torch.save(results, f"{folder}/{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gloo")
    torch.multiprocessing.spawn(worker, args=(str(folder),), nprocs=WORLD)
    return [torch.load(folder / f"{rank}.pt") for rank in range(WORLD)]


@pytest.mark.parametrize("name", NAMES)
def test_batches_of_unequal_length_equal_one_process(results, name):
    expected, gradient = step(make(name), slice(0, 24), name)
    assert gradient.abs().max() > 0
    for rank in range(WORLD):
        got, got_gradient = results[rank][name]
        torch.testing.assert_close(got / WORLD, expected, rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(got_gradient, gradient, rtol=1e-5, atol=1e-6)


def test_memories_of_any_size_are_those_of_one_process(results):
    memory = losses.CrossBatchMemory(losses.SupHAPLoss(hierarchy=TREE), DIM, SIZE)
    expected, *state = memory_steps(memory, memory, slice(0, 24))
    for rank in range(WORLD):
        got, *got_state = results[rank]["memory"]
        torch.testing.assert_close(got / WORLD, expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(got_state, state, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["SupAPLoss", "CalibrationLoss", "SupHAPLoss"])
def test_the_efficient_way_is_pmls(results, name):
    for rank in range(WORLD):
        ours, *others = results[rank][f"efficient {name}"]
        for other in others:  # PML's, and ours with labels of all levels
            torch.testing.assert_close(ours, other)


def test_all_processes_refuse_what_one_refuses(results):
    first, second = (results[rank]["refusals"] for rank in range(WORLD))
    assert second["labels"] == "labels: wanted 12 rows, got 11"
    assert first["labels"] == f"process 1: ValueError: {second['labels']}"
    assert first["width"] == second["width"]
    assert first["efficient"] == second["efficient"]
    assert "got [12, 11]" in first["efficient"]


def test_pmls_wrapper_and_a_memory_of_another_size_are_told_once(results):
    for rank in range(WORLD):
        assert results[rank]["multiple"] == []
        (message,) = results[rank]["other"]
        assert "wanted a multiple of the joint batch, 24, in several processes, got 40" in message


def test_one_process():
    with pytest.warns(UserWarning, match="non-distributed"):
        got, _ = step(losses.DistributedLossWrapper(make("SupAPLoss")), slice(0, 24), "SupAPLoss")
    torch.testing.assert_close(got, step(make("SupAPLoss"), slice(0, 24), "SupAPLoss")[0])

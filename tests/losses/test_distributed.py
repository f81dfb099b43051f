"""Two gloo processes with PML's wrapper give the loss and the gradient of one process."""

import pytest
import torch
import torch.distributed as dist
from pytorch_metric_learning import miners
from pytorch_metric_learning.utils.distributed import (
    DistributedLossWrapper,
    DistributedMinerWrapper,
)

from pml_suprank import losses
from tests.losses.cases import ALL_LOSSES, DIM, TREE, batch, make

pytestmark = [pytest.mark.distributed, pytest.mark.slow]
WORLD = 2
NAMES = [name for name in ALL_LOSSES if name != "CSLLoss"]


def layer():
    torch.manual_seed(5)
    return torch.nn.Linear(DIM, DIM)


def train_step(loss_fn, points, labels, model, steps=1):
    """Return the last loss and the model's gradient, as data-parallel training averages it."""
    for step in range(steps):
        model.zero_grad()
        loss = loss_fn(model(points.roll(step, 0)), labels.roll(step, 0))
        loss.backward()
    return loss.detach(), averaged(model.weight.grad)


def cases():
    """Yield the name of a case, its loss, its labels and how many steps it runs."""
    _, labels = batch(24)
    for name in NAMES:
        yield name, make(name), labels, 1
        yield f"{name}, 2-D labels", make(name), TREE.expand(labels), 1
    for name in ("SupHAPLoss", "HAPPIERLoss", "ROADMAPLoss"):
        yield f"memory of {name}", losses.CrossBatchMemory(make(name), DIM, 40), labels, 1


MEMORIES = {
    "SupAPLoss": {},
    "SupHAPLoss": {"storage_dtype": torch.float16},
    "HAPPIERLoss": {"warmup": 1},
    "ROADMAPLoss": {"batch_weight": 0.3},
}
SLOTS = torch.arange(24).roll(5) + 2


def memory_steps(name, shares):
    """Return loss and gradient of a fill and two steps with unequal shares, and the memory after it."""
    points, labels = batch(24)
    labels = TREE.expand(labels) if name == "SupHAPLoss" else labels
    memory = losses.DatasetMemory(make(name), 26, DIM, **MEMORIES[name])
    model = layer()
    passed = [(points[share][:8], labels[share][:8], SLOTS[share][:8]) for share in shares]
    memory.fill(passed, model)
    for step in range(2):
        model.zero_grad()
        mine = torch.cat([torch.arange(24)[share] for share in shares]).roll(step)
        loss = memory(model(points[mine]), labels[mine], SLOTS[mine])
        loss.backward()
    return loss.detach(), averaged(model.weight.grad), memory.state_dict()


def tuple_step(miner, mine):
    """Return loss and gradient of a step on the pairs that a miner found in the joint batch."""
    points, labels = batch(24)
    memory, model = losses.DatasetMemory(losses.SupAPLoss(), 26, DIM, warmup=1), layer()
    embeddings = model(points[mine])
    loss = memory(embeddings, labels[mine], SLOTS[mine], miner(embeddings, labels[mine]))
    loss.backward()
    return loss.detach(), averaged(model.weight.grad)


def refusals(rank):
    """Return what each process is told when one or both of them have a bad batch, and what is stored."""
    points, labels = batch(6, seed=rank)
    slots = torch.arange(6) + 6 * rank
    memory = losses.DatasetMemory(losses.SupAPLoss(), 12, DIM)
    attempts = {
        "index": (points, labels, slots + 6),
        "twice": (points, labels, slots - rank),
        "dtype": (points.half() if rank else points, labels, slots),
        "labels": (points, TREE.expand(labels) if rank else labels, slots),
    }
    told = {}
    for name, arguments in attempts.items():
        with pytest.raises(ValueError, match="wanted") as caught:
            memory(*arguments)
        told[name] = str(caught.value)
    with pytest.raises((ValueError, ZeroDivisionError)) as caught:
        memory.fill(
            [(points, labels, slots)], lambda data: data / (1 - rank) if rank == 0 else 1 // 0
        )
    told["pass"] = f"{caught.type.__name__}: {caught.value}"
    told["filled"] = memory.num_filled
    memory(points, labels, slots)
    return told


def averaged(gradient):
    """Return a gradient as data-parallel training averages it."""
    gradient = gradient.clone()
    if dist.is_initialized():
        dist.all_reduce(gradient)
        gradient /= WORLD
    return gradient


def worker(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=WORLD
    )
    points, _ = batch(24)
    results = {}
    for name, loss_fn, labels, steps in cases():
        mine = slice(rank * 12, rank * 12 + 12)
        wrapped = DistributedLossWrapper(loss_fn)
        results[name] = train_step(wrapped, points[mine], labels[mine], layer(), steps)
    # the efficient wrapper ranks all items for the own queries only
    _, labels = batch(24)
    for name in ("SupAPLoss[level=1]", "SupHAPLoss"):
        wrapped = DistributedLossWrapper(make(name), efficient=True)
        mine = slice(rank * 12, rank * 12 + 12)
        loss = wrapped(layer()(points[mine]), labels[mine]).detach()
        results[f"efficient {name}"] = loss, loss
    for name in MEMORIES:
        share = slice(0, 15) if rank == 0 else slice(15, 24)
        results[f"slots of {name}"] = memory_steps(name, [share])
    miner = DistributedMinerWrapper(miners.MultiSimilarityMiner())
    results["tuple"] = tuple_step(miner, torch.arange(24)[rank * 12 : rank * 12 + 12])
    results["refusals"] = refusals(rank)
    torch.save(results, f"{folder}/{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gloo")
    torch.multiprocessing.spawn(worker, args=(str(folder),), nprocs=WORLD)
    return [torch.load(folder / f"{rank}.pt") for rank in range(WORLD)]


@pytest.mark.parametrize("name", [name for name, *_ in cases()])
def test_two_processes_equal_one(results, name):
    loss_fn, labels, steps = next(rest for case, *rest in cases() if case == name)
    points, _ = batch(24)
    expected, gradient = train_step(loss_fn, points, labels, layer(), steps)
    assert gradient.abs().max() > 0
    for rank in range(WORLD):
        got, got_gradient = results[rank][name]
        # the wrapper multiplies by the world size what data-parallel training divides by it
        torch.testing.assert_close(got / WORLD, expected, rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(got_gradient, gradient, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["SupAPLoss[level=1]", "SupHAPLoss"])
def test_efficient_wrapper_ranks_everything_for_the_own_queries(results, name):
    points, labels = batch(24)
    embeddings = layer()(points)
    for rank in range(WORLD):
        mine = torch.arange(rank * 12, rank * 12 + 12)
        expected = make(name)(embeddings[mine], labels[mine], None, embeddings, labels, mine)
        got, _ = results[rank][f"efficient {name}"]
        torch.testing.assert_close(got / WORLD, expected.detach(), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", MEMORIES)
def test_a_memory_of_samples_in_two_processes_equals_one(results, name):
    expected, gradient, state = memory_steps(name, [slice(0, 15), slice(15, 24)])
    assert gradient.abs().max() > 0
    assert state["is_filled"].sum() == 24
    for rank in range(WORLD):
        got, got_gradient, got_state = results[rank][f"slots of {name}"]
        torch.testing.assert_close(got / WORLD, expected, rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(got_gradient, gradient, rtol=1e-5, atol=1e-6)
        for key, value in state.items():
            if torch.is_tensor(value):
                tolerance = {"rtol": 1e-5, "atol": 1e-3 if value.dtype == torch.float16 else 1e-6}
                torch.testing.assert_close(got_state[key], value, **tolerance)
                assert torch.equal(got_state[key], results[0][f"slots of {name}"][2][key])
            else:
                assert got_state[key] == value


def test_tuples_of_the_joint_batch_reach_a_memory_of_samples(results):
    expected, gradient = tuple_step(miners.MultiSimilarityMiner(), torch.arange(24))
    assert gradient.abs().max() > 0
    for rank in range(WORLD):
        got, got_gradient = results[rank]["tuple"]
        torch.testing.assert_close(got / WORLD, expected, rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(got_gradient, gradient, rtol=1e-5, atol=1e-6)


def test_all_processes_refuse_what_one_refuses(results):
    first, second = (results[rank]["refusals"] for rank in range(WORLD))
    assert second["index"].startswith("indices: wanted 0..11, got 12..17")
    assert first["index"] == f"process 1: ValueError: {second['index']}"
    assert first["twice"] == second["twice"]
    assert "got 1 more often, the first 5" in first["twice"]
    for name in ("dtype", "labels"):
        assert first[name] == second[name]
        assert first[name].startswith("process 1: wanted")
    assert second["pass"].startswith("ZeroDivisionError")
    assert first["pass"].startswith("ValueError: process 1: ZeroDivisionError")
    assert first["filled"] == second["filled"] == 0

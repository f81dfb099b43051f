"""Two gloo processes with PML's wrapper give the loss and the gradient of one process."""

import pytest
import torch
import torch.distributed as dist
from pytorch_metric_learning.utils.distributed import DistributedLossWrapper

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
    gradient = model.weight.grad.clone()
    if dist.is_initialized():
        dist.all_reduce(gradient)
        gradient /= WORLD
    return loss.detach(), gradient


def cases():
    """Yield the name of a case, its loss, its labels and how many steps it runs."""
    _, labels = batch(24)
    for name in NAMES:
        yield name, make(name), labels, 1
        yield f"{name}, 2-D labels", make(name), TREE.expand(labels), 1
    for name in ("SupHAPLoss", "HAPPIERLoss", "ROADMAPLoss"):
        yield f"memory of {name}", losses.CrossBatchMemory(make(name), DIM, 40), labels, 1


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

"""Two gloo processes with PML's wrappers mine, and train on, what one process does."""

import pytest
import torch
import torch.distributed as dist
from pytorch_metric_learning import losses as pml_losses
from pytorch_metric_learning.utils.distributed import (
    DistributedLossWrapper,
    DistributedMinerWrapper,
)

from pml_suprank import losses
from tests.losses.cases import DIM, TREE, batch
from tests.losses.test_distributed import averaged, layer
from tests.miners.problems import MINERS, as_set

pytestmark = [pytest.mark.distributed, pytest.mark.slow]
WORLD, SIZE = 2, 24
LOSSES = {
    "TripletMarginLoss": lambda: pml_losses.TripletMarginLoss(margin=0.3),
    "ContrastiveLoss": lambda: pml_losses.ContrastiveLoss(),
    "MultiSimilarityLoss": lambda: pml_losses.MultiSimilarityLoss(),
    "SupHAPLoss": lambda: losses.SupHAPLoss(hierarchy=TREE),
}


def forms():
    """Yield the loss, and whether the labels are 2-D."""
    for loss in LOSSES:
        yield loss, False
    yield "SupHAPLoss", True


def step(miner, loss_fn, rows, two_dimensional):
    """Return loss, gradient and what was mined, for the rows of the joint batch that are ours."""
    points, labels = batch(SIZE)
    labels = (TREE.expand(labels) if two_dimensional else labels)[rows]
    model = layer()
    embeddings = model(points[rows])
    pairs = miner(embeddings.detach(), labels)
    loss = loss_fn(embeddings, labels, pairs)
    loss.backward()
    return loss.detach(), averaged(model.weight.grad), pairs


def memory_step(loss_fn, rows):
    """Return loss and gradient of the second step of a memory with a miner of its own."""
    points, labels = batch(SIZE)
    model = layer()
    for turn in range(2):
        model.zero_grad()
        loss = loss_fn(model(points.roll(turn, 0)[rows]), labels.roll(turn, 0)[rows])
        loss.backward()
    return loss.detach(), averaged(model.weight.grad)


def memory_of(loss, miner):
    return losses.CrossBatchMemory(LOSSES[loss](), DIM, 60, miner=MINERS[miner](hierarchy=TREE))


def worker(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=WORLD
    )
    share = SIZE // WORLD
    rows = torch.arange(rank * share, (rank + 1) * share)
    results = {}
    for name in MINERS:
        for loss, two_dimensional in forms():
            miner = DistributedMinerWrapper(MINERS[name](hierarchy=TREE))
            wrapped = DistributedLossWrapper(LOSSES[loss]())
            results[name, loss, two_dimensional] = step(miner, wrapped, rows, two_dimensional)
        for loss in LOSSES:
            results[name, loss] = memory_step(DistributedLossWrapper(memory_of(loss, name)), rows)
        points, labels = batch(SIZE)
        efficient = DistributedMinerWrapper(MINERS[name](hierarchy=TREE), efficient=True)
        results[name] = efficient(points[rows], labels[rows])
    torch.save(results, f"{folder}/{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gloo")
    torch.multiprocessing.spawn(worker, args=(str(folder),), nprocs=WORLD)
    return [torch.load(folder / f"{rank}.pt") for rank in range(WORLD)]


def joint_order(rank):
    """Return the rows of the joint batch in the order in which PML's wrapper gives them to a process."""
    return torch.arange(SIZE).roll(-rank * SIZE // WORLD)


@pytest.mark.parametrize("name", MINERS)
@pytest.mark.parametrize(("loss", "two_dimensional"), list(forms()))
def test_two_processes_mine_and_train_as_one(results, name, loss, two_dimensional):
    expected, gradient, mined = step(
        MINERS[name](hierarchy=TREE), LOSSES[loss](), torch.arange(SIZE), two_dimensional
    )
    assert gradient.abs().max() > 0
    for rank in range(WORLD):
        got, got_gradient, pairs = results[rank][name, loss, two_dimensional]
        order = joint_order(rank)
        half = len(pairs) // 2 if len(pairs) == 4 else len(pairs)
        for columns in (slice(0, half), slice(half, None)):
            assert as_set([order[column] for column in pairs[columns]]) == as_set(mined[columns])
        torch.testing.assert_close(got / WORLD, expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(got_gradient, gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", MINERS)
@pytest.mark.parametrize("loss", LOSSES)
def test_a_memory_with_a_miner_in_two_processes_is_as_in_one(results, name, loss):
    expected, gradient = memory_step(memory_of(loss, name), torch.arange(SIZE))
    assert gradient.abs().max() > 0
    for rank in range(WORLD):
        got, got_gradient = results[rank][name, loss]
        torch.testing.assert_close(got / WORLD, expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(got_gradient, gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["triplets", "hard", "pairs", "multi_similarity"])
def test_the_efficient_wrapper_mines_for_the_own_anchors(results, name):
    points, labels = batch(SIZE)
    mined = MINERS[name](hierarchy=TREE)(points, labels)
    half = 3 if len(mined) == 3 else 2
    share = SIZE // WORLD
    for rank in range(WORLD):
        pairs, order = results[rank][name], joint_order(rank)
        for columns in (slice(0, half), slice(half, None)):
            got = as_set([order[column] for column in pairs[columns]])
            own = [row for row in as_set(mined[columns]) if row[0] // share == rank]
            assert got == own

"""torch.compile: the loss runs as it is, between compiled parts that are not compiled again for other labels."""

import pytest
import torch
from pytorch_metric_learning import losses as pml_losses
from pytorch_metric_learning.miners import MultiSimilarityMiner
from torch._dynamo.utils import counters

from pml_suprank import functional as F
from pml_suprank import losses, miners
from tests.losses.cases import ALL_LOSSES, DIM, TREE, batch, make

# the compiler reads it of every tensor that comes out of a part that it leaves alone
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")
SLOTS = 100


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.config.error_on_recompile = False
    torch._dynamo.reset()


def num_graphs():
    return counters["stats"].get("unique_graphs", 0)


def steps_of(loss_fn, miner=None, *, with_indices=False, backend=None, parts=False):
    """Return the losses and the last weights of a run; with a backend the step is compiled, or model and loss are.

    From the second batch on, and again from the second one of another size on, a compilation is an error.
    """
    torch.manual_seed(0)
    model = torch.nn.Linear(DIM, DIM)
    optimizer = torch.optim.SGD([*model.parameters(), *loss_fn.parameters()], lr=0.1)
    used = (model, loss_fn)
    if parts:
        used = tuple(torch.compile(part, backend=backend) for part in used)

    def step(embeddings, labels, indices):
        optimizer.zero_grad()
        output = used[0](embeddings)
        if miner is not None:
            loss = used[1](output, labels, miner(output, labels))
        elif with_indices:
            loss = used[1](output, labels, indices)
        else:
            loss = used[1](output, labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    if backend is not None and not parts:
        step = torch.compile(step, backend=backend)
    found, indices = [], torch.randperm(SLOTS)
    for number in range(6):
        embeddings, labels = batch(24 if number < 3 else 20, seed=number)
        # a miner's tuple has another length with every batch: once more for that
        settled = number % 3 >= (2 if miner else 1)
        torch._dynamo.config.error_on_recompile = settled
        before = num_graphs()
        found.append(step(embeddings, labels, indices[: len(labels)]))
        assert not settled or num_graphs() == before
    torch._dynamo.config.error_on_recompile = False
    return torch.stack(found), model.weight.detach()


def check(make_loss, make_miner=lambda: None, **options):
    backend = options.pop("backend", "aot_eager")
    expected = steps_of(make_loss(), make_miner(), **options)
    for parts in (False, True):
        got = steps_of(make_loss(), make_miner(), backend=backend, parts=parts, **options)
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
        assert num_graphs() > 0


@pytest.mark.parametrize("name", ALL_LOSSES)
def test_a_step_of_every_loss(name):
    check(lambda: make(name))


@pytest.mark.parametrize("name", ["SupAPLoss", "HAPPIERLoss"])
def test_without_an_autograd_compiler(name):
    check(lambda: make(name), backend="eager")


@pytest.mark.slow
def test_with_the_default_compiler():
    check(lambda: make("HAPPIERLoss"), backend="inductor")


@pytest.mark.parametrize("backend", ["blocked", "fast"])
def test_references_and_other_backends(backend):
    check(lambda: losses.CrossBatchMemory(make("SupHAPLoss", backend=backend), DIM, 60))


MEMORIES = {
    "queue": lambda: losses.CrossBatchMemory(make("SupAPLoss"), DIM, 60),
    "queue with a miner": lambda: losses.CrossBatchMemory(
        make("SupAPLoss"), DIM, 60, miners.HierarchicalTripletMiner(hierarchy=TREE)
    ),
    "queue of PML's loss and miner": lambda: losses.CrossBatchMemory(
        pml_losses.TripletMarginLoss(), DIM, 60, MultiSimilarityMiner()
    ),
    "queue with warmup": lambda: losses.CrossBatchMemory(
        make("HAPPIERLoss"), DIM, 60, warmup=2, batch_weight=0.5
    ),
    "data set": lambda: losses.DatasetMemory(make("SupHAPLoss"), SLOTS, DIM),
    "data set, PML's loss": lambda: losses.DatasetMemory(pml_losses.ContrastiveLoss(), SLOTS, DIM),
}


@pytest.mark.parametrize("name", MEMORIES)
def test_memories(name):
    check(MEMORIES[name], with_indices=name.startswith("data set"))


MINERS = {
    "triplets": lambda: miners.HierarchicalTripletMiner(hierarchy=TREE, collect_stats=True),
    "pairs": lambda: miners.HierarchicalPairMiner(hierarchy=TREE),
    "multi-similarity": lambda: miners.HierarchicalMultiSimilarityMiner(hierarchy=TREE),
}


@pytest.mark.parametrize("name", MINERS)
def test_miners(name):
    expected = steps_of(make("SupAPLoss"), MINERS[name]())
    got = steps_of(make("SupAPLoss"), MINERS[name](), backend="aot_eager")
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


def test_recorded_statistics_and_mixup():
    check(lambda: make("SupAPLoss", collect_stats=True))
    check(lambda: losses.SupRecallLoss(mixup=True))


FUNCTIONS = {
    "ranks": lambda s, x: F.ranks(s, x, surrogate=F.SmoothRank()).rank,
    "average_precision": lambda s, x: F.average_precision(s, x > 0, surrogate=F.SupRank()),
    "hierarchical": lambda s, x: F.hierarchical_average_precision(
        s, x, x.double(), surrogate=F.SupRank()
    ),
    "ndcg": lambda s, x: F.ndcg(s, x, x.double(), surrogate=F.SupRank()),
    "recall": lambda s, x: F.recall_surrogate(s, x > 0, surrogate=F.SupRank()),
    "blackbox": lambda s, x: F.blackbox_average_precision(s, x > 0),
    "soft bins": lambda s, x: F.soft_bin_average_precision(s, x > 0),
    "contrastive": lambda s, x: F.hierarchical_contrastive(s, x, level_weights=(2.0, 1.0)),
    "triplets": lambda s, x: F.triplet_hinge_sums(s, x, margins=(0.1, 0.2)).total,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_within_a_compiled_function(name):
    def total(scores, levels):
        return (2 * FUNCTIONS[name](scores, levels)).sum()

    compiled = torch.compile(total, backend="aot_eager")
    for number in range(4):
        scores = torch.randn(6, 20 if number < 2 else 30, requires_grad=True)
        levels = torch.randint(0, 3, scores.shape)
        torch._dynamo.config.error_on_recompile = number % 2 == 1
        results = [
            (value, *torch.autograd.grad(value, scores))
            for value in (function(scores, levels) for function in (compiled, total))
        ]
        torch.testing.assert_close(*results)


def test_the_whole_graph_is_refused():
    compiled = torch.compile(make("SupAPLoss"), backend="eager", fullgraph=True)
    with pytest.raises(torch._dynamo.exc.Unsupported, match="skipped|disable"):
        compiled(*batch())

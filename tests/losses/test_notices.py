"""What a loss says once: references that repeat the batch, and proxies that nobody trains."""

import copy
import pickle
import warnings

import pytest
import torch
from pytorch_metric_learning import losses as pml_losses
from pytorch_metric_learning.utils import loss_and_miner_utils as lmu

from pml_suprank import losses
from tests.losses.cases import DIM, PAIR_LOSSES, RANK_LOSSES, batch, make

COMPARE = RANK_LOSSES | PAIR_LOSSES


def told(record, what):
    return [str(each.message) for each in record if what in str(each.message)]


@pytest.fixture
def record():
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        yield found


COPIES = "query is its own positive"


@pytest.mark.parametrize("name", COMPARE)
def test_references_that_are_the_batch_are_told_of_once(name, record):
    embeddings, labels = batch()
    loss_fn = make(name)
    for _ in range(3):
        loss_fn(embeddings, labels, ref_emb=embeddings.clone(), ref_labels=labels)
    (message,) = told(record, COPIES)
    assert "Leave ref_emb out" in message
    assert "self_indices=torch.arange" in message
    own = torch.arange(len(labels))
    told_where = make(name)(embeddings, labels, None, embeddings.clone(), labels, own)
    torch.testing.assert_close(told_where, make(name)(embeddings, labels))


@pytest.mark.parametrize("name", ["SupAPLoss", "CalibrationLoss", "ROADMAPLoss", "HAPPIERLoss"])
@pytest.mark.parametrize(
    "case",
    [
        "more after them",
        "the batch",
        "other rows",
        "other labels",
        "fewer",
        "places",
        "pairs",
        "self",
    ],
)
def test_when_copies_are_told_of(name, case, record):
    embeddings, labels = batch()
    other, other_labels = batch(30, seed=5)
    options = {"include_self": True} if case == "self" and name != "CalibrationLoss" else {}
    loss_fn = make(name, **options)
    loss_fn(embeddings, labels)
    arguments = {
        "more after them": (
            None,
            torch.cat([embeddings, other]),
            torch.cat([labels, other_labels]),
        ),
        "the batch": (None, embeddings, labels),
        "other rows": (None, other, other_labels),
        "other labels": (None, embeddings.clone(), labels.flip(0)),
        "fewer": (None, embeddings[:20].clone(), labels[:20]),
        "places": (None, embeddings.clone(), labels, torch.arange(24)),
        "pairs": (lmu.get_all_pairs_indices(labels), embeddings.clone(), labels),
        "self": (None, embeddings.clone(), labels),
    }[case]
    loss_fn(embeddings, labels, *arguments)
    expected = case == "more after them" or (case == "self" and not options)
    assert len(told(record, COPIES)) == expected


@pytest.mark.parametrize("name", COMPARE)
@pytest.mark.parametrize("with_ignored", [False, True])
def test_references_that_are_the_embeddings_need_no_telling(name, with_ignored, record):
    embeddings, labels = batch()
    options = {}
    if with_ignored:
        labels[::5], options = -1, {"ignore_index": -1}
    expected = make(name, **options)(embeddings, labels)
    for ref_labels in (labels, labels.clone(), labels.tolist()):
        got = make(name, **options)(embeddings, labels, ref_emb=embeddings, ref_labels=ref_labels)
        torch.testing.assert_close(got, expected)
    assert told(record, COPIES) == []


@pytest.mark.parametrize("name", [*COMPARE, "HAPPIERLoss", "DecomposableRankLoss"])
def test_places_without_references_are_those_of_the_batch(name):
    embeddings, labels = batch()
    got = make(name)(embeddings, labels, self_indices=torch.arange(len(labels)))
    torch.testing.assert_close(got, make(name)(embeddings, labels))


def test_memories_know_the_places(record):
    embeddings, labels = batch()
    losses.CrossBatchMemory(losses.SupAPLoss(), DIM, 24)(embeddings, labels)
    losses.DatasetMemory(losses.SupAPLoss(), 24, DIM)(embeddings, labels, torch.arange(24))
    assert told(record, COPIES) == []


PROXIES = {
    "ProxyClusterLoss": lambda: make("ProxyClusterLoss"),
    "CSLLoss": lambda: make("CSLLoss"),
    "HAPPIERLoss": lambda: make("HAPPIERLoss"),
    "one of PML": lambda: losses.DecomposableRankLoss(
        losses.SupAPLoss(), pml_losses.ProxyAnchorLoss(6, DIM)
    ),
    "in a memory": lambda: losses.CrossBatchMemory(make("HAPPIERLoss"), DIM, 40),
}
UNTRAINED = "no optimizer holds"


def train(loss_fn, optimizers, steps=30, *, every=1, clear=None):
    """Train a layer; ``optimizers`` step every so many batches."""
    layer = torch.nn.Linear(DIM, DIM)
    optimizers = [torch.optim.SGD(layer.parameters(), 0.01), *optimizers]
    for step in range(steps):
        embeddings, labels = batch(seed=step)
        loss_fn(layer(embeddings), labels).backward()
        if (step + 1) % every == 0:
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
        if clear is not None:
            clear()


@pytest.mark.parametrize("name", PROXIES)
def test_untrained_proxies_are_told_of_once(name, record):
    loss_fn = PROXIES[name]()
    train(loss_fn, [], 19)
    assert told(record, UNTRAINED) == []
    train(loss_fn, [], 25)
    (message,) = told(record, UNTRAINED)
    assert "metric_loss_optimizer" in message
    assert "parameters() to an optimizer" in message


@pytest.mark.parametrize("name", PROXIES)
@pytest.mark.parametrize("kind", ["Adam", "SGD"])
def test_trained_proxies_are_not(name, kind, record):
    loss_fn = PROXIES[name]()
    train(loss_fn, [getattr(torch.optim, kind)(loss_fn.parameters(), 0.01)], 25)
    assert told(record, UNTRAINED) == []


class WritesToData:
    """As optimizers from before torch 0.4 do, which leaves no version behind; no torch.optim.Optimizer."""

    def __init__(self, parameters):
        self.parameters = list(parameters)

    def step(self):
        for parameter in self.parameters:
            parameter.data.add_(parameter.grad.data, alpha=-0.01)

    def zero_grad(self):
        pass


@pytest.mark.parametrize(
    "case",
    [
        "accumulation",
        "skipped steps",
        "frozen",
        "evaluation",
        "no gradients",
        "data",
        "few steps",
        "nothing trains",
    ],
)
def test_no_false_alarm(case, record, monkeypatch):
    loss_fn = make("ProxyClusterLoss")
    optimizer = torch.optim.Adam(loss_fn.parameters(), 0.01)
    if case == "accumulation":
        train(loss_fn, [optimizer], 90, every=64)
    elif case == "skipped steps":  # as GradScaler does while it looks for its scale
        optimizer.step = lambda: None
        optimizer.zero_grad = lambda: None
        train(loss_fn, [optimizer], 60)
    elif case == "frozen":
        del optimizer
        train(loss_fn.requires_grad_(False), [], 60)
    elif case == "evaluation":
        del optimizer
        train(loss_fn, [], 10)
        loss_fn.eval()
        train(loss_fn, [], 60)
    elif case == "no gradients":
        del optimizer
        train(loss_fn, [], 60, clear=loss_fn.zero_grad)
    elif case == "data":
        del optimizer
        train(loss_fn, [WritesToData(loss_fn.parameters())], 60)
    elif case == "nothing trains":  # a benchmark, say
        monkeypatch.setattr("pml_suprank.losses.untrained.gc.get_objects", lambda: [loss_fn])
        train(loss_fn, [], 60)
    else:
        del optimizer
        train(loss_fn, [], 20)
    assert told(record, UNTRAINED) == []


def test_the_notices_do_not_hinder_copies_or_states(record):
    loss_fn = make("ProxyClusterLoss")
    names = set(loss_fn.state_dict())
    train(loss_fn, [], 5)
    assert set(loss_fn.state_dict()) == names
    for other in (copy.deepcopy(loss_fn), pickle.loads(pickle.dumps(loss_fn))):
        train(other, [], 40)
    assert len(told(record, UNTRAINED)) == 2

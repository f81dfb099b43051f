"""What a step gives the host of a GPU to do: operations, and times that it waits."""

import functools
import logging
import warnings

import pytest
import torch

from pml_suprank import Hierarchy, losses
from pml_suprank.functional import ranking
from pml_suprank.functional._backends import fused
from pml_suprank.hierarchy import labels as label_forms
from pml_suprank.relevance import WeightedRelevance
from tests.synchronisations import Counted

MOST_WAITS = 3
"""For embeddings and labels; for queries with positives; for scores and levels. All of PML's own wait as well."""
CLASSES = torch.arange(256) // 4
ROWS = torch.stack([CLASSES, CLASSES // 4, CLASSES // 16], dim=1)
SELF = torch.arange(256)
STEPS = {
    # operations without views, measured plus a tenth; before labels were checked once and most values stayed on the
    # device they were 156, 143, 107 and 270, with 9, 9, 5 and 14 waits
    "SupHAP": (losses.SupHAPLoss, (ROWS,), 92),
    "SupHAP, hierarchy": (
        functools.partial(losses.SupHAPLoss, hierarchy=Hierarchy.from_labels(ROWS)),
        (CLASSES,),
        99,
    ),
    "SupAP": (losses.SupAPLoss, (CLASSES,), 81),
    "SupNDCG": (losses.SupNDCGLoss, (ROWS,), 115),
    "SupRecall": (losses.SupRecallLoss, (CLASSES,), 88),
    "SmoothHAP": (losses.SmoothHAPLoss, (ROWS,), 92),
    "HAPPIER": (functools.partial(losses.HAPPIERLoss, 64, 32), (ROWS,), 196),
}


@pytest.fixture
def on_a_gpu(monkeypatch):
    """Let ``auto`` find that the fused kernels run, and put nothing in their place: they count as one operation."""

    def ranks(scores, levels, relevance, query, item, form, step):
        ones = torch.ones_like(query, dtype=scores.dtype)
        return ones, ones if relevance is not None else ones[:0], ones, ones[:0]

    monkeypatch.setattr(fused, "why_no_kernels", lambda device: None)
    monkeypatch.setattr(fused, "fused_ranks", ranks)
    monkeypatch.setattr(fused, "fused_ranks_backward", lambda scores, *_: scores.clone())
    monkeypatch.setattr(ranking, "_logged", set())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*'cuda', but CUDA is not available")
        yield


def embeddings(size=256):
    return torch.randn(size, 32, generator=torch.Generator().manual_seed(size), requires_grad=True)


def step(loss_fn, *arguments):
    """Return what one value and gradient take on a GPU, once warm."""
    for _ in range(2):
        with Counted() as counted:
            loss_fn(embeddings(), *arguments).backward()
    return counted


@pytest.mark.parametrize("name", STEPS)
def test_a_step_in_the_batch(name, on_a_gpu):
    make, labels, most_kernels = STEPS[name]
    counted = step(make(), *(each.clone() for each in labels))
    assert counted.num_waits <= MOST_WAITS + 2 * (name == "HAPPIER"), counted.waits
    assert counted.num_kernels <= most_kernels, counted.kernels


def test_a_relevance_of_ones_own_is_looked_at_once(on_a_gpu):
    counted = step(losses.SupHAPLoss(relevance=WeightedRelevance(by_level=[3, 2, 1])), ROWS.clone())
    assert counted.num_waits <= MOST_WAITS, counted.waits
    own = losses.SupHAPLoss(relevance=lambda counts: torch.ones_like(counts).cumsum(1) - 1.0)
    assert step(own, ROWS.clone()).num_waits <= MOST_WAITS + 1
    wrong = losses.SupHAPLoss(relevance=lambda counts: counts * torch.nan)
    with pytest.raises(ValueError, match="relevance: wanted finite entries"), Counted():
        wrong(embeddings(), ROWS)


def test_labels_on_the_host_are_copied_once(on_a_gpu):
    for loss_fn, labels in ((losses.SupHAPLoss(), ROWS), (losses.SupAPLoss(), CLASSES)):
        with Counted() as counted:
            loss_fn(embeddings(), counted.host(labels)).backward()
        assert counted.num_waits <= MOST_WAITS + 1, counted.waits


@pytest.mark.parametrize("of_memory", [False, True])
def test_a_step_against_references(of_memory, on_a_gpu):
    arguments = ROWS.clone(), None, embeddings(512), torch.cat([ROWS, ROWS])
    arguments += (SELF,) * of_memory
    counted = step(losses.SupHAPLoss(), *arguments)
    assert counted.num_waits <= MOST_WAITS, counted.waits
    assert counted.num_kernels <= 129, counted.kernels


def test_a_miners_tuple_is_looked_at_with_the_rest(on_a_gpu):
    pairs = (
        torch.arange(0, 256, 4),
        torch.arange(1, 256, 4),
        torch.arange(0, 256, 2),
        SELF[:128].flip(0),
    )
    counted = step(losses.SupAPLoss(), CLASSES.clone(), pairs)
    assert counted.num_waits <= MOST_WAITS, counted.waits


def test_labels_are_checked_once(on_a_gpu, monkeypatch):
    checked = []
    is_tree = label_forms.is_tree
    monkeypatch.setattr(label_forms, "is_tree", lambda rows: checked.append(1) or is_tree(rows))
    labels, loss_fn = ROWS.clone(), losses.HAPPIERLoss(64, 32)
    expanding = losses.SupHAPLoss(hierarchy=Hierarchy.from_labels(ROWS))
    checked.clear()
    step(loss_fn, labels)
    assert len(checked) == 1
    labels[0] = labels[1]
    step(loss_fn, labels)
    assert len(checked) == 2
    step(expanding, CLASSES)
    assert len(checked) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((ROWS.index_fill(0, SELF[:1], 5),), "labels: wanted a tree"),
        ((ROWS, [SELF[:2], SELF[:2] + 300, SELF[:2]]), r"wanted indices in 0..255, got 300..301"),
        (
            (ROWS, None, torch.full((4, 32), torch.nan), ROWS[:4]),
            "ref_emb: wanted finite .* 4 of 4",
        ),
        (
            (ROWS, None, torch.ones(4, 32), ROWS[:4], SELF),
            "self_indices: .* the 4 references, got .*255",
        ),
        (
            (ROWS, None, torch.ones(4, 32), torch.tensor([[0, 9, 9]] * 4)),
            "labels and ref_labels: wanted a tree",
        ),
    ],
)
@pytest.mark.parametrize("gpu", [False, True])
def test_bad_input_is_refused_at_the_one_look(arguments, message, gpu, on_a_gpu):
    with pytest.raises(ValueError, match=message), Counted(pretend=gpu):
        losses.SupHAPLoss()(embeddings(), *arguments)


def test_classes_that_the_hierarchy_lacks(on_a_gpu):
    loss_fn = losses.HAPPIERLoss(hierarchy=Hierarchy.from_labels(ROWS), embedding_size=32)
    with pytest.raises(ValueError, match="labels: .* got 1 unknown: 64"), Counted():
        loss_fn(embeddings(), CLASSES.index_fill(0, SELF[:3], 64))
    with (
        pytest.raises(ValueError, match="wanted finite numbers, got NaN or infinity in 256"),
        Counted(),
    ):
        loss_fn(embeddings() * torch.inf, CLASSES)
    with pytest.raises(ValueError, match="wanted classes 0..9 at level 0, got 0..63"), Counted():
        losses.ProxyClusterLoss(10, 32)(embeddings(), CLASSES)


def test_large_finite_numbers_are_taken(on_a_gpu):
    with Counted():
        loss = losses.SupAPLoss()(embeddings().detach().abs() * 1e37, CLASSES)
    assert loss.isfinite()


def test_the_choice_is_logged_once_and_costs_nothing_then(on_a_gpu, caplog):
    caplog.set_level(logging.INFO, "pml_suprank")
    for loss_fn in (losses.SupAPLoss(), losses.SupAPLoss(), losses.SupHAPLoss()):
        step(loss_fn, CLASSES)
    (record,) = caplog.records
    assert "'auto' takes 'fused' on cuda: 256 queries, 256 items" in record.message


def test_the_count_sees_waits():
    x = torch.arange(4.0)
    for wait in (
        lambda: x.sum().item(),
        lambda: bool(x.sum() > 0),
        lambda: x.tolist(),
        lambda: x.cpu(),
        lambda: x.to("cpu"),
        lambda: x[x > 1],
        lambda: x.nonzero(),
        lambda: x.unique(),
        lambda: torch.equal(x, x + 1),
        lambda: x.repeat_interleave(torch.arange(4, device=x.device)),
        lambda: torch.tensor([1.0], device=x.device),
        lambda: torch.tensor([1.0]).to(x.device),
    ):
        with Counted() as counted:
            wait()
        assert counted.num_waits == 1, counted.waits
    with Counted() as counted:
        host = x.cpu()
        assert (host.device.type, x.device.type, x.is_cuda) == ("cpu", "cuda", True)
        host.tolist()
        torch.tensor([1.0]).to(x.device, non_blocking=True)
        torch.zeros(3, device=x.device) + x[:3].where(x[:3] > 0, 1.0)
        with pytest.raises(TypeError, match="can't convert"):
            x.numpy()
    assert counted.num_waits == 1, counted.waits
    assert counted.num_kernels > 3
    with Counted(pretend=False) as counted:
        assert x.device.type == "cpu"
        x.nonzero()
    assert counted.num_waits == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
@pytest.mark.parametrize("name", STEPS)
def test_waits_on_a_gpu(name):
    make, labels, _ = STEPS[name]
    loss_fn, labels = make().cuda(), [each.cuda() for each in labels]
    points = embeddings().detach().cuda().requires_grad_()
    loss_fn(points, *labels).backward()
    torch.cuda.synchronize()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            loss_fn(points, *labels).backward()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    waits = [each.filename for each in caught if "called a synchronizing" in str(each.message)]
    assert 0 < len(waits) <= 5, waits

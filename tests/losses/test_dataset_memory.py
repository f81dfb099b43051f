"""The memory against its definition, query by query, and through fills, saves and bad input."""

import copy

import pytest
import torch
from pytorch_metric_learning import losses as pml_losses
from pytorch_metric_learning import miners
from pytorch_metric_learning.reducers import DoNothingReducer
from pytorch_metric_learning.utils import loss_and_miner_utils as lmu
from pytorch_metric_learning.utils.distributed import DistributedLossWrapper
from torch.utils.data import DataLoader, Dataset

from pml_suprank import losses
from tests.losses.cases import (
    DIM,
    HIERARCHICAL_BASELINES,
    PAIR_LOSSES,
    RANK_LOSSES,
    TREE,
    batch,
    make,
)

OURS = [
    *RANK_LOSSES,
    *PAIR_LOSSES,
    *HIERARCHICAL_BASELINES,
    "HAPPIERLoss",
    "DecomposableRankLoss",
]
SIZE = 30


def memory_of(loss_fn, **options):
    return losses.DatasetMemory(loss_fn, SIZE, DIM, **options)


def data_set(form="1-D"):
    """Embeddings and labels of the whole training set."""
    points, labels = batch(SIZE)
    return points, labels if form == "1-D" else TREE.expand(labels)


def draws(count, size=10, seed=0):
    """Batches as slots of distinct samples, in no order."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randperm(SIZE, generator=generator)[:size] for _ in range(count)]


def states_equal(one, other):
    assert one.keys() == other.keys()
    for key, value in one.items():
        if torch.is_tensor(value):
            assert value.dtype == other[key].dtype, key
            assert torch.equal(value, other[key]), key
        else:
            assert value == other[key], key


def has_positive(loss_fn, labels, ref_labels):
    shared = TREE.common_levels(labels, ref_labels)
    least = 1 if loss_fn.level is None else 3 - loss_fn.level
    return bool((shared >= least).any())


@pytest.mark.parametrize("name", RANK_LOSSES)
@pytest.mark.parametrize("form", ["1-D", "2-D"])
def test_each_query_is_ranked_against_all_other_filled_slots(name, form):
    if name in ("SupAPLoss", "SmoothAPLoss", "SupRecallLoss", "SmoothRecallLoss"):
        loss_fn = make(name, level=0)
    else:
        loss_fn = make(name)
    memory_loss, (points, labels) = memory_of(loss_fn), data_set(form)
    stored = {}
    for step, slots in enumerate(draws(4)):
        embeddings = (points[slots] + 0.1 * step).requires_grad_()
        got = memory_loss(embeddings, labels[slots], slots)
        stored |= {int(slot): row.detach() for slot, row in zip(slots, embeddings, strict=True)}
        per_query = []
        for query, slot in enumerate(slots.tolist()):
            others = [other for other in stored if other != slot]
            if has_positive(loss_fn, labels[[slot]], labels[others]):
                refs = torch.stack([stored[other] for other in others])
                alone = loss_fn(
                    embeddings[[query]], labels[[slot]], ref_emb=refs, ref_labels=labels[others]
                )
                per_query.append(alone)
        expected = torch.stack(per_query).mean()
        torch.testing.assert_close(got, expected)
        gradients = [torch.autograd.grad(loss, embeddings)[0] for loss in (got, expected)]
        torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)
        assert memory_loss.num_filled == len(stored)
        for slot, row in stored.items():
            assert torch.equal(memory_loss.embedding_memory[slot], row)
            assert torch.equal(memory_loss.label_memory[slot], labels[slot])


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("form", ["1-D", "2-D"])
def test_a_memory_that_holds_everything_equals_the_loss_on_the_full_set(name, form):
    memory_loss, (points, labels) = memory_of(make(name)), data_set(form)
    everything = torch.randperm(SIZE)
    got = memory_loss(points[everything], labels[everything], everything)
    torch.testing.assert_close(got, make(name)(points, labels))


class Everything(miners.BaseMiner):
    """Mines all pairs or all triplets, a query and its own slot too."""

    def __init__(self, find):
        super().__init__()
        self.find = find

    def mine(self, embeddings, labels, ref_emb, ref_labels):
        return self.find(labels, None if ref_labels is labels else ref_labels)


MINERS = {
    "none": lambda: None,
    "multi similarity": miners.MultiSimilarityMiner,
    "pairs": lambda: Everything(lmu.get_all_pairs_indices),
    "triplets": lambda: Everything(lmu.get_all_triplets_indices),
}


@pytest.mark.parametrize("name", pml_losses.CrossBatchMemory.supported_losses())
@pytest.mark.parametrize("miner", MINERS)
def test_pml_losses_equal_their_memory_on_slots_in_order(name, miner):
    """Both memories hold the same rows where batches come in the order of their slots."""
    points, labels = data_set()
    miner = MINERS[miner]()
    queue = losses.CrossBatchMemory(getattr(pml_losses, name)(), DIM, SIZE, miner)
    slots_of = memory_of(getattr(pml_losses, name)(), miner=miner)
    for slots in [*torch.arange(SIZE).split(10), torch.arange(10)]:
        results = []
        for memory_loss, more in ((queue, ()), (slots_of, (slots,))):
            torch.manual_seed(0)
            leaf = points[slots].clone().requires_grad_()
            loss = memory_loss(leaf, labels[slots], *more)
            loss.backward()
            results.append((loss.detach(), leaf.grad))
        torch.testing.assert_close(*results, equal_nan=True)


@pytest.mark.parametrize("name", ["SupAPLoss", "HAPPIERLoss", "ROADMAPLoss"])
def test_miners_and_tuples_never_pair_a_query_with_its_own_slot(name):
    points, labels = data_set()
    full = points.clone()
    for miner in (miners.MultiSimilarityMiner(), Everything(lmu.get_all_triplets_indices)):
        memory_loss = memory_of(make(name), miner=miner)
        memory_loss.fill([(points, labels, torch.arange(SIZE))], lambda data: data)
        for slots in draws(3):
            mined = miner(points[slots], labels[slots], full, labels)
            apart = slots[mined[0]] != mined[1]
            if len(mined) == 3:
                query, positive, negative = (members[apart] for members in mined)
                pairs = query, positive, query, negative
            else:
                pairs = mined[0][apart], mined[1][apart], mined[2], mined[3]
            tuple_ = miners.MultiSimilarityMiner()(points[slots], labels[slots])
            both = [
                torch.cat([pairs[0], tuple_[0]]),
                torch.cat([pairs[1], slots[tuple_[1]]]),
                torch.cat([pairs[2], tuple_[2]]),
                torch.cat([pairs[3], slots[tuple_[3]]]),
            ]
            for given, wanted in ((None, pairs), (tuple_, both)):
                got = memory_loss(points[slots], labels[slots], slots, given)
                expected = make(name)(points[slots], labels[slots], wanted, full, labels, slots)
                torch.testing.assert_close(got, expected)


def test_pml_losses_take_tuples_of_the_batch():
    points, labels = data_set()
    memory_loss = memory_of(pml_losses.ContrastiveLoss())
    slots = torch.tensor([20, 3, 11, 7])
    query, other = torch.tensor([0, 1]), torch.tensor([2, 3])
    got = memory_loss(points[slots], labels[slots], slots, (query, other, query, other))
    same = labels[slots].unsqueeze(1) == labels[slots]
    a, p = (same & ~torch.eye(4, dtype=torch.bool)).nonzero(as_tuple=True)
    b, n = (~same).nonzero(as_tuple=True)
    pairs = [torch.cat(each) for each in ((a, query), (p, other), (b, query), (n, other))]
    refs = points[slots].clone()
    expected = pml_losses.ContrastiveLoss()(
        points[slots], labels[slots], pairs, refs, labels[slots]
    )
    torch.testing.assert_close(got, expected)


def test_reducers_that_return_no_number():
    points, labels = data_set()
    memory_loss = memory_of(losses.SupAPLoss(reducer=DoNothingReducer()))
    per_query = memory_loss(points, labels, torch.arange(SIZE))["loss"]["losses"]
    torch.testing.assert_close(per_query.mean(), losses.SupAPLoss()(points, labels))


def test_include_self_keeps_the_own_slot():
    points, labels = data_set()
    memory_loss = memory_of(losses.SupAPLoss(include_self=True))
    slots = draws(1)[0]
    expected = losses.SupAPLoss(include_self=True)(points[slots], labels[slots])
    torch.testing.assert_close(memory_loss(points[slots], labels[slots], slots), expected)


def test_a_sample_that_comes_again_replaces_itself():
    points, labels = data_set()
    memory_loss = memory_of(losses.SupAPLoss())
    slots = draws(1)[0]
    for step in range(3):
        memory_loss(points[slots] + step, labels[slots], slots)
    assert memory_loss.num_filled == 10
    assert torch.equal(memory_loss.embedding_memory[slots], points[slots] + 2)


def test_warmup_and_batch_weight():
    points, labels = data_set()
    plain = memory_of(losses.SupAPLoss())
    memory_loss = memory_of(losses.SupAPLoss(), warmup=2, batch_weight=0.25)
    for step, slots in enumerate(draws(4)):
        arguments = points[slots], labels[slots]
        alone, whole = losses.SupAPLoss()(*arguments), plain(*arguments, slots)
        expected = alone if step < 2 else 0.75 * whole + 0.25 * alone
        torch.testing.assert_close(memory_loss(*arguments, slots), expected)
    assert memory_loss.num_filled == plain.num_filled


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_storage(dtype):
    points, labels = data_set()
    points = torch.nn.functional.normalize(points)
    half, full = (memory_of(losses.SupAPLoss(), storage_dtype=each) for each in (dtype, None))
    for memory_loss in (half, full):
        memory_loss.fill([(points, labels, torch.arange(SIZE))], lambda data: data)
    assert half.embedding_memory.dtype == dtype
    assert torch.equal(half.embedding_memory, points.to(dtype))
    for slots in draws(3):
        arguments = points[slots], labels[slots], slots
        torch.testing.assert_close(half(*arguments), full(*arguments), atol=2e-2, rtol=0)
    assert half.embedding_memory.dtype == dtype


def test_autocast_half_and_double_batches():
    points, labels = data_set()
    memory_loss = memory_of(losses.SupAPLoss())
    first, second, third = draws(3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        embeddings = torch.nn.Linear(DIM, DIM)(points[first])
        memory_loss(embeddings, labels[first], first).backward()
    memory_loss(points[second].half(), labels[second], second)
    assert memory_loss.embedding_memory.dtype == torch.float32
    memory_loss(points[third].double(), labels[third].int(), third.int())
    assert memory_loss.embedding_memory.dtype == torch.float64
    assert memory_loss.label_memory.dtype == torch.int64


class Samples(Dataset):
    """Points, labels and where they stand."""

    def __init__(self, form="1-D"):
        self.points, self.labels = data_set(form)

    def __len__(self):
        return SIZE

    def __getitem__(self, index):
        return self.points[index], self.labels[index], index


def model_with_dropout():
    return torch.nn.Sequential(torch.nn.Linear(DIM, DIM), torch.nn.Dropout(0.5))


@pytest.mark.parametrize("form", ["1-D", "2-D"])
@pytest.mark.parametrize("storage_dtype", [None, torch.float16])
def test_fill_and_refresh_with_a_data_loader(form, storage_dtype):
    samples, model = Samples(form), model_with_dropout()
    model[0].eval()  # a part that is in evaluation mode stays there
    memory_loss = memory_of(make("SupHAPLoss"), storage_dtype=storage_dtype)
    memory_loss.fill(DataLoader(samples, batch_size=7, shuffle=True), model)
    assert [model.training, model[0].training, model[1].training] == [True, False, True]
    assert memory_loss.num_filled == SIZE
    assert memory_loss.num_batches == 0
    expected = copy.deepcopy(model).eval()(samples.points).detach()
    assert not memory_loss.embedding_memory.requires_grad
    stored = memory_loss.embedding_memory
    torch.testing.assert_close(
        stored.float(), expected, atol=2e-3 if storage_dtype else 1e-6, rtol=0
    )
    assert torch.equal(memory_loss.label_memory, samples.labels)

    slots = draws(1)[0]
    embeddings = model[0](samples.points[slots])
    loss = memory_loss(embeddings, samples.labels[slots], slots)
    everything = make("SupHAPLoss")(
        embeddings, samples.labels[slots], None, expected, samples.labels, slots
    )
    torch.testing.assert_close(loss, everything, atol=2e-2 if storage_dtype else 1e-5, rtol=0)

    torch.nn.init.eye_(model[0].weight)
    memory_loss.refresh(DataLoader(samples, batch_size=30), model)
    expected = copy.deepcopy(model).eval()(samples.points).detach()
    torch.testing.assert_close(
        memory_loss.embedding_memory.float(), expected, atol=2e-3 if storage_dtype else 1e-6, rtol=0
    )


def test_a_partial_fill_leaves_the_other_slots():
    points, labels = data_set()
    memory_loss = memory_of(losses.SupAPLoss())
    memory_loss.fill([(points[:20], labels[:20], torch.arange(20))], lambda data: data)
    assert memory_loss.is_filled.tolist() == [True] * 20 + [False] * 10
    memory_loss.refresh([(points[15:25], labels[15:25], torch.arange(15, 25))], lambda data: -data)
    assert torch.equal(memory_loss.embedding_memory[:15], points[:15])
    assert torch.equal(memory_loss.embedding_memory[15:25], -points[15:25])
    assert memory_loss.num_filled == 25


def test_a_sample_twice_in_a_pass_keeps_its_last_embedding():
    points, labels = data_set()
    slots = torch.tensor([4, 9, 4, 1])
    memory_loss = memory_of(losses.SupAPLoss())
    passed = [
        (points[:4], labels[slots], slots),
        (points[4:6], labels[[1, 2]], torch.tensor([1, 2])),
    ]
    memory_loss.fill(passed, lambda data: data)
    assert torch.equal(memory_loss.embedding_memory[[4, 9, 1, 2]], points[[2, 1, 4, 5]])


def test_any_form_of_batch_through_a_getter(capsys):
    points, labels = data_set()
    items = [{"x": points[s], "y": labels[s], "i": s} for s in torch.arange(SIZE).split(8)]
    memory_loss = memory_of(losses.SupAPLoss())
    memory_loss.fill(
        iter(items),
        lambda data: 2 * data,
        get_batch=lambda item: (item["x"], item["y"], item["i"]),
        progress=True,
    )
    assert torch.equal(memory_loss.embedding_memory, 2 * points)
    assert "4batch" in capsys.readouterr().err
    memory_loss.refresh([(points, labels, torch.arange(SIZE))], lambda data: data)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["SupHAPLoss", "HAPPIERLoss", "ROADMAPLoss"])
@pytest.mark.parametrize("form", ["1-D", "2-D"])
@pytest.mark.parametrize("storage_dtype", [None, torch.float16])
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, name, form, storage_dtype):
    points, labels = data_set(form)

    def build(dtype=storage_dtype):
        torch.manual_seed(1)
        model = torch.nn.Linear(DIM, DIM)
        memory_loss = memory_of(make(name), warmup=3, batch_weight=0.2, storage_dtype=dtype)
        parameters = [*model.parameters(), *memory_loss.parameters()]
        return torch.nn.ModuleDict({"model": model, "loss": memory_loss}), torch.optim.Adam(
            parameters, lr=0.05
        )

    def train(modules, optimizer, steps):
        for slots in steps:
            optimizer.zero_grad()
            modules["loss"](modules["model"](points[slots]), labels[slots], slots).backward()
            optimizer.step()

    # samples 25 and above come after the save only
    steps = [slots[slots < 25] for slots in draws(5)] + draws(4, seed=1)
    for saved_after in (2, 5):
        whole, optimizer = build()
        train(whole, optimizer, steps)
        first, optimizer = build()
        train(first, optimizer, steps[:saved_after])
        saved = {"modules": first.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save(saved, tmp_path / "run")
        resumed, optimizer = build()
        saved = torch.load(tmp_path / "run", weights_only=True)
        resumed.load_state_dict(saved["modules"])
        states_equal(resumed.state_dict(), first.state_dict())
        optimizer.load_state_dict(saved["optimizer"])
        train(resumed, optimizer, steps[saved_after:])
        states_equal(resumed.state_dict(), whole.state_dict())


def test_a_load_takes_over_the_dtype_and_the_form_of_the_labels():
    points, labels = data_set("2-D")
    half = memory_of(losses.SupHAPLoss(), storage_dtype=torch.float16)
    half.fill([(points, labels, torch.arange(SIZE))], lambda data: data)
    other = memory_of(losses.SupHAPLoss())
    other.load_state_dict(half.state_dict())
    states_equal(other.state_dict(), half.state_dict())


@pytest.mark.parametrize(("num_samples", "width"), [(SIZE - 1, DIM), (SIZE, DIM - 1)])
def test_a_state_of_another_size_is_refused_whole(num_samples, width):
    points, labels = data_set("2-D")
    other = losses.DatasetMemory(losses.SupHAPLoss(), num_samples, width)
    slots = torch.arange(num_samples)
    other.fill([(points[:num_samples, :width], labels[:num_samples], slots)], lambda data: data)
    other(points[:9, :width], labels[:9], slots[:9])
    memory_loss = filled_memory()
    before = copy.deepcopy(memory_loss.state_dict())
    with pytest.raises(RuntimeError, match="size mismatch for embedding_memory: wanted"):
        memory_loss.load_state_dict(other.state_dict())
    states_equal(memory_loss.state_dict(), before)


def test_reset_forgets():
    memory_loss = filled_memory()
    memory_loss.reset_memory()
    assert (memory_loss.num_filled, memory_loss.num_batches) == (0, 0)
    points, labels = data_set("2-D")
    memory_loss(points[:5], labels[:5], torch.arange(5))


def test_the_wrapper_that_does_not_know_indices_refuses_it():
    with pytest.raises(TypeError, match="must extend"):
        DistributedLossWrapper(filled_memory())


POINTS, LABELS = data_set()
SLOTS = torch.tensor([3, 8, 0, 29, 17])


def filled_memory():
    """A memory that has seen half of the samples."""
    memory_loss = memory_of(make("SupHAPLoss", level=0), storage_dtype=torch.float16)
    memory_loss(POINTS[:15], LABELS[:15], torch.arange(15))
    return memory_loss


BAD_BATCHES = [
    ({"embeddings": POINTS[:5, :4]}, "embeddings: wanted 8 dimensions, got 4"),
    ({"embeddings": POINTS[:5] / 0}, "embeddings: wanted finite"),
    ({"embeddings": POINTS[:5] * 1e5}, "embeddings: wanted at most 65504"),
    ({"embeddings": POINTS[:5].long()}, "embeddings: wanted a floating tensor"),
    ({"embeddings": POINTS[0]}, "embeddings: wanted a floating tensor of shape"),
    ({"embeddings": POINTS[:0]}, "embeddings: wanted a floating tensor of shape"),
    ({"embeddings": POINTS[:5].tolist()}, "embeddings: wanted a tensor, got list"),
    ({"labels": LABELS[:3]}, "labels: wanted 5 rows, got 3"),
    ({"labels": LABELS[:5] + 0.5}, "labels: wanted integers"),
    ({"labels": TREE.expand(LABELS[:5])}, "labels: wanted the form of the stored labels"),
    ({"labels": TREE.expand(LABELS[:5])[:, :2]}, "labels: wanted 3 columns"),
    ({"labels": LABELS[:5] + 99}, "labels: .*99"),
    ({"labels": list("abcde")}, "labels: wanted a tensor or array of integers, got list"),
    ({"labels": LABELS[:5].to("meta")}, "labels: wanted the device of embeddings cpu .* got meta"),
    (
        {"indices": SLOTS[:4]},
        r"indices: wanted integers of shape \(5,\), got .*int64 of shape \(4,",
    ),
    ({"indices": SLOTS.view(5, 1)}, r"indices: wanted integers of shape \(5,\)"),
    ({"indices": SLOTS.float()}, "indices: wanted integers .*got torch.float32"),
    ({"indices": SLOTS > 3}, "indices: wanted integers .*got torch.bool"),
    ({"indices": SLOTS + 1}, r"indices: wanted 0\.\.29, got 1\.\.30"),
    ({"indices": SLOTS - 1}, r"indices: wanted 0\.\.29, got -1\.\.28"),
    ({"indices": None}, "indices: wanted a tensor, got NoneType"),
    ({"indices": SLOTS.to("meta")}, "indices: wanted the device of embeddings cpu .* got meta"),
]
DUPLICATE = ({"indices": torch.tensor([3, 8, 3, 29, 8])}, "sample once in a batch, got 2 .*first 3")


@pytest.mark.parametrize(("arguments", "message"), [*BAD_BATCHES, DUPLICATE])
def test_a_bad_batch_leaves_the_memory_as_it_was(arguments, message):
    memory_loss = filled_memory()
    before = copy.deepcopy(memory_loss.state_dict())
    good = {"embeddings": POINTS[:5], "labels": LABELS[:5], "indices": SLOTS}
    with pytest.raises(ValueError, match=message):
        memory_loss(**good | arguments)
    states_equal(memory_loss.state_dict(), before)


@pytest.mark.parametrize(("arguments", "message"), BAD_BATCHES)
def test_a_bad_batch_in_a_pass_leaves_memory_and_model_as_they_were(arguments, message):
    memory_loss, model = filled_memory(), model_with_dropout()
    before = copy.deepcopy(memory_loss.state_dict())
    good = {"embeddings": POINTS[:5], "labels": LABELS[:5], "indices": SLOTS}
    passed = [tuple(good.values()), tuple((good | arguments).values())]

    class Passes(torch.nn.Sequential):
        def forward(self, data):
            assert not self.training
            assert not torch.is_grad_enabled()
            return data

    model = Passes(model)
    with pytest.raises(ValueError, match=message) as caught:
        memory_loss.fill(passed, model)
    assert all(part.training for part in model.modules()), caught
    assert torch.is_grad_enabled()
    states_equal(memory_loss.state_dict(), before)


@pytest.mark.parametrize(
    ("loader", "options", "message"),
    [
        ([], {}, "loader: wanted at least one batch, got none"),
        ([(POINTS, LABELS)], {}, r"loader: wanted \(data, labels, indices\) per batch, got 2"),
        ([POINTS], {}, "loader: wanted .* got Tensor"),
        ([POINTS], {"get_batch": lambda item: item}, "get_batch: wanted .* got Tensor"),
        (
            [
                (POINTS[:2], LABELS[:2], torch.arange(2)),
                (POINTS[:2], TREE.expand(LABELS[:2]), torch.arange(2)),
            ],
            {},
            "labels: wanted the form of the first batch",
        ),
    ],
)
def test_a_bad_pass_leaves_the_memory_as_it_was(loader, options, message):
    memory_loss = memory_of(make("SupHAPLoss"))
    with pytest.raises(ValueError, match=message):
        memory_loss.fill(loader, lambda data: data, **options)
    assert memory_loss.num_filled == 0


def test_a_batch_that_only_the_loss_refuses_leaves_the_memory_as_it_was():
    """Labels that are a tree by themselves, but not beside the stored ones."""
    memory_loss = memory_of(losses.SupHAPLoss())
    rows = TREE.expand(LABELS)
    memory_loss(POINTS[:15], rows[:15], torch.arange(15))
    before = copy.deepcopy(memory_loss.state_dict())
    moved = rows[:5] + torch.tensor([0, 1, 0])
    with pytest.raises(ValueError, match="wanted a tree"):
        memory_loss(POINTS[:5] + 1, moved, SLOTS)
    states_equal(memory_loss.state_dict(), before)
    memory_loss(POINTS[:5], rows[:5], SLOTS)


def test_a_memory_on_another_device_refuses_the_batch():
    memory_loss = memory_of(losses.SupAPLoss()).to("meta")
    with pytest.raises(
        ValueError, match="embeddings: wanted the device of the memory meta, got cpu"
    ):
        memory_loss(POINTS, LABELS, torch.arange(SIZE))


def test_pml_losses_want_one_label():
    memory_loss = memory_of(pml_losses.ContrastiveLoss())
    with pytest.raises(ValueError, match="ContrastiveLoss wants 1-D labels"):
        memory_loss(POINTS, TREE.expand(LABELS), torch.arange(SIZE))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_samples": 0}, "num_samples: wanted an integer >= 1, got 0"),
        ({"num_samples": 3.0}, "num_samples: wanted an integer >= 1, got 3.0"),
        ({"embedding_size": 0}, "embedding_size: wanted an integer >= 1, got 0"),
        ({"embedding_size": True}, "embedding_size: wanted an integer >= 1, got True"),
        ({"warmup": -1}, "warmup: wanted an integer >= 0, got -1"),
        ({"batch_weight": 2}, "batch_weight: wanted"),
        ({"storage_dtype": torch.int8}, "storage_dtype: wanted a floating dtype"),
        ({"loss": pml_losses.ArcFaceLoss(6, DIM)}, "loss: wanted one of .*, got ArcFaceLoss"),
        ({"loss": make("ProxyClusterLoss")}, "loss: wanted one of .*, got ProxyClusterLoss"),
        ({"loss": None}, "loss: wanted one of .*, got NoneType"),
    ],
)
def test_bad_options(options, message):
    good = {"loss": losses.SupAPLoss(), "num_samples": SIZE, "embedding_size": DIM}
    with pytest.raises(ValueError, match=message):
        losses.DatasetMemory(**good | options)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
def test_the_memory_follows_the_first_batch_to_the_accelerator():
    memory_loss, here = memory_of(make("SupHAPLoss")), memory_of(make("SupHAPLoss"))
    for slots in draws(3):
        got = memory_loss(
            POINTS[slots].cuda(), LABELS[slots], slots
        )  # labels and indices as loaders give them
        torch.testing.assert_close(got.cpu(), here(POINTS[slots], LABELS[slots], slots))
    assert memory_loss.embedding_memory.is_cuda
    with pytest.raises(
        ValueError, match="embeddings: wanted the device of the memory cuda:0, got cpu"
    ):
        memory_loss(POINTS[:5], LABELS[:5], SLOTS)
    model = torch.nn.Linear(DIM, DIM).cuda()
    memory_loss.refresh(DataLoader(Samples(), batch_size=8), model)
    assert memory_loss.num_filled == SIZE

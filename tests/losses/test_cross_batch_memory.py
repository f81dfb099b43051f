"""The memory against PML's, against its definition, and through a save in the middle of a run."""

import copy

import pytest
import torch
from pytorch_metric_learning import losses as pml_losses
from pytorch_metric_learning import miners
from pytorch_metric_learning.utils.distributed import DistributedLossWrapper

from pml_suprank import losses
from tests.losses.cases import (
    DIM,
    HIERARCHICAL_BASELINES,
    PAIR_LOSSES,
    RANK_LOSSES,
    TREE,
    batch,
    make,
    similarity,
)

OURS = [
    *RANK_LOSSES,
    *PAIR_LOSSES,
    *HIERARCHICAL_BASELINES,
    "HAPPIERLoss",
    "DecomposableRankLoss",
]


def pml_loss(name):
    return getattr(pml_losses, name)()


def batches(count, size=10, seed=0):
    return [batch(size, seed=seed + i) for i in range(count)]


@pytest.mark.parametrize("name", pml_losses.CrossBatchMemory.supported_losses())
@pytest.mark.parametrize("with_miner", [False, True], ids=["all pairs", "miner"])
@pytest.mark.parametrize("memory_size", [10, 25, 64])
def test_pml_losses_give_pml_values(name, with_miner, memory_size):
    def memory(module):
        miner = miners.MultiSimilarityMiner() if with_miner else None
        return module.CrossBatchMemory(pml_loss(name), DIM, memory_size, miner)

    theirs, ours = memory(pml_losses), memory(losses)
    for embeddings, labels in batches(8):
        results = []
        for memory_loss in (theirs, ours):
            torch.manual_seed(0)
            leaf = embeddings.clone().requires_grad_()
            loss = memory_loss(leaf, labels)
            loss.backward()
            results.append((loss.detach(), leaf.grad))
        torch.testing.assert_close(results[1], results[0], rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(ours.embedding_memory, theirs.embedding_memory)
    assert (ours.queue_idx, ours.has_been_filled) == (theirs.queue_idx, theirs.has_been_filled)


@pytest.mark.parametrize("name", ["ContrastiveLoss", "NTXentLoss", "TripletMarginLoss"])
def test_enqueue_mask_and_input_tuple_as_in_pml(name):
    torch.manual_seed(0)
    theirs = pml_losses.CrossBatchMemory(pml_loss(name), DIM, 25)
    ours = losses.CrossBatchMemory(pml_loss(name), DIM, 25)
    for step, (embeddings, labels) in enumerate(batches(6)):
        options = {"enqueue_mask": torch.arange(10) % 2 == 0} if step % 2 else {}
        if step == 2:
            options = {"indices_tuple": miners.MultiSimilarityMiner()(embeddings, labels)}
        values = []
        for memory_loss in (theirs, ours):
            torch.manual_seed(0)
            values.append(memory_loss(embeddings, labels, **options))
        torch.testing.assert_close(values[1], values[0], rtol=0, atol=0)


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("form", ["1-D", "2-D"])
def test_a_memory_as_large_as_the_batch_equals_no_memory(name, form):
    memory_loss = losses.CrossBatchMemory(make(name), DIM, 10)
    for embeddings, labels in batches(3):
        labels = labels if form == "1-D" else TREE.expand(labels)
        torch.testing.assert_close(memory_loss(embeddings, labels), make(name)(embeddings, labels))


@pytest.mark.parametrize("name", OURS)
def test_the_own_copy_is_never_positive(name):
    """Equal to the loss against the memory without the query, query by query."""
    memory_loss = losses.CrossBatchMemory(make(name), DIM, 25)
    rank_loss = memory_loss.loss
    for step, (embeddings, labels) in enumerate(batches(4)):
        got = memory_loss(embeddings, labels)
        filled = min(25, 10 * (step + 1))
        memory = memory_loss.embedding_memory[:filled]
        memory_labels = memory_loss.label_memory[:filled]
        torch.testing.assert_close(memory[memory_loss.curr_batch_idx], embeddings)
        slots = memory_loss.curr_batch_idx
        expected = rank_loss(embeddings, labels, None, memory, memory_labels, slots)
        torch.testing.assert_close(got, expected)
        if name in RANK_LOSSES:
            per_query = []
            for query in range(10):
                others = torch.arange(filled) != slots[query]
                alone = rank_loss(
                    embeddings[[query]],
                    labels[[query]],
                    ref_emb=memory[others],
                    ref_labels=memory_labels[others],
                )
                if (
                    alone.grad_fn is None
                    and alone == 0
                    and not has_positive(rank_loss, labels[[query]], memory_labels[others])
                ):
                    continue
                per_query.append(alone)
            torch.testing.assert_close(got, torch.stack(per_query).mean())


def has_positive(loss_fn, labels, ref_labels):
    shared = TREE.common_levels(labels, ref_labels)
    least = 1 if loss_fn.level is None else 3 - loss_fn.level
    return bool((shared >= least).any())


def test_include_self_keeps_the_copy():
    embeddings, labels = batch(10)
    memory_loss = losses.CrossBatchMemory(losses.SupAPLoss(include_self=True), DIM, 10)
    expected = losses.SupAPLoss(include_self=True)(embeddings, labels)
    torch.testing.assert_close(memory_loss(embeddings, labels), expected)


@pytest.mark.parametrize("name", OURS)
def test_miner_with_our_losses(name):
    memory_loss = losses.CrossBatchMemory(make(name), DIM, 25, miner=miners.MultiSimilarityMiner())
    for embeddings, labels in batches(4):
        leaf = embeddings.clone().requires_grad_()
        loss = memory_loss(leaf, labels)
        loss.backward()
        assert torch.isfinite(loss)
        assert torch.isfinite(leaf.grad).all()
    pairs = miners.MultiSimilarityMiner()(embeddings, labels)
    assert torch.isfinite(memory_loss(embeddings, labels, pairs))


def test_the_batch_of_a_tuple_is_found_in_the_memory():
    """A miner that pairs with nothing in memory leaves the batch's own tuple."""

    class Nothing(miners.BaseMiner):
        def mine(self, embeddings, labels, ref_emb, ref_labels):
            return tuple(torch.empty(0, dtype=torch.long) for _ in range(4))

    memory_loss = losses.CrossBatchMemory(losses.SupAPLoss(), DIM, 25, miner=Nothing())
    for embeddings, labels in batches(4):
        pairs = miners.MultiSimilarityMiner()(embeddings, labels)
        got = memory_loss(embeddings, labels, pairs)
        torch.testing.assert_close(got, losses.SupAPLoss()(embeddings, labels, pairs))
    assert memory_loss.queue_idx == 15


def test_warmup_trains_on_the_batch_alone():
    memory_loss = losses.CrossBatchMemory(losses.SupAPLoss(), DIM, 40, warmup=2)
    for step, (embeddings, labels) in enumerate(batches(3)):
        alone = losses.SupAPLoss()(embeddings, labels)
        together = memory_loss(embeddings, labels)
        assert torch.equal(together, alone) == (step < 2)
    assert memory_loss.queue_idx == 30


def test_batch_weight_mixes_the_two_losses():
    weighted = losses.CrossBatchMemory(losses.SupAPLoss(), DIM, 40, batch_weight=0.25)
    plain = losses.CrossBatchMemory(losses.SupAPLoss(), DIM, 40)
    for embeddings, labels in batches(3):
        alone = losses.SupAPLoss()(embeddings, labels)
        expected = 0.75 * plain(embeddings, labels) + 0.25 * alone
        torch.testing.assert_close(weighted(embeddings, labels), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_storage(dtype):
    half = losses.CrossBatchMemory(losses.SupAPLoss(), DIM, 40, storage_dtype=dtype)
    full = losses.CrossBatchMemory(losses.SupAPLoss(), DIM, 40)
    for embeddings, labels in batches(3):
        embeddings = torch.nn.functional.normalize(embeddings)
        got, expected = half(embeddings, labels), full(embeddings, labels)
        torch.testing.assert_close(got, expected, atol=2e-2, rtol=0)
    assert half.embedding_memory.dtype == dtype


def test_what_half_precision_cannot_store_is_refused():
    memory_loss = losses.CrossBatchMemory(losses.SupAPLoss(), DIM, 40, storage_dtype=torch.float16)
    with pytest.raises(ValueError, match="embeddings: wanted at most 65504.*got 1e\\+06"):
        memory_loss(torch.full((10, DIM), 1e6), LABELS)
    assert memory_loss.queue_idx == 0


def test_autocast_and_half_precision_batches():
    memory_loss = losses.CrossBatchMemory(losses.SupAPLoss(), DIM, 40)
    embeddings, labels = batch(10)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        memory_loss(torch.nn.Linear(DIM, DIM)(embeddings), labels).backward()
    memory_loss(embeddings.half(), labels)
    assert memory_loss.embedding_memory.dtype == torch.float32


def test_only_storing_gives_zero_with_a_graph():
    memory_loss = losses.CrossBatchMemory(losses.SupAPLoss(), DIM, 40)
    embeddings, labels = batch(10)
    embeddings.requires_grad_()
    loss = memory_loss(embeddings, labels, enqueue_mask=torch.ones(10, dtype=torch.bool))
    loss.backward()
    assert loss == 0
    assert memory_loss.queue_idx == 10
    nothing = torch.zeros(10, dtype=torch.bool)
    memory_loss(embeddings.flip(0), labels.flip(0), enqueue_mask=nothing)
    assert (memory_loss.queue_idx, memory_loss.has_been_filled) == (10, False)
    empty = losses.CrossBatchMemory(losses.SupAPLoss(), DIM, 40)
    assert empty(embeddings, labels, enqueue_mask=nothing) == 0


@pytest.mark.parametrize("name", ["SupHAPLoss", "HAPPIERLoss", "ROADMAPLoss"])
@pytest.mark.parametrize("form", ["1-D", "2-D"])
@pytest.mark.parametrize("storage_dtype", [None, torch.float16])
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, name, form, storage_dtype):
    def build():
        torch.manual_seed(1)
        model = torch.nn.Linear(DIM, DIM)
        memory_loss = losses.CrossBatchMemory(
            make(name), DIM, 24, warmup=3, storage_dtype=storage_dtype
        )
        parameters = [*model.parameters(), *memory_loss.parameters()]
        return torch.nn.ModuleDict({"model": model, "loss": memory_loss}), torch.optim.Adam(
            parameters, lr=0.05
        )

    def train(modules, optimizer, steps):
        for embeddings, labels in steps:
            labels = labels if form == "1-D" else TREE.expand(labels)
            optimizer.zero_grad()
            modules["loss"](modules["model"](embeddings), labels).backward()
            optimizer.step()

    steps = batches(9)
    whole, optimizer = build()
    train(whole, optimizer, steps)

    first, optimizer = build()
    train(first, optimizer, steps[:5])
    torch.save({"modules": first.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "c")
    resumed, optimizer = build()
    saved = torch.load(tmp_path / "c", weights_only=True)
    resumed.load_state_dict(saved["modules"])
    optimizer.load_state_dict(saved["optimizer"])
    train(resumed, optimizer, steps[5:])
    for key, value in whole.state_dict().items():
        if torch.is_tensor(value):
            assert torch.equal(resumed.state_dict()[key], value), key
        else:
            assert resumed.state_dict()[key] == value, key


def test_a_state_of_another_size_is_refused():
    small = losses.CrossBatchMemory(losses.SupAPLoss(), DIM, 10)
    with pytest.raises(RuntimeError, match="size mismatch for embedding_memory"):
        losses.CrossBatchMemory(losses.SupAPLoss(), DIM, 20).load_state_dict(small.state_dict())
    narrow = losses.CrossBatchMemory(losses.SupAPLoss(), DIM - 1, 10)
    narrow(EMBEDDINGS[:, 1:], LABELS)
    with pytest.raises(RuntimeError, match="size mismatch for embedding_memory"):
        small.load_state_dict(narrow.state_dict())
    assert (small.queue_idx, small.num_batches) == (0, 0)
    assert not small.label_memory.any()


def test_reset_queue_forgets():
    memory_loss = losses.CrossBatchMemory(losses.SupHAPLoss(), DIM, 20, storage_dtype=torch.float16)
    embeddings, labels = batch(10)
    memory_loss(embeddings, TREE.expand(labels))
    memory_loss.reset_queue()
    assert (memory_loss.queue_idx, memory_loss.num_batches) == (0, 0)
    assert not memory_loss.embedding_memory.any()
    memory_loss(embeddings, labels)


def test_the_distributed_wrapper_takes_it():
    memory_loss = losses.CrossBatchMemory(losses.SupAPLoss(), DIM, 20)
    assert DistributedLossWrapper(memory_loss).loss is memory_loss


EMBEDDINGS, LABELS = batch(10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"embeddings": EMBEDDINGS[:, :4]}, "embeddings: wanted 8 dimensions, got 4"),
        ({"embeddings": EMBEDDINGS / 0}, "embeddings: wanted finite"),
        ({"labels": LABELS[:3]}, "labels: wanted .*10"),
        ({"labels": TREE.expand(LABELS)}, "labels: wanted the form of the stored labels"),
        ({"labels": LABELS + 0.5}, "labels: wanted integers"),
        (
            {"embeddings": EMBEDDINGS.repeat(3, 1), "labels": LABELS.repeat(3)},
            "at most memory_size",
        ),
        ({"enqueue_mask": torch.ones(4, dtype=torch.bool)}, "enqueue_mask: wanted a boolean"),
        ({"enqueue_mask": torch.ones(10)}, "enqueue_mask: wanted a boolean"),
        (
            {"enqueue_mask": LABELS > 2, "indices_tuple": (LABELS, LABELS, LABELS)},
            "mutually exclusive",
        ),
    ],
)
def test_bad_input_leaves_the_memory_as_it_was(arguments, message):
    memory_loss = losses.CrossBatchMemory(losses.SupAPLoss(), DIM, 25)
    memory_loss(EMBEDDINGS, LABELS)
    before = copy.deepcopy(memory_loss.state_dict())
    with pytest.raises(ValueError, match=message):
        memory_loss(**{"embeddings": EMBEDDINGS, "labels": LABELS} | arguments)
    after = memory_loss.state_dict()
    for key in ("embedding_memory", "label_memory"):
        assert torch.equal(before[key], after[key])
    assert before["_extra_state"] == after["_extra_state"]


def test_unknown_classes_leave_the_memory_as_it_was():
    memory_loss = losses.CrossBatchMemory(make("HAPPIERLoss"), DIM, 25)
    with pytest.raises(ValueError, match="99"):
        memory_loss(EMBEDDINGS, LABELS + 99)
    assert memory_loss.queue_idx == 0


def test_pml_losses_want_one_label():
    memory_loss = losses.CrossBatchMemory(pml_losses.ContrastiveLoss(), DIM, 25)
    with pytest.raises(ValueError, match="ContrastiveLoss wants 1-D labels"):
        memory_loss(EMBEDDINGS, TREE.expand(LABELS))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory_size": 0}, "memory_size: wanted"),
        ({"embedding_size": 0}, "embedding_size: wanted"),
        ({"warmup": -1}, "warmup: wanted"),
        ({"batch_weight": 2}, "batch_weight: wanted"),
        ({"storage_dtype": torch.int8}, "storage_dtype: wanted"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        losses.CrossBatchMemory(losses.SupAPLoss(), **{"embedding_size": DIM} | options)


def test_unsupported_losses():
    for loss_fn in (make("ProxyClusterLoss"), pml_losses.ArcFaceLoss(6, DIM)):
        with pytest.raises(Exception, match="not supported for"):
            losses.CrossBatchMemory(loss_fn, DIM)

    class OwnLoss(losses.SupAPLoss):
        pass

    losses.CrossBatchMemory(OwnLoss(), DIM)


@pytest.mark.parametrize("other", [pml_losses.NTXentLoss, pml_losses.ContrastiveLoss])
def test_pml_losses_in_a_sum_do_not_see_the_own_copy_either(other):
    def build():
        return losses.DecomposableRankLoss(losses.SupAPLoss(), other(distance=similarity()), 0.5)

    memory_loss = losses.CrossBatchMemory(build(), DIM, 10)
    for embeddings, labels in batches(3):
        torch.testing.assert_close(memory_loss(embeddings, labels), build()(embeddings, labels))


def test_proxies_in_a_sum_get_neither_references_nor_tuples():
    loss_fn = losses.DecomposableRankLoss(make("SupHAPLoss"), make("CSLLoss"))
    memory_loss = losses.CrossBatchMemory(
        loss_fn, DIM, 25, miner=miners.TripletMarginMiner(distance=similarity())
    )
    for embeddings, labels in batches(3):
        assert torch.isfinite(memory_loss(embeddings, labels))


def test_a_missing_level_leaves_the_memory_as_it_was():
    memory_loss = losses.CrossBatchMemory(losses.SupAPLoss(level=1), DIM, 25)
    with pytest.raises(ValueError, match="level: wanted an integer >= 0 below 1, got 1"):
        memory_loss(EMBEDDINGS, LABELS)
    assert memory_loss.queue_idx == 0

"""What both memories promise: evaluation leaves no trace, tuples count, labels of any kind, ignored samples."""

import copy

import numpy as np
import pytest
import torch
from pytorch_metric_learning import losses as pml_losses
from pytorch_metric_learning import miners
from pytorch_metric_learning.trainers import MetricLossOnly

from pml_suprank import losses
from pml_suprank.losses.decomposable_rank_loss import takes_self_indices
from tests.losses.cases import DIM, RANK_LOSSES, TREE, batch, make

NUM_SAMPLES = 40
COMPOSED = ["HAPPIERLoss", "ROADMAPLoss", "CalibrationLoss"]


def cross_batch(loss_fn, **options):
    return losses.CrossBatchMemory(loss_fn, DIM, NUM_SAMPLES, **options)


def data_set(loss_fn, **options):
    return losses.DatasetMemory(loss_fn, NUM_SAMPLES, DIM, **options)


class InOrder(torch.nn.Module):
    """A data-set memory that is called like a queue: batches take the slots in order."""

    def __init__(self, memory):
        super().__init__()
        self.memory, self.next = memory, 0

    def forward(self, embeddings, labels, indices_tuple=None):
        indices = (torch.arange(len(embeddings)) + self.next) % NUM_SAMPLES
        if self.training:
            self.next += len(embeddings)
        return self.memory(embeddings, labels, indices, indices_tuple)


MEMORIES = {
    "CrossBatchMemory": cross_batch,
    "DatasetMemory": lambda loss_fn, **options: InOrder(data_set(loss_fn, **options)),
}
each_memory = pytest.mark.parametrize("kind", MEMORIES)


def state_of(memory):
    return copy.deepcopy({**memory.state_dict()})


def assert_same_state(memory, before):
    after = memory.state_dict()
    assert after.keys() == before.keys()
    for key, value in before.items():
        if torch.is_tensor(value):
            assert value.dtype == after[key].dtype, key
            assert torch.equal(value, after[key]), key
        else:
            assert value == after[key], key


@each_memory
@pytest.mark.parametrize("form", ["1-D", "2-D"])
@pytest.mark.parametrize("seen", [0, 3, 6])
def test_evaluation_has_the_loss_of_training_and_leaves_no_trace(kind, form, seen):
    memory = MEMORIES[kind](make("SupHAPLoss"), warmup=2, batch_weight=0.25)
    for step in range(seen):
        embeddings, labels = batch(10, seed=step)
        memory(embeddings, labels if form == "1-D" else TREE.expand(labels))
    before = state_of(memory)
    embeddings, labels = batch(10, seed=99)
    labels = labels if form == "1-D" else TREE.expand(labels)
    memory.eval()
    with torch.no_grad():
        found = [memory(embeddings, labels) for _ in range(2)]
    assert_same_state(memory, before)
    memory.train()
    expected = memory(embeddings, labels)
    assert torch.equal(found[0], found[1])
    torch.testing.assert_close(found[0], expected, rtol=0, atol=0)
    assert any(
        not torch.equal(value, before[key])
        for key, value in memory.state_dict().items()
        if torch.is_tensor(value)
    )


@pytest.mark.parametrize("loss_fn", [pml_losses.ContrastiveLoss(), losses.SupAPLoss()])
def test_a_first_validation_batch_does_not_fix_the_dtype_or_the_form(loss_fn):
    memory = cross_batch(loss_fn)
    memory.eval()
    embeddings, labels = batch(10)
    memory(embeddings.double(), labels)
    if isinstance(loss_fn, losses.QueryLoss):
        memory(embeddings, TREE.expand(labels))
    assert memory.embedding_memory.dtype == torch.float32
    assert memory.label_memory.shape == (NUM_SAMPLES,)
    assert (memory.queue_idx, memory.num_batches) == (0, 0)


def test_gradients_of_an_evaluation_are_those_of_training():
    grads = []
    for training in (True, False):
        memory = cross_batch(losses.SupAPLoss())
        memory(*batch(10, seed=1))
        memory.train(training)
        embeddings, labels = batch(10, seed=2)
        leaf = embeddings.requires_grad_()
        memory(leaf, labels).backward()
        grads.append(leaf.grad)
    torch.testing.assert_close(grads[0], grads[1], rtol=0, atol=0)


@each_memory
def test_a_loss_that_raises_leaves_the_memory_as_it_was(kind):
    memory = MEMORIES[kind](losses.SupAPLoss())
    memory(*batch(10, seed=1))
    inner = memory.memory if kind == "DatasetMemory" else memory
    before = state_of(inner)

    class Raising(losses.SupAPLoss):
        def query_losses(self, scores, items, relevance):
            raise RuntimeError("no")

    inner.loss = Raising()
    with pytest.raises(RuntimeError, match="no"):
        inner(*batch(10, seed=2), **({"indices": torch.arange(10)} if inner is not memory else {}))
    assert_same_state(inner, before)


@each_memory
@pytest.mark.parametrize("name", [*RANK_LOSSES, *COMPOSED])
@pytest.mark.parametrize("kind_of_tuple", ["pairs", "triplets"])
def test_a_tuple_of_the_batch_says_what_is_ranked_of_it(kind, name, kind_of_tuple):
    """Equal to the loss on older slots and the tuple's items, query by query in the plainest form."""
    miner = (
        miners.PairMarginMiner(0.9, 1.3)
        if kind_of_tuple == "pairs"
        else miners.TripletMarginMiner(0.1)
    )
    memory = MEMORIES[kind](make(name))
    inner = memory.memory if kind == "DatasetMemory" else memory
    for step in range(2):
        memory(*batch(10, seed=step))
    embeddings, labels = batch(10, seed=9)
    mined = miner(embeddings, labels)
    assert len(mined[0])
    got = memory(embeddings, labels, mined)
    references, ref_labels = inner.embedding_memory[:30], inner.label_memory[:30]
    torch.testing.assert_close(references[20:], embeddings)
    column, ref_column = labels, ref_labels
    level = getattr(getattr(inner.loss, "rank_loss", inner.loss), "level", None)
    if level:
        column, ref_column = TREE.expand(labels)[:, level], TREE.expand(ref_labels)[:, level]
    pairs = {"positive": [], "negative": []}
    for query in range(10):
        for item in range(20):
            same = bool(column[query] == ref_column[item])
            pairs["positive" if same else "negative"].append((query, item))
    if kind_of_tuple == "pairs":
        a1, p, a2, n = (each.tolist() for each in mined)
    else:
        a1, p, n = (each.tolist() for each in mined)
        a2 = a1
    pairs["positive"] += [(a, i + 20) for a, i in zip(a1, p, strict=True)]
    pairs["negative"] += [(a, i + 20) for a, i in zip(a2, n, strict=True)]
    members = [torch.tensor(pairs[kind]).T for kind in ("positive", "negative")]
    indices = (*members[0], *members[1])
    expected = inner.loss(embeddings, labels, indices, references, ref_labels, torch.arange(20, 30))
    torch.testing.assert_close(got, expected)
    whole = inner.loss(embeddings, labels, None, references, ref_labels, torch.arange(20, 30))
    assert not torch.equal(got, whole)


@each_memory
def test_labels_are_int64_whatever_comes(kind):
    embeddings, labels = batch(10)
    wanted = MEMORIES[kind](losses.SupAPLoss())
    values = [wanted(embeddings, each) for each in (labels + 250, labels % 2, labels % 2)]
    forms = {
        "uint8": (labels + 250, (labels % 2).to(torch.uint8), (labels % 2).bool()),
        "numpy": tuple(x.numpy().astype(t) for x, t in zip(
            (labels + 250, labels % 2, labels % 2), ("uint16", ">i4", "float32"), strict=True)),
        "lists": tuple(x.tolist() for x in (labels + 250, labels % 2, labels % 2)),
    }  # fmt: skip
    for form, given in forms.items():
        memory = MEMORIES[kind](losses.SupAPLoss())
        inner = memory.memory if kind == "DatasetMemory" else memory
        found = [memory(embeddings, each) for each in given]
        assert [float(x) for x in found] == [float(x) for x in values], form
        assert inner.label_memory.dtype == torch.int64
        assert inner.label_memory[:10].tolist() == (labels + 250).tolist(), form


def test_a_state_with_small_labels_is_taken_over_in_int64():
    memory = cross_batch(losses.SupAPLoss())
    memory(*batch(10))
    state = memory.state_dict()
    state["label_memory"] = state["label_memory"].to(torch.uint8)
    fresh = cross_batch(losses.SupAPLoss())
    fresh.load_state_dict(state)
    assert fresh.label_memory.dtype == torch.int64
    assert torch.equal(fresh.label_memory, memory.label_memory)


IGNORING = [
    (name, form, where)
    for name in (*RANK_LOSSES, *COMPOSED)
    for form in ("1-D", "2-D")
    for where in ("memory", "loss")
]
IGNORING.append(
    ("ContrastiveLoss", "1-D", "memory")
)  # PML's have neither other labels nor the option


@each_memory
@pytest.mark.parametrize(("name", "form", "where"), IGNORING)
@pytest.mark.parametrize("mined", [False, True], ids=["all", "tuple"])
def test_ignored_samples_are_as_if_they_had_not_come(kind, name, form, where, mined):
    theirs = name == "ContrastiveLoss"

    def build(**options):
        loss_fn = pml_losses.ContrastiveLoss() if theirs else make(name)
        if where == "loss":
            for part in loss_fn.modules():
                if takes_self_indices(part):
                    part.ignore_index = options.get("ignore_index")
            options = {}
        return MEMORIES[kind](loss_fn, **options)

    torch.manual_seed(0)
    ignoring = build(ignore_index=-1)
    torch.manual_seed(0)
    plain = build()
    for step in range(3):
        embeddings, labels = batch(12, seed=step)
        kept = torch.rand(12) > 0.3
        given = labels if form == "1-D" else TREE.expand(labels)
        with_ignored = given.clone()
        with_ignored[~kept] = -1
        few, all_of_them = (x.requires_grad_() for x in (embeddings[kept], embeddings.clone()))
        tuples = (None, None)
        if mined:
            of_few = miners.PairMarginMiner(0.0, 2.0)(few, labels[kept])
            place = kept.nonzero().flatten()
            extra = torch.tensor([int((~kept).nonzero()[0])])
            a1, p, a2, n = (place[each] for each in of_few)
            tuples = of_few, (torch.cat([a1, extra]), torch.cat([p, place[:1]]), a2, n)
        if kind == "DatasetMemory":
            indices = torch.arange(12) + 12 * step
            expected = plain.memory(few, given[kept], indices[kept], tuples[0])
            got = ignoring.memory(all_of_them, with_ignored, indices, tuples[1])
        else:
            expected = plain(few, given[kept], tuples[0])
            got = ignoring(all_of_them, with_ignored, tuples[1])
        torch.testing.assert_close(got, expected)
        got.backward()
        expected.backward()
        torch.testing.assert_close(all_of_them.grad[kept], few.grad)
        assert not all_of_them.grad[~kept].any()
    assert_same_state(ignoring, plain.state_dict())


MALFORMED = [
    (([0], [1]), "wanted 3 tensors of triplets or 4 of pairs, got 2"),
    (([0], [99], [1]), r"wanted indices in 0..11, got 99..99"),
    (([0], [-1], [1]), r"wanted indices in 0..11, got -1..-1"),
    (([0.0], [1.0], [2.0]), "wanted integers, got dtype float"),
    (([0, 1], [1, 2], [2]), "wanted pairs of equal length, got 2 and 2 and 1"),
]


@each_memory
@pytest.mark.parametrize("build", [pml_losses.ContrastiveLoss, losses.SupAPLoss])
@pytest.mark.parametrize(("pairs", "message"), MALFORMED)
def test_a_malformed_tuple_is_an_error_and_leaves_the_memory_as_it_was(kind, build, pairs, message):
    memory = MEMORIES[kind](build())
    memory(*batch(12))
    before = state_of(memory)
    with pytest.raises(ValueError, match=f"indices_tuple.*{message}"):
        memory(*batch(12, seed=1), tuple(map(torch.tensor, pairs)))
    assert_same_state(memory, before)


@each_memory
@pytest.mark.parametrize("build", [pml_losses.ContrastiveLoss, losses.SupAPLoss])
def test_a_tuple_of_lists_is_that_of_tensors(kind, build):
    found = []
    for convert in (list, np.array, torch.tensor, lambda each: torch.tensor(each).int()):
        memory = MEMORIES[kind](build())
        memory(*batch(12))
        pairs = tuple(convert(each) for each in ([0, 3], [2, 4], [1, 5]))
        found.append(memory(*batch(12, seed=1), pairs))
    assert all(torch.equal(found[0], other) for other in found)


@each_memory
def test_a_batch_of_ignored_samples_is_worth_nothing(kind):
    memory = MEMORIES[kind](losses.SupAPLoss(), ignore_index=255)
    embeddings, labels = batch(10)
    leaf = embeddings.requires_grad_()
    loss = memory(leaf, torch.full_like(labels, 255))
    loss.backward()
    assert loss == 0
    assert not leaf.grad.any()
    inner = memory.memory if kind == "DatasetMemory" else memory
    assert not inner.embedding_memory.any()


def test_a_pass_does_not_store_ignored_samples():
    memory = data_set(losses.SupAPLoss(), ignore_index=-1)
    embeddings, labels = batch(10)
    memory.fill([(embeddings, labels.index_fill(0, torch.tensor([2, 5]), -1), torch.arange(10))],
                torch.nn.Identity())  # fmt: skip
    assert memory.is_filled[:10].tolist() == [place not in (2, 5) for place in range(10)]


def test_what_torch_ignores_within_a_loss_is_not_ignored_by_the_memory():
    """The softmax of the proxies has an ``ignore_index`` of its own, -100."""
    assert make("HAPPIERLoss").decomposability_loss.cross_entropy.ignore_index == -100
    assert cross_batch(make("HAPPIERLoss")).ignore_index is None
    assert cross_batch(make("HAPPIERLoss", ignore_index=7)).ignore_index == 7


@pytest.mark.parametrize("memory", [cross_batch, data_set])
@pytest.mark.parametrize("value", [True, "none", 0.5])
def test_ignore_index_is_an_integer(memory, value):
    with pytest.raises(ValueError, match="ignore_index: wanted an integer"):
        memory(losses.SupAPLoss(), ignore_index=value)


def test_a_data_set_memory_in_pml_trainer_says_what_to_use():
    data = torch.utils.data.TensorDataset(*batch(20))
    memory = data_set(losses.SupAPLoss())
    trunk = torch.nn.Linear(DIM, DIM)
    trainer = MetricLossOnly(
        models={"trunk": trunk},
        optimizers={"trunk_optimizer": torch.optim.SGD(trunk.parameters(), 0.1)},
        batch_size=10,
        loss_funcs={"metric_loss": memory},
        dataset=data,
        mining_funcs={},
        dataloader_num_workers=0,
    )
    with pytest.raises(
        ValueError, match="indices: wanted a tensor, got NoneType.*CrossBatchMemory"
    ):
        trainer.train(num_epochs=1)
    assert memory.num_filled == 0
    pairs = tuple(torch.zeros(1, dtype=torch.long) for _ in range(4))
    with pytest.raises(ValueError, match="indices: wanted a tensor, got tuple.*CrossBatchMemory"):
        memory(*batch(10), pairs)


def test_numpy_indices_are_taken():
    memory = data_set(losses.SupAPLoss())
    memory(*batch(10), np.arange(10, dtype=np.int32))
    assert memory.num_filled == 10

"""The miners beside PML's own, under PML's and our losses, in a trainer, in memories, and their records."""

import copy
import pickle

import pytest
import torch
from pytorch_metric_learning import losses as pml_losses
from pytorch_metric_learning import miners as pml_miners
from pytorch_metric_learning import samplers, trainers
from pytorch_metric_learning.distances import LpDistance

from pml_suprank import losses, miners
from tests.losses.cases import DIM, TREE, batch
from tests.miners.problems import DISTANCES, MINERS, as_set

LOSSES = {
    "TripletMarginLoss": lambda: pml_losses.TripletMarginLoss(margin=0.3),
    "ContrastiveLoss": lambda: pml_losses.ContrastiveLoss(),
    "MultiSimilarityLoss": lambda: pml_losses.MultiSimilarityLoss(),
    "SupHAPLoss": lambda: losses.SupHAPLoss(hierarchy=TREE),
    "SupAPLoss": lambda: losses.SupAPLoss(level=1, hierarchy=TREE),
    "HAPPIERLoss": lambda: losses.HAPPIERLoss(6, DIM, hierarchy=TREE),
}
every_miner = pytest.mark.parametrize("miner", MINERS)
every_loss = pytest.mark.parametrize("loss", LOSSES)


def uneven(seed, size=40):
    """Classes from singletons to half of the batch."""
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.rand(size, generator=generator) ** 3 * 9).long()
    return torch.randn(size, DIM, generator=generator), labels


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("against_references", [False, True])
def test_one_level_is_pml(distance, seed, against_references):
    arguments = uneven(seed)
    if against_references:
        arguments += uneven(seed + 10, 50)
    distance = DISTANCES[distance]()
    start, end = (0.8, 0.1) if distance.is_inverted else (0.3, 1.1)
    options = {"distance": distance}
    both = [
        (miners.HierarchicalPairMiner(start, end, **options), "PairMarginMiner", (start, end)),
        (miners.HierarchicalMultiSimilarityMiner(0.2, **options), "MultiSimilarityMiner", (0.2,)),
    ]
    for kind in ("all", "hard", "semihard", "easy"):
        ours = miners.HierarchicalTripletMiner(0.2, kind, **options)
        both.append((ours, "TripletMarginMiner", (0.2, kind)))
    for ours, name, values in both:
        got = ours(*arguments)
        expected = getattr(pml_miners, name)(*values, **options)(*arguments)
        assert sum(map(len, got)) > 0
        if name == "MultiSimilarityMiner":  # PML sorts by similarity
            assert as_set(got[:2]) == as_set(expected[:2])
            assert as_set(got[2:]) == as_set(expected[2:])
        else:
            assert all(map(torch.equal, got, expected))
        counts = [
            getattr(ours, f"num_{kind}", 0) for kind in ("triplets", "pos_pairs", "neg_pairs")
        ]
        assert counts == [len(got[0]), 0, 0] if len(got) == 3 else [0, len(got[0]), len(got[2])]


@every_miner
def test_defaults_are_pml(miner):
    name = {"pairs": "PairMarginMiner", "multi_similarity": "MultiSimilarityMiner"}
    theirs = getattr(pml_miners, name.get(miner, "TripletMarginMiner"))()
    ours = type(MINERS[miner]())()
    embeddings, labels = batch()
    embeddings = embeddings / 4
    assert type(ours.distance) is type(theirs.distance)
    for got, expected in zip(ours(embeddings, labels), theirs(embeddings, labels), strict=True):
        assert len(got) > 0
        assert sorted(got.tolist()) == sorted(expected.tolist())


@every_miner
@every_loss
@pytest.mark.parametrize("level", [None, 1])
def test_every_miner_drives_every_loss(miner, loss, level):
    embeddings, labels = batch()
    pairs = MINERS[miner](hierarchy=TREE, level=level)(embeddings, labels)
    assert len(pairs[0]) > 0
    embeddings.requires_grad_()
    value = LOSSES[loss]()(embeddings, labels, pairs)
    value.backward()
    assert torch.isfinite(value)
    assert embeddings.grad.abs().max() > 0


@every_miner
@every_loss
def test_no_pairs_give_zero_or_a_finite_loss(miner, loss):
    embeddings = torch.eye(6, DIM).requires_grad_()
    labels = torch.tensor([0, 3, 0, 3, 0, 3])
    far = torch.cat([embeddings, embeddings.detach() + 1e-3])
    ours = MINERS[miner](level=0, hierarchy=TREE)
    pairs = ours(embeddings[:1], labels[:1])
    assert all(len(column) == 0 for column in pairs)
    value = LOSSES[loss]()(far, labels.repeat(2), pairs)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(embeddings.grad).all()


@every_miner
@pytest.mark.parametrize("loss", [name for name in LOSSES if name != "HAPPIERLoss"])
@pytest.mark.parametrize("memory_size", [12, 30])
def test_in_memory(miner, loss, memory_size):
    """Equal to mining the queue, with the query's own slot left out, and the loss on what is mined."""
    memory = losses.CrossBatchMemory(
        LOSSES[loss](), DIM, memory_size, miner=MINERS[miner](hierarchy=TREE)
    )
    seen = 0
    for step in range(5):
        embeddings, labels = batch(10, seed=step)
        embeddings.requires_grad_()
        got = memory(embeddings, labels)
        got.backward()
        filled = memory_size if memory.has_been_filled else memory.queue_idx
        stored = memory.embedding_memory[:filled], memory.label_memory[:filled]
        slots = memory.curr_batch_idx
        pairs = MINERS[miner](hierarchy=TREE)(embeddings, labels, *stored, slots)
        assert (slots[pairs[0]] != pairs[1]).all()
        seen += len(pairs[0])
        options = [slots] if isinstance(memory.loss, losses.RankLoss) else []
        expected = LOSSES[loss]()(embeddings, labels, pairs, *stored, *options)
        torch.testing.assert_close(got, expected)
        assert torch.isfinite(embeddings.grad).all()
    assert seen > 0


def test_an_own_copy_takes_no_place_under_the_cap():
    embeddings, labels = batch(24)
    options = {"per_anchor": 40, "hierarchy": TREE}
    capped = miners.HierarchicalTripletMiner(1.5, **options)
    expected = as_set(capped(embeddings, labels))
    assert len(expected) > 100
    told = capped(embeddings, labels, embeddings.clone(), labels, torch.arange(24))
    assert as_set(told) == expected
    untold = capped(embeddings, labels, embeddings.clone(), labels)
    assert as_set(untold) != expected
    calls = []

    class Listening(type(capped)):
        def forward(self, *args, **kwargs):
            calls.append(super().forward(*args, **kwargs))
            return calls[-1]

    for loss in LOSSES:
        miner = Listening(1.5, **options)
        losses.CrossBatchMemory(LOSSES[loss](), DIM, 24, miner=miner)(embeddings, labels)
        slots = losses.DatasetMemory(LOSSES[loss](), 24, DIM, miner=miner)
        slots(embeddings, labels, torch.arange(24))
        assert [as_set(call) for call in calls] == [expected] * 2
        calls.clear()


def test_a_batch_that_is_not_stored_has_no_slots():
    embeddings, labels = batch(24)
    memory = losses.CrossBatchMemory(
        losses.SupHAPLoss(hierarchy=TREE), DIM, 24, miner=MINERS["capped"](hierarchy=TREE)
    )
    stored = torch.arange(24) < 12
    pairs = MINERS["capped"](hierarchy=TREE)(
        embeddings[~stored], labels[~stored], embeddings[stored], labels[stored]
    )
    expected = memory.loss(
        embeddings[~stored], labels[~stored], pairs, embeddings[stored], labels[stored]
    )
    torch.testing.assert_close(memory(embeddings, labels, enqueue_mask=stored), expected)


def test_pml_memory_drops_what_the_miner_cannot_know():
    embeddings, labels = batch(20)
    for miner in ("triplets", "hard", "pairs"):  # none of these depends on what else is there
        alone = pml_losses.TripletMarginLoss(distance=LpDistance(), margin=0.3)
        expected = alone(embeddings, labels, MINERS[miner](hierarchy=TREE)(embeddings, labels))
        memory = pml_losses.CrossBatchMemory(alone, DIM, 20, miner=MINERS[miner](hierarchy=TREE))
        torch.testing.assert_close(memory(embeddings, labels), expected)


class Points(torch.utils.data.Dataset):
    def __init__(self, two_dimensional):
        self.points, labels = batch(96, spread=1.0)
        self.labels = TREE.expand(labels) if two_dimensional else labels

    def __len__(self):
        return len(self.points)

    def __getitem__(self, index):
        return self.points[index], self.labels[index]


@every_miner
@pytest.mark.parametrize(
    ("loss", "form"),
    [
        (loss, form)
        for loss in LOSSES
        for form in ("1-D labels", "2-D labels")
        if form == "1-D labels" or not hasattr(pml_losses, loss)
    ],
)
def test_metric_loss_only(miner, loss, form):
    dataset = Points(form == "2-D labels")
    trunk, loss_fn = torch.nn.Linear(DIM, DIM), LOSSES[loss]()
    tuple_miner = MINERS[miner](hierarchy=TREE, collect_stats=True)
    optimizers = {"trunk_optimizer": torch.optim.Adam(trunk.parameters(), lr=0.02)}
    if list(loss_fn.parameters()):
        optimizers["metric_loss_optimizer"] = torch.optim.Adam(loss_fn.parameters(), lr=0.02)
    seen = []
    trainer = trainers.MetricLossOnly(
        models={"trunk": trunk},
        optimizers=optimizers,
        batch_size=24,
        loss_funcs={"metric_loss": loss_fn},
        mining_funcs={"tuple_miner": tuple_miner},
        dataset=dataset,
        sampler=samplers.MPerClassSampler(
            dataset.labels.view(96, -1)[:, 0], 4, batch_size=24, length_before_new_iter=96
        ),
        label_hierarchy_level="all" if form == "2-D labels" else 0,
        dataloader_num_workers=0,
        end_of_iteration_hook=lambda t: seen.append(float(t.losses["total_loss"].detach())),
    )

    def value():
        embeddings = trunk(dataset.points)
        pairs = MINERS["triplets"](hierarchy=TREE)(embeddings, dataset.labels)
        return loss_fn(embeddings, dataset.labels, pairs).item()

    before = value()
    trainer.train(num_epochs=5)
    assert len(seen) == 20
    assert value() < before


def test_records_per_level():
    embeddings, labels = batch(24)
    rows = TREE.expand(labels)
    miner = miners.HierarchicalTripletMiner([0.1, 0.2, 0.3], collect_stats=True)
    a, p, n = miner(embeddings, rows)
    mat = miner.distance(embeddings)
    level = 3 - (rows[a] == rows[p]).sum(1)
    violation = torch.tensor([0.1, 0.2, 0.3])[level] + mat[a, p] - mat[a, n]
    check_records(miner, "triplet", level, violation)

    pos_margins, neg_margins = torch.tensor([0.1, 0.7, 1.0]), torch.tensor([0.7, 1.0, 1.5])
    miner = miners.HierarchicalPairMiner(
        pos_margins.double().tolist(), neg_margins.double().tolist(), collect_stats=True
    )
    a1, p, a2, n = miner(embeddings, rows)
    mat = miner.distance(embeddings)
    level = 3 - (rows[a1] == rows[p]).sum(1)
    check_records(miner, "pos_pair", level, mat[a1, p] - pos_margins[level])
    level = 2 - (rows[a2] == rows[n]).sum(1)
    check_records(miner, "neg_pair", level, neg_margins[level] - mat[a2, n])

    miner = miners.HierarchicalMultiSimilarityMiner(collect_stats=True)
    a1, p, a2, n = miner(embeddings, rows)
    mat, common = miner.distance(embeddings), (rows[:, None] == rows).sum(2)
    common.fill_diagonal_(-1)
    fewer = (common[a1] >= 0) & (common[a1] < common[a1, p][:, None])
    overtaken = mat[a1].where(fewer, torch.tensor(-torch.inf)).amax(1) - mat[a1, p] + 0.1
    check_records(miner, "pos_pair", 3 - common[a1, p], overtaken)
    more = common[a2] > common[a2, n][:, None]
    overtaking = mat[a2, n] + 0.1 - mat[a2].where(more, torch.tensor(torch.inf)).amin(1)
    check_records(miner, "neg_pair", 2 - common[a2, n], overtaking)


def check_records(miner, kind, level, violation):
    assert (violation > 0).all()
    for column in range(3):
        here = level == column
        assert here.any()
        names = f"num_{kind}s_level{column}", f"{kind}_violation_level{column}"
        assert set(names) <= set(miner._record_these_stats)
        assert getattr(miner, names[0]) == here.sum()
        assert getattr(miner, names[1]) == pytest.approx(violation[here].mean().item(), abs=1e-6)
    assert getattr(miner, f"num_{kind}s") == len(level)


def test_records_of_one_level_and_of_nothing():
    embeddings, labels = batch(24)
    miner = miners.HierarchicalTripletMiner(0.2, level=1, hierarchy=TREE, collect_stats=True)
    miner(embeddings, labels)
    assert miner.num_triplets_level1 == miner.num_triplets > 0
    assert miner.triplet_violation_level1 > 0
    assert not hasattr(miner, "num_triplets_level0")
    miner(embeddings, torch.zeros_like(labels))
    assert (miner.num_triplets_level1, miner.triplet_violation_level1) == (0, 0)
    silent = miners.HierarchicalTripletMiner(0.2, hierarchy=TREE)
    silent(embeddings, labels)
    assert not hasattr(silent, "num_triplets_level0")


def test_margins_are_recordable():
    assert "margins" in miners.HierarchicalTripletMiner(0.2)._record_these
    miner = miners.HierarchicalTripletMiner([0.2, 0.1])
    assert {"margins_level0", "margins_level1"} <= set(miner._record_these)
    assert (miner.margins_level0, miner.margins_level1) == (0.2, 0.1)
    assert "epsilon" in miners.HierarchicalMultiSimilarityMiner()._record_these


def test_records_reach_a_record_keeper(tmp_path):
    record_keeper = pytest.importorskip("record_keeper", reason="record-keeper is not installed")
    writer = record_keeper.RecordWriter(folder=str(tmp_path))
    keeper = record_keeper.RecordKeeper(
        record_writer=writer,
        attributes_to_search_for=["_record_these", "_record_these_stats"],
    )
    miner = miners.HierarchicalPairMiner([0.1, 0.3, 0.6], [0.2, 0.5, 1.0], collect_stats=True)
    embeddings, labels = batch(24)
    for iteration in range(3):
        miner(embeddings[iteration:], TREE.expand(labels)[iteration:])
        keeper.update_records({"tuple_miner": miner}, iteration)
    records = keeper.get_record("tuple_miner_HierarchicalPairMiner")
    column = list(records["num_pos_pairs_level1"].values())
    assert len(column) == 3
    assert column[-1] == miner.num_pos_pairs_level1


@every_miner
def test_copies_and_pickles(miner):
    embeddings, labels = batch()
    ours = MINERS[miner](hierarchy=TREE)
    expected = ours(embeddings, labels)
    for again in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert all(map(torch.equal, again(embeddings, labels), expected))
    assert str(miners.HierarchicalTripletMiner([0.2, 0.1])).count("margins=(0.2, 0.1)") == 1

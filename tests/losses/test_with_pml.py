"""The losses inside PML's own machinery: miners, reducers, regularizers, wrappers, trainers, records."""

import copy
import pickle

import pytest
import torch
from pytorch_metric_learning import losses as pml_losses
from pytorch_metric_learning import miners, reducers, regularizers, samplers, trainers
from pytorch_metric_learning.distances import DotProductSimilarity, LpDistance
from pytorch_metric_learning.utils import loss_and_miner_utils as lmu

from pml_suprank import losses
from tests.losses.cases import (
    ALL_LOSSES,
    DIM,
    RANK_LOSSES,
    TREE,
    batch,
    make,
    similarity,
    value_and_gradient,
)
from tests.reference import baselines as reference

every_loss = pytest.mark.parametrize("name", ALL_LOSSES)
every_rank_loss = pytest.mark.parametrize("name", RANK_LOSSES)
takes_tuples = pytest.mark.parametrize("name", [n for n in ALL_LOSSES if n != "CSLLoss"])

MINERS = {
    "multi_similarity": lambda: miners.MultiSimilarityMiner(),
    "triplet": lambda: miners.TripletMarginMiner(type_of_triplets="all", distance=similarity()),
    "batch_hard": lambda: miners.BatchHardMiner(distance=similarity()),
    "pair_margin": lambda: miners.PairMarginMiner(0.9, 0.1, distance=similarity()),
}


@takes_tuples
@pytest.mark.parametrize("miner", MINERS)
def test_any_miner_drives_any_loss(name, miner):
    embeddings, labels = batch()
    pairs = MINERS[miner]()(embeddings, labels)
    assert len(pairs[0]) > 0
    loss, gradient = value_and_gradient(make(name), embeddings, labels, pairs)
    assert torch.isfinite(loss)
    assert gradient.abs().max() > 0


@every_rank_loss
def test_the_tuple_of_all_pairs_changes_nothing(name):
    embeddings, labels = batch()
    pairs = lmu.get_all_pairs_indices(labels)
    torch.testing.assert_close(
        make(name)(embeddings, labels, pairs), make(name)(embeddings, labels)
    )


def test_a_tuple_narrows_the_retrieval_set():
    embeddings, labels = batch(12)
    loss_fn = losses.SupHAPLoss(hierarchy=TREE)
    query = 5
    items = torch.tensor([0, 2, 3, 7, 9, 11])
    same = labels[items] == labels[query]
    anchors = torch.full_like(items, query)
    pairs = (anchors[same], items[same], anchors[~same], items[~same])
    got = loss_fn(embeddings, labels, pairs)
    expected = loss_fn(
        embeddings[[query]], labels[[query]], ref_emb=embeddings[items], ref_labels=labels[items]
    )
    assert got > 0
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("name", ["SupAPLoss", "SmoothAPLoss", "SupRecallLoss"])
def test_a_tuple_alone_is_enough_for_binary_losses(name):
    embeddings, labels = batch()
    pairs = lmu.get_all_pairs_indices(labels)
    torch.testing.assert_close(make(name)(embeddings, None, pairs), make(name)(embeddings, labels))


def test_an_empty_tuple_gives_zero_with_a_graph():
    embeddings, labels = batch()
    empty = tuple(torch.empty(0, dtype=torch.long) for _ in range(4))
    loss, gradient = value_and_gradient(losses.SupAPLoss(), embeddings, labels, empty)
    assert loss == 0
    assert (gradient == 0).all()


@every_rank_loss
def test_references(name):
    embeddings, labels = batch(10)
    references, ref_labels = batch(30, seed=3)
    loss_fn = make(name)
    loss, gradient = value_and_gradient(
        loss_fn, embeddings, labels, ref_emb=references, ref_labels=ref_labels
    )
    per_query = [
        loss_fn(embeddings[[q]], labels[[q]], ref_emb=references, ref_labels=ref_labels)
        for q in range(10)
    ]
    torch.testing.assert_close(loss, torch.stack(per_query).mean())
    assert gradient.abs().max() > 0
    same = value_and_gradient(loss_fn, embeddings, labels)
    own = embeddings.clone().requires_grad_()
    loss = loss_fn(own, labels, ref_emb=own, ref_labels=labels)
    torch.testing.assert_close(loss.detach(), same[0])


@every_rank_loss
@pytest.mark.parametrize(
    "reducer",
    [
        reducers.MeanReducer(),
        reducers.SumReducer(),
        reducers.AvgNonZeroReducer(),
        reducers.ThresholdReducer(low=0.1),
        reducers.ClassWeightedReducer(torch.ones(6)),
        reducers.PerAnchorReducer(),
    ],
    ids=lambda reducer: type(reducer).__name__,
)
def test_reducers(name, reducer):
    embeddings, labels = batch()
    per_query = make(name, reducer=reducers.DoNothingReducer())(embeddings, labels)["loss"]
    losses_, indices = per_query["losses"], per_query["indices"]
    assert losses_.ndim == 1
    assert len(losses_) == len(indices)
    expected = {
        "SumReducer": losses_.sum(),
        "AvgNonZeroReducer": losses_[losses_ > 0].mean(),
        "ThresholdReducer": losses_[losses_ > 0.1].mean(),
    }.get(type(reducer).__name__, losses_.mean())
    torch.testing.assert_close(make(name, reducer=reducer)(embeddings, labels), expected)


@every_rank_loss
def test_embedding_regularizer(name):
    embeddings, labels = batch()
    options = {"embedding_regularizer": regularizers.LpRegularizer(), "embedding_reg_weight": 0.5}
    got = make(name, **options)(embeddings, labels)
    expected = make(name)(embeddings, labels) + 0.5 * embeddings.norm(dim=1).mean()
    torch.testing.assert_close(got, expected)


def test_records():
    loss_fn = losses.SupAPLoss(tau=0.02, collect_stats=True)
    assert {"tau", "rho", "delta", "start", "offset"} <= set(loss_fn._record_these)
    assert loss_fn.offset == pytest.approx(0.5 + 1 / (1 + 2.718281828459045**-2.5))
    loss_fn(torch.eye(4), torch.tensor([0, 0, 1, 2]))
    assert "num_queries_without_positives" in loss_fn._record_these_stats
    assert loss_fn.num_queries_without_positives == 2


def test_presets_are_the_published_steps():
    embeddings, labels = batch()
    by_name = losses.SupAPLoss(preset="inat")(embeddings, labels)
    by_value = losses.SupAPLoss(start=0.0, offset=1.0)(embeddings, labels)
    assert by_name == by_value
    assert by_name != losses.SupAPLoss()(embeddings, labels)


@every_rank_loss
def test_dot_product_of_unit_vectors_is_cosine(name):
    embeddings, labels = batch()
    unit = torch.nn.functional.normalize(embeddings)
    dot = make(name, distance=DotProductSimilarity(normalize_embeddings=False))
    torch.testing.assert_close(
        dot(unit, labels), make(name)(embeddings, labels), atol=1e-5, rtol=1e-5
    )


@every_loss
def test_multiple_losses(name):
    embeddings, labels = batch()
    weights = {"ours": 0.5, "theirs": 2}
    both = pml_losses.MultipleLosses(
        {"ours": make(name), "theirs": pml_losses.TripletMarginLoss()}, weights=weights
    )
    expected = 0.5 * make(name)(embeddings, labels)
    expected = expected + 2 * pml_losses.TripletMarginLoss()(embeddings, labels)
    torch.testing.assert_close(both(embeddings, labels), expected)


def test_decomposable_loss_takes_any_pml_losses():
    embeddings, labels = batch()
    rank, other = losses.SmoothAPLoss(), pml_losses.TripletMarginLoss(distance=LpDistance())
    got = losses.DecomposableRankLoss(rank, other, weight=0.25)(embeddings, labels)
    torch.testing.assert_close(
        got, 0.75 * rank(embeddings, labels) + 0.25 * other(embeddings, labels)
    )


def test_decomposable_loss_gives_proxies_no_references():
    embeddings, labels = batch(10)
    references, ref_labels = batch(30, seed=3)
    loss_fn = make("HAPPIERLoss")
    got = loss_fn(embeddings, labels, ref_emb=references, ref_labels=ref_labels)
    rank = loss_fn.rank_loss(embeddings, labels, None, references, ref_labels)
    expected = 0.9 * rank + 0.1 * loss_fn.decomposability_loss(embeddings, labels)
    torch.testing.assert_close(got, expected)


def test_augmented_views_as_references():
    """What PML's SelfSupervisedLoss does, with its list of supported losses left aside."""
    views, _ = batch(8)
    labels = torch.arange(8)
    loss = losses.SupAPLoss()(views, labels, ref_emb=views + 0.01, ref_labels=labels.clone())
    assert 0 <= loss < 0.5


@every_loss
def test_copies_and_pickles(name):
    embeddings, labels = batch()
    loss_fn = make(name)
    expected = loss_fn(embeddings, labels)
    torch.testing.assert_close(copy.deepcopy(loss_fn)(embeddings, labels), expected)
    torch.testing.assert_close(pickle.loads(pickle.dumps(loss_fn))(embeddings, labels), expected)
    again = ALL_LOSSES[name]()
    again.load_state_dict(loss_fn.state_dict())
    torch.testing.assert_close(again(embeddings, labels), expected)


def test_a_compiled_model_trains():
    embeddings, labels = batch()
    layer = torch.nn.Linear(DIM, DIM)
    compiled = torch.compile(layer, backend="aot_eager")
    loss_fn = make("SupHAPLoss")
    loss_fn(compiled(embeddings), labels).backward()
    got = layer.weight.grad.clone()
    layer.zero_grad()
    loss_fn(layer(embeddings), labels).backward()
    torch.testing.assert_close(got, layer.weight.grad)


class Points(torch.utils.data.Dataset):
    def __init__(self, two_dimensional):
        self.points, labels = batch(96, spread=1.0)
        self.labels = TREE.expand(labels) if two_dimensional else labels

    def __len__(self):
        return len(self.points)

    def __getitem__(self, index):
        return self.points[index], self.labels[index]


@every_loss
@pytest.mark.parametrize("two_dimensional", [False, True], ids=["1-D labels", "2-D labels"])
def test_metric_loss_only(name, two_dimensional):
    dataset = Points(two_dimensional)
    trunk = torch.nn.Linear(DIM, DIM)
    loss_fn = make(name)
    optimizers = {"trunk_optimizer": torch.optim.Adam(trunk.parameters(), lr=0.02)}
    if list(loss_fn.parameters()):
        optimizers["metric_loss_optimizer"] = torch.optim.Adam(loss_fn.parameters(), lr=0.02)
    finest = dataset.labels[:, 0] if two_dimensional else dataset.labels
    seen = []
    trainer = trainers.MetricLossOnly(
        models={"trunk": trunk},
        optimizers=optimizers,
        batch_size=24,
        loss_funcs={"metric_loss": loss_fn},
        dataset=dataset,
        sampler=samplers.MPerClassSampler(finest, 4, batch_size=24, length_before_new_iter=96),
        label_hierarchy_level="all" if two_dimensional else 0,
        dataloader_num_workers=0,
        end_of_iteration_hook=lambda t: seen.append(float(t.losses["total_loss"].detach())),
    )
    before = loss_fn(trunk(dataset.points), dataset.labels).item()
    trainer.train(num_epochs=5)
    after = loss_fn(trunk(dataset.points), dataset.labels).item()
    assert len(seen) == 20
    assert after < before


@pytest.mark.parametrize("level", [0, 1, 2])
def test_hmce_of_one_level_is_supervised_contrastive(level):
    embeddings, labels = batch()
    column = TREE.expand(labels)[:, level]
    expected = value_and_gradient(pml_losses.SupConLoss(temperature=0.2), embeddings, column)
    loss_fn = losses.HMCELoss(0.2, level_weights=1, level=level, hierarchy=TREE)
    torch.testing.assert_close(value_and_gradient(loss_fn, embeddings, labels), expected)


CLOSED_FORM = {
    "AvgNonZeroReducer": reducers.AvgNonZeroReducer,
    "MeanReducer": reducers.MeanReducer,
    "SumReducer": reducers.SumReducer,
}


@pytest.mark.parametrize("reducer", CLOSED_FORM)
@pytest.mark.parametrize("distance", [LpDistance, similarity], ids=["distance", "similarity"])
@pytest.mark.parametrize("tuples", ["all", "pairs", "triplets"])
def test_triplets_of_one_level_are_those_of_pml(reducer, distance, tuples):
    embeddings, labels = batch(dtype=torch.float64)
    options = {"distance": distance(), "reducer": CLOSED_FORM[reducer]()}
    mined = {
        "all": None,
        "pairs": miners.PairMarginMiner(0.9, 0.1, distance=similarity())(embeddings, labels),
        "triplets": MINERS["triplet"]()(embeddings, labels),
    }[tuples]
    theirs = pml_losses.TripletMarginLoss(margin=0.3, **options)
    ours = losses.HierarchicalTripletMarginLoss(0.3, **options)
    expected = value_and_gradient(theirs, embeddings, labels, mined)
    assert expected[0] > 0
    torch.testing.assert_close(value_and_gradient(ours, embeddings, labels, mined), expected)


@pytest.mark.parametrize("reducer", CLOSED_FORM)
@pytest.mark.parametrize("references", [False, True])
@pytest.mark.parametrize("regularized", [False, True])
def test_triplets_across_levels_one_by_one(reducer, references, regularized):
    """The closed form equals the brute force, and the list of all triplets as a tuple."""
    embeddings, labels = batch(10, dtype=torch.float64)
    ref_emb, ref_labels = batch(14, seed=3, dtype=torch.float64) if references else (None, None)
    options = {"embedding_regularizer": regularizers.LpRegularizer()} if regularized else {}
    margins = (0.2, 0.1, 0.05)
    loss_fn = losses.HierarchicalTripletMarginLoss(
        margins,
        hierarchy=TREE,
        distance=similarity(),
        reducer=CLOSED_FORM[reducer](),
        collect_stats=True,
        **options,
    )
    unit = torch.nn.functional.normalize(embeddings)
    items = torch.nn.functional.normalize(ref_emb) if references else unit
    keep = torch.ones(10, len(items), dtype=torch.bool)
    if not references:
        keep.fill_diagonal_(False)
    levels = TREE.common_levels(labels, ref_labels if references else labels)
    found = reference.triplets((unit @ items.T).tolist(), levels.tolist(), keep.tolist(), margins)
    hinges = torch.tensor(list(found.values()), dtype=torch.float64)
    expected = {
        "AvgNonZeroReducer": hinges[hinges > 0].mean(),
        "MeanReducer": hinges.mean(),
        "SumReducer": hinges.sum(),
    }[reducer]
    if regularized:
        expected = expected + embeddings.norm(dim=1).mean()
    arguments = {"ref_emb": ref_emb, "ref_labels": ref_labels}
    got = value_and_gradient(loss_fn, embeddings, labels, **arguments)
    torch.testing.assert_close(got[0], expected)
    assert loss_fn.num_triplets == len(found)
    assert loss_fn.num_violations == int((hinges > 0).sum())
    listed = tuple(torch.tensor(list(found)).unbind(1))
    torch.testing.assert_close(
        value_and_gradient(loss_fn, embeddings, labels, listed, **arguments), got
    )
    assert loss_fn.num_triplets == len(found)


def test_any_reducer_takes_the_triplets_of_a_miner():
    embeddings, labels = batch()
    triplets = MINERS["triplet"]()(embeddings, labels)
    per_triplet = losses.HierarchicalTripletMarginLoss(0.3, reducer=reducers.DoNothingReducer())
    found = per_triplet(embeddings, labels, triplets)["loss"]
    assert all(map(torch.equal, found["indices"], triplets))
    got = losses.HierarchicalTripletMarginLoss(0.3, reducer=reducers.ThresholdReducer(low=0.2))(
        embeddings, labels, triplets
    )
    torch.testing.assert_close(got, found["losses"][found["losses"] > 0.2].mean())


def test_triplets_that_are_none_do_not_count():
    """The anchor as its own positive, and a negative of the positive's level or of a finer one."""
    embeddings, _ = batch(6)
    labels = torch.tensor([0, 0, 1, 1, 4, 5])
    loss_fn = losses.HierarchicalTripletMarginLoss(2.0, hierarchy=TREE, collect_stats=True)
    triplets = torch.tensor([[0, 0, 4], [0, 2, 3], [2, 0, 1], [0, 1, 2]]).unbind(1)
    loss_fn(embeddings, labels, triplets)
    assert loss_fn.num_triplets == 1
    assert loss_fn.num_queries_without_positives == 5
    assert loss_fn(embeddings, labels, [t[:3] for t in triplets]) == 0
    assert loss_fn.num_queries_without_positives == 6
    loss_fn(embeddings[:5], labels[:5])
    assert loss_fn.num_queries_without_positives == 1  # the elm, alone of its kingdom


def test_own_labels_of_the_batch_as_references_are_kept():
    embeddings, labels = batch()
    for name in ("SupAPLoss", "CalibrationLoss"):
        flipped = make(name)(embeddings, labels, None, embeddings, labels.flip(0))
        assert flipped != make(name)(embeddings, labels)


def test_a_sum_shows_the_distance_and_reducer_of_its_rank_loss():
    loss_fn = losses.ROADMAPLoss(distance=DotProductSimilarity())
    assert loss_fn.distance is loss_fn.rank_loss.distance
    assert loss_fn.reducer is loss_fn.rank_loss.reducer


def test_happier_takes_its_classes_from_the_hierarchy():
    loss_fn = losses.HAPPIERLoss(embedding_size=DIM, hierarchy=TREE, cluster_level=1)
    assert loss_fn.decomposability_loss.num_classes == 4

"""A tuple and the labels: which of the two says that a pair is positive."""

import pytest
import torch
from pytorch_metric_learning import losses as pml_losses
from pytorch_metric_learning import miners as pml_miners
from pytorch_metric_learning.utils import loss_and_miner_utils as lmu

from pml_suprank import losses, miners
from tests.losses.cases import DIM, TREE, batch, make, similarity, value_and_gradient

ONE_LEVEL = [
    "SupAPLoss",
    "SmoothAPLoss",
    "SupRecallLoss",
    "SmoothRecallLoss",
    "BlackBoxAPLoss",
    "SoftBinAPLoss",
    "CalibrationLoss",
    "ROADMAPLoss",
]
GRADED_ON_ONE_COLUMN = {
    "SupHAPLoss": lambda: losses.SupHAPLoss(),
    "SupNDCGLoss": lambda: losses.SupNDCGLoss(),
    "HMCELoss": lambda: losses.HMCELoss(),
    "HierarchicalTripletMarginLoss": lambda: losses.HierarchicalTripletMarginLoss(0.3),
}
TRIPLETS = torch.arange(12).view(3, 4).unbind(0)


def build(name):
    return GRADED_ON_ONE_COLUMN[name]() if name in GRADED_ON_ONE_COLUMN else make(name)


@pytest.mark.parametrize("name", [*ONE_LEVEL, *GRADED_ON_ONE_COLUMN])
def test_with_one_level_the_tuple_decides(name):
    """Whatever the labels are: the value and the gradient of labels that agree with it."""
    embeddings, _ = batch(16)
    agreeing = torch.arange(16)
    agreeing[4:8] = agreeing[:4]
    expected = value_and_gradient(build(name), embeddings, agreeing, TRIPLETS)
    assert expected[0] > 0
    assert expected[1].abs().max() > 0
    for labels in (torch.arange(16), torch.zeros(16).long(), torch.arange(16).view(16, 1)):
        torch.testing.assert_close(
            value_and_gradient(build(name), embeddings, labels, TRIPLETS), expected
        )
    if name in ONE_LEVEL:
        got = value_and_gradient(build(name), embeddings, None, TRIPLETS)
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("kind", ["triplets", "pairs"])
def test_triplets_of_any_labels_are_those_of_pml(kind):
    embeddings, labels = batch(16)
    pairs = TRIPLETS if kind == "triplets" else (*TRIPLETS[:2], TRIPLETS[0], TRIPLETS[2])
    ours = losses.HierarchicalTripletMarginLoss(0.3)
    theirs = pml_losses.TripletMarginLoss(margin=0.3)
    torch.testing.assert_close(
        value_and_gradient(ours, embeddings, labels, pairs),
        value_and_gradient(theirs, embeddings, labels, pairs),
    )


def test_both_parts_of_a_sum_go_by_the_tuple():
    embeddings, _ = batch(16)
    labels = torch.arange(16)
    both = losses.ROADMAPLoss(weight=0.25)
    rank = losses.SupAPLoss()(embeddings, None, TRIPLETS)
    calibration = pml_losses.ContrastiveLoss(0.9, 0.6, distance=similarity())
    expected = 0.75 * rank + 0.25 * calibration(embeddings, labels, TRIPLETS)
    assert rank > 0
    torch.testing.assert_close(both(embeddings, labels, TRIPLETS), expected)


@pytest.mark.parametrize("name", ["SupAPLoss", "CalibrationLoss"])
def test_a_tuple_of_references_decides(name):
    embeddings, labels = batch(6)
    references, ref_labels = batch(10, seed=3)
    query, item = torch.meshgrid(torch.arange(6), torch.arange(10), indexing="ij")
    positive = (query + item) % 3 == 0
    pairs = (query[positive], item[positive], query[~positive], item[~positive])
    got = value_and_gradient(
        make(name), embeddings, labels, pairs, ref_emb=references, ref_labels=ref_labels
    )
    agreeing = value_and_gradient(
        make(name),
        embeddings,
        torch.arange(6) % 3,
        ref_emb=references,
        ref_labels=-torch.arange(10) % 3,
    )
    torch.testing.assert_close(got, agreeing)


def test_the_query_in_its_own_set_is_positive_beside_a_tuple():
    embeddings, _ = batch(16)
    got = losses.SupAPLoss(include_self=True)(embeddings, torch.arange(16), TRIPLETS)
    own = torch.arange(16)
    pairs = (
        torch.cat([TRIPLETS[0], own]),
        torch.cat([TRIPLETS[1], own]),
        TRIPLETS[0],
        TRIPLETS[2],
    )
    expected = losses.SupAPLoss()(embeddings, None, pairs, embeddings.clone(), None)
    torch.testing.assert_close(got, expected)


GRADED = ["SupHAPLoss", "SupNDCGLoss", "HMCELoss", "HierarchicalTripletMarginLoss", "HAPPIERLoss"]
AT_A_LEVEL = ["SupAPLoss[level=1]", "DecomposableRankLoss"]


@pytest.mark.parametrize("form", ["1-D", "2-D"])
@pytest.mark.parametrize("name", [*GRADED, *AT_A_LEVEL, "calibration", "roadmap"])
def test_labels_of_several_levels_have_to_agree(name, form):
    embeddings, _ = batch(6)
    labels = torch.tensor([0, 0, 2, 3, 4, 5])
    labels = TREE.expand(labels) if form == "2-D" else labels
    build = {
        "calibration": lambda: losses.CalibrationLoss(level=1, hierarchy=TREE),
        "roadmap": lambda: losses.ROADMAPLoss(level=1, hierarchy=TREE),
    }
    loss_fn = build[name]() if name in build else make(name)
    for wrong, message in {
        (
            (0, 0),
            (1, 3),
            (4, 4),
        ): r"got \(0, 3\) as a positive pair, whose labels .* share no level",
        ((0, 1), (2, 2), (3, 0)): r"got \(1, 0\) as a negative pair, whose labels .* of one class",
    }.items():
        with pytest.raises(ValueError, match=f"^indices_tuple: wanted .*{message}"):
            loss_fn(embeddings, labels, tuple(map(torch.tensor, wrong)))
    # a negative of the same parent, a positive of a coarser level: all miners on a hierarchy find such
    for right in (((0, 2), (1, 0), (2, 3)), ((0, 2), (1, 1), (2, 4))):
        assert torch.isfinite(loss_fn(embeddings, labels, tuple(map(torch.tensor, right))))


@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_miner_on_the_finest_classes_narrows_a_loss_on_a_coarser_level(level):
    """What it calls negative is positive where the labels share the level, in both parts of a sum."""
    embeddings, labels = batch()
    pairs = lmu.get_all_pairs_indices(labels)
    for kind in (losses.SupAPLoss, losses.CalibrationLoss, losses.ROADMAPLoss):
        loss_fn = kind(level=level, hierarchy=TREE)
        torch.testing.assert_close(
            value_and_gradient(loss_fn, embeddings, labels, pairs),
            value_and_gradient(loss_fn, embeddings, labels),
        )


def test_a_tuple_that_the_labels_share_is_handed_on_as_it_is():
    """Triplets stay triplets, which PML's losses may count several times."""
    embeddings, labels = batch()
    triplets = pml_miners.TripletMarginMiner(type_of_triplets="all")(embeddings, labels)
    ours = losses.CalibrationLoss(hierarchy=TREE)
    theirs = pml_losses.ContrastiveLoss(0.9, 0.6, distance=similarity())
    torch.testing.assert_close(
        ours(embeddings, labels, triplets), theirs(embeddings, labels, triplets)
    )


def test_proxies_take_a_tuple_as_weights():
    embeddings, labels = batch()
    triplets = miners.HierarchicalTripletMiner(0.3, hierarchy=TREE)(embeddings, labels)
    torch.manual_seed(7)
    theirs = pml_losses.NormalizedSoftmaxLoss(6, DIM)
    ours = losses.ProxyClusterLoss(6, DIM, hierarchy=TREE)
    ours.W.data = theirs.W.data.clone()
    torch.testing.assert_close(
        ours(embeddings, labels, triplets), theirs(embeddings, labels, triplets)
    )


def test_mixed_samples_are_in_no_tuple():
    embeddings, labels = batch(16)
    loss_fn = losses.SupAPLoss(mixup=True)
    with pytest.raises(ValueError, match="indices_tuple: wanted None with mixup"):
        loss_fn(embeddings, labels, TRIPLETS)
    assert loss_fn.eval()(embeddings, labels, TRIPLETS) > 0


@pytest.mark.parametrize(
    "name", ["SupAPLoss", "CalibrationLoss", "ProxyClusterLoss", "HAPPIERLoss"]
)
@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (([0], [1]), "wanted 3 tensors of triplets or 4 of pairs, got 2"),
        (([0], [8], [1]), r"wanted indices in 0..7, got 8..8"),
        (([0.0], [1.0], [2.0]), r"indices_tuple\[0\]: wanted integers, got dtype float"),
        (([0], [1], [2, 3]), "wanted pairs of equal length, got 1 and 1 and 2"),
    ],
)
def test_malformed_tuples(name, pairs, message):
    embeddings, labels = batch(8)
    with pytest.raises(ValueError, match=message):
        make(name)(embeddings, labels, pairs)


def test_tuples_of_any_integers():
    embeddings, labels = batch(16)
    expected = losses.SupAPLoss()(embeddings, labels, TRIPLETS)
    for given in (
        [t.int() for t in TRIPLETS],
        [t.numpy() for t in TRIPLETS],
        torch.stack(TRIPLETS),
    ):
        torch.testing.assert_close(losses.SupAPLoss()(embeddings, labels, given), expected)
    empty = tuple(torch.tensor([]) for _ in range(3))  # as PML's utilities make them
    assert losses.SupAPLoss()(embeddings, labels, empty) == 0

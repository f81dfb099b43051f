"""Every bad argument is an error that names it, what was wanted and what came."""

import pytest
import torch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.reducers import ThresholdReducer

from pml_suprank import HierarchyError, losses
from tests.losses.cases import ALL_LOSSES, DIM, RANK_LOSSES, TREE, batch, make

every_loss = pytest.mark.parametrize("name", ALL_LOSSES)
EMBEDDINGS, LABELS = batch(8)
BAD_EMBEDDINGS = [
    (torch.zeros(0, DIM), "embeddings: wanted a floating tensor"),
    (torch.zeros(8, 0), "embeddings: wanted a floating tensor"),
    (torch.zeros(8), "embeddings: wanted a floating tensor"),
    (torch.zeros(8, DIM, dtype=torch.long), "embeddings: wanted a floating tensor"),
    ([[0.0] * DIM] * 8, "embeddings: wanted a .* tensor, got list"),
    (
        EMBEDDINGS.index_fill(0, torch.tensor([3]), float("nan")),
        "in 1 of 8 rows, first in row 3",
    ),
    (EMBEDDINGS.index_fill(0, torch.tensor([0]), float("inf")), "embeddings: wanted finite"),
]
BAD_LABELS = [
    LABELS[:7],
    LABELS + 0.5,
    LABELS.double() * float("nan"),
    LABELS.float() + 2**24,
    LABELS.view(2, 2, 2),
    torch.tensor(1),
]
BAD_REFERENCES = [
    ({"ref_emb": EMBEDDINGS[:4].clone()}, "ref_labels: wanted labels"),
    ({"ref_emb": EMBEDDINGS[:4, :3], "ref_labels": LABELS[:4]}, "ref_emb: wanted 8 dimensions"),
    ({"ref_emb": EMBEDDINGS[:4] / 0, "ref_labels": LABELS[:4]}, "ref_emb: wanted finite"),
    ({"ref_emb": EMBEDDINGS[:0], "ref_labels": LABELS[:0]}, "ref_emb: wanted a floating"),
    ({"ref_emb": EMBEDDINGS[:4].clone(), "ref_labels": LABELS}, "ref_labels: wanted"),
    ({"ref_labels": LABELS}, "ref_labels: wanted None without ref_emb"),
]


@every_loss
def test_embeddings(name):
    for embeddings, message in BAD_EMBEDDINGS:
        with pytest.raises(ValueError, match=message):
            make(name)(embeddings, LABELS[: len(embeddings)])


@every_loss
def test_labels(name):
    for labels in BAD_LABELS:
        with pytest.raises(HierarchyError, match="labels: wanted"):
            make(name)(EMBEDDINGS, labels)


@every_loss
def test_missing_labels(name):
    with pytest.raises(ValueError, match="labels"):
        make(name)(EMBEDDINGS)


def test_unknown_class_ids():
    with pytest.raises(HierarchyError, match="77"):
        losses.SupHAPLoss(hierarchy=TREE)(EMBEDDINGS, LABELS + 77)


def test_label_rows_of_another_tree():
    with pytest.raises(HierarchyError, match="labels: wanted"):
        losses.SupHAPLoss(hierarchy=TREE)(EMBEDDINGS, LABELS[:, None].expand(8, 4))


@pytest.mark.parametrize("name", RANK_LOSSES)
def test_references(name):
    for references, message in BAD_REFERENCES:
        with pytest.raises(ValueError, match=message):
            make(name)(EMBEDDINGS, LABELS, **references)


@pytest.mark.parametrize("name", ["CalibrationLoss", "ROADMAPLoss"])
@pytest.mark.parametrize(
    ("references", "message"),
    [
        ({"ref_emb": EMBEDDINGS[:7].clone()}, "ref_labels: wanted"),
        ({"ref_emb": EMBEDDINGS.repeat(2, 1)}, "ref_labels: wanted"),
        ({"ref_labels": LABELS}, "ref_labels: wanted None without ref_emb"),
    ],
)
def test_references_of_pair_losses(name, references, message):
    with pytest.raises(ValueError, match=message):
        make(name)(EMBEDDINGS, LABELS, **references)


@pytest.mark.parametrize("name", [*RANK_LOSSES, "CalibrationLoss", "ROADMAPLoss", "HAPPIERLoss"])
@pytest.mark.parametrize(
    ("places", "got"),
    [
        (list(range(8)), r"\[0, 1"),
        (torch.arange(8).int(), r"torch.int32 of shape \(8,\)"),
        (torch.arange(8.0), "torch.float32"),
        (torch.ones(8, dtype=torch.bool), "torch.bool"),
        (torch.arange(5), r"torch.int64 of shape \(5,\), 0..4"),
        (torch.arange(8)[:, None], r"torch.int64 of shape \(8, 1\)"),
        (torch.arange(8) + 4, r"torch.int64 of shape \(8,\), 4..11"),
        (torch.arange(8) - 5, r"torch.int64 of shape \(8,\), -5..2"),
    ],
)
def test_places_among_the_references(name, places, got):
    wanted = r"self_indices: wanted int64 of shape \(8,\), each -1 or an index of one of the 9"
    with pytest.raises(ValueError, match=f"{wanted} references, got {got}"):
        make(name)(
            EMBEDDINGS, LABELS, None, EMBEDDINGS[[0, *range(8)]], LABELS[[0, *range(8)]], places
        )


@pytest.mark.parametrize("name", ["SupHAPLoss", "SupNDCGLoss", "HAPPIERLoss"])
def test_a_class_with_two_parents_in_the_labels(name):
    rows = torch.tensor([[0, 0, 0], [0, 1, 0], [1, 0, 0], [1, 1, 0]]).repeat(2, 1)
    with pytest.raises(HierarchyError, match="labels: wanted a tree, one parent per node"):
        make(name)(EMBEDDINGS, rows)


def test_references_with_other_columns():
    with pytest.raises(ValueError, match="ref_labels: wanted 3 label columns"):
        losses.SupHAPLoss()(
            EMBEDDINGS, TREE.expand(LABELS), ref_emb=EMBEDDINGS.clone(), ref_labels=LABELS
        )


@pytest.mark.parametrize(
    "name",
    [
        "SupAPLoss",
        "SupHAPLoss",
        "CalibrationLoss",
        "ProxyClusterLoss",
        "CSLLoss",
        "ROADMAPLoss",
        "HMCELoss",
    ],
)
def test_distance_must_be_a_similarity(name):
    with pytest.raises(ValueError, match="distance: wanted a similarity.*got LpDistance"):
        make(name, distance=LpDistance())


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: losses.SupRecallLoss(k=0), "k: wanted one or more integers >= 1, got 0"),
        (lambda: losses.SupRecallLoss(k=()), "k: wanted"),
        (lambda: losses.SupRecallLoss(temperature=0), "temperature: wanted"),
        (lambda: losses.SupAPLoss(tau=-1), "tau: wanted"),
        (lambda: losses.SupAPLoss(level=-1), "level: wanted an integer >= 0"),
        (lambda: losses.SupAPLoss(level=None), "level: wanted an integer >= 0"),
        (lambda: losses.SupAPLoss(level=3, hierarchy=TREE), "below 3, got 3"),
        (
            lambda: losses.SupAPLoss(level=1)(EMBEDDINGS, LABELS),
            "level: wanted an integer >= 0 below 1",
        ),
        (lambda: losses.CalibrationLoss(level=1)(EMBEDDINGS, LABELS), "level: wanted one of the 1"),
        (lambda: losses.SupAPLoss(backend="faster"), "backend: wanted one of"),
        (lambda: losses.SupAPLoss(preset="nowhere"), "preset: wanted one of smooth, sop"),
        (lambda: losses.SupAPLoss(preset="sop", tau=0.1), "preset: 'sop' sets tau"),
        (
            lambda: losses.SupHAPLoss(hrank={"beta": 1}),
            "hrank: wanted the keys beta, gamma and leak",
        ),
        (lambda: losses.CalibrationLoss(0.5, 0.5), "neg_margin: wanted a number below"),
        (lambda: losses.ProxyClusterLoss(0, 4), "num_classes: wanted"),
        (lambda: losses.ProxyClusterLoss(4, 0), "embedding_size: wanted"),
        (lambda: losses.ProxyClusterLoss(4, 4, 0.0), "temperature: wanted"),
        (
            lambda: losses.ProxyClusterLoss(3, DIM)(EMBEDDINGS, LABELS),
            "labels: wanted classes 0..2",
        ),
        (lambda: losses.ProxyClusterLoss(6, 5)(EMBEDDINGS, LABELS), "embeddings: wanted 5 dim"),
        (lambda: losses.HAPPIERLoss(None, 4), "num_classes: wanted"),
        (lambda: losses.ROADMAPLoss(weight=1.5), "weight: wanted"),
        (
            lambda: losses.DecomposableRankLoss(torch.nn.L1Loss(), losses.SupAPLoss()),
            "rank_loss: wanted",
        ),
        (lambda: losses.CSLLoss(TREE, 4, margins=(1,)), "margins: wanted 3 numbers"),
        (lambda: losses.HAPPIERLoss(hierarchy=TREE), "embedding_size: wanted"),
        (
            lambda: losses.HAPPIERLoss(embedding_size=4, hierarchy=TREE, cluster_level=7),
            "level: wanted an integer >= 0 below 3, got 7",
        ),
        (lambda: losses.SupRecallLoss(k=1.5), "k: wanted one or more integers >= 1, got 1.5"),
        (lambda: losses.SupRecallLoss(k=None), "k: wanted one or more integers"),
        (lambda: losses.SupAPLoss(distance="cosine"), "distance: wanted a similarity"),
        (lambda: losses.CSLLoss(TREE, 4, scale=0), "scale: wanted"),
        (lambda: losses.CSLLoss(TREE, 4, reduce_levels="max"), "reduce_levels: wanted"),
        (lambda: losses.BlackBoxAPLoss(lambda_val=0), "lambda_val: wanted a positive"),
        (lambda: losses.BlackBoxAPLoss(margin=-0.1), "margin: wanted a finite number >= 0"),
        (lambda: losses.HMCELoss(0.0), "temperature: wanted a positive"),
        (
            lambda: losses.HMCELoss(level_weights=(1, -1)),
            "level_weights: wanted one finite number >= 0 for",
        ),
        (
            lambda: losses.HMCELoss(level_weights="12"),
            "level_weights: wanted one finite number >= 0 for",
        ),
        (
            lambda: losses.HMCELoss(level_weights=(1, 2), hierarchy=TREE),
            "level_weights: wanted one finite number >= 0 for each of the 3 levels, finest first",
        ),
        (
            lambda: losses.HMCELoss(level_weights=(1, 2))(EMBEDDINGS, TREE.expand(LABELS)),
            "level_weights: wanted one finite number >= 0 for each of the 3 levels",
        ),
        (
            lambda: losses.HierarchicalTripletMarginLoss(-0.1),
            "margins: wanted one finite number >= 0 for each level",
        ),
        (
            lambda: losses.HierarchicalTripletMarginLoss((0.1, 0.2), level=1),
            "margins: wanted one finite number >= 0 for each of the 1 levels",
        ),
        (
            lambda: losses.HierarchicalTripletMarginLoss(reducer=ThresholdReducer(low=0.1))(
                EMBEDDINGS, LABELS
            ),
            "reducer: without a miner's triplets wanted AvgNonZeroReducer.*got ThresholdReducer",
        ),
        (lambda: losses.SoftBinAPLoss(num_bins=1), "num_bins: wanted an integer >= 2"),
        (lambda: losses.SoftBinAPLoss(score_range=(1, 1)), "score_range: wanted two finite"),
        (lambda: losses.SoftBinAPLoss(score_range=1), "score_range: wanted two finite"),
        (lambda: losses.SoftBinAPLoss(score_range=(0, 1, 2)), "score_range: wanted two finite"),
    ],
)
def test_hyper_parameters(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (([0], [1]), "wanted 3 tensors of triplets or 4 of pairs, got 2"),
        (([0], [8], [0], [1]), r"wanted indices in 0..7, got 8..8"),
        (([-1], [1], [0], [1]), r"wanted indices in 0..7, got -1..-1"),
        (([0, 1], [1], [0], [1]), "wanted pairs of equal length, got 2 and 1"),
    ],
)
def test_malformed_tuples(pairs, message):
    with pytest.raises(ValueError, match=message):
        losses.SupAPLoss()(EMBEDDINGS, LABELS, tuple(torch.tensor(p) for p in pairs))


def test_misspelt_option_is_refused():
    with pytest.raises(TypeError, match="taau"):
        losses.SupAPLoss(taau=0.1)

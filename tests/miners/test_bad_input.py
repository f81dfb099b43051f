"""Every bad argument is an error that names it, what was wanted and what came."""

import pytest
import torch
from pytorch_metric_learning.distances import CosineSimilarity

from pml_suprank import HierarchyError, miners
from tests.losses.cases import DIM, TREE, batch
from tests.miners.problems import MINERS

every_miner = pytest.mark.parametrize("name", MINERS)
EMBEDDINGS, LABELS = batch(8)
NAN = float("nan")
Triplets, Pairs = miners.HierarchicalTripletMiner, miners.HierarchicalPairMiner
MultiSimilarity = miners.HierarchicalMultiSimilarityMiner


@every_miner
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.zeros(0, DIM), LABELS[:0]), "embeddings: wanted a floating tensor"),
        ((EMBEDDINGS.long(), LABELS), "embeddings: wanted a floating tensor"),
        ((EMBEDDINGS * NAN, LABELS), "embeddings: wanted finite numbers"),
        ((EMBEDDINGS, LABELS[:7]), "labels: wanted 8 rows, got 7"),
        ((EMBEDDINGS, LABELS + 0.5), "labels: wanted integers.* got dtype float32 with .*5"),
        ((EMBEDDINGS, LABELS.float() + 2**24), "labels: wanted integers"),
        ((EMBEDDINGS, None), "labels: wanted a tensor or array of integers, got NoneType"),
        ((EMBEDDINGS, LABELS.view(2, 2, 2)), "labels: wanted 1-D class labels"),
        ((EMBEDDINGS, LABELS + 77), "labels: wanted ids of the 6 classes"),
        ((EMBEDDINGS, torch.zeros(8, 2).long()), "labels: wanted 3 columns"),
        ((EMBEDDINGS, LABELS, EMBEDDINGS[:5].clone()), "ref_labels: wanted the labels of ref_emb"),
        ((EMBEDDINGS, LABELS, None, LABELS), "ref_labels: wanted None without ref_emb"),
        ((EMBEDDINGS, LABELS, EMBEDDINGS[:, :3], LABELS), "ref_emb: wanted 8 dimensions"),
        ((EMBEDDINGS, LABELS, EMBEDDINGS[:5], LABELS), "ref_labels: wanted 5 rows, got 8"),
        (
            (EMBEDDINGS, LABELS, EMBEDDINGS.clone(), LABELS, torch.arange(1, 9)),
            "self_indices: wanted int64 of shape .8,., each -1 or an index of one of the 8",
        ),
        (
            (EMBEDDINGS, LABELS, EMBEDDINGS.clone(), LABELS, torch.arange(7)),
            r"self_indices: wanted .* got torch.int64 of shape \(7,\), 0..6",
        ),
        (
            (EMBEDDINGS, LABELS, EMBEDDINGS.clone(), LABELS, [0] * 8),
            r"self_indices: wanted .*, got \[0, 0",
        ),
    ],
)
def test_batches(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        MINERS[name](hierarchy=TREE)(*arguments)


@every_miner
def test_labels_that_fit_nothing(name):
    rows = TREE.expand(LABELS)
    with pytest.raises(HierarchyError, match="wanted a tree, one parent per node"):
        MINERS[name]()(EMBEDDINGS, torch.stack([LABELS // 6, LABELS], dim=1))
    with pytest.raises(ValueError, match="ref_labels: wanted 3 label columns as in labels, got 2"):
        MINERS[name]()(EMBEDDINGS, rows, EMBEDDINGS.clone(), rows[:, :2])
    with pytest.raises(ValueError, match="level: wanted an integer >= 0 below 3, got 3"):
        MINERS[name](level=3)(EMBEDDINGS, rows)


@pytest.mark.parametrize("build", [Triplets, Pairs, MultiSimilarity])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": 3, "hierarchy": TREE}, "level: wanted an integer >= 0 below 3, got 3"),
        ({"level": -1}, "level: wanted an integer >= 0, got -1"),
        ({"level": 0.5}, "level: wanted an integer >= 0, got 0.5"),
        ({"distance": "cosine"}, r"distance: wanted a PML distance such as LpDistance\(\)"),
    ],
)
def test_common_arguments(build, options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: Triplets(-0.1),
            "margins: wanted one finite number >= 0 for each level, .* got -0.1",
        ),
        (
            lambda: Triplets([0.1, -0.1]),
            r"one finite number >= 0 for each level, .* got \[0.1, -0.1\]",
        ),
        (lambda: Triplets(NAN), "margins: wanted .* got nan"),
        (lambda: Triplets("wide"), "margins: wanted .* got 'wide'"),
        (lambda: Triplets(None), "margins: wanted .* got None"),
        (lambda: Triplets(True), "margins: wanted .* got True"),
        (
            lambda: Triplets([]),
            "margins: wanted one finite number >= 0 for each level, finest first",
        ),
        (
            lambda: Triplets([0.1, 0.2], hierarchy=TREE),
            "margins: wanted one finite number >= 0 for each of the 3 levels, finest first, or one for",
        ),
        (lambda: Triplets([0.1, 0.2], level=1), "for each of the 1 levels"),
        (
            lambda: Triplets([0.1, 0.2])(EMBEDDINGS, TREE.expand(LABELS)),
            "margins: wanted one finite number >= 0 for each of the 3 levels",
        ),
        (
            lambda: Triplets(type_of_triplets="hardest"),
            "type_of_triplets: wanted one of all, hard, semihard, easy, got 'hardest'",
        ),
        (
            lambda: Triplets(per_anchor=0),
            "per_anchor: wanted an integer >= 1, or None for all triplets, got 0",
        ),
        (lambda: Triplets(per_anchor=-3), "per_anchor: wanted an integer >= 1"),
        (lambda: Triplets(per_anchor=1.5), "per_anchor: wanted an integer >= 1"),
        (lambda: Triplets(per_anchor=True), "per_anchor: wanted an integer >= 1"),
        (lambda: Pairs(-0.1, 1.0), "pos_margins: wanted .* >= 0 for each level, .* got -0.1"),
        (lambda: Pairs(0.1, float("inf")), "neg_margins: wanted .* finite"),
        (
            lambda: Pairs([0.1, 0.2], 1.0),
            r"neg_margins: wanted a number if pos_margins is one .* got \[0.1, 0.2\] and 1.0",
        ),
        (
            lambda: Pairs([0.1, 0.2], [0.3, 0.4])(EMBEDDINGS, TREE.expand(LABELS)[:, :2]),
            "neg_margins: wanted at most 0.2 at level 0, the positive margin of level 1, .* got 0.3",
        ),
        (lambda: Pairs(0.8, 0.2, hierarchy=TREE), "neg_margins: wanted at most"),
        (
            lambda: Pairs(0.2, 0.8, hierarchy=TREE, distance=CosineSimilarity()),
            "neg_margins: wanted at least 0.44 at level 0, .* got 0.32",
        ),
        (lambda: MultiSimilarity(-0.1), "epsilon: wanted a finite number >= 0, got -0.1"),
        (lambda: MultiSimilarity(NAN), "epsilon: wanted a finite number >= 0"),
        (lambda: MultiSimilarity("0.1"), "epsilon: wanted a finite number >= 0"),
    ],
)
def test_hyper_parameters(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_a_similarity_takes_negative_margins():
    positive, *_ = Pairs(0.99, -0.5, distance=CosineSimilarity())(EMBEDDINGS, LABELS)
    assert len(positive) > 0


def test_misspelt_option_is_refused():
    with pytest.raises(TypeError, match="marginn"):
        Triplets(marginn=0.1)

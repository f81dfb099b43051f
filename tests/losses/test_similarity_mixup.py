"""Similarity mixup against virtual embeddings that are really there."""

import itertools

import pytest
import torch
from pytorch_metric_learning.distances import DotProductSimilarity
from pytorch_metric_learning.reducers import ClassWeightedReducer, DoNothingReducer, MeanReducer

from pml_suprank import losses
from pml_suprank.functional.mixup import class_pairs
from tests.losses.cases import SURROGATE_LOSSES, TREE, batch, make, value_and_gradient

every_surrogate = pytest.mark.parametrize("name", SURROGATE_LOSSES)
MIXUPS = {
    "all pairs": losses.SimilarityMixup(),
    "two of a class": losses.SimilarityMixup(max_pairs_per_class=2),
}


def plain_dot():
    return DotProductSimilarity(normalize_embeddings=False)


def mixed(points, pairs):
    """Return the virtual points, one by one."""
    rows = [
        share * points[i] + (1 - share) * points[j]
        for i, j, share in zip(pairs.first, pairs.second, pairs.share, strict=True)
    ]
    return torch.stack(rows)


def mixed_labels(labels, pairs, start):
    """Return label rows of virtual samples: a class of their own wherever the parents differ."""
    rows = []
    for number, (i, j) in enumerate(zip(pairs.first, pairs.second, strict=True)):
        agree = labels[i] == labels[j]
        rows.append(torch.where(agree, labels[i], start + number))
    return torch.stack(rows)


def seeded(seed, function, *args):
    torch.manual_seed(seed)
    return function(*args)


@every_surrogate
@pytest.mark.parametrize("mixup", MIXUPS)
@pytest.mark.parametrize("include_self", [False, True])
def test_a_batch_equals_one_with_the_virtual_samples_in_it(name, mixup, include_self):
    embeddings, labels = batch(18, dtype=torch.float64)
    embeddings = torch.nn.functional.normalize(embeddings)
    options = {"distance": plain_dot(), "include_self": include_self}
    loss_fn = make(name, mixup=MIXUPS[mixup], **options)
    pairs = seeded(3, MIXUPS[mixup].draw, TREE.expand(labels), loss_fn.level)
    if loss_fn.hierarchy is None or loss_fn.level != 1:
        assert torch.equal(labels[pairs.first], labels[pairs.second])
    rows = TREE.expand(labels)
    together = torch.cat([rows, mixed_labels(rows, pairs, 1000)])
    if loss_fn.hierarchy is None:
        together = together[:, 0]

    def explicit(points, _):
        return make(name, **options, **no_tree(loss_fn))(
            torch.cat([points, mixed(points, pairs)]), together
        )

    expected = value_and_gradient(explicit, embeddings, labels)
    got = seeded(3, value_and_gradient, loss_fn, embeddings, labels)
    torch.testing.assert_close(got, expected)
    assert got[0] != make(name, **options)(embeddings, labels)


def no_tree(loss_fn):
    """Options under which virtual label rows, unknown to the tree, are taken as they are."""
    return {} if loss_fn.hierarchy is None else {"hierarchy": None}


@pytest.mark.parametrize("name", ["SupHAPLoss", "SupNDCGLoss", "SmoothHAPLoss"])
@pytest.mark.parametrize("level", [1, 2])
def test_mixed_at_a_coarser_level_a_sample_is_of_the_coarser_classes_alone(name, level):
    embeddings, labels = batch(14, dtype=torch.float64)
    embeddings = torch.nn.functional.normalize(embeddings)
    rows = TREE.expand(labels)
    mixup = losses.SimilarityMixup(level=level)
    pairs = seeded(5, mixup.draw, rows)
    assert (rows[pairs.first] != rows[pairs.second])[:, :level].any()
    together = torch.cat([rows, mixed_labels(rows, pairs, 1000)])
    explicit = make(name, distance=plain_dot(), hierarchy=None)
    expected = explicit(torch.cat([embeddings, mixed(embeddings, pairs)]), together)
    got = seeded(5, make(name, distance=plain_dot(), mixup=mixup), embeddings, labels)
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("name", ["SupAPLoss", "SupRecallLoss", "SupHAPLoss", "SmoothAPLoss"])
@pytest.mark.parametrize("references", [False, True])
def test_references(name, references):
    """A batch that stands among its references, as in a memory."""
    embeddings, labels = batch(8, dtype=torch.float64)
    stored, stored_labels = batch(20, seed=4, dtype=torch.float64)
    slots = torch.tensor([3, 0, 7, -1, 12, 19, -1, 5])
    points = torch.nn.functional.normalize(embeddings)
    refs = torch.nn.functional.normalize(stored)
    mixup = losses.SimilarityMixup(references=references)
    torch.manual_seed(2)
    pairs = mixup.draw(TREE.expand(labels))
    queries = torch.cat([points, mixed(points, pairs)])
    query_labels = torch.cat([labels, labels[pairs.first]])
    items, item_labels = refs, stored_labels
    if references:
        ref_pairs = mixup.draw(TREE.expand(stored_labels))
        items = torch.cat([refs, mixed(refs, ref_pairs)])
        item_labels = torch.cat([stored_labels, stored_labels[ref_pairs.first]])
    nowhere = torch.full_like(pairs.first, -1)
    expected = make(name, distance=plain_dot())(
        queries, query_labels, None, items, item_labels, torch.cat([slots, nowhere])
    )
    loss_fn = make(name, mixup=mixup)
    got = seeded(2, loss_fn, embeddings, labels, None, stored, stored_labels, slots)
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("sizes", [(4,), (1, 2, 5), (6, 1, 1, 3), (1, 1)])
def test_all_pairs_of_classes_of_any_size_are_there_once(sizes):
    classes = torch.repeat_interleave(torch.tensor(sizes)) * 7 - 3
    classes = classes[torch.randperm(len(classes))]
    pairs = class_pairs(classes)
    expected = {
        frozenset((i, j))
        for i, j in itertools.combinations(range(len(classes)), 2)
        if classes[i] == classes[j]
    }
    found = [frozenset(pair) for pair in torch.stack(pairs, dim=1).tolist()]
    assert len(found) == len(expected)
    assert set(found) == expected


def test_a_large_class_gives_pairs_at_random():
    classes = torch.repeat_interleave(torch.tensor([3000, 2, 1, 4]))
    first, second = class_pairs(classes, 5)
    assert torch.equal(classes[first], classes[second])
    assert (first != second).all()
    assert classes[first].bincount(minlength=4).tolist() == [5, 1, 0, 5]
    counts = torch.zeros(6, 6)
    for _ in range(200):
        counts.index_put_(class_pairs(torch.zeros(6).long(), 3), torch.ones(3), accumulate=True)
    counts = (counts + counts.T)[~torch.eye(6, dtype=torch.bool)]
    assert counts.sum() == 2 * 600  # 40 of each of the 15 pairs are expected
    assert 15 < counts.min() < counts.max() < 75


def test_shares_are_uniform():
    share = losses.SimilarityMixup().draw(torch.zeros(60, 1).long()).share
    assert 0 <= share.min() < 0.01
    assert 0.99 < share.max() <= 1
    assert abs(share.mean() - 0.5) < 0.03
    assert share.unique().numel() == len(share)


def test_a_seed_repeats_the_draws():
    embeddings, labels = batch()
    loss_fn = losses.SupAPLoss(mixup=True)
    first = seeded(1, loss_fn, embeddings, labels)
    state = torch.get_rng_state()
    second = loss_fn(embeddings, labels)
    assert first != second
    assert seeded(1, loss_fn, embeddings, labels) == first
    torch.set_rng_state(state)
    assert loss_fn(embeddings, labels) == second


@pytest.mark.parametrize("mixup", [False, True])
def test_nothing_is_mixed_or_drawn_when_off_or_in_evaluation(mixup):
    embeddings, labels = batch()
    plain = losses.SupAPLoss()(embeddings, labels)
    loss_fn = losses.SupAPLoss(mixup=mixup).train(not mixup)
    state = torch.get_rng_state()
    assert loss_fn(embeddings, labels) == plain
    assert torch.equal(torch.get_rng_state(), state)


def test_without_two_samples_of_a_class_nothing_is_mixed():
    embeddings, _ = batch(4)
    labels = torch.arange(4)
    loss, gradient = value_and_gradient(losses.SupAPLoss(mixup=True), embeddings, labels)
    assert loss == 0
    assert (gradient == 0).all()


def test_reducers_find_the_class_of_a_virtual_query():
    embeddings, labels = batch(12)
    weights = torch.arange(1.0, 7.0)
    loss_fn = losses.SupAPLoss(mixup=True, reducer=DoNothingReducer(), collect_stats=True)
    found = seeded(0, loss_fn, embeddings, labels)["loss"]
    pairs = seeded(0, loss_fn.mixup.draw, labels[:, None])
    assert len(found["losses"]) + loss_fn.num_queries_without_positives == 12 + len(pairs.first)
    assert torch.equal(found["indices"][-len(pairs.first) :], pairs.first)
    weighted = losses.SupAPLoss(mixup=True, reducer=ClassWeightedReducer(weights))
    got = seeded(0, weighted, embeddings, labels)
    expected = (found["losses"] * weights[labels[found["indices"]]]).mean()
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("memory", ["queue", "data set"])
def test_memories(memory):
    embeddings, labels = batch(10)
    loss_fn = losses.SupHAPLoss(hierarchy=TREE, mixup=losses.SimilarityMixup(references=True))
    slots = torch.arange(10)
    if memory == "queue":
        memory_loss, extra = losses.CrossBatchMemory(loss_fn, 8, 20), ()
    else:
        memory_loss, extra = losses.DatasetMemory(loss_fn, 20, 8), (slots,)
    got, gradient = seeded(0, value_and_gradient, memory_loss, embeddings, labels, *extra)
    expected = seeded(0, loss_fn, embeddings, labels, None, embeddings.clone(), labels, slots)
    torch.testing.assert_close(got, expected)
    assert gradient.abs().max() > 0


def test_compositions_pass_it_on():
    embeddings, labels = batch()
    loss_fn = losses.ROADMAPLoss(mixup=True, weight=0.0)
    expected = seeded(0, losses.SupAPLoss(mixup=True), embeddings, labels)
    assert seeded(0, loss_fn, embeddings, labels) == expected


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    embeddings, labels = batch(spread=1.5)
    loss_fn = losses.SupAPLoss(mixup=True, reducer=MeanReducer())
    got, gradient = seeded(0, value_and_gradient, loss_fn, embeddings.to(dtype), labels)
    expected = seeded(0, loss_fn, embeddings.to(dtype).float(), labels)
    assert torch.isfinite(gradient).all()
    torch.testing.assert_close(got.float(), expected, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: losses.SupAPLoss(mixup=0.5), "mixup: wanted a SimilarityMixup or a bool"),
        (lambda: losses.SimilarityMixup(max_pairs_per_class=0), "max_pairs_per_class: wanted"),
        (lambda: losses.SimilarityMixup(level=-1), "level: wanted an integer >= 0"),
        (
            lambda: losses.SupAPLoss(mixup=losses.SimilarityMixup(level=1)),
            "mixup: wanted a level of at most 0, that of the positives, got 1",
        ),
        (
            lambda: losses.SupHAPLoss(mixup=losses.SimilarityMixup(level=1))(*batch()),
            "level: wanted an integer >= 0 below 1, got 1",
        ),
        (
            lambda: losses.SupAPLoss(mixup=True)(*batch(), class_pairs(torch.zeros(3).long()) * 2),
            "indices_tuple: wanted None with mixup",
        ),
        (
            lambda: losses.SupAPLoss(mixup=True)(
                batch()[0], None, class_pairs(torch.zeros(3).long()) * 2
            ),
            "labels: wanted labels to mix",
        ),
    ],
)
def test_bad_input(build, message):
    with pytest.raises(ValueError, match=message):
        build()

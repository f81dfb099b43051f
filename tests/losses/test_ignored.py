"""Samples with ``ignore_index``: values and gradients are those of the batch without them."""

import copy

import pytest
import torch
from pytorch_metric_learning import losses as pml_losses
from pytorch_metric_learning import miners as pml_miners
from pytorch_metric_learning import reducers, regularizers

from pml_suprank import losses, miners
from pml_suprank.losses.one_level import OneLevelMixin
from tests.losses.cases import ALL_LOSSES, DIM, RANK_LOSSES, TREE, batch, make, value_and_gradient
from tests.miners.problems import MINERS, as_set


class OneLevelTriplets(OneLevelMixin, pml_losses.TripletMarginLoss):
    pass


CASES = {name: lambda name=name, **o: make(name, **o) for name in ALL_LOSSES} | {
    "DecomposableRankLoss": lambda **o: losses.DecomposableRankLoss(
        losses.SupNDCGLoss(hierarchy=TREE),
        losses.ProxyClusterLoss(4, DIM, level=1, hierarchy=TREE),
        weight=0.5,
        **o,
    ),
    "a loss of PML": lambda **o: OneLevelTriplets(hierarchy=TREE, level=1, **o),
    "a sum with one": lambda **o: losses.DecomposableRankLoss(
        losses.SupAPLoss(**o), pml_losses.TripletMarginLoss()
    ),
}
WITHOUT_REFERENCES = ("CSLLoss", "ProxyClusterLoss")


def both(name, **options):
    """The loss that ignores -1, and the same one that does not."""
    torch.manual_seed(7)
    ignoring = CASES[name](ignore_index=-1, **options)
    torch.manual_seed(7)
    return ignoring, CASES[name](**options)


def with_holes(size=24, seed=0):
    """A batch, its labels with some -1, and which samples are left."""
    embeddings, labels = batch(size, seed=seed)
    kept = torch.rand(size, generator=torch.Generator().manual_seed(seed + 1)) > 0.3
    assert 4 < kept.sum() < size
    return embeddings, torch.where(kept, labels, -1), kept


def rows(labels):
    """2-D labels; ignored rows have other columns that are no tree."""
    found = TREE.expand(labels.clamp(min=0))
    noise = torch.arange(len(labels))[:, None].expand(-1, 2) % 3
    found[labels < 0] = torch.cat([torch.full_like(labels, -1)[:, None], noise], 1)[labels < 0]
    return found


def check(got, expected, kept):
    torch.testing.assert_close(got[0], expected[0])
    torch.testing.assert_close(got[1][kept], expected[1])
    assert (got[1][~kept] == 0).all()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("form", ["1-D", "2-D", "list"])
def test_the_batch_without_them(name, form):
    if (name, form) == ("a sum with one", "2-D"):
        pytest.skip("PML's losses take no 2-D labels")
    embeddings, labels, kept = with_holes()
    ignoring, plain = both(name)
    given = {"1-D": labels, "2-D": rows(labels), "list": labels.tolist()}[form]
    left = labels[kept] if form != "2-D" else rows(labels)[kept]
    expected = value_and_gradient(plain, embeddings[kept], left)
    assert expected[1].abs().max() > 0
    check(value_and_gradient(ignoring, embeddings, given), expected, kept)
    for one, other in zip(ignoring.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    without = value_and_gradient(ignoring, embeddings[kept], left)
    torch.testing.assert_close(without, expected)


@pytest.mark.parametrize("name", [name for name in CASES if name not in WITHOUT_REFERENCES])
@pytest.mark.parametrize("knows_places", [False, True])
def test_with_references(name, knows_places):
    embeddings, labels, kept = with_holes(12)
    references, ref_labels, kept_refs = with_holes(30, seed=3)
    ignoring, plain = both(name)
    places, places_left = [], []
    if knows_places and name != "a loss of PML":
        places = [torch.arange(12) * 2 - 1]
        number = kept_refs.cumsum(0) - 1
        there = (places[0] >= 0) & kept_refs[places[0].clamp(min=0)]
        places_left = [torch.where(there, number[places[0].clamp(min=0)], -1)[kept]]
    got = value_and_gradient(ignoring, embeddings, labels, None, references, ref_labels, *places)
    left = (references[kept_refs], ref_labels[kept_refs])
    expected = value_and_gradient(plain, embeddings[kept], labels[kept], None, *left, *places_left)
    check(got, expected, kept)


@pytest.mark.parametrize("name", [name for name in CASES if name != "CSLLoss"])
@pytest.mark.parametrize("miner", ["triplets", "pairs"])
def test_with_a_tuple(name, miner):
    """Of a miner that takes -1 for a class: pairs and triplets with an ignored sample drop out."""
    embeddings, labels, kept = with_holes()
    find = {
        "triplets": pml_miners.TripletMarginMiner(type_of_triplets="all"),
        "pairs": pml_miners.MultiSimilarityMiner(epsilon=10.0),
    }[miner]
    given = find(embeddings, labels)
    ignoring, plain = both(name)
    expected = value_and_gradient(
        plain, embeddings[kept], labels[kept], find(embeddings[kept], labels[kept])
    )
    assert expected[1].abs().max() > 0
    check(value_and_gradient(ignoring, embeddings, labels, given), expected, kept)


@pytest.mark.parametrize("name", CASES)
def test_a_batch_of_ignored_samples_has_no_loss(name):
    embeddings, _ = batch(6)
    loss_fn = both(name)[0]
    nobody = torch.full((6,), -1)
    for labels in (nobody, rows(nobody)) if name != "a sum with one" else (nobody,):
        loss, gradient = value_and_gradient(loss_fn, embeddings, labels)
        assert loss == 0
        assert (gradient == 0).all()


@pytest.mark.parametrize("name", [name for name in CASES if name not in WITHOUT_REFERENCES])
@pytest.mark.parametrize("nobody", ["query", "reference"])
def test_no_query_or_no_reference_is_left(name, nobody):
    embeddings, labels = batch(6)
    references, ref_labels = batch(10, seed=3)
    if nobody == "query":
        labels = torch.full_like(labels, -1)
    else:
        ref_labels = torch.full_like(ref_labels, -1)
    loss, gradient = value_and_gradient(
        both(name)[0], embeddings, labels, None, references, ref_labels
    )
    if name not in ("HAPPIERLoss", "DecomposableRankLoss") or nobody == "query":
        assert loss == 0
        assert (gradient == 0).all()


@pytest.mark.parametrize("name", [*RANK_LOSSES, "CalibrationLoss", "ProxyClusterLoss", "CSLLoss"])
def test_reducers_see_the_whole_batch(name):
    embeddings, labels, kept = with_holes()
    place = kept.nonzero().flatten()
    ignoring, plain = both(name, reducer=reducers.DoNothingReducer())
    got, expected = ignoring(embeddings, labels), plain(embeddings[kept], labels[kept])
    assert got.keys() == expected.keys()
    for key, entry in expected.items():
        torch.testing.assert_close(got[key]["losses"], entry["losses"])
        if torch.is_tensor(entry["indices"]):
            assert torch.equal(got[key]["indices"], place[entry["indices"]])
        else:
            for one, other in zip(got[key]["indices"], entry["indices"], strict=True):
                assert torch.equal(one, place[other])
    for reducer in (
        reducers.ClassWeightedReducer(torch.linspace(0.5, 2, 6)),
        reducers.PerAnchorReducer(),
        reducers.AvgNonZeroReducer(),
    ):
        if name == "CalibrationLoss" and isinstance(reducer, reducers.ClassWeightedReducer):
            continue  # takes losses of single samples
        ignoring, plain = both(name, reducer=copy.deepcopy(reducer))
        torch.testing.assert_close(
            ignoring(embeddings, labels), plain(embeddings[kept], labels[kept])
        )


def test_reducers_of_triplets_see_the_whole_batch():
    embeddings, labels, kept = with_holes()
    place = kept.nonzero().flatten()
    triplets = pml_miners.TripletMarginMiner(type_of_triplets="all")(embeddings[kept], labels[kept])
    options = {"hierarchy": TREE, "reducer": reducers.DoNothingReducer(), "ignore_index": -1}
    loss_fn = losses.HierarchicalTripletMarginLoss(0.3, **options)
    found = loss_fn(embeddings, labels, tuple(place[column] for column in triplets))["loss"]
    assert all(
        torch.equal(one, place[two]) for one, two in zip(found["indices"], triplets, strict=True)
    )


@pytest.mark.parametrize("name", ["SupAPLoss", "CalibrationLoss", "ProxyClusterLoss", "CSLLoss"])
def test_regularizers_leave_them_out(name):
    embeddings, labels, kept = with_holes()
    options = {"embedding_regularizer": regularizers.LpRegularizer(), "embedding_reg_weight": 0.5}
    ignoring, plain = both(name, **options)
    expected = value_and_gradient(plain, embeddings[kept], labels[kept])
    check(value_and_gradient(ignoring, embeddings, labels), expected, kept)


def test_mixup_leaves_them_out():
    embeddings, labels, kept = with_holes()
    ignoring, plain = both("SupAPLoss", mixup=True)
    torch.manual_seed(1)
    expected = value_and_gradient(plain, embeddings[kept], labels[kept])
    torch.manual_seed(1)
    check(value_and_gradient(ignoring, embeddings, labels), expected, kept)


def test_without_it_minus_one_is_a_class():
    embeddings, labels, kept = with_holes()
    assert losses.SupAPLoss()(embeddings, labels) != losses.SupAPLoss()(
        embeddings[kept], labels[kept]
    )


def test_any_number_may_be_ignored_and_stands_for_no_node():
    """255 is no class of the tree; 2 would be a node of it."""
    embeddings, labels, kept = with_holes()
    expected = losses.SupHAPLoss(hierarchy=TREE)(embeddings[kept], labels[kept])
    labels[~kept] = 255
    loss_fn = losses.SupHAPLoss(hierarchy=TREE, ignore_index=255)
    torch.testing.assert_close(loss_fn(embeddings, labels), expected)
    torch.testing.assert_close(loss_fn(embeddings, labels.to(torch.uint8)), expected)


@pytest.mark.parametrize("name", CASES)
def test_the_number_is_an_attribute(name):
    ignoring, plain = both(name)
    assert ignoring.ignore_index == -1
    assert getattr(plain, "ignore_index", None) is None
    if name != "a sum with one":
        with pytest.raises(ValueError, match="ignore_index: wanted an integer, or None, got 0.5"):
            CASES[name](ignore_index=0.5)


def test_parts_of_a_sum_ignore_one_label():
    with pytest.raises(
        ValueError, match=r"ignore_index: wanted one for both losses, got \[-1, 9\]"
    ):
        losses.DecomposableRankLoss(
            losses.SupAPLoss(ignore_index=-1), losses.CalibrationLoss(ignore_index=9)
        )


@pytest.mark.parametrize("name", MINERS)
@pytest.mark.parametrize("level", [None, 0, 1])
@pytest.mark.parametrize("references", [False, True])
def test_miners_pair_nobody_with_them(name, level, references):
    embeddings, labels, kept = with_holes()
    options = {"hierarchy": TREE, "level": level}
    miner, plain = MINERS[name](ignore_index=-1, **options), MINERS[name](**options)
    other, other_labels, kept_other = with_holes(30, seed=3) if references else (None,) * 3
    place = kept.nonzero().flatten()
    if references:
        got = miner(embeddings, labels, other, other_labels)
        left = (embeddings[kept], labels[kept], other[kept_other], other_labels[kept_other])
        sides = [place, kept_other.nonzero().flatten()]
    else:
        got = miner(embeddings, labels)
        left, sides = (embeddings[kept], labels[kept]), [place, place]
    expected = plain(*left)
    assert len(expected[0]) > 0
    sides = [sides[0], sides[1], sides[1]] if len(got) == 3 else sides * 2
    wanted = [side[column] for side, column in zip(sides, expected, strict=True)]
    assert all(map(torch.equal, got, wanted))
    nobody = miner(embeddings, torch.full_like(labels, -1))
    assert [len(column) for column in nobody] == [0] * len(got)
    nothing = miner(embeddings, labels, embeddings + 1, torch.full_like(labels, -1))
    assert [len(column) for column in nothing] == [0] * len(got)


@pytest.mark.parametrize("name", MINERS)
def test_miners_know_their_own_places(name):
    embeddings, labels, kept = with_holes()
    miner = MINERS[name](ignore_index=-1, hierarchy=TREE)
    order = torch.randperm(24)
    got = miner(embeddings, labels, embeddings[order], labels[order], order.argsort())
    expected = miner(embeddings, labels)
    sides = [None, order, order] if len(got) == 3 else [None, order, None, order]
    back = [
        column if side is None else side[column] for side, column in zip(sides, got, strict=True)
    ]
    assert (
        as_set(back) == as_set(expected)
        if len(got) == 3
        else all(
            as_set(back[half : half + 2]) == as_set(expected[half : half + 2]) for half in (0, 2)
        )
    )
    assert kept[got[0]].all()


@pytest.mark.parametrize("name", MINERS)
def test_label_types_of_miners(name):
    embeddings, labels = batch()
    miner = MINERS[name](hierarchy=TREE)
    expected = miner(embeddings, labels)
    kinds = [labels.to(kind) for kind in (torch.uint8, torch.uint16, torch.float32, torch.half)]
    for given in (*kinds, labels.tolist(), labels.numpy()):
        assert all(map(torch.equal, miner(embeddings, given), expected))
    assert isinstance(miner, miners.HierarchicalMiner)
    one_hot = torch.nn.functional.one_hot(labels)
    for level in (None, 0):
        with pytest.raises(ValueError, match="labels: wanted a tree.*look one-hot"):
            MINERS[name](level=level)(embeddings, one_hot)

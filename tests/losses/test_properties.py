"""What every loss must do: any order, any class numbers, any label form, any precision, never NaN."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pml_suprank import Hierarchy, HierarchyError, functional, losses
from pml_suprank.relevance import PopulationRelevance, item_relevance
from tests.losses.cases import (
    ALL_LOSSES,
    RANK_LOSSES,
    SURROGATE_LOSSES,
    TREE,
    batch,
    make,
    value_and_gradient,
)

every_loss = pytest.mark.parametrize("name", ALL_LOSSES)
every_rank_loss = pytest.mark.parametrize("name", RANK_LOSSES)


@every_loss
def test_shuffling_the_batch_changes_nothing(name):
    embeddings, labels = batch(dtype=torch.float64)
    order = torch.randperm(len(labels))
    loss, gradient = value_and_gradient(make(name), embeddings, labels)
    shuffled, shuffled_gradient = value_and_gradient(make(name), embeddings[order], labels[order])
    torch.testing.assert_close(shuffled, loss, rtol=1e-10, atol=0)
    torch.testing.assert_close(shuffled_gradient, gradient[order], rtol=1e-8, atol=1e-10)
    assert loss > 0
    assert gradient.abs().max() > 0


@every_rank_loss
def test_class_numbers_do_not_matter(name):
    embeddings, labels = batch()
    numbers = torch.tensor([7, 2**24, 2**24 + 1, 2**53 + 1, 0, -3])
    renumbered = Hierarchy.from_labels(torch.cat([numbers[:, None], TREE.table[:, 1:]], dim=1))
    own_tree = {"hierarchy": renumbered} if make(name).hierarchy is not None else {}
    got = make(name, **own_tree)(embeddings, numbers[labels])
    torch.testing.assert_close(got, make(name)(embeddings, labels))


@every_rank_loss
def test_label_forms_agree(name):
    embeddings, labels = batch()
    expected = make(name)(embeddings, labels)
    rows = TREE.expand(labels)
    torch.testing.assert_close(make(name)(embeddings, rows), expected)
    torch.testing.assert_close(make(name, hierarchy=None)(embeddings, rows), expected)
    torch.testing.assert_close(make(name, hierarchy=TREE)(embeddings, labels), expected)


def test_binary_losses_pick_their_level():
    embeddings, labels = batch()
    rows = TREE.expand(labels)
    for level in range(3):
        column = losses.SupAPLoss()(embeddings, rows[:, level])
        torch.testing.assert_close(losses.SupAPLoss(level=level)(embeddings, rows), column)
        hap = losses.SupHAPLoss(level=level, hierarchy=TREE)(embeddings, labels)
        torch.testing.assert_close(hap, column)
        for loss in (losses.CalibrationLoss, losses.ROADMAPLoss):
            torch.testing.assert_close(
                loss(level=level)(embeddings, rows), loss()(embeddings, rows[:, level])
            )


def test_without_a_hierarchy_hap_is_ap():
    embeddings, labels = batch()
    torch.testing.assert_close(
        losses.SupHAPLoss()(embeddings, labels), losses.SupAPLoss()(embeddings, labels)
    )


@pytest.mark.parametrize("name", SURROGATE_LOSSES)
@pytest.mark.parametrize("backend", ["dense", "blocked", "fast"])
def test_backends_agree(name, backend):
    embeddings, labels = batch(40)
    expected = value_and_gradient(make(name), embeddings, labels)
    got = value_and_gradient(make(name, backend=backend), embeddings, labels)
    for ours, wanted in zip(got, expected, strict=True):
        error = (ours - wanted).abs().max() / wanted.abs().max()
        assert error <= (1e-5 if backend == "fast" else 5e-6), error


@every_rank_loss
def test_the_query_is_not_in_its_own_retrieval_set(name):
    """Equal to ranking, for each query, the batch without it."""
    embeddings, labels = batch(10)
    loss_fn = make(name)
    single = [
        loss_fn(
            embeddings[q : q + 1],
            labels[q : q + 1],
            ref_emb=torch.cat([embeddings[:q], embeddings[q + 1 :]]),
            ref_labels=torch.cat([labels[:q], labels[q + 1 :]]),
        )
        for q in range(len(labels))
        if (TREE.common_levels(labels)[q] > (0 if loss_fn.level is None else 2 - loss_fn.level))
        .sum()
        .item()
        > 1
    ]
    torch.testing.assert_close(loss_fn(embeddings, labels), torch.stack(single).mean())


def test_include_self_ranks_the_query_too():
    embeddings, labels = torch.ones(3, 2), torch.tensor([0, 1, 2])
    assert losses.SupAPLoss()(embeddings, labels) == 0
    # two ties with a lower level cost 0.5 each: rank 2 for the query itself
    loss = losses.SupAPLoss(include_self=True)(embeddings, labels)
    torch.testing.assert_close(loss, torch.tensor(0.5))


@every_loss
@pytest.mark.parametrize("labels", [torch.zeros(6).long(), torch.arange(6)])
def test_one_class_and_all_singletons_are_finite(name, labels):
    embeddings, _ = batch(6)
    loss, gradient = value_and_gradient(make(name), embeddings, labels)
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("name", ["SupAPLoss", "SupRecallLoss", "SmoothAPLoss"])
def test_no_positives_at_all_gives_zero_with_a_graph(name):
    embeddings, _ = batch(6)
    loss, gradient = value_and_gradient(make(name), embeddings, torch.arange(6))
    assert loss == 0
    assert (gradient == 0).all()


@every_rank_loss
def test_queries_without_positives_are_left_out(name):
    embeddings, labels = batch(12)
    expected = make(name, collect_stats=True)
    loss = expected(embeddings, labels)
    # a thirteenth item far from all, of a class of its own, ranked last by everyone
    odd = -embeddings.mean(dim=0, keepdim=True) * 3
    tree = Hierarchy.from_labels(torch.cat([TREE.table, torch.tensor([[6, 6, 6]])]))
    own_tree = {"hierarchy": tree} if expected.hierarchy is not None else {}
    loss_fn = make(name, collect_stats=True, **own_tree)
    with_odd = loss_fn(torch.cat([embeddings, odd]), torch.cat([labels, torch.tensor([6])]))
    assert loss_fn.num_queries_without_positives == expected.num_queries_without_positives + 1
    assert torch.isfinite(with_odd)
    if not name.startswith(("Smooth", "SupRecall")):
        torch.testing.assert_close(with_odd, loss, atol=2e-2, rtol=0)


@every_loss
@pytest.mark.parametrize("duplicates", ["one point", "two points"])
def test_collapsed_embeddings_are_finite(name, duplicates):
    _, labels = batch(12)
    points = torch.ones(12, 8)
    if duplicates == "two points":
        points[::2, 0] = -1
    loss, gradient = value_and_gradient(make(name), points, labels)
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient).all()


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_embeddings(name, dtype):
    embeddings, labels = batch(spread=1.5)
    embeddings = embeddings.to(dtype)
    expected = make(name)(embeddings.float(), labels)
    got, gradient = value_and_gradient(make(name), embeddings, labels)
    assert gradient.dtype == dtype
    assert torch.isfinite(gradient).all()
    torch.testing.assert_close(got.float(), expected, rtol=1e-2, atol=1e-2)


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_ranks_in_float32(name, dtype):
    embeddings, labels = batch(spread=1.5)
    expected = value_and_gradient(make(name), embeddings, labels)
    embeddings.requires_grad_()
    with torch.autocast("cpu", dtype=dtype):
        loss = make(name)(embeddings, labels)
    loss.backward()
    got = loss.detach(), embeddings.grad
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)


@every_loss
def test_autocast_through_a_layer_is_close_to_float32(name):
    embeddings, labels = batch(spread=1.5)
    layer = torch.nn.Linear(8, 8)
    expected = make(name)(layer(embeddings), labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = make(name)(layer(embeddings), labels)
    loss.backward()
    assert torch.isfinite(layer.weight.grad).all()
    torch.testing.assert_close(loss.float(), expected, rtol=1e-2, atol=1e-2)


@given(
    size=st.integers(2, 24),
    num_levels=st.integers(1, 6),
    ties=st.booleans(),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=60, deadline=None)
def test_random_trees_shapes_and_ties(size, num_levels, ties, seed):
    generator = torch.Generator().manual_seed(seed)
    paths = torch.randint(0, 3, (size, num_levels), generator=generator)
    weights = 3 ** torch.arange(num_levels)
    columns = [(paths[:, level:] * weights[level:]).sum(1) for level in range(num_levels)]
    rows = torch.stack(columns, dim=1)
    embeddings = torch.randn(size, 4, generator=generator, dtype=torch.float64)
    if ties:
        embeddings = embeddings.sign()  # entries of +-1/2: scores are exact, many are equal
    for name in ("SupHAPLoss", "SmoothNDCGLoss", "SupAPLoss", "SupRecallLoss"):
        loss_fn = make(
            name, **({} if name in ("SupAPLoss", "SupRecallLoss") else {"hierarchy": None})
        )
        loss, gradient = value_and_gradient(loss_fn, embeddings, rows)
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()
        order = torch.randperm(size, generator=generator)
        torch.testing.assert_close(loss_fn(embeddings[order], rows[order]), loss)


def test_the_exact_metric_shares_the_function_of_the_loss():
    embeddings, labels = batch()
    levels = TREE.common_levels(labels)
    mask = ~torch.eye(len(labels), dtype=torch.bool)
    relevance = item_relevance(PopulationRelevance(), levels, 3, mask)
    unit = torch.nn.functional.normalize(embeddings)
    exact = functional.hierarchical_average_precision(unit @ unit.T, levels, relevance, mask)
    loss = losses.SupHAPLoss(hierarchy=TREE)(embeddings, labels)
    assert loss >= 1 - exact.mean()
    near = losses.SupHAPLoss(hierarchy=TREE, tau=1e-9, delta=1e-9, rho=0, start=0, offset=1)
    torch.testing.assert_close(
        near(embeddings, labels), 1 - exact.mean().float(), atol=1e-5, rtol=0
    )


LABEL_TYPES = [torch.uint8, torch.uint16, torch.int16, torch.int32, torch.float32, torch.float16]


@every_loss
def test_any_type_of_whole_numbers_is_a_label(name):
    embeddings, labels = batch()
    expected = make(name)(embeddings, labels)
    kinds = [labels.to(kind) for kind in LABEL_TYPES]
    for values in (*kinds, labels.tolist(), labels.numpy(), labels.double().numpy()):
        assert make(name)(embeddings, values) == expected
    two = labels % 2
    assert make(name)(embeddings, two.bool()) == make(name)(embeddings, two)


@every_loss
def test_rows_have_to_be_a_tree_whatever_level_is_used(name):
    embeddings, labels = batch()
    one_hot = torch.nn.functional.one_hot(labels)
    with pytest.raises(HierarchyError, match="labels: wanted .*rows look one-hot.*argmax"):
        make(name)(embeddings, one_hot)
    torn = torch.stack([labels % 2, labels, labels * 0], dim=1)
    with pytest.raises(HierarchyError, match="labels: wanted "):
        make(name)(embeddings, torn)


@pytest.mark.parametrize(
    "name", [n for n in ALL_LOSSES if n not in ("CSLLoss", "ProxyClusterLoss")]
)
def test_batch_and_references_are_one_tree(name):
    embeddings, labels = batch()
    rows, references = TREE.expand(labels), batch(30, seed=3)[0]
    ref_rows = TREE.expand(torch.arange(30) % 6)
    make(name)(embeddings, rows, ref_emb=references, ref_labels=ref_rows)
    ref_rows[:, 1] = 3 - ref_rows[:, 1]  # a tree too, but another one
    with pytest.raises(HierarchyError, match="labels and ref_labels: wanted a tree"):
        make(name)(embeddings, rows, ref_emb=references, ref_labels=ref_rows)


def test_csl_takes_rows_of_its_hierarchy_alone():
    embeddings, labels = batch()
    rows = TREE.expand(labels)
    loss_fn = make("CSLLoss")
    assert loss_fn(embeddings, rows) == loss_fn(embeddings, labels)
    rows[5, 1] = 3 - rows[5, 1]
    with pytest.raises(HierarchyError, match="labels: wanted "):
        loss_fn(embeddings, rows)
    other = Hierarchy.from_labels([[c, c // 3, 0] for c in range(6)]).expand(labels)
    with pytest.raises(HierarchyError, match="rows of the hierarchy's table.* got the row"):
        loss_fn(embeddings, other)
    with pytest.raises(HierarchyError, match="labels: wanted .* got the row"):
        loss_fn(embeddings, TREE.expand(labels) + 40)

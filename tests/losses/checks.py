"""What every line of the table goes through: its reference, every backend, and what every loss must do.

A check takes a :class:`Case` and raises an AssertionError; the tests give it the lines of the table, and a broken loss.
"""

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pml_suprank import Hierarchy, HierarchyError, losses
from pml_suprank import functional as F
from tests.functional.problems import SURROGATES, keep, problems
from tests.kernels import CAN_RUN
from tests.losses.cases import DIM, PROXY, RANK, SURROGATE, TREE, batch, value_and_gradient
from tests.reference.retrieval import Batch, batch_of, cosines, moved

BACKENDS = [name for name in F.backend_names() if name not in ("auto", "fused") or CAN_RUN]
"""``fused`` runs in ``tests/functional/test_fused_kernels.py``, which has the losses of the table too."""
HALF = torch.float16, torch.bfloat16


class Situation(NamedTuple):
    """A call of a loss, and the same for its reference."""

    name: str
    options: dict[str, Any]
    embeddings: Tensor
    labels: Tensor
    more: dict[str, Any]
    """Other arguments of the call."""
    retrieval: dict[str, Any]
    """Other arguments of ``batch_of``."""
    level: int | None = None


def situations(case):
    """Yield the calls whose value and gradient are compared with the reference."""
    embeddings, labels = batch(10, dtype=torch.float64)
    rows = TREE.table[labels]
    yield Situation("rows", {}, embeddings, rows, {}, {})
    yield Situation("classes", {}, embeddings, labels, {}, {})
    alone = torch.tensor([0, 0, 2, 3, 3, 5])
    yield Situation("queries without positives", {}, embeddings[:6], alone, {}, {})
    if case.levels:
        options = {"level": 1, "hierarchy": TREE}
        yield Situation("level", options, embeddings, labels, {}, {}, level=1)
    if isinstance(case.make(), losses.QueryLoss):
        self_too = {"include_self": True}
        yield Situation("include_self", self_too, embeddings, rows, {}, self_too)
    if case.references:
        references, ref_labels = batch(12, seed=3, dtype=torch.float64)
        ref_rows = TREE.table[ref_labels]
        more = {"ref_emb": references, "ref_labels": ref_rows}
        of_loops = {"ref_emb": references.numpy(), "ref_rows": ref_rows.tolist()}
        yield Situation("references", {}, embeddings, rows, more, of_loops)
        own = [-1, -1, *range(4), -1, 4, 5, 6]
        among = more | {"self_indices": torch.tensor(own)}
        yield Situation("self_indices", {}, embeddings, rows, among, of_loops | {"own": own})
    if case.kind != PROXY:
        pairs = some_pairs(len(labels))
        more = {"indices_tuple": as_tuple(pairs, labels)}
        yield Situation("a miner's pairs", {}, embeddings, rows, more, {"pairs": pairs})


def some_pairs(size):
    """Return two thirds of the pairs of a batch, none for its last query."""
    chosen = (2 * q + i for q in range(size - 1) for i in range(size))
    every = ((q, i) for q in range(size - 1) for i in range(size))
    return {pair for n, pair in zip(chosen, every, strict=True) if n % 3 and pair[0] != pair[1]}


def as_tuple(pairs, labels):
    positive = [(q, i) for q, i in sorted(pairs) if labels[q] == labels[i]]
    negative = [(q, i) for q, i in sorted(pairs) if labels[q] != labels[i]]
    return (*torch.tensor(positive).unbind(1), *torch.tensor(negative).unbind(1))


def of_loops(case, loss_fn, situation) -> Batch:
    """Return the batch of a situation for the reference."""
    labels = situation.labels
    return batch_of(
        situation.embeddings.numpy(),
        (labels if labels.ndim == 2 else TREE.table[labels]).tolist(),
        weights={name: value.detach().numpy() for name, value in loss_fn.named_parameters()},
        **situation.retrieval,
    )


def equals_its_reference(case, backend=None, calls=None):
    """Value and gradient, of queries and of references, in every form of a call, or in those named."""
    options = {} if backend is None else {"backend": backend}
    tolerance = 1e-5 if backend == "fast" else 1e-8
    for situation in situations(case):
        if calls is not None and situation.name not in calls:
            continue
        loss_fn = case.make(**situation.options, **options).double()
        points = [situation.embeddings.clone().requires_grad_()]
        more = dict(situation.more)
        if "ref_emb" in more:
            points.append(more["ref_emb"].clone().requires_grad_())
            more["ref_emb"] = points[1]
        loss = loss_fn(points[0], situation.labels, **more)
        arrays = of_loops(case, loss_fn, situation)
        expected = case.reference(arrays, situation.level)
        assert expected > 0, situation.name
        where = f"{case.name}, {situation.name}, backend {backend}"
        assert loss.item() == pytest.approx(expected, rel=tolerance), where
        gradients = torch.autograd.grad(loss, points)
        assert gradients[0].abs().max() > 0, where
        for along, slope in slopes(case, arrays, situation.level):
            got = sum((g * torch.from_numpy(d)).sum().item() for g, d in zip(gradients, along))  # noqa: B905
            size = max(g.norm().item() for g in gradients)
            assert abs(got - slope) <= max(1e-5, tolerance) * max(size, 1e-3), where


def slopes(case, arrays, level, step=1e-6):
    """Yield directions, of queries and of items, and the derivatives of the reference along them."""
    generator = np.random.default_rng(0)
    function = case.reference
    if case.slope is not None:
        by_score = case.slope(arrays, level)

        def function(batch, level):
            return (by_score * np.array(cosines(batch))).sum()

    for _ in range(5):
        along = [generator.standard_normal(arrays.queries.shape)]
        if arrays.items is not arrays.queries:
            along.append(generator.standard_normal(arrays.items.shape))
        ends = [
            function(moved(arrays, *(sign * step * part for part in along)), level)
            for sign in (1, -1)
        ]
        yield along, (ends[0] - ends[1]) / (2 * step)


def equals_its_reference_on_ties(case):
    """Values alone: a step has no slope where scores tie."""
    embeddings, labels = batch(12, dtype=torch.float64)
    points = embeddings.clone()
    points[:, 1:] = 0
    points[:, :4] = embeddings[:, :4].sign()  # of one length, so that cosines are exact
    for several in (points, torch.ones_like(points)):
        loss_fn = case.make().double()
        if case.name.startswith("HierarchicalTripletMarginLoss"):
            continue  # Euclidean distances of one point are rounded
        situation = Situation("ties", {}, several, labels, {}, {})
        expected = case.reference(of_loops(case, loss_fn, situation), None)
        assert loss_fn(several, labels).item() == pytest.approx(expected, rel=1e-8, abs=1e-12)


def equals_its_reference_at_random(case):
    """Values of uneven batches of any size, with queries that have nothing to find."""

    @given(size=st.integers(1, 9), seed=st.integers(0, 2**31))
    @settings(max_examples=12, deadline=None, database=None)
    def equal(size, seed):
        embeddings, labels = batch(size, seed, torch.float64)
        loss_fn = case.make().double()
        situation = Situation("random", {}, embeddings, labels, {}, {})
        expected = case.reference(of_loops(case, loss_fn, situation), None)
        got = value_and_gradient(loss_fn, embeddings, labels)
        assert got[0].item() == pytest.approx(expected, rel=1e-8, abs=1e-12)
        assert torch.isfinite(got[1]).all()

    equal()


def every_backend_equals_the_reference(case):
    if case.kind == SURROGATE:
        for backend in BACKENDS:
            equals_its_reference(case, backend, calls=("rows", "references", "a miner's pairs"))


def backends_agree(case):
    if case.kind != SURROGATE:
        return
    embeddings, labels = batch(40)
    expected = value_and_gradient(case.make(), embeddings, labels)
    for backend in BACKENDS:
        got = value_and_gradient(case.make(backend=backend), embeddings, labels)
        for ours, wanted in zip(got, expected, strict=True):
            error = (ours - wanted).abs().max() / wanted.abs().max()
            assert error <= (1e-5 if backend == "fast" else 5e-6), (backend, error)


def objective_equals_the_loops(case):
    """The function under the loss: masks, ties, any relevance, every surrogate."""
    if case.objective is None:
        return
    for backend in ("dense", "blocked"):
        for name in SURROGATES:
            values_equal_the_loops(case.objective, name, backend)


def values_equal_the_loops(objective, name, backend, examples=10):
    rank, family, step = SURROGATES[name]

    @given(problem=problems())
    @settings(max_examples=examples, deadline=None, database=None)
    def equal(problem):
        got = objective(problem, problem.scores, surrogate=rank, backend=backend)
        expected = [
            objective.by_loops(family, problem, q, keep(problem, q), **step)
            for q in range(len(problem.scores))
        ]
        expected = torch.tensor(expected, dtype=torch.float64)
        where = f"{objective.function.__name__}, {name}, {backend}: {{}}".format
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-12, msg=where)

    equal()


def shuffling_the_batch_changes_nothing(case):
    embeddings, labels = batch(dtype=torch.float64)
    order = torch.randperm(len(labels))
    loss, gradient = value_and_gradient(case.make(), embeddings, labels)
    shuffled, shuffled_gradient = value_and_gradient(case.make(), embeddings[order], labels[order])
    torch.testing.assert_close(shuffled, loss, rtol=1e-10, atol=0)
    torch.testing.assert_close(shuffled_gradient, gradient[order], rtol=1e-8, atol=1e-10)
    assert loss > 0
    assert gradient.abs().max() > 0


def class_numbers_do_not_matter(case):
    if case.kind not in (SURROGATE, RANK):
        return
    embeddings, labels = batch()
    numbers = torch.tensor([7, 2**24, 2**24 + 1, 2**53 + 1, 0, -3])
    renumbered = Hierarchy.from_labels(torch.cat([numbers[:, None], TREE.table[:, 1:]], dim=1))
    own_tree = {"hierarchy": renumbered} if case.make().hierarchy is not None else {}
    got = case.make(**own_tree)(embeddings, numbers[labels])
    torch.testing.assert_close(got, case.make()(embeddings, labels))


def label_forms_agree(case):
    if case.kind not in (SURROGATE, RANK):
        return
    embeddings, labels = batch()
    expected = case.make()(embeddings, labels)
    rows = TREE.expand(labels)
    torch.testing.assert_close(case.make()(embeddings, rows), expected)
    torch.testing.assert_close(case.make(hierarchy=None)(embeddings, rows), expected)
    torch.testing.assert_close(case.make(hierarchy=TREE)(embeddings, labels), expected)


def the_query_is_not_in_its_own_retrieval_set(case):
    """Equal to ranking, for each query, the batch without it."""
    if case.kind not in (SURROGATE, RANK):
        return
    embeddings, labels = batch(10)
    loss_fn = case.make()
    least = 0 if loss_fn.level is None else 2 - loss_fn.level
    single = [
        loss_fn(
            embeddings[q : q + 1],
            labels[q : q + 1],
            ref_emb=torch.cat([embeddings[:q], embeddings[q + 1 :]]),
            ref_labels=torch.cat([labels[:q], labels[q + 1 :]]),
        )
        for q in range(len(labels))
        if (TREE.common_levels(labels)[q] > least).sum() > 1
    ]
    torch.testing.assert_close(loss_fn(embeddings, labels), torch.stack(single).mean())


def queries_without_positives_are_left_out(case):
    if case.kind not in (SURROGATE, RANK):
        return
    embeddings, labels = batch(12)
    expected = case.make(collect_stats=True)
    loss = expected(embeddings, labels)
    # a thirteenth item far from all, of a class of its own, ranked last by everyone
    odd = -embeddings.mean(dim=0, keepdim=True) * 3
    tree = Hierarchy.from_labels(torch.cat([TREE.table, torch.tensor([[6, 6, 6]])]))
    own_tree = {"hierarchy": tree} if expected.hierarchy is not None else {}
    loss_fn = case.make(collect_stats=True, **own_tree)
    with_odd = loss_fn(torch.cat([embeddings, odd]), torch.cat([labels, torch.tensor([6])]))
    assert loss_fn.num_queries_without_positives == expected.num_queries_without_positives + 1
    assert torch.isfinite(with_odd)
    if not case.name.startswith(("Smooth", "SupRecall")):
        torch.testing.assert_close(with_odd, loss, atol=2e-2, rtol=0)


def no_positives_at_all_give_zero_with_a_graph(case):
    if case.kind in (SURROGATE, RANK):
        embeddings, _ = batch(4)
        unrelated = Hierarchy.from_labels([[c, c] for c in range(6)])
        options = {} if case.make().hierarchy is None else {"hierarchy": unrelated}
        loss, gradient = value_and_gradient(case.make(**options), embeddings, torch.arange(4))
        assert loss == 0
        assert (gradient == 0).all()


def one_class_all_singletons_and_collapsed_embeddings_are_finite(case):
    embeddings, labels = batch(12)
    ones, two_points = torch.ones(12, DIM), torch.ones(12, DIM)
    two_points[::2, 0] = -1
    for points, classes in (
        (embeddings[:6], torch.zeros(6).long()),
        (embeddings[:6], torch.arange(6)),
        (ones, labels),
        (two_points, labels),
    ):
        loss, gradient = value_and_gradient(case.make(), points, classes)
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()


def half_precision_embeddings_are_taken(case):
    wide, labels = batch(spread=1.5)
    for dtype in HALF:
        embeddings = wide.to(dtype)
        expected = case.make()(embeddings.float(), labels)
        got, gradient = value_and_gradient(case.make(), embeddings, labels)
        assert gradient.dtype == dtype
        assert torch.isfinite(gradient).all()
        torch.testing.assert_close(got.float(), expected, rtol=1e-2, atol=1e-2)


def autocast_ranks_in_float32(case):
    embeddings, labels = batch(spread=1.5)
    expected = value_and_gradient(case.make(), embeddings, labels)
    for dtype in HALF:
        point = embeddings.clone().requires_grad_()
        with torch.autocast("cpu", dtype=dtype):
            loss = case.make()(point, labels)
        loss.backward()
        torch.testing.assert_close((loss.detach(), point.grad), expected, rtol=1e-5, atol=1e-6)


def autocast_through_a_layer_is_close_to_float32(case):
    embeddings, labels = batch(spread=1.5)
    torch.manual_seed(0)
    layer = torch.nn.Linear(8, 8)
    expected = case.make()(layer(embeddings), labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = case.make()(layer(embeddings), labels)
    loss.backward()
    assert torch.isfinite(layer.weight.grad).all()
    torch.testing.assert_close(loss.float(), expected, rtol=1e-2, atol=1e-2)


LABEL_TYPES = torch.uint8, torch.uint16, torch.int16, torch.int32, torch.float32, torch.float16


def any_type_of_whole_numbers_is_a_label(case):
    embeddings, labels = batch()
    expected = case.make()(embeddings, labels)
    kinds = [labels.to(kind) for kind in LABEL_TYPES]
    for values in (*kinds, labels.tolist(), labels.numpy(), labels.double().numpy()):
        assert case.make()(embeddings, values) == expected
    two = labels % 2
    assert case.make()(embeddings, two.bool()) == case.make()(embeddings, two)


def rows_have_to_be_a_tree_whatever_level_is_used(case):
    embeddings, labels = batch()
    one_hot = torch.nn.functional.one_hot(labels)
    with pytest.raises(HierarchyError, match="labels: wanted .*rows look one-hot.*argmax"):
        case.make()(embeddings, one_hot)
    torn = torch.stack([labels % 2, labels, labels * 0], dim=1)
    with pytest.raises(HierarchyError, match="labels: wanted "):
        case.make()(embeddings, torn)


def batch_and_references_are_one_tree(case):
    if not case.references:
        return
    embeddings, labels = batch()
    rows, references = TREE.expand(labels), batch(30, seed=3)[0]
    ref_rows = TREE.expand(torch.arange(30) % 6)
    case.make()(embeddings, rows, ref_emb=references, ref_labels=ref_rows)
    ref_rows[:, 1] = 3 - ref_rows[:, 1]  # a tree too, but another one
    with pytest.raises(HierarchyError, match="labels and ref_labels: wanted a tree"):
        case.make()(embeddings, rows, ref_emb=references, ref_labels=ref_rows)


REFERENCE_CHECKS = (
    equals_its_reference,
    equals_its_reference_on_ties,
    equals_its_reference_at_random,
    every_backend_equals_the_reference,
    backends_agree,
)
PROPERTIES = (
    shuffling_the_batch_changes_nothing,
    class_numbers_do_not_matter,
    label_forms_agree,
    the_query_is_not_in_its_own_retrieval_set,
    queries_without_positives_are_left_out,
    no_positives_at_all_give_zero_with_a_graph,
    one_class_all_singletons_and_collapsed_embeddings_are_finite,
    half_precision_embeddings_are_taken,
    autocast_ranks_in_float32,
    autocast_through_a_layer_is_close_to_float32,
    any_type_of_whole_numbers_is_a_label,
    rows_have_to_be_a_tree_whatever_level_is_used,
    batch_and_references_are_one_tree,
)
CHECKS = (objective_equals_the_loops, *REFERENCE_CHECKS, *PROPERTIES)

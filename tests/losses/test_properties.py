"""What single losses must do; what every loss must is in ``checks.py``, and ``test_table.py`` goes through it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pml_suprank import Hierarchy, HierarchyError, functional, losses
from pml_suprank.relevance import PopulationRelevance, item_relevance
from tests.losses.cases import TREE, batch, make, value_and_gradient


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


def test_include_self_ranks_the_query_too():
    embeddings, labels = torch.ones(3, 2), torch.tensor([0, 1, 2])
    assert losses.SupAPLoss()(embeddings, labels) == 0
    # two ties with a lower level cost 0.5 each: rank 2 for the query itself
    loss = losses.SupAPLoss(include_self=True)(embeddings, labels)
    torch.testing.assert_close(loss, torch.tensor(0.5))


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

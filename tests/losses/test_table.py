"""Every loss against its reference and through every property; none is missing, and a broken one is red."""

import pytest
import torch

from pml_suprank import functional as F
from pml_suprank import losses
from tests.losses import cases, checks
from tests.losses.cases import ALL_CASES, OBJECTIVES, SUP_AP, SUP_HAP, TABLE
from tests.pages import ROOT

every_line = pytest.mark.parametrize("case", TABLE, ids=ALL_CASES)
RED = AssertionError, pytest.fail.Exception


@every_line
def test_equals_its_reference(case):
    for check in checks.REFERENCE_CHECKS:
        check(case)


@every_line
def test_has_every_property(case):
    for check in checks.PROPERTIES:
        check(case)


def test_no_public_loss_is_missing():
    with_a_line = {type(case.make()).__name__ for case in TABLE}
    assert with_a_line.isdisjoint(cases.WITHOUT_A_LINE)
    assert with_a_line | set(cases.WITHOUT_A_LINE) == set(losses.__all__)


def test_no_public_objective_is_missing():
    functions = {name for name in F.__all__ if not isinstance(getattr(F, name), type)}
    functions -= {"PRESETS"}
    assert set(OBJECTIVES).isdisjoint(cases.OBJECTIVES_WITHOUT_A_LINE)
    assert set(OBJECTIVES) | set(cases.OBJECTIVES_WITHOUT_A_LINE) == functions
    assert {case.name for case in TABLE if case.objective} == set(cases.SURROGATE_LOSSES)


def test_the_pages_name_every_loss_and_objective():
    for page in ("docs/losses.md", "docs/choosing.md"):
        text = (ROOT / page).read_text()
        for case in TABLE:
            assert f"`{type(case.make()).__name__}`" in text, page
    text = (ROOT / "docs" / "functional.md").read_text()
    for name in OBJECTIVES:
        assert f"`{name}" in text


def test_what_has_a_surrogate_is_of_its_kind():
    for case in TABLE:
        has_surrogate = getattr(case.make(), "surrogate", None) is not None
        assert has_surrogate == (case.kind == cases.SURROGATE), case.name


def broken(case, change):
    """Return the case with ``change(loss, forward, embeddings, labels, ...)`` in the place of ``forward``."""

    def build(**options):
        loss = case.build(**options)
        forward = loss.forward
        loss.forward = lambda *args, **kwargs: change(loss, forward, *args, **kwargs)
        return loss

    return case._replace(build=build)


def of_another_value(loss, forward, *args, **kwargs):
    return 1.01 * forward(*args, **kwargs)


def of_another_sign_of_gradient(loss, forward, *args, **kwargs):
    value = forward(*args, **kwargs)
    return 2 * value.detach() - value


def with_half_the_gradient_of_references(loss, forward, *args, ref_emb=None, **kwargs):
    if ref_emb is not None and ref_emb.requires_grad:
        ref_emb = 0.5 * ref_emb + 0.5 * ref_emb.detach()
    return forward(*args, ref_emb=ref_emb, **kwargs)


@every_line
def test_every_line_is_red_once_its_loss_is_wrong(case):
    changes = [of_another_value, of_another_sign_of_gradient]
    if case.references:
        changes.append(with_half_the_gradient_of_references)
    for change in changes:
        with pytest.raises(RED):
            checks.equals_its_reference(broken(case, change))


def in_the_order_of_the_batch_on_ties(loss, forward, embeddings, labels=None, **kwargs):
    way = torch.linspace(0, 1e-7, embeddings.numel(), dtype=embeddings.dtype)
    return forward(embeddings + way.view_as(embeddings), labels, **kwargs)


def in_one_backend(loss, forward, *args, **kwargs):
    return forward(*args, **kwargs) * (1.001 if loss.backend == "blocked" else 1)


def without_the_tuple(loss, forward, embeddings, labels=None, indices_tuple=None, **kwargs):
    return forward(embeddings, labels, **kwargs)


def without_self_indices(loss, forward, *args, self_indices=None, **kwargs):
    return forward(*args, **kwargs)


def without_include_self(loss, forward, *args, **kwargs):
    loss.include_self = False
    return forward(*args, **kwargs)


def at_the_finest_level_alone(loss, forward, *args, **kwargs):
    loss.level = 0
    return forward(*args, **kwargs)


def averaged_over_all_queries(loss, forward, embeddings, labels=None, **kwargs):
    value = forward(embeddings, labels, **kwargs)
    if labels.ndim > 1:
        return value
    found = ((labels[:, None] == labels).sum(1) > 1).float().mean()
    return value * found.to(value)


def by_position(loss, forward, embeddings, labels=None, **kwargs):
    value = forward(embeddings, labels, **kwargs)
    return value + 1e-6 * embeddings[0].sum()


def in_half_precision(loss, forward, embeddings, labels=None, **kwargs):
    if torch.is_autocast_enabled("cpu"):
        embeddings = embeddings.bfloat16()
    return forward(embeddings, labels, **kwargs)


def not_a_number_without_positives(loss, forward, embeddings, labels=None, **kwargs):
    value = forward(embeddings, labels, **kwargs)
    return value / (value != 0).to(value)


@pytest.mark.parametrize(
    ("case", "change", "check"),
    [
        (SUP_AP, in_the_order_of_the_batch_on_ties, checks.equals_its_reference_on_ties),
        (SUP_AP, in_one_backend, checks.every_backend_equals_the_reference),
        (SUP_AP, in_one_backend, checks.backends_agree),
        (SUP_AP, without_the_tuple, checks.equals_its_reference),
        (SUP_AP, without_self_indices, checks.equals_its_reference),
        (SUP_AP, without_include_self, checks.equals_its_reference),
        (SUP_AP, at_the_finest_level_alone, checks.equals_its_reference),
        (SUP_HAP, at_the_finest_level_alone, checks.equals_its_reference),
        (SUP_AP, averaged_over_all_queries, checks.equals_its_reference_at_random),
        (SUP_AP, by_position, checks.shuffling_the_batch_changes_nothing),
        (SUP_AP, in_half_precision, checks.autocast_ranks_in_float32),
        (
            SUP_AP,
            not_a_number_without_positives,
            checks.no_positives_at_all_give_zero_with_a_graph,
        ),
    ],
)
def test_a_broken_loss_is_red(case, change, check):
    check(case)
    with pytest.raises(RED):
        check(broken(case, change))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_broken_objective_is_red(name):
    objective = OBJECTIVES[name]

    def low(*args, **kwargs):
        return 0.99 * objective.function(*args, **kwargs)

    def blind(scores, *args, **kwargs):
        items, mask = args[:-1], args[-1]
        return objective.function(scores, *items, mask if mask is None else mask | True, **kwargs)

    for wrong in (low, blind):
        case = SUP_AP._replace(objective=objective._replace(function=wrong))
        with pytest.raises(RED):
            checks.objective_equals_the_loops(case)


def test_a_missing_loss_is_noticed(monkeypatch):
    monkeypatch.setattr(losses, "__all__", [*losses.__all__, "AnotherLoss"])
    with pytest.raises(AssertionError, match="AnotherLoss"):
        test_no_public_loss_is_missing()
    monkeypatch.setattr(F, "__all__", [*F.__all__, "untraced"])
    monkeypatch.setattr(F, "untraced", lambda scores: scores, raising=False)
    with pytest.raises(AssertionError, match="untraced"):
        test_no_public_objective_is_missing()

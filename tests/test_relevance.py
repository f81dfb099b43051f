"""Relevance against loops and check vectors, and what a relevance may not return."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pml_suprank import Hierarchy
from pml_suprank.hierarchy import common_levels
from pml_suprank.relevance import (
    ExponentialGain,
    PopulationRelevance,
    WeightedRelevance,
    item_relevance,
    level_counts,
)
from tests.conftest import golden_names, load_golden
from tests.functional.problems import keep, problems
from tests.reference import rank_losses as reference


@given(problem=problems(), alpha=st.sampled_from([0.5, 1.0, 2.0]))
@settings(max_examples=60, deadline=None)
def test_against_loops(problem, alpha):
    weights = torch.rand(problem.num_levels, dtype=torch.float64) + 0.1
    population = item_relevance(
        PopulationRelevance(alpha), problem.levels, problem.num_levels, problem.mask
    )
    weighted = item_relevance(
        WeightedRelevance(by_level=weights.tolist()),
        problem.levels,
        problem.num_levels,
        problem.mask,
    )
    for query in range(len(problem.scores)):
        levels, kept = problem.levels[query].tolist(), keep(problem, query)
        expected = reference.population_relevance(levels, kept, problem.num_levels, alpha)
        torch.testing.assert_close(population[query], torch.from_numpy(expected))
        expected = reference.weighted_relevance(levels, kept, weights.tolist()[::-1])
        torch.testing.assert_close(weighted[query], torch.from_numpy(expected))


@pytest.mark.parametrize("name", golden_names("relevance"))
def test_check_vectors(name):
    data = load_golden(name)
    labels = torch.from_numpy(data["labels"])
    ref_labels = torch.from_numpy(data.get("ref_labels", data["labels"]))
    levels = common_levels(labels, ref_labels)
    assert levels.tolist() == data["target"].tolist()
    num_levels = labels.shape[1]
    counts = level_counts(levels, num_levels)
    seen = 0
    for key, expected in data.items():
        expected = torch.as_tensor(expected) if key.startswith("table_") else None
        if key.startswith("table_pop_a"):
            alpha = float(key.removeprefix("table_pop_a"))
            # published: (x / (L - 1))^alpha, a constant times ours
            constant = (num_levels / (num_levels - 1)) ** alpha
            table = PopulationRelevance(alpha)(counts) * constant
            matrix = item_relevance(PopulationRelevance(alpha), levels, num_levels) * constant
            published = torch.as_tensor(data[f"matrix_pop_a{key.removeprefix('table_pop_a')}"])
        elif key.startswith("table_map"):
            relevance = WeightedRelevance(
                by_level=data[f"{key.removeprefix('table_')}_weights"].tolist()[::-1]
            )
            # published tables hold infinity or NaN for levels that no item has
            expected = torch.where(torch.isfinite(expected), expected, torch.tensor(float("nan")))
            table = relevance(counts).where(torch.isfinite(expected), torch.tensor(float("nan")))
            matrix = item_relevance(relevance, levels, num_levels)
            published = torch.as_tensor(data[f"matrix_{key.removeprefix('table_')}"])
        else:
            continue
        seen += 1
        torch.testing.assert_close(
            table.double(), expected.double(), rtol=1e-6, atol=1e-7, equal_nan=True
        )
        torch.testing.assert_close(matrix.double(), published.double(), rtol=1e-6, atol=1e-7)
    assert seen >= 2


def test_weighted_relevance_of_one_level_is_one_over_its_size():
    levels = torch.tensor([[1, 0, 1, 1]])
    assert item_relevance(WeightedRelevance(by_level=[1]), levels, 1).tolist() == [
        [1 / 3, 0, 1 / 3, 1 / 3]
    ]


def test_exponential_gain_ignores_counts():
    assert ExponentialGain()(torch.tensor([[0, 7, 0, 1]])).tolist() == [[0.0, 1.0, 3.0, 7.0]]


@pytest.mark.parametrize("alpha", [0, -1, float("nan"), float("inf")])
def test_bad_alpha(alpha):
    with pytest.raises(ValueError, match="alpha: wanted a positive"):
        PopulationRelevance(alpha)


@pytest.mark.parametrize("weights", [[], [0, 0], [-1, 2], [float("nan")]])
def test_bad_weights(weights):
    with pytest.raises(ValueError, match="by_level: wanted numbers"):
        WeightedRelevance(by_level=weights)


@pytest.mark.parametrize("old", [lambda w: ((w,), {}), lambda w: ((), {"weights": w})])
def test_the_old_weights_are_the_new_ones_turned_round(old):
    args, kwargs = old([0.2, 0.3, 0.5])
    with pytest.warns(
        DeprecationWarning, match="weights, coarsest .* write by_level=, finest first"
    ) as told:
        relevance = WeightedRelevance(*args, **kwargs)
    assert told[0].filename == __file__
    new = WeightedRelevance(by_level=[0.5, 0.3, 0.2])
    assert relevance == new
    counts = torch.randint(5, (20, 4))
    assert torch.equal(relevance(counts), new(counts))
    one_more = torch.tensor(
        [[9, 4, 2, 1]]
    )  # 0.2 / 7, 0.3 / 3 and 0.5 / 1, added up from the coarsest level
    expected = torch.tensor([[0, 0.2 / 7, 0.2 / 7 + 0.1, 0.2 / 7 + 0.6]], dtype=torch.float64)
    torch.testing.assert_close(new(one_more), expected)


@pytest.mark.parametrize(
    ("arguments", "got"), [({}, "neither"), ({"weights": [1], "by_level": [1]}, "both")]
)
def test_weights_are_given_once(arguments, got):
    with pytest.raises(TypeError, match=f"wanted by_level or weights, got {got}"):
        WeightedRelevance(**arguments)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_old_name_of_common_levels_works():
    levels = torch.tensor([[0, 2, 1, 0]])
    assert torch.equal(level_counts(levels=levels, num_levels=2), level_counts(levels, 2))
    own = ExponentialGain()
    old = item_relevance(own, levels=levels, num_levels=2)
    assert torch.equal(old, item_relevance(own, levels, 2))


def test_number_of_weights():
    with pytest.raises(ValueError, match="one weight for each of the 2 levels, got 3"):
        WeightedRelevance(by_level=[1, 1, 1])(torch.tensor([[1, 1, 1]]))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda counts: [0], "wanted a floating table of shape"),
        (lambda counts: counts, "wanted a floating table of shape"),
        (lambda counts: counts[:, 1:].double(), "wanted a floating table of shape"),
        (lambda counts: counts.double() + 1, "with 2.0 where none is"),
        (
            lambda counts: -(counts.double() * torch.tensor([0.0, 1.0])),
            "wanted finite entries >= 0",
        ),
        (lambda counts: 0 * counts.double() / 0, "wanted finite"),
    ],
)
def test_bad_user_relevance(function, message):
    with pytest.raises(ValueError, match=message):
        item_relevance(function, torch.tensor([[1, 0]]), 1)


def test_user_relevance_in_a_loss():
    from pml_suprank import losses

    tree = Hierarchy.from_paths(["a/x", "a/y", "b/z"])
    embeddings, labels = torch.randn(12, 4), torch.arange(12) % 3

    def own(counts):
        depth = torch.arange(counts.shape[1], dtype=torch.float64)
        return (depth / 2 / counts.clamp(min=1)).masked_fill(counts == 0, 0.0)

    default = losses.SupHAPLoss(hierarchy=tree)(embeddings, labels)
    same = losses.SupHAPLoss(hierarchy=tree, relevance=own)(embeddings, labels)
    torch.testing.assert_close(same, default)

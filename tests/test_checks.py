"""Checks of arguments."""

import math

import pytest
import torch

from pml_suprank.checks import (
    all_finite,
    check_embeddings,
    checked_depths,
    checked_level,
    checked_per_level,
)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_finds_what_is_not_finite(bad, dtype):
    values = torch.ones(30, 40, dtype=dtype)
    assert all_finite(values)
    values[17, 3] = bad
    assert not all_finite(values)
    with pytest.raises(
        ValueError, match="x: wanted finite numbers, .* in 1 of 30 rows, first in row 17"
    ):
        check_embeddings("x", values)
    values[20] = -bad
    assert not all_finite(values)


def test_finite_numbers_with_an_infinite_sum():
    assert all_finite(torch.full((4, 4), 1e38))
    assert all_finite(torch.full((400, 4), 6e4, dtype=torch.float16))


@pytest.mark.parametrize(
    ("k", "depths"), [(3, (3,)), ([1, 5, 1], (1, 5)), (torch.tensor([2]), (2,))]
)
def test_depths(k, depths):
    assert checked_depths(k) == depths


def test_levels():
    assert checked_level(torch.tensor(2), 3) == 2
    for level in (-1, 3, True, 1.0, None, "0"):
        with pytest.raises(ValueError, match="level: wanted an integer >= 0 below 3, got"):
            checked_level(level, 3)


def test_one_number_per_level():
    assert checked_per_level("x", 2, 3) == (2.0, 2.0, 2.0)
    assert checked_per_level("x", torch.tensor([1.0, 0.5])) == (1.0, 0.5)
    assert checked_per_level("x", torch.tensor(0.5), 2) == (0.5, 0.5)
    assert checked_per_level("x", -1, least=-math.inf) == (-1.0,)
    for values in ((1,), (1, 2, -1), "123", None, True, (1, 2, float("nan")), [[1], [2], [3]]):
        with pytest.raises(
            ValueError, match="x: wanted one finite number >= 0 for each of the 3 levels, "
        ):
            checked_per_level("x", values, 3)

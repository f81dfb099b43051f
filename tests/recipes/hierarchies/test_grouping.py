import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.metrics import silhouette_samples

from pml_suprank.recipes.hierarchies.grouping import (
    chosen_sizes,
    group_titles,
    main_directions,
    nested_groups,
    silhouettes,
)


def points(seed: int, count: int = 40, width: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, width))


def same_partition(one: np.ndarray, other: np.ndarray) -> bool:
    pairs = set(zip(one.tolist(), other.tolist(), strict=True))
    return len(pairs) == len(set(one.tolist())) == len(set(other.tolist()))


@pytest.mark.parametrize("method", ["ward", "average", "complete", "single"])
def test_groups_are_those_of_scipy(method: str) -> None:
    values = points(0)
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    found = nested_groups(values, [12, 5, 2], method)
    for column, size in zip(found.T, (12, 5, 2), strict=True):
        expected = fcluster(linkage(unit, method), size, "maxclust")
        assert same_partition(column, expected)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 30), st.data())
def test_groups_nest_and_have_the_asked_sizes(seed: int, count: int, data: st.DataObject) -> None:
    sizes = sorted(data.draw(st.sets(st.integers(1, count), min_size=1, max_size=4)), reverse=True)
    found = nested_groups(points(seed, count), sizes)
    assert found.shape == (count, len(sizes))
    for column, size in zip(found.T, sizes, strict=True):
        assert len(np.unique(column)) == size
        assert column[np.unique(column, return_index=True)[1]].tolist() == list(range(size))
        first = [int(np.flatnonzero(column == group)[0]) for group in range(size)]
        assert first == sorted(first)
    for fine, coarse in zip(found.T, found.T[1:], strict=False):
        assert len(set(zip(fine.tolist(), coarse.tolist(), strict=True))) == len(np.unique(fine))


def test_one_name_and_bad_sizes() -> None:
    assert nested_groups(points(0, 1), [1]).tolist() == [[0]]
    for sizes in ([], [3, 3], [2, 5], [41], [3, 0]):
        with pytest.raises(ValueError, match="sizes: wanted decreasing numbers of groups, at most"):
            nested_groups(points(0), sizes)
    with pytest.raises(ValueError, match="linkage: wanted one of ward, .* got 'centroid'"):
        nested_groups(points(0), [2], "centroid")


@pytest.mark.parametrize("seed", range(5))
def test_silhouettes_are_those_of_scikit_learn(seed: int) -> None:
    values = points(seed)
    groups = np.random.default_rng(seed).integers(0, 6, len(values))
    groups[:6] = range(6)
    groups[groups == 5] = 4
    groups[0] = 5
    found = silhouettes(values, groups)
    np.testing.assert_allclose(
        found.silhouette, silhouette_samples(values, groups, metric="cosine"), atol=1e-12
    )
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    means = np.stack([1 - unit @ unit[groups == g].T.mean(1) for g in range(6)], 1)
    means[range(len(values)), groups] = np.inf
    assert found.nearest.tolist() == means.argmin(1).tolist()


def test_silhouettes_of_one_group_and_of_empty_vectors() -> None:
    found = silhouettes(points(1, 4), np.zeros(4, dtype=int))
    assert found.silhouette.tolist() == [0] * 4
    assert found.nearest.tolist() == [-1] * 4
    found = silhouettes(np.zeros((4, 3)), np.array([0, 0, 1, 1]))
    assert np.isfinite(found.silhouette).all()


def test_titles() -> None:
    names = ["red car", "old car", "car", "oak", "tall tree", "tree", "oak tree bark", "x"]
    groups = np.array([0, 0, 0, 1, 1, 1, 1, 2])
    values = np.eye(8)
    assert group_titles(names, groups, values) == ["car", "tree", "x"]
    # no word comes twice: the most central names, as many as are short
    values = np.array([[1.0, 0.1], [1, 1], [0, 1], [0.1, 1]])
    one = np.zeros(4, dtype=int)
    assert group_titles(["cat", "dog", "cow", "ewe"], one, values) == ["dog, ewe, cow"]
    long = ["cat", "dog", "cow", "e" * 31]
    assert group_titles(long, one, values) == [f"dog, {'e' * 31}"]
    assert group_titles(["c", "d" * 50, "w", "e" * 30], one, values) == ["d" * 50]
    # nor one that few have
    few = ["big cat", "big dog", "cow", "ewe", *"abcdefghijkl"]
    values = np.array([*values, *np.tile([-1.0, 0.0], (12, 1))])
    assert group_titles(few, np.array([0] * 4 + [1] * 12), values)[0] == "big"
    values = np.tile(values[:4], (4, 1))
    assert group_titles(few, np.zeros(16, dtype=int), values) == ["big dog, b, f"]
    # three words where none tells the group
    many = [f"{word} {i}" for i, word in enumerate(["sun"] * 3 + ["sea"] * 3 + ["sky"] * 3)]
    many += [f"a{i} b{i}" for i in range(9)]
    assert group_titles(many, np.zeros(18, dtype=int), np.eye(18)) == ["sea, sky, sun"]


def test_equal_titles_are_told_apart() -> None:
    names = ["blue car", "red car", "fast car", "slow car"]
    values = np.array([[3.0, 1], [3, 0], [1, 3], [0, 3]])
    titles = group_titles(names, np.array([0, 0, 1, 1]), values)
    assert titles == ["car (blue car)", "car (fast car)"]


def clusters(seed: int, centres: int, members: int, width: int = 40) -> np.ndarray:
    """Groups around their centres, beside a direction that all share and noise in many others."""
    generator = np.random.default_rng(seed)
    middle = np.repeat(generator.normal(size=(centres, width)), members, 0)
    noise = generator.normal(size=(centres * members, width))
    return 3 * np.ones(width) + middle + 0.4 * noise


def test_main_directions_are_those_of_the_covariance() -> None:
    values = points(0, 50, 30) * np.linspace(2, 0.1, 30)
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    centred = unit - unit.mean(0)
    variances, vectors = np.linalg.eigh(centred.T @ centred)
    held = np.cumsum(variances[::-1]) / variances.sum()
    count = int((held < 0.9).sum()) + 1
    assert 8 < count < 30
    expected = centred @ vectors[:, ::-1][:, :count]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = main_directions(values, 0.9)
    assert found.shape == (50, count)
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-9)
    assert main_directions(values, 0.01).shape == (50, 8)


def test_main_directions_of_what_has_none() -> None:
    values = points(0, 5)
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    np.testing.assert_array_equal(main_directions(values, 1), unit)
    np.testing.assert_allclose(main_directions(np.ones((5, 3))), np.full((5, 3), 3**-0.5))
    assert main_directions(np.ones((1, 3))).shape == (1, 3)
    for share in (0, 1.1, -1):
        with pytest.raises(ValueError, match=r"variance: wanted a share in \(0, 1\], got"):
            main_directions(values, share)


@pytest.mark.parametrize("centres", [3, 5, 9])
@pytest.mark.parametrize("linkage", ["ward", "average"])
def test_sizes_are_chosen_by_silhouette(centres: int, linkage: str) -> None:
    values = clusters(centres, centres, 12)
    assert chosen_sizes(values, [None], linkage) == [centres]
    assert chosen_sizes(values, [range(2, 30)], linkage) == [centres]
    means = {
        size: silhouettes(values, nested_groups(values, [size], linkage)[:, 0]).silhouette.mean()
        for size in range(15, 30)
    }
    assert chosen_sizes(values, [range(15, 30)], linkage) == [max(means, key=means.__getitem__)]


def test_sizes_of_several_levels() -> None:
    values = clusters(0, 4, 15)
    assert chosen_sizes(values, [20, 7, 2]) == [20, 7, 2]
    assert chosen_sizes(values, [None, 4]) == chosen_sizes(values, [range(8, 21), 4])
    fine, coarse = chosen_sizes(values, [None, None])
    assert coarse == 4
    assert 8 <= fine <= 20
    assert chosen_sizes(values, [6, None]) == [6, 4]
    assert chosen_sizes(values, [5, range(2, 9), 3])[1] == 4  # between those around it
    assert chosen_sizes(values[:4], [None]) == [2]
    assert chosen_sizes(clusters(0, 5, 100), [range(2, 400)]) == [5]  # of 60 of the 398
    for sizes in ([4, None, 3], [range(3, 5), 5], [range(100, 200)]):
        with pytest.raises(ValueError, match="levels: wanted a number of groups between those of"):
            chosen_sizes(values, sizes)

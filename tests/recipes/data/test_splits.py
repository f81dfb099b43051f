"""Held-out classes and images."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.recipes.data.images import ImageDataset
from pml_suprank.recipes.data.splits import split_classes, split_images

NAMES = ["animal/dog/husky", "animal/dog/poodle", "animal/dog/pug", "animal/dog/corgi"]
NAMES += [
    "animal/cat/tabby",
    "animal/cat/siamese",
    "plant/rose",
    "plant/tree/oak",
    "plant/tree/elm",
]


def data(counts: list[int], names: list[str] = NAMES) -> ImageDataset:
    tree = Hierarchy.from_paths(names, level_names=["breed", "species", "kingdom"])
    labels = torch.arange(len(names)).repeat_interleave(torch.tensor(counts))
    paths = [f"{names[label]}/{i}.png" for i, label in enumerate(labels.tolist())]
    return ImageDataset(paths, tree.expand(labels), tree, captions=paths)


def names_of(part: ImageDataset) -> list[str]:
    return [part.hierarchy.class_names[label] for label in part.labels[:, 0]]


def test_classes_are_disjoint_and_keep_their_names() -> None:
    whole = data([3] * 9)
    train, test = split_classes(whole, 0.5, seed=3)
    assert not set(names_of(train)) & set(names_of(test))
    assert sorted(train.paths + test.paths) == sorted(whole.paths)
    for part in (train, test):
        assert [str(path.parent) for path in part.paths] == names_of(part)
        assert [str(path) for path in part.paths] == list(part.captions)
        assert part.hierarchy.level_names == whole.hierarchy.level_names
        assert torch.equal(part.hierarchy.expand(part.labels[:, 0]), part.labels)
    by_parent = Counter(name.rpartition("/")[0] for name in set(names_of(test)))
    assert by_parent["animal/dog"] == 2
    assert by_parent["animal/cat"] == 1
    assert "plant/rose" in names_of(train)  # the only class of its parent


def test_parents_with_one_class_take_nothing_from_the_others() -> None:
    names = [f"kind {i}/only" for i in range(9)] + [f"large/{i}" for i in range(10)]
    _, test = split_classes(data([1] * 19, [f"all/{name}" for name in names]), 0.5)
    assert len(test) == 5
    assert all(name.startswith("all/large/") for name in names_of(test))


def test_a_flat_data_set() -> None:
    tree = Hierarchy.from_paths(list("abcdef"))
    whole = ImageDataset(list("abcdef"), tree.table, tree)
    train, test = split_classes(whole, 1 / 3)
    assert (len(train), len(test)) == (4, 2)


def test_the_drawing_depends_on_the_seed() -> None:
    whole = data([2] * 9)
    drawn = {tuple(names_of(split_classes(whole, 0.5, seed)[1])) for seed in range(8)}
    assert len(drawn) > 1
    assert names_of(split_classes(whole, 0.5, 5)[1]) == names_of(split_classes(whole, 0.5, 5)[1])


@given(
    counts=st.lists(st.integers(0, 7), min_size=9, max_size=9),
    share=st.floats(0.05, 0.95),
    seed=st.integers(0, 99),
)
def test_images_of_every_class_stay(counts: list[int], share: float, seed: int) -> None:
    counts[0] += 12
    whole = data(counts)
    train, test = split_images(whole, share, seed)
    assert sorted(train.paths + test.paths) == sorted(whole.paths)
    assert set(names_of(train)) == set(names_of(whole))
    assert train.hierarchy == test.hierarchy == whole.hierarchy


def test_shares_add_up() -> None:
    train, test = split_images(data([10] * 9), 0.25)
    assert (len(train), len(test)) == (68, 22)
    assert set(Counter(names_of(test)).values()) <= {2, 3}


@pytest.mark.parametrize("split", [split_classes, split_images])
def test_shares_outside_their_range(split: object) -> None:
    for share in (0.0, 1.0, -0.5):
        with pytest.raises(ValueError, match=r"test_share: wanted a number in \(0, 1\)"):
            split(data([2] * 9), share)
    with pytest.raises(ValueError, match="test_share: wanted a share that holds out"):
        split(data([1] + [0] * 8), 0.5)

"""Held-out classes and images."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.recipes.data.images import ImageDataset
from pml_suprank.recipes.data.splits import share_note, split_classes, split_images

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


def test_classes_without_siblings_are_drawn_with_each_other() -> None:
    names = [f"kind {i}/only" for i in range(9)] + [f"large/{i}" for i in range(10)]
    train, test = split_classes(data([1] * 19, [f"all/{name}" for name in names]), 0.5)
    assert len(test) == 9
    assert sum(name.startswith("all/large/") for name in names_of(test)) == 5
    assert share_note(train, test, "classes", 0.5) == ""


SHALLOW = [f"a/x{i}" for i in range(10)] + ["b/y/z0", "b/y/z1"]


@pytest.mark.parametrize(("share", "held"), [(0.2, (2, 0)), (0.5, (5, 1)), (0.8, (9, 1))])
def test_siblings_are_those_of_the_tree_not_of_padded_columns(
    share: float, held: tuple[int, int]
) -> None:
    train, test = split_classes(uneven([4] * 12, SHALLOW), share, seed=1)
    counts = Counter(name[0] for name in set(names_of(test)))
    assert (counts["a"], counts["b"]) == held
    assert len(train) + len(test) == 48
    assert share_note(train, test, "classes", share) == ""


def uneven(counts: list[int], names: list[str]) -> ImageDataset:
    tree = Hierarchy.from_paths(names)
    labels = torch.arange(len(names)).repeat_interleave(torch.tensor(counts))
    paths = [f"{names[label]}/{i}.png" for i, label in enumerate(labels.tolist())]
    return ImageDataset(paths, tree.expand(labels), tree)


@st.composite
def uneven_trees(draw: st.DrawFn) -> list[str]:
    """Paths of classes at depths 1 to 5."""
    names: list[str] = []

    def grow(path: str, depth: int) -> None:
        for number in range(draw(st.integers(1, 4))):
            child = f"{path}{'/' if path else ''}{depth}{number}"
            if depth < 5 and draw(st.integers(0, 2)):
                grow(child, depth + 1)
            else:
                names.append(child)

    grow("", 1)
    return names


@given(
    names=uneven_trees().filter(lambda names: len(names) > 2),
    share=st.floats(0.05, 0.95),
    seed=st.integers(0, 9),
)
def test_the_share_at_every_node_of_uneven_trees(names: list[str], share: float, seed: int) -> None:
    """By the paths alone: below every node of every level about the share is held out."""
    try:
        train, test = split_classes(uneven([1] * len(names), names), share, seed)
    except ValueError:
        assert share * len(names) <= 1.5  # nothing to hold out; a lone class may not be
        return
    held = set(names_of(test))
    assert held | set(names_of(train)) == set(names)
    assert not held & set(names_of(train))
    below: dict[str, list[str]] = {"": names}
    for name in names:
        parts = name.split("/")
        for depth in range(1, len(parts)):
            below.setdefault("/".join(parts[:depth]), []).append(name)
    parents = Counter(name.rpartition("/")[0] for name in names)
    for node, classes in below.items():
        count = sum(name in held for name in classes)
        families = sum(node == "" or f"{parent}/".startswith(f"{node}/") for parent in parents)
        # rounding, a class that is drawn further up, and one more of every family where others cannot give theirs
        assert count <= share * len(classes) + 2 + (share > 0.5) * families
        assert count >= share * len(classes) - 2 - (share > 0.5) * families
        assert len(classes) == 1 or not set(classes) <= held  # one stays to train
    note = share_note(train, test, "classes", share)
    assert (note == "") == (abs(len(held) - share * len(names)) <= 1)
    if share <= 0.5:
        assert note == ""


def test_a_share_that_families_cannot_give_is_said() -> None:
    pairs = [f"{kind}/{name}" for kind in range(10) for name in "ab"]
    train, test = split_classes(uneven([1] * 20, pairs), 0.8)
    assert share_note(train, test, "classes", 0.8) == (
        "held out 10 of 20 classes, a share of 0.500 in place of 0.8 (data.test_share): "
        "one of every family of classes with one parent stays to train"
    )
    mixed = [*pairs, *(f"large/{number}" for number in range(80))]
    train, test = split_classes(uneven([1] * 100, mixed), 0.8)
    assert sum(name.startswith("large") for name in names_of(test)) == 65  # its share and one
    assert "held out 75 of 100 classes" in share_note(train, test, "classes", 0.8)
    train, test = split_images(uneven([2] * 20, pairs), 0.8)
    assert "held out 20 of 40 images" in share_note(train, test, "images", 0.8)
    assert "one of every class stays" in share_note(train, test, "images", 0.8)


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

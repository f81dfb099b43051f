"""The sampler's guarantees, counted in its batches."""

import copy
import inspect
import itertools
import json
import math
import pickle
import random
import re
import warnings
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DistributedSampler

from pml_suprank import Hierarchy, HierarchyError
from pml_suprank.samplers import HierarchicalSampler
from tests.reference.batches import children_per_node, faults, reachable_sizes


def balanced(*sizes):
    """Labels of a tree in which every class has ``sizes[0]`` samples, every parent ``sizes[1]`` classes, ..."""
    index = np.arange(math.prod(sizes))
    return np.stack([index // math.prod(sizes[: level + 1]) for level in range(len(sizes) - 1)], 1)


def uneven(num_samples, num_classes, num_parents, seed=0):
    """Two levels with classes and parents of very different sizes, singletons among them."""
    rng = np.random.default_rng(seed)
    classes = rng.choice(num_classes, num_samples, p=rng.dirichlet(0.4 * np.ones(num_classes)))
    parents = rng.choice(num_parents, num_classes, p=rng.dirichlet(0.8 * np.ones(num_parents)))
    return np.stack([classes, parents[classes]], 1)


def quiet(*arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return HierarchicalSampler(*arguments, **options)


def usage(sampler, passes=1):
    seen = np.zeros(len(sampler.sampler), dtype=int)
    for batch in itertools.chain.from_iterable([sampler] * passes):
        seen[batch] += 1
    return seen


@st.composite
def trees(draw):
    """Labels of one to four levels: branches, classes and singletons of any sizes, in any order of rows."""
    num_levels = draw(st.integers(1, 4))
    rows = [()]
    for _ in range(num_levels):
        rows = [(*row, child) for row in rows for child in range(draw(st.integers(1, 4)))][:24]
    paths = list(dict.fromkeys(rows))
    largest = draw(st.sampled_from((2, 3, 9)))  # pairs alone make even batches only
    least = draw(st.integers(1, 2))
    sizes = draw(st.lists(st.integers(least, largest), min_size=len(paths), max_size=len(paths)))
    ids = [{} for _ in range(num_levels)]
    labels = []
    for path, size in zip(paths, sizes, strict=True):
        nodes = [path[: num_levels - level] for level in range(num_levels)]
        labels += [[ids[k].setdefault(n, 7 * len(ids[k])) for k, n in enumerate(nodes)]] * size
    random.Random(draw(st.integers(0, 99))).shuffle(labels)
    return labels


@settings(max_examples=400, deadline=None)
@given(
    labels=trees(),
    group_sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    multiple=st.integers(1, 8),
    world_size=st.integers(1, 3),
    seed=st.integers(0, 10),
)
def test_every_batch_of_every_process_keeps_to_the_rules(
    labels, group_sizes, multiple, world_size, seed
):
    group_sizes = group_sizes[: len(labels[0])]
    batch_size = multiple * math.prod(group_sizes)
    rows = [row[: len(group_sizes)] for row in labels]
    options = {"world_size": world_size, "seed": seed, "batches_per_epoch": 7}
    try:
        quiet(labels, batch_size, group_sizes, rank=0, **options)
    except ValueError as error:
        if world_size == 1 and str(error).startswith("batch_size"):
            assert batch_size not in reachable_sizes(rows, group_sizes)
        for number in re.findall(r"\d+", (re.findall("nearest (.*), got", str(error)) or [""])[0]):
            quiet(labels, int(number), group_sizes, rank=0, **options)
        return
    if world_size == 1:
        assert batch_size in reachable_sizes(rows, group_sizes)
    drawn = []
    for rank in range(world_size):
        sampler = quiet(labels, batch_size, group_sizes, rank=rank, **options)
        for epoch in range(2):
            sampler.set_epoch(epoch)
            batches = list(sampler)
            assert len(batches) == len(sampler) == 7
            for batch in batches:
                assert faults(batch, rows, group_sizes, batch_size) == []
            drawn.append((epoch, {sample for batch in batches for sample in batch}))
    for (epoch, one), (other_epoch, other) in itertools.combinations(drawn, 2):
        assert epoch != other_epoch or not one & other


@pytest.mark.parametrize("group_sizes", [(3,), (3, 1), (1, 3), (3, 3), (3, 2)], ids=str)
def test_every_batch_size_works_that_pairs_and_triples_allow(group_sizes):
    """All trees of two parents with up to three classes of two or three samples."""
    parents = [sizes for n in (1, 2, 3) for sizes in itertools.product((2, 3), repeat=n)]
    for left, right in itertools.combinations_with_replacement(parents, 2):
        sizes = [*left, *right]
        rows = [(k, int(k >= len(left))) for k, size in enumerate(sizes) for _ in range(size)]
        rows = [row[: len(group_sizes)] for row in rows]
        reachable = reachable_sizes(rows, group_sizes)
        block = math.prod(group_sizes)
        for batch_size in range(block, len(rows) + 1, block):
            if batch_size in reachable:
                sampler = HierarchicalSampler(rows, batch_size, group_sizes, batches_per_epoch=4)
                for batch in sampler:
                    assert faults(batch, rows, group_sizes, batch_size) == []
            else:
                with pytest.raises(ValueError, match=f"got {batch_size}"):
                    HierarchicalSampler(rows, batch_size, group_sizes)


@settings(max_examples=100, deadline=None)
@given(labels=trees(), first=st.integers(1, 4), second=st.integers(1, 4))
def test_left_out_are_the_samples_without_a_positive(labels, first, second):
    group_sizes = (first, second)[: len(labels[0])]
    level = 0 if first > 1 else 1 if group_sizes[-1] > 1 else None
    counts = Counter() if level is None else Counter(row[level] for row in labels)
    alone = [i for i, row in enumerate(labels) if level is not None and counts[row[level]] == 1]
    try:
        sampler = quiet(labels, math.prod(group_sizes), group_sizes)
    except ValueError:
        return
    assert sampler.left_out.tolist() == alone
    assert sampler.num_left_out == len(alone)
    assert not usage(sampler, passes=3)[alone].any()


@pytest.mark.parametrize(
    ("sizes", "group_sizes", "tops"),
    [
        ((8, 6, 5), (4, 3), 2),
        ((8, 6, 5), (2,), 6),
        ((5, 4, 3, 6), (2, 2, 2), 3),
        ((4, 3, 3, 2, 2, 2, 2), (2, 1, 2, 1, 2, 1), 2),
        ((6, 40), (6,), 4),
    ],
)
def test_where_there_is_enough_the_group_sizes_are_exact(sizes, group_sizes, tops):
    labels = balanced(*sizes)
    sampler = HierarchicalSampler(labels, tops * math.prod(group_sizes), group_sizes)
    for batch in sampler:
        for level, size in enumerate(group_sizes):
            assert set(children_per_node(batch, labels, level).values()) == {size}
        assert len({labels[sample][len(group_sizes) - 1] for sample in batch}) == tops


@pytest.mark.parametrize("num_parents", [1, 2, 78, 5000])
def test_any_number_of_super_classes_gives_full_batches(num_parents):
    labels = balanced(3, 4, num_parents)
    labels = np.concatenate([labels] * 3) if num_parents == 1 else labels
    sampler = HierarchicalSampler(labels, 24, (2, 3), batches_per_epoch=50)
    for batch in sampler:
        assert faults(batch, labels, (2, 3), 24) == []
        assert len({labels[sample][1] for sample in batch}) == min(4, num_parents)


def test_what_small_classes_do_not_have_comes_from_their_siblings_first():
    # parent 0: ten classes of 3; parent 1: ten classes of 8
    classes = np.concatenate([np.repeat(np.arange(10), 3), np.repeat(np.arange(10, 20), 8)])
    labels = np.stack([classes, classes // 10], 1)
    for batch in HierarchicalSampler(labels, 32, (4, 4)):
        parents = Counter(labels[sample][1] for sample in batch)
        assert parents == {0: 16, 1: 16}
        small, large = (
            sorted(Counter(labels[s][0] for s in batch if labels[s][1] == parent).values())
            for parent in (0, 1)
        )
        # 3 + 3 + 3 + 3 + 3 leaves one, for which a class of all three makes room for a sixth class
        assert small == [2, 2, 3, 3, 3, 3]
        assert large == [4, 4, 4, 4]


def test_less_than_half_a_group_comes_from_the_classes_drawn():
    sizes = [6, 14, 14, 14, 14, 20, 20, 20, 20, 20]
    labels = np.repeat([[class_, class_ // 5] for class_ in range(10)], sizes, axis=0)
    groups = set()
    for batch in HierarchicalSampler(labels, 32, (8, 2), batches_per_epoch=40):
        counts = Counter(labels[sample][0] for sample in batch if labels[sample][1] == 0)
        groups.add(tuple(sorted(counts.values())))
    assert groups == {(8, 8), (6, 10)}


def test_what_a_small_parent_does_not_have_comes_from_the_others_evenly():
    # parent 0 has one class of 4, four parents have six classes of 6; all five are in every batch
    labels = np.concatenate([np.zeros((4, 2), int), 1 + balanced(6, 6, 4)])
    for batch in HierarchicalSampler(labels, 40, (2, 4), seed=3):
        assert sorted(Counter(labels[s][1] for s in batch).values()) == [4, 9, 9, 9, 9]


def test_an_epoch_shows_every_sample_about_once():
    labels = uneven(20000, 800, 12)
    sampler = quiet(labels, 32, (4, 4))
    seen = np.delete(usage(sampler), sampler.left_out)
    assert len(sampler) == len(seen) // 32
    assert (seen == 1).mean() > 0.85
    assert seen.max() <= 3
    over_epochs = np.delete(usage(sampler, passes=20), sampler.left_out)
    assert ((over_epochs >= 15) & (over_epochs <= 25)).mean() > 0.98
    classes = np.delete(labels[:, 1], sampler.left_out)
    by_parent = np.bincount(classes, weights=over_epochs) / np.bincount(classes)
    large = np.bincount(classes) > 100
    assert large.sum() > 8
    assert np.allclose(by_parent[large], 20, rtol=0.02)


def test_no_sample_comes_again_before_all_of_its_class_have_come():
    labels = uneven(2000, 60, 6)
    members = [np.flatnonzero(labels[:, 0] == class_) for class_ in range(60)]
    members = [samples for samples in members if len(samples) > 1]
    sampler = quiet(labels, 36, (3, 3), batches_per_epoch=300)
    seen = np.zeros(len(labels), dtype=int)
    for batch in sampler:
        seen[batch] += 1
        assert all(np.ptp(seen[samples]) <= 1 for samples in members)


def test_a_giant_that_cannot_be_in_a_batch_twice_comes_less_often_and_planning_stays_fast():
    classes = np.concatenate([np.zeros(100_000, int), np.repeat(np.arange(1, 6), 4)])
    sampler = HierarchicalSampler(np.stack([classes, classes], 1), 16, (4, 1))
    counts = Counter()
    for batch in itertools.islice(sampler, 2000):
        counts.update(set(classes[batch].tolist()))
    assert 1950 < counts[0] <= 2000  # as often as a class can be drawn
    assert all(1000 < counts[small] < 1400 for small in range(1, 6))


@pytest.mark.parametrize(
    ("world_size", "batches", "passes"), [(1, 4, 300), (1, 1200, 1), (2, 4, 300), (3, 4, 300)]
)
@pytest.mark.parametrize("samples_per_class", [2, 8])
def test_classes_meet_in_all_combinations(world_size, samples_per_class, batches, passes):
    """Neither the order of the labels nor the division among processes keeps two classes apart."""
    labels = balanced(samples_per_class, 4, 6)
    meetings = Counter()
    sampler = HierarchicalSampler(
        labels, 8, (2, 2), rank=0, world_size=world_size, batches_per_epoch=batches
    )
    for batch in itertools.chain.from_iterable([sampler] * passes):
        classes = sorted({labels[sample][0] for sample in batch})
        meetings.update(itertools.combinations(classes, 2))
    siblings = [meetings[pair] for pair in itertools.combinations(range(4), 2)]
    strangers = [meetings[pair] for pair in itertools.product(range(4), range(4, 24))]
    assert min(siblings) > 0.4 * max(siblings) > 10
    assert min(strangers) > 0


def test_processes_get_disjoint_shares_of_every_class():
    labels = balanced(40, 5, 4)
    assert len(HierarchicalSampler(labels, 20, (5, 2), rank=3, world_size=4)) == 10
    options = {"world_size": 4, "batches_per_epoch": 40}
    for epoch in range(3):
        shares = []
        for rank in range(4):
            sampler = HierarchicalSampler(labels, 20, (5, 2), rank=rank, **options)
            sampler.set_epoch(epoch)
            share = {sample for batch in sampler for sample in batch}
            assert {labels[sample][0] for sample in share} == set(range(20))
            shares.append(share)
            assert len(share) > 190
        assert sum(map(len, shares)) == len(set().union(*shares)) > 795


def test_all_three_label_forms_give_the_same_batches():
    tree = Hierarchy.from_paths([f"{parent}/{child}" for parent in "abc" for child in "defg"])
    classes = torch.arange(96) % 12
    rows = tree.expand(classes)
    expected = list(HierarchicalSampler(rows, 8, (2, 2)))
    for labels in (rows.numpy(), rows.tolist(), rows.to(torch.int32)):
        assert list(HierarchicalSampler(labels, 8, (2, 2))) == expected
    assert list(HierarchicalSampler(classes, 8, (2, 2), hierarchy=tree)) == expected
    for batch in HierarchicalSampler(classes, 8, (2,)):
        assert set(Counter(classes[batch].tolist()).values()) == {2}


def test_labels_come_in_all_types_that_hold_integers():
    classes = torch.arange(48) % 6
    expected = list(HierarchicalSampler(classes, 8, (4,)))
    array = classes.numpy()
    for labels in (
        array.tolist(),
        array.astype(np.uint16),
        array.astype(">i4"),
        array[::-1][::-1],
        array.astype(np.float64),
        classes.half(),
        classes.to(torch.uint16),
    ):
        assert list(HierarchicalSampler(labels, 8, (4,))) == expected
    of_two = list(HierarchicalSampler(classes % 2, 8, (4,)))
    assert list(HierarchicalSampler(classes % 2 == 1, 8, (4,))) == of_two


@pytest.mark.parametrize("group_sizes", [(2,), (2, 1), (1, 1, 1)], ids=str)
def test_rows_that_are_no_tree_are_refused_whichever_columns_are_drawn_by(group_sizes):
    one_hot = torch.nn.functional.one_hot(torch.arange(24) % 4)
    with pytest.raises(HierarchyError, match=r"labels: wanted a tree.*one-hot.*argmax"):
        HierarchicalSampler(one_hot, 6, group_sizes)
    attributes = np.stack([np.arange(24) % 4, np.arange(24) // 8, np.arange(24) // 24], 1)
    with pytest.raises(HierarchyError, match="labels: wanted a tree"):
        HierarchicalSampler(attributes, 6, group_sizes)
    with pytest.raises(HierarchyError, match="labels: wanted a tree"):
        HierarchicalSampler(attributes, 6, group_sizes[:2], levels=(1, 2)[: len(group_sizes)])


@pytest.mark.parametrize("with_tree", [False, True])
@pytest.mark.parametrize("world_size", [1, 2])
def test_ignored_samples_are_as_if_they_were_not_there(with_tree, world_size):
    tree = Hierarchy.from_paths([f"{parent}/{child}" for parent in "abc" for child in "defg"])
    rng = np.random.default_rng(0)
    classes = rng.permutation(np.arange(121) % 12)
    classes[classes == 11] = 10
    classes[7] = 11  # alone
    ignored = rng.random(121) < 0.3
    ignored[7] = False
    if with_tree:
        options = {"hierarchy": tree}
        labels, ignore_index = np.where(ignored, 999, classes), 999
        kept = classes[~ignored]
    else:
        options = {}
        rows = tree.expand(torch.from_numpy(classes)).numpy()
        labels, ignore_index = np.where(ignored[:, None], [[-1, 0]], rows), -1
        labels[ignored, 1] = np.arange(ignored.sum())  # -1 under many parents
        kept = rows[~ignored]
    options |= {"rank": world_size - 1, "world_size": world_size}
    positions = (~ignored).nonzero()[0]
    sampler = quiet(labels, 8, (2, 2), ignore_index=ignore_index, num_samples=121, **options)
    plain = quiet(kept, 8, (2, 2), **options)
    assert sampler.left_out.tolist() == [7]
    assert plain.left_out.tolist() == [positions.tolist().index(7)]
    assert len(sampler) == len(plain)
    for _ in range(2):
        assert list(sampler) == [positions[batch].tolist() for batch in plain]
    with pytest.raises(ValueError, match="state: wanted labels"):
        sampler.load_state_dict(plain.state_dict())


def test_an_ignore_index_that_no_sample_has_changes_nothing():
    plain = HierarchicalSampler(LABELS, 8, (2, 2))
    one = HierarchicalSampler(LABELS, 8, (2, 2), ignore_index=-100)
    one.load_state_dict(plain.state_dict())
    assert list(one) == list(plain)
    assert one.state_dict() == plain.state_dict()
    # a coarser label is none to ignore by, as in the losses
    shifted = LABELS + np.array([10, 0])
    one = HierarchicalSampler(shifted, 8, (2, 2), ignore_index=0)
    assert list(one) == list(HierarchicalSampler(LABELS, 8, (2, 2)))


def test_levels_picks_label_columns():
    labels = balanced(4, 2, 2, 3, 2)
    sampler = HierarchicalSampler(labels, 16, (2, 4), levels=(0, 2))
    assert list(sampler) == list(HierarchicalSampler(labels[:, [0, 2]], 16, (2, 4)))
    for batch in sampler:
        assert set(children_per_node(batch, labels[:, [0, 2]], 1).values()) == {4}


def test_classes_of_the_hierarchy_without_samples_are_not_drawn():
    tree = Hierarchy.from_paths([f"{parent}/{child}" for parent in "abc" for child in "defg"])
    classes = torch.arange(40) % 5  # of twelve
    sampler = HierarchicalSampler(classes, 16, (4, 2), hierarchy=tree)
    rows = tree.expand(classes).tolist()
    assert all(faults(batch, rows, (4, 2), 16) == [] for batch in sampler)


def test_epochs_depend_on_seed_and_number_alone():
    labels = balanced(6, 5, 8)
    sampler = HierarchicalSampler(labels, 12, (3, 2), seed=4)
    epochs = [list(sampler) for _ in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]
    random.seed(9)
    np.random.seed(9)  # noqa: NPY002
    torch.manual_seed(9)
    states = random.getstate(), torch.get_rng_state()
    again = HierarchicalSampler(labels, 12, (3, 2), seed=4)
    for epoch in (2, 0, 1, 1):
        again.set_epoch(epoch)
        assert again.epoch == epoch
        assert list(again) == epochs[epoch]
    assert random.getstate() == states[0]
    assert torch.equal(torch.get_rng_state(), states[1])
    assert list(HierarchicalSampler(labels, 12, (3, 2), seed=5)) != epochs[0]


def test_a_pass_that_is_broken_off_is_followed_by_the_next_epoch():
    labels = balanced(6, 5, 8)
    epochs = [list(batches) for batches in [HierarchicalSampler(labels, 12, (3, 2))] * 3]
    sampler = HierarchicalSampler(labels, 12, (3, 2))
    iter(sampler)  # an iterator that is never asked changes nothing
    assert next(iter(sampler)) == epochs[0][0]
    assert next(iter(sampler)) == epochs[1][0]
    assert list(sampler) == epochs[2]


@pytest.mark.parametrize("world_size", [1, 2])
def test_a_resumed_epoch_equals_the_unbroken_one(world_size):
    labels = uneven(600, 40, 5)
    options = {"seed": 2, "rank": world_size - 1, "world_size": world_size}
    unbroken = quiet(labels, 16, (2, 2), **options)
    epochs = [list(unbroken) for _ in range(3)]
    for done in range(len(unbroken) + 1):
        sampler = quiet(labels, 16, (2, 2), **options)
        sampler.set_epoch(1)
        assert list(itertools.islice(sampler, done)) == epochs[1][:done]
        state = json.loads(json.dumps(sampler.state_dict()))
        resumed = quiet(labels, 16, (2, 2), **options)
        resumed.load_state_dict(state)
        assert resumed.epoch == 1
        resumed.set_epoch(1)  # as a loop over epochs does
        if done < len(unbroken):
            assert list(resumed) == epochs[1][done:]
        assert list(resumed) == epochs[2]


def test_the_state_of_what_was_trained_on_and_not_of_what_was_fetched():
    labels = balanced(6, 5, 8)
    epoch = list(HierarchicalSampler(labels, 12, (3, 2)))
    sampler = HierarchicalSampler(labels, 12, (3, 2))
    list(itertools.islice(sampler, 9))
    state = sampler.state_dict(batches_done=5)
    resumed = HierarchicalSampler(labels, 12, (3, 2))
    resumed.load_state_dict(state)
    assert list(resumed) == epoch[5:]


def test_an_iterator_from_before_does_not_move_the_place():
    labels = balanced(6, 5, 8)
    sampler = HierarchicalSampler(labels, 12, (3, 2))
    old = iter(sampler)
    next(old)
    sampler.set_epoch(7)
    next(old)
    assert sampler.state_dict()["epoch"] == 7
    assert sampler.state_dict()["batches_done"] == 0


def test_a_warning_counts_the_samples_left_out():
    labels = [*range(5), *([9] * 8)]
    with pytest.warns(UserWarning, match=r"5 of 13 samples are left out.*group_sizes\[0\]=4"):
        sampler = HierarchicalSampler(labels, 4, (4,))
    assert sampler.left_out.tolist() == [0, 1, 2, 3, 4]
    assert len(HierarchicalSampler(labels, 4, (1,))) == 3  # one sample is enough: no warning


LABELS = balanced(4, 3, 2)  # 24 samples


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 14}, r"multiple of 4 of at most 24.*nearest 12 and 16, got 14"),
        ({"batch_size": 28}, r"at most 24.*nearest 24, got 28"),
        ({"batch_size": 2}, r"nearest 4, got 2"),
        ({"batch_size": 0}, "batch_size: wanted an integer >= 1, got 0"),
        ({"batch_size": 4.0}, "batch_size: wanted an integer >= 1, got 4.0"),
        ({"batch_size": 16, "rank": 1, "world_size": 2}, r"in 2 processes; nearest 12, got 16"),
        ({"group_sizes": (5, 5)}, r"multiple of 25 of at most 24.*there is none.*got 8"),
        ({"group_sizes": (2, 0)}, r"group_sizes\[1\]: wanted an integer >= 1, got 0"),
        ({"group_sizes": ()}, r"group_sizes: wanted a sequence"),
        ({"group_sizes": 4}, r"group_sizes: wanted a sequence .*, got 4"),
        ({"group_sizes": (2, 2, 2)}, "group_sizes: wanted at most 2, one for each level"),
        ({"levels": (0, 2)}, "levels: wanted an integer >= 0 below 2, got 2"),
        ({"levels": (0,)}, r"levels: wanted 2 ascending label columns below 2.*got \(0,\)"),
        ({"levels": (1, 0)}, r"levels: wanted 2 ascending label columns"),
        ({"batches_per_epoch": 0}, "batches_per_epoch: wanted an integer >= 1, got 0"),
        ({"seed": -1}, "seed: wanted an integer >= 0, got -1"),
        ({"rank": 2, "world_size": 2}, r"rank: wanted 0..1, got 2"),
        ({"rank": 1}, "rank: wanted rank and world_size or neither"),
        ({"num_samples": 25}, "labels: wanted 25 rows, got 24"),
        ({"ignore_index": 1.5}, "ignore_index: wanted an integer, or None, got 1.5"),
        (
            {"labels": [[-1, 0], [-1, 1]], "ignore_index": -1},
            r"labels: wanted samples that are not ignored, got 2 with ignore_index -1",
        ),
        ({"labels": np.zeros((24, 0)), "ignore_index": -1}, "labels: wanted at least one level"),
        ({"sampler": range(24)}, r"sampler: wanted None.*got range; in Lightning write Trainer"),
        ({"drop_last": False}, "drop_last: wanted True, as every batch is full, got False"),
        ({"labels": []}, "labels: wanted"),
        ({"labels": torch.zeros(0, dtype=torch.long)}, "labels: wanted one row per sample"),
        (
            {"labels": range(24), "group_sizes": (4,)},
            r"two samples with one label.*\[0\]=1 would do",
        ),
        ({"labels": np.full((24, 2), 0.5)}, "labels: wanted integers"),
        ({"labels": [[0, 0], [0, 1], [1, 1]]}, "labels: wanted a tree"),
    ],
)
def test_bad_arguments_say_what_would_work(options, message):
    arguments = {"labels": LABELS, "batch_size": 8, "group_sizes": (2, 2), **options}
    with pytest.raises(ValueError, match=message):
        HierarchicalSampler(**arguments)


def test_labels_must_fit_the_hierarchy():
    tree = Hierarchy.from_paths(["a/b", "a/c", "d/e"])
    with pytest.raises(HierarchyError, match="unknown: 3"):
        HierarchicalSampler([0, 0, 1, 1, 3], 2, (2,), hierarchy=tree)
    with pytest.raises(HierarchyError, match="wanted 2 columns"):
        HierarchicalSampler([[0], [0]], 2, (2,), hierarchy=tree)


def test_pairs_make_even_batches_only():
    labels = np.repeat(np.arange(9), 2)
    with pytest.raises(ValueError, match=r"multiple of 6 of at most 18.*nearest 6 and 12, got 9"):
        HierarchicalSampler(labels, 9, (3,))
    assert all(len(set(batch)) == 12 for batch in HierarchicalSampler(labels, 12, (3,)))


def test_states_of_other_settings_are_refused():
    sampler = HierarchicalSampler(LABELS, 8, (2, 2))
    state = sampler.state_dict()
    for other, name in (
        (HierarchicalSampler(LABELS[::-1].copy(), 8, (2, 2)), "labels"),
        (HierarchicalSampler(LABELS, 4, (2, 2)), "batch_size"),
        (HierarchicalSampler(LABELS, 8, (2, 1)), "group_sizes"),
        (HierarchicalSampler(LABELS, 8, (2, 2), seed=1), "seed"),
        (HierarchicalSampler(LABELS, 8, (2, 2), batches_per_epoch=2), "batches_per_epoch"),
    ):
        with pytest.raises(ValueError, match=f"state: wanted {name} "):
            other.load_state_dict(state)
    with pytest.raises(ValueError, match="wanted what state_dict gives"):
        sampler.load_state_dict({"epoch": 1})
    with pytest.raises(ValueError, match="batches_done: wanted at most 3, got 4"):
        sampler.state_dict(batches_done=4)
    with pytest.raises(ValueError, match="epoch: wanted an integer >= 0, got -1"):
        sampler.set_epoch(-1)


def test_making_it_anew_around_another_sampler_says_what_to_write():
    """As Lightning does: with the class alone, or with the arguments it has noted."""
    assert "sampler" in inspect.signature(HierarchicalSampler.__init__).parameters
    other = DistributedSampler(range(24), num_replicas=2, rank=0)
    for call in (
        lambda: HierarchicalSampler(other, batch_size=8, drop_last=True),
        lambda: HierarchicalSampler(LABELS, 8, (2, 2), sampler=other),
    ):
        with pytest.raises(ValueError, match=r"got DistributedSampler.*use_distributed_sampler"):
            call()


def test_the_epoch_can_be_set_on_its_sampler():
    """As Lightning and accelerate do."""
    plain = HierarchicalSampler(LABELS, 8, (2, 2))
    epochs = [list(plain) for _ in range(3)]
    one = copy.deepcopy(HierarchicalSampler(LABELS, 8, (2, 2)))
    assert list(one.sampler) == list(range(24))
    one.sampler.set_epoch(2)
    assert one.epoch == 2
    assert list(one) == epochs[2]
    assert list(pickle.loads(pickle.dumps(plain))) == list(plain)


def test_a_restored_place_is_not_given_up_without_a_word():
    plain = HierarchicalSampler(LABELS, 8, (2, 2))
    epochs = [list(plain) for _ in range(4)]
    plain.set_epoch(2)
    next(iter(plain))
    one = HierarchicalSampler(LABELS, 8, (2, 2))
    one.load_state_dict(plain.state_dict())
    one.sampler.set_epoch(2)
    assert list(one) == epochs[2][1:]
    one.set_epoch(0)  # the restored epoch is through
    one.load_state_dict(plain.state_dict())
    given_up = r"set_epoch\(0\) gives up epoch 2 from batch 1 on.*loader.set_epoch\(2\)"
    with pytest.warns(UserWarning, match=given_up):
        one.set_epoch(0)
    assert list(one) == epochs[0]
    one.set_epoch(3)
    with pytest.warns(UserWarning, match=r"set_epoch\(0\) gives up epoch 3 from batch 0 on"):
        one.sampler.set_epoch(0)
    assert list(one) == epochs[0]

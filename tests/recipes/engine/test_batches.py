"""Batches depend on the seed, the epoch and their place alone."""

import random
from typing import Any

import numpy as np
import pytest
import torch

from pml_suprank.recipes.engine.batches import (
    BatchPlan,
    SeededItems,
    check_sampler,
    epoch_loader,
    usual_batch_size,
)
from pml_suprank.recipes.engine.parsing import ConfigError
from pml_suprank.recipes.engine.settings import SamplerSettings

LABELS = torch.stack(
    [torch.arange(12).repeat_interleave(6), torch.arange(3).repeat_interleave(24)], 1
)
KINDS = {
    "hierarchical": SamplerSettings("hierarchical", (2, 2)),
    "m_per_class": SamplerSettings("m_per_class", m=4),
    "random": SamplerSettings("random"),
}


class Noise:
    """Items that draw from all generators."""

    def __len__(self) -> int:
        return len(LABELS)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        drawn = [random.random(), np.random.rand(), torch.rand(1).item()]  # noqa: NPY002
        return torch.tensor(drawn), LABELS[index], index


def batches(
    first: int = 0, epoch: int = 1, kind: str = "hierarchical", **options: Any
) -> list[Any]:
    plan = BatchPlan(KINDS[kind], LABELS, 8, seed=4)
    loader = epoch_loader(SeededItems(Noise(), 4), plan, epoch, first=first, **options)
    return [tuple(part.tolist() for part in batch) for batch in loader]


@pytest.mark.parametrize("kind", KINDS)
def test_an_epoch_can_be_entered_anywhere(kind: str) -> None:
    whole = batches(kind=kind)
    assert len(whole) == 9
    torch.rand(7)
    assert batches(first=5, kind=kind) == whole[5:]
    assert batches(epoch=2, kind=kind) != whole
    drawn = [tuple(row) for batch in whole for row in batch[0]]
    assert len(set(drawn)) == len(drawn)  # no two items draw the same numbers


def test_an_item_draws_anew_in_every_place_and_epoch() -> None:
    items = SeededItems(Noise(), 4)
    keys = [(7, 1, 0), (7, 2, 0), (7, 1, 1), (8, 1, 0)]
    drawn = [tuple(items[key][0].tolist()) for key in keys]
    assert len(set(drawn)) == 4
    assert tuple(items[keys[0]][0].tolist()) == drawn[0]
    assert tuple(SeededItems(Noise(), 5)[keys[0]][0].tolist()) != drawn[0]


def test_loading_processes_change_nothing() -> None:
    assert batches(first=3, workers=2) == batches(first=3)


@pytest.mark.parametrize("kind", KINDS)
def test_processes_share_a_batch(kind: str) -> None:
    whole = batches(kind=kind)
    shares = [batches(kind=kind, rank=rank, processes=2) for rank in (0, 1)]
    for batch, *parts in zip(whole, *shares, strict=True):
        assert [part for part in zip(*parts, strict=True)] == [
            (column[:4], column[4:]) for column in batch
        ]


def test_what_the_samplers_promise() -> None:
    classes = LABELS[:, 0].tolist()
    for batch in BatchPlan(KINDS["m_per_class"], LABELS, 8, 0).epoch(1):
        assert all([classes[i] for i in batch].count(classes[j]) == 4 for j in batch)
    flat = [i for batch in BatchPlan(KINDS["random"], LABELS, 8, 0).epoch(1) for i in batch]
    assert sorted(flat) == list(range(72))
    longer = SamplerSettings("random", batches_per_epoch=20)
    assert len(BatchPlan(longer, LABELS, 8, 0).epoch(1)) == 20


@pytest.mark.parametrize(
    ("settings", "size", "message"),
    [
        (
            SamplerSettings(group_sizes=(4, 2)),
            12,
            r"batch_size: wanted a multiple of 8 .* got 12; nearest: 8, 16",
        ),
        (
            SamplerSettings("m_per_class", m=3),
            8,
            r"wanted a multiple of 3 for sampler.m 3, got 8; nearest: 6, 9",
        ),
        (SamplerSettings(group_sizes=(0,)), 8, r"sampler.group_sizes: wanted integers >= 1"),
        (SamplerSettings(batches_per_epoch=0), 8, r"sampler.batches_per_epoch: wanted >= 1, got 0"),
        (SamplerSettings("random"), 9, r"batch_size: wanted a multiple of the 2 processes, got 9"),
    ],
)
def test_impossible_batches_are_found_without_data(
    settings: SamplerSettings, size: int, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        check_sampler(settings, size, processes=2)


@pytest.mark.parametrize(
    ("settings", "size", "message"),
    [
        (
            SamplerSettings("random"),
            73,
            r"batch_size: wanted at most 72, the number of training images",
        ),
        (SamplerSettings("m_per_class", m=4), 52, r"sampler.m x classes = 4 x 12, got 52"),
        (SamplerSettings(group_sizes=(2, 2, 2)), 8, r"sampler: .*group_sizes"),
    ],
)
def test_impossible_batches_of_the_data(settings: SamplerSettings, size: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BatchPlan(settings, LABELS, size, 0)


def labels_of(images: int, per_class: int = 4) -> torch.Tensor:
    return torch.stack([torch.arange(images) // per_class, torch.arange(images) // 64], 1)


@pytest.mark.parametrize(
    ("images", "settings", "processes", "wanted"),
    [
        (10_000, SamplerSettings(), 1, 128),
        (640, SamplerSettings(), 1, 128),  # 5 steps
        (639, SamplerSettings(), 1, 64),
        (319, SamplerSettings(), 1, 32),
        (184, SamplerSettings(), 1, 32),  # as many as there can be
        (20, SamplerSettings(), 1, 16),
        (10_000, SamplerSettings(group_sizes=(3, 4)), 1, 120),
        (10_000, SamplerSettings("m_per_class", m=5), 1, 125),
        (10_000, SamplerSettings("random"), 3, 126),
        (10_000, SamplerSettings(group_sizes=(2, 4)), 3, 120),
        (184, SamplerSettings(batches_per_epoch=50), 1, 128),  # steps enough
        (100, SamplerSettings(batches_per_epoch=50), 1, 96),
    ],
)
def test_usual_batches(images: int, settings: SamplerSettings, processes: int, wanted: int) -> None:
    labels = labels_of(images)
    assert usual_batch_size(settings, labels, processes) == wanted
    check_sampler(settings, wanted, processes)
    plan = BatchPlan(settings, labels, None, 0, processes)
    assert {len(batch) for batch in plan.epoch(1)} == {wanted}


def test_usual_batches_of_few_classes() -> None:
    settings = SamplerSettings("m_per_class", m=4)
    assert usual_batch_size(settings, labels_of(2000, per_class=100)) == 80

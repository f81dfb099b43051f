"""Splits by classes and by sources, and thinning by sources."""

from collections import Counter

import numpy as np
import pytest
import torch

from pml_suprank.hierarchy import Hierarchy
from studies.data.crossed_splits import at_most, paired_classes, split_crossed
from studies.data.raster_images import RasterImages

SHARES = {"node_share": 1 / 3, "source_share": 0.4}


@pytest.fixture
def data() -> RasterImages:
    """Two scripts of six letters with two forms each; "x" is drawn by 10 fonts, "y" by 5 of them."""
    paths = [f"{s}/{s}{n}/{s}{n}{form}" for s in "xy" for n in range(6) for form in "ab"]
    tree = Hierarchy.from_paths(paths, level_names=("form", "letter", "script"))
    rows = [
        (c, font) for c, path in enumerate(paths) for font in range(10 if path[0] == "x" else 5)
    ]
    rasters = np.zeros((len(rows), 4, 4), np.uint8)
    rasters[:, 0, 0] = range(len(rows))
    return RasterImages(
        rasters,
        [f"{font}/{c}" for c, font in rows],
        [f"font {font}" for _, font in rows],
        tree.table[[c for c, _ in rows]],
        tree,
    )


@pytest.mark.parametrize("seed", range(5))
def test_no_letter_and_no_font_on_both_sides(data: RasterImages, seed: int) -> None:
    train, test = split_crossed(data, seed=seed, **SHARES)
    letters = [set(part.hierarchy.node_names(1)) for part in (train, test)]
    assert not letters[0] & letters[1]
    assert letters[0] | letters[1] == set(data.hierarchy.node_names(1))
    assert not set(train.sources) & set(test.sources)
    for script, number in (("x", 4), ("y", 2)):  # 40% of its fonts
        own = [
            s for p, s in zip(test.labels, test.sources, strict=True) if _script(test, p) == script
        ]
        assert len(set(own)) == number
        assert len([name for name in letters[1] if name[0] == script]) == 2  # a third of six


def _script(data: RasterImages, row: torch.Tensor) -> str:
    return data.hierarchy.node_names(2)[int(row[2])]


def test_both_forms_of_a_letter_go_together(data: RasterImages) -> None:
    for part in split_crossed(data, seed=1, **SHARES):
        assert len(part.hierarchy) == 2 * len(part.hierarchy.node_names(1))


def test_parts_show_their_own_images(data: RasterImages) -> None:
    for part in split_crossed(data, seed=2, **SHARES):
        names = [str(path) for path in data.paths]
        for index in range(len(part)):
            place = names.index(str(part.paths[index]))
            assert np.asarray(part.image(index))[0, 0, 0] == place
            form = part.hierarchy.node_names(0)[int(part.labels[index, 0])]
            assert form == data.hierarchy.node_names(0)[int(data.labels[place, 0])]
            assert part.sources[index] == data.sources[place]


def test_a_class_with_one_image_is_dropped(data: RasterImages) -> None:
    one = next(i for i, s in enumerate(data.sources) if s == "font 0")
    lonely = data.labels[one, 0]
    some = [i for i in range(len(data)) if data.labels[i, 0] != lonely or i == one]
    for seed in range(4):
        for part in split_crossed(data.subset(some), seed=seed, **SHARES):
            assert min(Counter(part.labels[:, 0].tolist()).values()) >= 2


def test_a_seed_gives_the_same_split(data: RasterImages) -> None:
    first, again, other = (split_crossed(data, seed=s, **SHARES)[1] for s in (3, 3, 4))
    assert first.paths == again.paths
    assert first.paths != other.paths


def test_at_most_takes_other_sources_first(data: RasterImages) -> None:
    doubled = data.subset([i for i in range(len(data)) for _ in range(2)])
    few = at_most(doubled, 5)
    assert set(Counter(few.labels[:, 0].tolist()).values()) == {5}
    for label in range(len(data.hierarchy)):
        members = [s for s, row in zip(few.sources, few.labels, strict=True) if row[0] == label]
        assert len(set(members)) == 5
    assert len(at_most(data, 99)) == len(data)


def test_paired_classes_with_a_limit(data: RasterImages) -> None:
    assert paired_classes(data, None, level=1) == list(range(24))
    kept = paired_classes(data, 2, level=1)
    names = {data.hierarchy.node_names(1)[int(data.hierarchy.table[c, 1])] for c in kept}
    assert names == {"x0", "x5", "y0", "y5"}
    single = data.subset([0, *range(20, len(data))])  # one image of class 0, none of class 1
    assert paired_classes(single, None, level=0) == list(range(2, 24))


def test_bad_arguments(data: RasterImages) -> None:
    with pytest.raises(ValueError, match=r"node_share: wanted a number in \(0, 1\), got 1"):
        split_crossed(data, node_share=1, source_share=0.5)
    with pytest.raises(ValueError, match=r"source_share: wanted a number in \(0, 1\), got 0"):
        split_crossed(data, node_share=0.5, source_share=0)
    with pytest.raises(ValueError, match=r"level: wanted 0\.\.1, got 2"):
        split_crossed(data, node_share=0.5, source_share=0.5, level=2)
    few = data.subset([0, 20])
    with pytest.raises(ValueError, match="data: wanted classes with two images on both sides"):
        split_crossed(few, node_share=0.5, source_share=0.5)
    with pytest.raises(ValueError, match="number: wanted at least 2 images of a class, got 1"):
        at_most(data, 1)
    with pytest.raises(ValueError, match="limit: wanted at least 1, got 0"):
        paired_classes(data, 0, level=1)
    table, tree = data.labels, data.hierarchy
    with pytest.raises(ValueError, match=r"rasters: wanted uint8 \[180, S, S\]"):
        RasterImages(data.rasters[:3], data.paths, data.sources, table, tree)
    with pytest.raises(ValueError, match="sources: wanted 180, one for each image, got 2"):
        RasterImages(data.rasters, data.paths, ["a", "b"], table, tree)

"""Held-out classes from held-out sources: letters never seen, in typefaces never seen."""

from collections import defaultdict

import numpy as np

from pml_suprank.recipes.data.splits import draw_share, subset_of_classes
from studies.data.raster_images import RasterImages

__all__ = ["at_most", "paired_classes", "split_crossed"]


def split_crossed(
    data: RasterImages,
    *,
    node_share: float,
    source_share: float,
    level: int = 1,
    seed: int = 0,
) -> tuple[RasterImages, RasterImages]:
    """Hold out nodes of a level, and sources; neither part has a node or a source of the other.

    Images of kept nodes by held-out sources, and of held-out nodes by kept ones, are in neither part, nor are
    classes that a part has a single image of. The nodes are a share of those of every parent
    (:func:`pml_suprank.recipes.data.splits.draw_share`). The sources are a share of those of every node of the
    coarsest level, of the one with the fewest sources first; each of them keeps one on either side if it has two.

    Args:
        data: all images.
        node_share: of the nodes, in (0, 1).
        source_share: of the sources, in (0, 1).
        level: whose nodes are held out, with all classes below; not the coarsest.
        seed: of the drawing.

    Returns:
        Images to train on and to test on, in the order of ``data``, each with its own hierarchy.

    Raises:
        ValueError: a share outside (0, 1), another level, or a part without classes.
    """
    for name, share in (("node_share", node_share), ("source_share", source_share)):
        if not 0 < share < 1:
            raise ValueError(f"{name}: wanted a number in (0, 1), got {share}")
    top = data.hierarchy.num_levels - 1
    if not 0 <= level < top:
        raise ValueError(f"level: wanted 0..{top - 1}, got {level}")
    siblings: dict[int, dict[int, None]] = defaultdict(dict)
    for row in data.labels.tolist():
        siblings[row[level + 1]][row[level]] = None
    nodes = set(draw_share([list(group) for group in siblings.values()], node_share, seed))
    sources = _draw_sources(data, source_share, seed)
    parts = []
    for held_out in (False, True):
        chosen = [
            index
            for index, row in enumerate(data.labels.tolist())
            if (row[level] in nodes) == held_out and (data.sources[index] in sources) == held_out
        ]
        part = data.subset(chosen)
        classes, counts = np.unique(part.labels[:, 0].numpy(), return_counts=True)
        paired = classes[counts > 1].tolist()
        if not paired:
            raise ValueError(
                f"data: wanted classes with two images on both sides, got none to "
                f"{'test' if held_out else 'train'} on of {len(data)} images"
            )
        parts.append(subset_of_classes(part, paired))
    return parts[0], parts[1]


def at_most(data: RasterImages, number: int, seed: int = 0) -> RasterImages:
    """At most so many images of each class, of as many sources as there are, drawn at random.

    Args:
        data: all images.
        number: of images, at least 2.
        seed: of the drawing.

    Raises:
        ValueError: a number below 2.
    """
    if number < 2:
        raise ValueError(f"number: wanted at least 2 images of a class, got {number}")
    generator = np.random.default_rng(seed)
    members: dict[int, list[int]] = defaultdict(list)
    for index, label in enumerate(data.labels[:, 0].tolist()):
        members[label].append(index)
    stay: list[int] = []
    for indices in members.values():
        turns: dict[str, int] = defaultdict(int)
        ranked: list[tuple[int, int, int]] = []
        for index in generator.permutation(indices).tolist():
            ranked.append((turns[data.sources[index]], len(ranked), index))
            turns[data.sources[index]] += 1
        stay += [index for _, _, index in sorted(ranked)[:number]]
    return data.subset(sorted(stay))


def paired_classes(data: RasterImages, limit: int | None, level: int) -> list[int]:
    """The classes with two images and more; with a limit, those of a few evenly spaced nodes below every parent.

    Args:
        data: all images.
        limit: most nodes of the level below a parent; None for all.
        level: of the nodes; not the coarsest.

    Raises:
        ValueError: a limit below 1.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit: wanted at least 1, got {limit}")
    counts = np.bincount(data.labels[:, 0].numpy(), minlength=len(data.hierarchy))
    rows = [(c, row) for c, row in enumerate(data.hierarchy.table.tolist()) if counts[c] > 1]
    siblings: dict[int, dict[int, None]] = defaultdict(dict)
    for _, row in rows:
        siblings[row[level + 1]][row[level]] = None
    kept: set[int] = set()
    for group in map(list, siblings.values()):
        number = len(group) if limit is None else min(limit, len(group))
        places = np.linspace(0, len(group) - 1, number).round().astype(int)
        kept |= {group[place] for place in places.tolist()}
    return [c for c, row in rows if row[level] in kept]


def _draw_sources(data: RasterImages, share: float, seed: int) -> set[str]:
    generator = np.random.default_rng(seed)
    of_top: dict[int, dict[str, None]] = defaultdict(dict)
    for source, top in zip(data.sources, data.labels[:, -1].tolist(), strict=True):
        of_top[top][source] = None
    held: set[str] = set()
    kept: set[str] = set()
    for group in sorted(of_top.values(), key=len):
        free = [source for source in group if source not in held | kept]
        wanted = min(max(round(share * len(group)), 1), max(len(group) - 1, 0))
        number = max(wanted - len(held & set(group)), 0)
        order = [free[place] for place in generator.permutation(len(free))]
        held |= set(order[:number])
        kept |= set(order[number:])
    return held

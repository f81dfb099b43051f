"""Held-out images for a data set that comes without splits."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np
import torch

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.recipes.data.images import ImageDataset

__all__ = ["SIDES", "draw_share", "split_classes", "split_images", "subset_of_classes"]

SIDES = {"train": (0,), "test": (1,), "fit": (0, 0), "val": (0, 1)}
"""Split of a data set that is cut twice by one rule, to its side of the first and of the second cut."""

Data = TypeVar("Data", bound=ImageDataset)


def split_classes(data: Data, test_share: float = 0.5, seed: int = 0) -> tuple[Data, Data]:
    """Hold out whole classes, a share of those of every parent: the model is tested on classes it never saw.

    A parent's number of held-out classes is rounded so that the shares of all parents together are as asked; a
    parent with a single class trains, since a held-out class would have no relatives. Each part has its own
    hierarchy, its classes numbered from 0 in the order of ``data``.

    Args:
        data: all images.
        test_share: of the classes, in (0, 1).
        seed: of the drawing.

    Returns:
        Images to train on and to test on, in the order of ``data``.

    Raises:
        ValueError: a share outside (0, 1), or a part without classes.
    """
    _check_share(test_share)
    present = data.labels[:, 0].unique()
    rows = data.hierarchy.table[present]
    families: dict[int, list[int]] = defaultdict(list)
    for row in rows.tolist():
        families[row[1] if len(row) > 1 else 0].append(row[0])
    held_out = draw_share(families.values(), test_share, seed)
    if not held_out:
        raise ValueError(
            f"test_share: wanted a share that holds out a class of {len(present)}, got {test_share}"
        )
    kept = sorted(set(present.tolist()) - set(held_out))
    return subset_of_classes(data, kept), subset_of_classes(data, sorted(held_out))


def split_images(data: Data, test_share: float = 0.2, seed: int = 0) -> tuple[Data, Data]:
    """Hold out a share of the images of every class; both parts have all classes, and the same hierarchy.

    Classes with a single image train. The number that is held out of the others is rounded so that the
    share of all together is as asked, and at least one image of each stays to train.

    Args:
        data: all images.
        test_share: of the images, in (0, 1).
        seed: of the drawing.

    Returns:
        Images to train on and to test on, in the order of ``data``.

    Raises:
        ValueError: a share outside (0, 1), or nothing to test on.
    """
    _check_share(test_share)
    classes = data.labels[:, 0].numpy()
    order = np.argsort(classes, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(classes[order]) > 0])
    held_out = draw_share(np.split(order, starts[1:]), test_share, seed)
    if not held_out:
        raise ValueError(
            f"test_share: wanted a share that holds out an image of {len(data)}, got {test_share}"
        )
    kept = sorted(set(range(len(data))) - set(held_out))
    return data.subset(kept), data.subset(sorted(held_out))


def draw_share(groups: Iterable[Any], share: float, seed: int) -> list[int]:
    """A share of all groups of two and more together, of each a number that leaves it one.

    Args:
        groups: what to draw from, integers.
        share: in (0, 1).
        seed: of the drawing.
    """
    generator = np.random.default_rng(seed)
    drawn: list[int] = []
    owed = 0.0
    for group in groups:
        if len(group) < 2:
            continue
        owed += share * len(group)
        count = min(max(round(owed), 0), len(group) - 1)
        owed -= count
        drawn += generator.permutation(group)[:count].tolist()
    return drawn


def subset_of_classes(data: Data, classes: list[int]) -> Data:
    """The images of some classes, with a hierarchy of these alone, numbered 0, 1, ... in the given order.

    Args:
        data: all images.
        classes: class labels of ``data``.
    """
    tree = data.hierarchy
    new_of = {old: new for new, old in enumerate(classes)}
    indices = [i for i, label in enumerate(data.labels[:, 0].tolist()) if label in new_of]
    part = data.subset(indices)
    part.hierarchy = _subtree(tree, classes)
    own = torch.tensor([new_of[label] for label in part.labels[:, 0].tolist()], dtype=torch.long)
    part.labels = part.hierarchy.expand(own)
    return part


def _subtree(tree: Hierarchy, classes: list[int]) -> Hierarchy:
    """Some classes and what is above them, all nodes numbered anew by first appearance."""
    rows = tree.table[torch.tensor(classes)]
    columns, names = [], []
    for level, column in enumerate(rows.T.tolist()):
        nodes = {node: number for number, node in enumerate(dict.fromkeys(column))}
        columns.append([nodes[node] for node in column])
        names.append([tree.node_names(level)[node] for node in nodes])
    return Hierarchy(
        torch.tensor(columns).T,
        list(range(len(classes))),
        node_names=names,
        class_names=None if tree.class_names is None else [tree.class_names[c] for c in classes],
        level_names=tree.level_names,
    )


def _check_share(test_share: float) -> None:
    if not 0 < test_share < 1:
        raise ValueError(f"test_share: wanted a number in (0, 1), got {test_share}")

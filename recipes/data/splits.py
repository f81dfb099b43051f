"""Held-out images for a data set that comes without splits."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.recipes.data.images import ImageDataset

__all__ = [
    "SIDES",
    "class_families",
    "draw_share",
    "share_note",
    "split_classes",
    "split_images",
    "subset_of_classes",
]

SIDES = {"train": (0,), "test": (1,), "fit": (0, 0), "val": (0, 1)}
"""Split of a data set that is cut twice by one rule, to its side of the first and of the second cut."""

Data = TypeVar("Data", bound=ImageDataset)


def split_classes(data: Data, test_share: float = 0.5, seed: int = 0) -> tuple[Data, Data]:
    """Hold out whole classes, a share of those of every parent: the model is tested on classes it never saw.

    Classes are drawn within families: those of one parent, at whatever depth. A class without siblings is drawn with
    the other such classes, and the classes, of its parent's parent, and so on up to the root. The number that is held
    out of a family is rounded so that all families together have the share, and one of each stays to train;
    :func:`share_note` says where that kept the share from being met. Each part has its own hierarchy, its classes
    numbered from 0 in the order of ``data``.

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
    present = data.labels[:, 0].unique().tolist()
    held_out = draw_share(class_families(data.hierarchy, present), test_share, seed)
    if not held_out:
        raise ValueError(
            f"test_share: wanted a share that holds out a class of {len(present)}, got {test_share}"
        )
    kept = sorted(set(present) - set(held_out))
    return subset_of_classes(data, kept), subset_of_classes(data, sorted(held_out))


def class_families(tree: Hierarchy, classes: Sequence[int]) -> list[list[int]]:
    """Classes by their parents in the tree, each in one family; a family of one has no other like it up to the root.

    Args:
        tree: the taxonomy, of even or uneven depth.
        classes: rows of its table.

    Returns:
        Families of classes that stand below one node together, those of a subtree one after the other.
    """
    top = tree.num_levels
    children: dict[tuple[int, int], dict[int, None]] = {(top, 0): {}}
    for row in tree.table[list(classes)].tolist():
        for level, (child, parent) in enumerate(zip(row, [*row[1:], 0], strict=True), 1):
            children.setdefault((level, parent), {})[child] = None
    families: list[list[int]] = []

    def gather(level: int, node: int) -> list[int]:
        """The classes below a node that found no siblings further down; a short branch's own nodes hold one each."""
        if level == 0:
            return [node]
        alone = [label for child in children[level, node] for label in gather(level - 1, child)]
        if len(alone) > 1:
            families.append(alone)
            return []
        return alone

    rest = gather(top, 0)
    return [*families, rest] if rest else families


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

    What rounding takes from a group goes to the next one. What small groups cannot give, since one of each has to
    stay, the largest others do, one each at most, so that no group gives more than its share and two.

    Args:
        groups: what to draw from, integers.
        share: in (0, 1).
        seed: of the drawing.
    """
    groups = [group for group in groups if len(group) > 1]
    counts = []
    owed = 0.0
    for group in groups:
        owed += share * len(group)
        counts.append(min(max(round(owed), 0), len(group) - 1))
        owed = min(owed - counts[-1], 0.5)
    short = round(share * sum(map(len, groups)) - sum(counts))
    for place in sorted(range(len(groups)), key=lambda place: -len(groups[place])):
        if short > 0 and counts[place] < len(groups[place]) - 1:
            counts[place] += 1
            short -= 1
    generator = np.random.default_rng(seed)
    return [
        chosen
        for group, count in zip(groups, counts, strict=True)
        for chosen in generator.permutation(group)[:count].tolist()
    ]


def share_note(train: ImageDataset, test: ImageDataset, hold_out: str, test_share: float) -> str:
    """Which share was held out and why, where it is not the one that was asked for; else "".

    Args:
        train: the images to train on.
        test: the images to test on.
        hold_out: "classes" or "images": what was held out.
        test_share: what was asked for.
    """
    if hold_out == "classes":
        kept, held = (len(part.labels[:, 0].unique()) for part in (train, test))
        group = "family of classes with one parent"
    else:
        kept, held = len(train), len(test)
        group = "class"
    wanted = test_share * (kept + held)
    if abs(held - wanted) <= 1:
        return ""
    return (
        f"held out {held:,} of {kept + held:,} {hold_out}, a share of {held / (kept + held):.3f} in place of "
        f"{test_share:g} (data.test_share): one of every {group} stays to train"
    )


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

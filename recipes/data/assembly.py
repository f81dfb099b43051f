"""From listed images and the names of their classes to a data set with its taxonomy."""

import copy
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from pml_suprank.hierarchy import Hierarchy
from pml_suprank.hierarchy.chains import chain_rows
from pml_suprank.recipes.data.images import ImageDataset
from pml_suprank.recipes.data.paths import leads_out

__all__ = ["assemble", "label_chains", "with_one_taxonomy"]

PathLike = str | os.PathLike[str]
Data = TypeVar("Data", bound=ImageDataset)


def label_chains(
    chains: Sequence[Sequence[str]],
    level_names: Sequence[str] | None = None,
    classes: Iterable[Sequence[str]] | None = None,
) -> tuple[Hierarchy, Tensor]:
    """The taxonomy of some images and their labels in it.

    Args:
        chains: [N] names from coarse to fine, one chain per image. A name under two parents is
            two nodes; chains of fewer names are short branches.
        level_names: finest first.
        classes: chains of all classes, in the wanted order; None takes those of the images, in
            order of appearance.

    Returns:
        Taxonomy with the classes 0..C-1, and labels [N, L]. Class names are the names joined by "/", as
        :meth:`Hierarchy.from_paths` joins them: a name that holds "/" stays one.

    Raises:
        HierarchyError: no images, or an empty name.
        ValueError: an image whose class is not among ``classes``.
    """
    rows = [tuple(chain) for chain in chains]
    known = {tuple(c): i for i, c in enumerate(dict.fromkeys(map(tuple, classes or rows)))}
    tree = Hierarchy.from_paths(known, level_names=level_names)
    unknown = next((row for row in rows if row not in known), None)
    if unknown is not None:
        raise ValueError(f"chains: wanted one of the {len(known)} classes, got {unknown}")
    return tree, tree.expand(torch.tensor([known[row] for row in rows], dtype=torch.long))


def with_one_taxonomy(*parts: Data) -> tuple[Data, ...]:
    """Parts of a data set with one taxonomy: nodes of the same names from the top are the same.

    Splits that are read one by one number their classes apart; queries and gallery have to agree.

    Args:
        *parts: with level names that agree where they have as many.
    """
    if all(part.hierarchy == parts[0].hierarchy for part in parts):
        return parts
    chains: list[list[tuple[str, ...]]] = []
    for part in parts:
        tree = part.hierarchy
        names = [tuple(tree.node_names(i)[node] for i, node in chain) for chain in chain_rows(tree)]
        chains.append([names[label] for label in part.labels[:, 0].tolist()])
    deepest = max((part.hierarchy for part in parts), key=lambda tree: tree.num_levels)
    every = list(dict.fromkeys(chain for own in chains for chain in own))
    tree = label_chains(every, deepest.level_names[-max(map(len, every)) :])[0]
    class_of = {chain: label for label, chain in enumerate(every)}
    found = []
    for part, own in zip(parts, chains, strict=True):
        other = copy.copy(part)
        other.hierarchy = tree
        other.labels = tree.table[[class_of[chain] for chain in own]]
        found.append(other)
    return tuple(found)


def assemble(
    paths: Sequence[Path],
    chains: Sequence[Sequence[str]],
    level_names: Sequence[str] | None,
    listed_in: Path,
    items: Mapping[str, Any],
    classes: Iterable[Sequence[str]] | None = None,
    root: PathLike | None = None,
) -> ImageDataset:
    """The data set of listed images.

    Only the first image is looked for: that finds a wrong root at once. Before training, ``load_sets`` looks at all.

    Args:
        paths: [N] image files.
        chains: [N] names from coarse to fine.
        level_names: finest first.
        listed_in: the file that lists the images, for the messages.
        items: keyword arguments of :class:`ImageDataset`.
        classes: as in :func:`label_chains`.
        root: folder that no path may lead out of by its name; None where that is looked at already.

    Raises:
        ValueError: no image is listed, or one outside of ``root``.
        FileNotFoundError: the first image is missing.
    """
    if not paths:
        raise ValueError(f"{listed_in}: wanted at least one image of the split, got none")
    if root is not None:
        outside = next((path for path in paths if leads_out(root, path)), None)
        if outside is not None:
            raise ValueError(
                f"{listed_in}: wanted images below {os.fspath(root)!r}, got {str(outside)!r}"
            )
    if not paths[0].is_file():
        raise FileNotFoundError(
            f"{listed_in}: wanted the images that it lists, got no file {str(paths[0])!r}"
        )
    hierarchy, labels = label_chains(chains, level_names, classes)
    return ImageDataset(paths, labels, hierarchy, **items)

"""The first results of some queries, and which queries to show."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

__all__ = ["Retrieval", "choose_queries", "first_results", "retrieve", "shared_levels"]

RESULTS = 10
_BLOCK = 1024


@dataclass(frozen=True)
class Retrieval:
    """First results of some queries: indices into the data set and shared levels, best first."""

    queries: list[int]
    results: list[list[int]]
    levels: list[list[int]]


def choose_queries(
    labels: Tensor, seed: int, *, most: int | None = None, least: int = 0
) -> list[int]:
    """One random image of each node of the coarsest level, so that no one picks the pretty ones.

    Drawn are images of classes with another image, which a model could find; of all, where there is no such class.

    Args:
        labels: [N, L] of the images.
        seed: of the drawing.
        most: draw so many nodes where there are more; None takes all.
        least: add other images where there are fewer nodes.

    Returns:
        Indices, in the order of the nodes.
    """
    generator = np.random.default_rng([seed, 1])
    coarsest = labels[:, -1].numpy()
    usable = _with_positive(labels)
    nodes = np.unique(coarsest[usable])
    if most is not None and len(nodes) > most:
        nodes = np.sort(generator.choice(nodes, most, replace=False))
    chosen = [int(generator.choice(np.flatnonzero(usable & (coarsest == node)))) for node in nodes]
    while len(chosen) < min(least, int(usable.sum())):
        other = int(generator.choice(np.flatnonzero(usable)))
        chosen += [] if other in chosen else [other]
    return chosen


def _with_positive(labels: Tensor) -> np.ndarray:
    """[N] whether another image is of the same class; all where none is."""
    _, place, counts = labels[:, 0].unique(return_inverse=True, return_counts=True)
    found = (counts[place] > 1).numpy()
    return found if found.any() else np.ones(len(labels), dtype=bool)


def first_results(
    queries: Tensor, gallery: Tensor, count: int, own: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The items of highest product with each query, in blocks of queries.

    Args:
        queries: [Q, D].
        gallery: [N, D].
        count: of results, at most N, or N - 1 with ``own``.
        own: [Q] place of each query in the gallery, which is no result; None where it is not there.

    Returns:
        Scores and indices, [Q, count].
    """
    found = []
    for start in range(0, len(queries), _BLOCK):
        scores = queries[start : start + _BLOCK] @ gallery.T
        if own is not None:
            scores[torch.arange(len(scores)), own[start : start + _BLOCK]] = -torch.inf
        found.append(scores.topk(count, dim=1))
    return torch.cat([part.values for part in found]), torch.cat([part.indices for part in found])


def shared_levels(labels: Tensor, gallery_labels: Tensor, indices: Tensor) -> Tensor:
    """Levels [Q, k] that the results ``indices`` [Q, k] share with their queries; labels [*, L] are a tree."""
    return (labels[:, None] == gallery_labels[indices]).sum(2)


def retrieve(
    embeddings: Tensor, labels: Tensor, queries: Sequence[int], k: int = RESULTS
) -> Retrieval:
    """The k images closest to each query among all others.

    Args:
        embeddings: [N, D], normalised.
        labels: [N, L].
        queries: indices.
        k: number of results.
    """
    chosen = torch.tensor(list(queries))
    count = min(k, len(embeddings) - 1)
    _, results = first_results(embeddings[chosen], embeddings, count, chosen)
    shared = shared_levels(labels[chosen], labels, results)
    return Retrieval(list(queries), results.tolist(), shared.tolist())

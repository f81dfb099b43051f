"""Names that are close in meaning as groups within groups, each group with a name and each member with a doubt."""

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sklearn.cluster import AgglomerativeClustering
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from pml_suprank.recipes.choices import LINKAGES

__all__ = ["Doubts", "group_titles", "nested_groups", "silhouettes"]

_WORD = re.compile(r"[^\W_]+")


def nested_groups(
    embeddings: np.ndarray, sizes: Sequence[int], linkage: str = "ward"
) -> np.ndarray:
    """Agglomerative clustering, cut at several numbers of groups: finer groups lie within coarser ones.

    Args:
        embeddings: [N, D]; they are normalised first.
        sizes: numbers of groups, decreasing, from 1 to N.
        linkage: "ward", "complete", "average" or "single", by Euclidean distance.

    Returns:
        [N, len(sizes)] int64, groups numbered by their first member.

    Raises:
        ValueError: another linkage, or sizes that do not decrease or exceed N.
    """
    if linkage not in LINKAGES:
        raise ValueError(f"linkage: wanted one of {', '.join(LINKAGES)}, got {linkage!r}")
    count = len(embeddings)
    falling = all(a > b for a, b in itertools.pairwise(sizes))
    if not sizes or not falling or not 1 <= sizes[-1] <= sizes[0] <= count:
        raise ValueError(
            f"sizes: wanted decreasing numbers of groups, at most {count}, the number of names, got {list(sizes)}"
        )
    if count == 1:
        return np.zeros((1, 1), dtype=np.int64)
    model = AgglomerativeClustering(n_clusters=1, linkage=linkage, compute_full_tree=True)
    merges = model.fit(_normalised(embeddings)).children_
    return np.stack([_cut(merges, count, size) for size in sizes], 1)


def _cut(merges: np.ndarray, count: int, size: int) -> np.ndarray:
    """The groups before the last size - 1 of the merges, which come in the order of their distance."""
    top = np.arange(count + len(merges))
    for step, pair in enumerate(merges[: count - size]):
        top[pair] = count + step
    for node in range(len(top) - 1, -1, -1):  # a merged node comes after what it merges
        top[node] = top[top[node]]
    _, first, group = np.unique(top[:count], return_index=True, return_inverse=True)
    return first.argsort(kind="stable").argsort(kind="stable")[group.reshape(-1)].astype(np.int64)


class Doubts(NamedTuple):
    """How well members fit their groups.

    Attributes:
        silhouette: [N] in -1..1, 0 for a group of one and where there is no other group.
        nearest: [N] the best other group, -1 where there is none.
    """

    silhouette: np.ndarray
    nearest: np.ndarray


def silhouettes(embeddings: np.ndarray, groups: np.ndarray) -> Doubts:
    """Silhouettes by cosine distance (Rousseeuw, 1987), in the time of N x number of groups.

    With cosines the mean distance to a group is one minus the product with the mean of its unit vectors.

    Args:
        embeddings: [N, D].
        groups: [N] integers 0..G-1, each there.
    """
    unit = _normalised(embeddings)
    sizes = np.bincount(groups)
    sums = np.zeros((len(sizes), unit.shape[1]))
    np.add.at(sums, groups, unit)
    rows = np.arange(len(unit))
    products = unit @ sums.T
    distance = 1 - products / sizes
    own_size = sizes[groups]
    squares = (unit * unit).sum(1)  # 1, but 0 for a vector of zeros
    with np.errstate(divide="ignore", invalid="ignore"):
        own = 1 - (products[rows, groups] - squares) / (own_size - 1)
    if len(sizes) == 1:
        return Doubts(np.zeros(len(unit)), np.full(len(unit), -1))
    distance[rows, groups] = np.inf
    nearest = distance.argmin(1)
    other = distance[rows, nearest]
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (other - own) / np.maximum(own, other)
    return Doubts(np.where((own_size > 1) & np.isfinite(found), found, 0.0), nearest)


def group_titles(names: Sequence[str], groups: np.ndarray, embeddings: np.ndarray) -> list[str]:
    """A title for each group, all different.

    It is the word that tells the group best (the highest F1 of "has the word" for "is in the group") where that is 0.5
    at least, else the best three; the name of the most central member where no word comes twice. Groups that would
    have the same title get that name beside it. English function words do not count.

    Args:
        names: [N], all different.
        groups: [N] integers 0..G-1, each there.
        embeddings: [N, D].
    """
    unit = _normalised(embeddings)
    words = [
        {w for w in _WORD.findall(name.lower()) if len(w) > 1} - ENGLISH_STOP_WORDS
        for name in names
    ]
    total = Counter(word for each in words for word in each)
    central, titles = [], []
    for group in range(int(groups.max()) + 1):
        members = np.flatnonzero(groups == group)
        central.append(names[members[(unit[members] @ unit[members].mean(0)).argmax()]])
        inside = Counter(word for member in members for word in words[member])
        scores = {w: 2 * n / (len(members) + total[w]) for w, n in inside.items() if n > 1}
        best = sorted(scores, key=lambda word: (-scores[word], word))[:3]
        if best and scores[best[0]] >= 0.5:
            best = best[:1]
        titles.append(", ".join(best) or central[-1])
    twice = {title for title, count in Counter(titles).items() if count > 1}
    return [
        f"{title} ({name})" if title in twice else title
        for title, name in zip(titles, central, strict=True)
    ]


def _normalised(embeddings: np.ndarray) -> np.ndarray:
    values = np.asarray(embeddings, dtype=np.float64)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)

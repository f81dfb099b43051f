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

__all__ = [
    "Doubts",
    "Size",
    "chosen_sizes",
    "group_titles",
    "main_directions",
    "nested_groups",
    "silhouettes",
]

Size = int | range | None
"""A number of groups, those to choose from, or None for a choice without bounds of one's own."""

_LEAST_DIRECTIONS = 8
_CANDIDATES = 60
_LONGEST_LIST = 40
_WORD = re.compile(r"[^\W_]+")


def main_directions(embeddings: np.ndarray, share: float = 0.5) -> np.ndarray:
    """Embeddings without their mean, in the directions that hold most of their variance.

    Embeddings of names have a common part, being names, and many directions in which each differs a little from all
    others; what groups have in common shows in few. Eight directions are kept at least.

    Args:
        embeddings: [N, D]; they are normalised first.
        share: of the variance that the kept directions hold at least, in (0, 1]; 1 keeps the embeddings as they are.

    Returns:
        [N, K] normalised; K is D where ``share`` is 1, or nothing differs.

    Raises:
        ValueError: a share out of range.
    """
    if not 0 < share <= 1:
        raise ValueError(f"variance: wanted a share in (0, 1], got {share}")
    unit = _normalised(embeddings)
    centred = unit - unit.mean(0)
    if share == 1 or np.abs(centred).max() < 1e-9:
        return unit
    left, scale, _ = np.linalg.svd(centred, full_matrices=False)
    held = np.cumsum(scale**2) / (scale**2).sum()
    count = max(int(np.searchsorted(held, share)) + 1, _LEAST_DIRECTIONS)
    return _normalised(left[:, :count] * scale[:count])


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
    merges = _merges(embeddings, linkage)
    return np.stack([_cut(merges, count, size) for size in sizes], 1)


def chosen_sizes(embeddings: np.ndarray, sizes: Sequence[Size], linkage: str = "ward") -> list[int]:
    """Numbers of groups, where they are not given those with the highest mean silhouette.

    The coarsest level is chosen first. Without bounds of one's own it has 3 to 20 groups of five names each at least on
    average, and every finer level twice to ten times as many as the one above it, of three names.

    Args:
        embeddings: [N, D].
        sizes: finest first; of a range all numbers are tried, or 60 of them.
        linkage: see :func:`nested_groups`.

    Returns:
        Decreasing numbers.

    Raises:
        ValueError: no number is between those of the levels around it.
    """
    count = len(embeddings)
    merges = None
    found: list[int] = []
    for place in reversed(range(len(sizes))):
        size, coarser = sizes[place], found[0] if found else 0
        if isinstance(size, int):
            found.insert(0, size)
            continue
        if size is None:
            most = min(20, count // 5) if not found else min(10 * coarser, count // 3)
            bounds = range(3 if not found else 2 * coarser, most + 1)
            size = bounds or range(2 if not found else coarser + 1, count // 2 + 1)
        finer = next(
            (other for other in reversed(sizes[:place]) if isinstance(other, int)), count + 1
        )
        wanted = range(max(size.start, coarser + 1), min(size.stop, finer, count + 1))
        if not wanted:
            raise ValueError(
                f"levels: wanted a number of groups between those of the levels around it, {coarser} and "
                f"{finer}, got {size.start}-{size.stop - 1} of {count} names"
            )
        merges = _merges(embeddings, linkage) if merges is None and len(wanted) > 1 else merges
        found.insert(0, _best(embeddings, merges, wanted))
    return found


def _best(embeddings: np.ndarray, merges: np.ndarray | None, sizes: range) -> int:
    """The number of groups with the highest mean silhouette, the smallest of equals."""
    if merges is None or len(sizes) == 1:
        return sizes[0]
    tried = np.unique(np.geomspace(sizes[0], sizes[-1], _CANDIDATES).round().astype(int))
    if len(sizes) <= _CANDIDATES:
        tried = np.array(sizes)
    cuts = (_cut(merges, len(embeddings), size) for size in tried)
    return int(tried[np.argmax([silhouettes(embeddings, cut).silhouette.mean() for cut in cuts])])


def _merges(embeddings: np.ndarray, linkage: str) -> np.ndarray:
    """The pairs that are merged, in the order of their distance."""
    model = AgglomerativeClustering(n_clusters=1, linkage=linkage, compute_full_tree=True)
    return np.asarray(model.fit(_normalised(embeddings)).children_)


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
    at least, else the best three; the names of the three most central members, as far as they are short, where no word
    reaches 0.25. Groups that would have the same title get the name of the most central member beside it. English
    function words do not count.

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
        order = (-(unit[members] @ unit[members].mean(0)).round(9)).argsort(kind="stable")
        nearest = [names[member] for member in members[order][:3]]
        central.append(nearest[0])
        inside = Counter(word for member in members for word in words[member])
        scores = {w: 2 * n / (len(members) + total[w]) for w, n in inside.items() if n > 1}
        best = sorted(scores, key=lambda word: (-scores[word], word))[:3]
        if best and scores[best[0]] >= 0.5:
            best = best[:1]
        told = bool(best) and scores[best[0]] >= 0.25
        titles.append(", ".join(best) if told else _list(nearest))
    twice = {title for title, count in Counter(titles).items() if count > 1}
    return [
        f"{title} ({name})" if title in twice else title
        for title, name in zip(titles, central, strict=True)
    ]


def _list(names: Sequence[str]) -> str:
    """As many names as are short together, the first at least."""
    lists = [", ".join(names[:count]) for count in range(len(names), 0, -1)]
    return next((text for text in lists if len(text) <= _LONGEST_LIST), names[0])


def _normalised(embeddings: np.ndarray) -> np.ndarray:
    values = np.asarray(embeddings, dtype=np.float64)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)

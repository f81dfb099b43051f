"""How an image is put into a group of names: the two rules of H-GLDv2, and the vote over the images of a class.

References: E. Ramzi et al., Optimization of Rank Losses for Image Retrieval, TPAMI 2025, arXiv 2309.08250.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

__all__ = ["RULES", "Decided", "Vote", "clip_rule", "knn_rule", "vote"]

TEMPERATURE = 100.0
NEIGHBOURS = 5


class Decided(NamedTuple):
    """What a rule makes of n images.

    Attributes:
        name: [n] int64, the name with the highest cosine.
        group: [n] int64.
        score: [n] float64 in 0..1, the share of the weight that speaks for it.
    """

    name: Tensor
    group: Tensor
    score: Tensor


def clip_rule(images: Tensor, names: Tensor, groups: Tensor) -> Decided:
    """The group of the most similar name; the score is its softmax at temperature 100 over all names.

    Args:
        images: [n, D].
        names: [N, D].
        groups: [N] int64, the group of each name.

    Example:
        >>> names = torch.eye(2)
        >>> clip_rule(torch.tensor([[0.0, 3.0]]), names, torch.tensor([4, 7])).group.tolist()
        [7]
    """
    shares = torch.softmax(TEMPERATURE * _cosines(images, names), 1)
    score, name = shares.max(1)
    return Decided(name, groups[name], score)


def knn_rule(images: Tensor, names: Tensor, groups: Tensor) -> Decided:
    """The group with the largest sum of exp(100 cos) over the five most similar names.

    Args:
        images: [n, D].
        names: [N, D]; all are taken where there are fewer than five.
        groups: [N] int64, the group of each name.

    Returns:
        Among equal sums the group with the smaller number. The score is its share of the five weights.

    Example:
        >>> names = torch.tensor([[1.0, 0.0], [0.99999, 0.004], [0.99999, -0.004]])
        >>> knn_rule(torch.tensor([[1.0, 0.0]]), names, torch.tensor([0, 1, 1])).group.tolist()
        [1]
    """
    cosines, places = _cosines(images, names).topk(min(NEIGHBOURS, len(names)), dim=1)
    shares = torch.softmax(TEMPERATURE * cosines, 1)
    near = groups[places]
    sums = torch.zeros(len(images), int(groups.max()) + 1, dtype=shares.dtype)
    sums.scatter_add_(1, near, shares)
    score, group = sums.max(1)
    return Decided(places[:, 0], group, score)


RULES = {"clip": clip_rule, "knn": knn_rule}


def _cosines(images: Tensor, names: Tensor) -> Tensor:
    images, names = (torch.nn.functional.normalize(x.double(), dim=1) for x in (images, names))
    return images @ names.T


class Vote(NamedTuple):
    """The majority of the images of each of C classes.

    Attributes:
        group: [C] int64; -1 for a class without images.
        votes: [C] int64, images for that group.
        images: [C] int64.
        runner_up: [C] int64, the next group, -1 where there is none.
        runner_up_votes: [C] int64.
    """

    group: np.ndarray
    votes: np.ndarray
    images: np.ndarray
    runner_up: np.ndarray
    runner_up_votes: np.ndarray

    @property
    def confidence(self) -> np.ndarray:
        """[C] votes / images, 0 for a class without images."""
        return self.votes / np.maximum(self.images, 1)

    @property
    def is_tied(self) -> np.ndarray:
        """[C] whether another group has as many votes."""
        return (self.votes > 0) & (self.votes == self.runner_up_votes)


def vote(classes: np.ndarray, groups: np.ndarray, scores: np.ndarray, num_classes: int) -> Vote:
    """Majority vote of the images of each class.

    Among groups with as many images the one with the larger sum of scores wins, and among equal sums the one with
    the smaller number.

    Args:
        classes: [n] integers 0..num_classes-1, of each image.
        groups: [n] integers from 0.
        scores: [n] in 0..1.
        num_classes: C.

    Example:
        >>> found = vote(np.array([0, 0, 0]), np.array([2, 1, 1]), np.array([0.9, 0.5, 0.5]), 2)
        >>> found.group.tolist(), found.confidence.round(2).tolist(), found.runner_up.tolist()
        ([1, -1], [0.67, 0.0], [2, -1])
    """
    width = int(groups.max(initial=0)) + 1
    pairs, place = np.unique(classes * width + groups, return_inverse=True)
    counts = np.bincount(place, minlength=len(pairs))
    sums = np.bincount(place, weights=scores, minlength=len(pairs)).round(9)  # not of the order
    owner, group = pairs // width, pairs % width
    order = np.lexsort((group, -sums, -counts, owner))
    owner, group, counts = owner[order], group[order], counts[order]
    first = np.searchsorted(owner, np.arange(num_classes))
    last = np.searchsorted(owner, np.arange(num_classes), side="right")
    has, has_more = last > first, last > first + 1
    winner = np.full(num_classes, -1)
    runner_up = winner.copy()
    votes, fewer = np.zeros((2, num_classes), dtype=np.int64)
    winner[has], votes[has] = group[first[has]], counts[first[has]]
    runner_up[has_more] = group[first[has_more] + 1]
    fewer[has_more] = counts[first[has_more] + 1]
    return Vote(winner, votes, np.bincount(classes, minlength=num_classes), runner_up, fewer)

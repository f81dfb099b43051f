"""Positive mixup: virtual queries and items between two samples of a class, from similarities alone."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pml_suprank.checks import checked_depths, checked_level
from pml_suprank.functional.mixup import MixedPairs, mixed_pairs, with_mixed
from pml_suprank.losses.retrieval_set import RetrievalSet


@dataclass(frozen=True)
class SimilarityMixup:
    r"""Similarity mixup (SiMix), the ``mixup`` option of the rank losses.

    Between two samples i and j of a class it puts a virtual one, with similarities

    .. math:: s(v_{ij}, \cdot) = \alpha s(i, \cdot) + (1 - \alpha) s(j, \cdot), \qquad \alpha \sim U(0, 1)

    and likewise between two virtual ones: nothing goes through the network, and nothing is normalised again.
    The pairs are all of a class, for classes of any sizes. In a batch that is its own reference set each virtual
    sample is a query and an item for all others, its parents among them; as the query itself, it is not in its own
    retrieval set. With references, queries are mixed, and the references if ``references``.

    With graded levels a virtual sample shares with another one the levels that both its parents share with it: in the
    finest class, the default, it is one more sample of the class; mixed at a coarser ``level`` it belongs to that
    class and the coarser ones alone.

    Reducers find the loss of a virtual query under the index of its first parent. The draws are from torch's generator
    of the CPU: a seed, or its state, repeats them. In ``eval()`` the loss does not mix.

    Args:
        level: label column that the samples of a pair have in common; None for the loss's own, the finest for a
            loss on the whole hierarchy.
        max_pairs_per_class: an integer >= 1, the most pairs, hence virtual samples, of a class: larger classes give
            so many at random. None for all, n (n - 1) / 2 for n samples.
        references: mix the references as well, where they are not the batch.

    Raises:
        ValueError: a value outside its range.

    References:
        Patel et al., Recall@k Surrogate Loss with Large Batches and Similarity Mixup, arXiv 2108.11179. Its code, too,
        counts the parents among the positives, and mixes all pairs.
    """

    level: int | None = None
    max_pairs_per_class: int | None = None
    references: bool = False

    def __post_init__(self) -> None:
        if self.level is not None:
            checked_level(self.level)
        if self.max_pairs_per_class is not None:
            checked_depths((self.max_pairs_per_class,), "max_pairs_per_class")

    def extended(
        self,
        scores: Tensor,
        items: RetrievalSet,
        query: Tensor,
        labels: Tensor,
        ref_labels: Tensor | None,
        level: int | None,
        *,
        include_self: bool,
    ) -> tuple[Tensor, RetrievalSet, Tensor]:
        """Append virtual queries and items to the scores and to what they are of.

        Args:
            scores: (B, N).
            items: the retrieval sets of the B queries.
            query: (B,), which embedding stands for each.
            labels: (B, L), column 0 finest.
            ref_labels: (N, L); None where the batch is its own reference set.
            level: the level of the loss.
            include_self: whether a virtual query retrieves itself, in the batch.

        Returns:
            Scores and retrieval sets of shape (B + V, N + W), and which embedding stands for each query, for a virtual
            one its first parent.
        """
        queries = self.draw(labels, level)
        references: MixedPairs | None = queries
        if ref_labels is not None:
            references = self.draw(ref_labels, level) if self.references else None
        num_queries, num_items = scores.shape
        given = items.common_levels
        outside = given < 0  # the query itself, which shares all levels with what is mixed of it
        shared = _with_fewest(given.masked_fill(outside, items.num_levels), queries, dim=0)
        scores = with_mixed(scores, queries)
        if references is not None:
            scores = with_mixed(scores, references, dim=1)
            shared = _with_fewest(shared, references, dim=1)
        shared[:num_queries, :num_items] = given
        if ref_labels is None and not include_self:
            shared[num_queries:, num_items:].fill_diagonal_(-1)
        found = RetrievalSet(shared, items.num_levels)
        return scores, found, torch.cat([query, queries.first])

    def draw(self, labels: Tensor, level: int | None = None) -> MixedPairs:
        """Return pairs of samples, for labels (n, L), column 0 finest, and the level of a loss."""
        column = checked_level((level or 0) if self.level is None else self.level, labels.shape[1])
        return mixed_pairs(labels[:, column], self.max_pairs_per_class)


def checked_mixup(mixup: SimilarityMixup | bool, level: int | None) -> SimilarityMixup | None:
    """Return what a loss on ``level`` is to mix, or raise a ValueError for something else."""
    if isinstance(mixup, bool):
        return SimilarityMixup() if mixup else None
    if not isinstance(mixup, SimilarityMixup):
        raise ValueError(f"mixup: wanted a SimilarityMixup or a bool, got {type(mixup).__name__}")
    if level is not None and mixup.level is not None and mixup.level > level:
        raise ValueError(
            f"mixup: wanted a level of at most {level}, that of the positives, got {mixup.level}"
        )
    return mixup


def _with_fewest(common_levels: Tensor, pairs: MixedPairs, dim: int) -> Tensor:
    """Append the levels of virtual items: in a tree, what both parents share with another is the fewer."""
    first = common_levels.index_select(dim, pairs.first)
    second = common_levels.index_select(dim, pairs.second)
    return torch.cat([common_levels, torch.minimum(first, second)], dim=dim)

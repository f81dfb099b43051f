"""The adapter between PML's miner interface and the selection of pairs and triplets."""

from typing import Any

import torch
from torch import Tensor

from pml_suprank.checks import checked_level, checked_per_level, has_items, one_look
from pml_suprank.functional.operation import plain, untraced
from pml_suprank.hierarchy import Hierarchy
from pml_suprank.hierarchy.labels import as_joint_labels, checked_hierarchy, checked_ignore_index
from pml_suprank.losses import scores
from pml_suprank.losses.batch import checked_batch
from pml_suprank.losses.ignored import in_whole_batch
from pml_suprank.losses.retrieval_set import retrieval_set
from pml_suprank.pml import BaseDistance, BaseMiner
from pml_suprank.values import checked_flag

Margins = float | tuple[float, ...]


class HierarchicalMiner(BaseMiner):
    """A PML miner that knows how many levels two items share.

    Subclass it for a miner of your own: ``select`` says what is mined, from distances and common levels. The rest is
    here: forms of labels, references, memories, samples to ignore, statistics. The mathematics runs in float32 at
    least, autocast or not.

    Args:
        level: label column that makes an item positive, for PML's binary mining on it; None for the whole
            hierarchy.
        hierarchy: expands 1-D labels to all levels; with it the miners take PML's ordinary labels.
        ignore_index: finest label of the samples that are in no pair; None for none.
        distance: PML's, a distance or a similarity; None for the miner's own, Euclidean unless it says another.
        collect_stats: whether numbers of what is mined are recorded; None for what PML does elsewhere.

    Raises:
        ValueError: ``level`` is not an integer >= 0 or, where it is known, not a level of ``hierarchy``;
            ``distance`` is none of PML's; ``ignore_index`` is neither None nor an integer.

    Example:
        Pairs of one class, and pairs of strangers.

        >>> import torch
        >>> class ExtremesMiner(HierarchicalMiner):
        ...     def select(self, distances, common_levels, num_levels):
        ...         positive = (common_levels == num_levels).nonzero(as_tuple=True)
        ...         return (*positive, *(common_levels == 0).nonzero(as_tuple=True))
        >>> labels = torch.tensor([[0, 0], [0, 0], [1, 0], [2, 1]])
        >>> mined = ExtremesMiner()(torch.eye(4), labels)
        >>> [indices.tolist() for indices in mined]
        [[0, 1], [1, 0], [0, 1, 2, 3, 3, 3], [3, 3, 3, 0, 1, 2]]
    """

    takes_self_indices = True
    """Memories pass ``self_indices`` to miners that have this."""

    def __init__(
        self,
        *,
        level: int | None = None,
        hierarchy: Hierarchy | None = None,
        ignore_index: int | None = None,
        distance: BaseDistance | None = None,
        collect_stats: bool | None = None,
    ) -> None:
        if collect_stats is not None:
            checked_flag("collect_stats", collect_stats)
        super().__init__(distance=distance, collect_stats=collect_stats)
        if not isinstance(self.distance, BaseDistance):
            raise ValueError(
                "distance: wanted a PML distance such as LpDistance() or CosineSimilarity(), "
                f"got {self.distance!r}"
            )
        checked_hierarchy(hierarchy)
        num_levels = None if hierarchy is None else hierarchy.num_levels
        self.level = None if level is None else checked_level(level, num_levels)
        self.hierarchy = hierarchy
        self.ignore_index = checked_ignore_index(ignore_index)

    def extra_repr(self) -> str:
        """Show the level."""
        return f"level={self.level}"

    def select(
        self, distances: Tensor, common_levels: Tensor, num_levels: int
    ) -> tuple[Tensor, ...]:
        """Return the indices of triplets or pairs.

        Args:
            distances: (B, N), smaller is closer: of a similarity, its negative.
            common_levels: (B, N), how many levels are shared, -1 for an item outside the retrieval set.
            num_levels: L.
        """
        raise NotImplementedError

    @untraced
    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        ref_emb: Tensor | None = None,
        ref_labels: Tensor | None = None,
        self_indices: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Return PML's tuple of triplets or of pairs.

        Args:
            embeddings: (B, D), the anchors.
            labels: (B,) class labels, or (B, L) with column 0 the finest level.
            ref_emb: (N, D), where positives and negatives are; None for the batch itself.
            ref_labels: (N,) or (N, L).
            self_indices: (B,), where each anchor stands among the references, -1 for nowhere. Left at None it is
                known when the references are the batch (the same tensor or a detached one); memories pass it. Without
                it a copy of an anchor among the references is an item like any other, and its closest positive.

        Returns:
            (anchor, positive, negative) or (anchor, positive, other anchor, negative), int64, on the device of
            the embeddings; empty where nothing is selected, from which PML's losses give 0.

        Raises:
            ValueError: embeddings that are empty, not finite or not of one width; labels missing, of the wrong
                length, form or dtype, or no tree; references without labels; ``self_indices`` of another length
                or outside the references.
        """
        self.reset_stats()
        if torch.is_tensor(ref_emb) and torch.is_tensor(embeddings):
            ref_emb = embeddings if is_same_data(embeddings, ref_emb) else ref_emb
        with one_look():
            batch = checked_batch(
                embeddings,
                labels,
                None,
                ref_emb,
                ref_labels,
                self_indices,
                ignore_index=self.ignore_index,
                needs_ref_labels=True,
                finds_own=True,
            )
            items = batch.embeddings if batch.ref_emb is None else batch.ref_emb
            both = as_joint_labels(
                batch.labels,
                batch.labels if batch.ref_emb is None else batch.ref_labels,
                self.hierarchy,
                lengths=(len(batch.embeddings), len(items)),
            )
        columns = [rows.to(embeddings.device) for rows in both]
        with torch.no_grad():
            output = self.mine(batch.embeddings, columns[0], items, columns[1], batch.self_indices)
        output = in_whole_batch(output, batch)
        self.output_assertion(output)
        return output

    def mine(
        self,
        embeddings: Tensor,
        labels: Tensor,
        ref_emb: Tensor,
        ref_labels: Tensor,
        self_indices: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Return the indices, for labels of shape (B, L) and (N, L)."""
        items = retrieval_set(
            (len(embeddings), len(ref_emb)),
            labels,
            ref_labels,
            level=self.level,
            self_indices=self_indices,
        )
        common_levels = items.common_levels.long()
        if not len(embeddings) or not len(ref_emb):  # all are ignored: as one anchor without items
            return self.select(
                embeddings.new_zeros(1, 1), common_levels.new_full((1, 1), -1), items.num_levels
            )
        distances = scores.distances(self.distance, embeddings, ref_emb)
        if self.distance.is_inverted:
            distances = -distances
        return self.select(distances, common_levels, items.num_levels)

    def _known_levels(self) -> int | None:
        """Return the number of levels that are told apart, where it is known before the first batch."""
        if self.level is not None:
            return 1
        return None if self.hierarchy is None else self.hierarchy.num_levels

    def _record_margins(self, name: str, margins: Margins) -> None:
        """Make margins recordable: under their name, or one by one with the level."""
        if not isinstance(margins, tuple):
            self.add_to_recordable_attributes(name=name, is_stat=False)
            return
        for column, margin in enumerate(margins):
            setattr(self, f"{name}_level{column}", margin)
            self.add_to_recordable_attributes(name=f"{name}_level{column}", is_stat=False)

    def _mined_pairs(
        self, positive: Tensor, negative: Tensor, common_levels: Tensor, num_levels: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the pairs of positive violation, (B, N) each, and record them."""
        a1, p = (positive > 0).nonzero(as_tuple=True)
        a2, n = (negative > 0).nonzero(as_tuple=True)
        if self.collect_stats:
            columns = num_levels - common_levels[a1, p], num_levels - 1 - common_levels[a2, n]
            self._record_levels("pos_pair", columns[0], positive[a1, p], num_levels)
            self._record_levels("neg_pair", columns[1], negative[a2, n], num_levels)
        return a1, p, a2, n

    def _record_levels(
        self, kind: str, columns: Tensor, violation: Tensor, num_levels: int
    ) -> None:
        """Set ``num_<kind>s_level<l>`` and ``<kind>_violation_level<l>``, its mean, for every level.

        Args:
            kind: what was mined.
            columns: (M,), the level of each.
            violation: (M,), of each.
            num_levels: L.
        """
        counts = columns.bincount(minlength=num_levels)
        sums = columns.bincount(violation.double(), minlength=num_levels)
        means = sums / counts.clamp(min=1)
        for column, (count, mean) in enumerate(zip(counts.tolist(), means.tolist(), strict=True)):
            level = column if self.level is None else self.level
            names = f"num_{kind}s_level{level}", f"{kind}_violation_level{level}"
            self.add_to_recordable_attributes(list_of_names=names, is_stat=True)
            for name, value in zip(names, (count, mean), strict=True):
                setattr(self, name, value)


def is_same_data(embeddings: Tensor, ref_emb: Tensor) -> bool:
    """Whether two tensors are one, or one is the other detached."""
    return ref_emb is embeddings or (
        ref_emb.shape == embeddings.shape
        and ref_emb.stride() == embeddings.stride()
        and ref_emb.dtype == embeddings.dtype
        and plain(ref_emb).data_ptr() == plain(embeddings).data_ptr()
    )


def checked_margins(
    name: str, margins: Any, num_levels: int | None, *, least: float = 0.0
) -> Margins:
    """Return a number, or one number per level as a tuple.

    Args:
        name: the argument's name, for the messages.
        margins: what the user gave.
        num_levels: L, or None where it is not known yet.
        least: the least number allowed.

    Raises:
        ValueError: not numbers, not finite, below ``least``, or not one per level.
    """
    numbers = checked_per_level(name, margins, num_levels, least=least)
    return numbers if has_items(margins) else numbers[0]

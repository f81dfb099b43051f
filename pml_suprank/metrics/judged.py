"""Metrics of queries whose relevant items are listed, and items that are neither right nor wrong."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pml_suprank.hierarchy.labels import index_tensor
from pml_suprank.metrics.catalogue import choose
from pml_suprank.metrics.ranked_lists import Hits, RankedLists
from pml_suprank.metrics.ranking.precise import PreciseScorer, products_are_exact
from pml_suprank.metrics.ranking.scores import Scorer, checked_embeddings, full_precision
from pml_suprank.metrics.ranking.streaming import collect
from pml_suprank.metrics.ranking.workers import blocks, progress_bar
from pml_suprank.metrics.result import EvaluationResult

__all__ = ["evaluate_judged"]

PAIRS_PER_BLOCK = 2**24
"""(query, item) pairs that are ranked at a time."""


@torch.no_grad()
def evaluate_judged(
    query: Any,
    gallery: Any,
    relevant: Sequence[Any],
    ignored: Sequence[Any] | None = None,
    *,
    metrics: str | Sequence[str] | None = None,
    k: int | Sequence[int] = (1, 5, 10),
    similarity: str = "cosine",
    block_size: int | None = None,
    progress: bool = False,
) -> EvaluationResult:
    """Rank the gallery for every query and measure the rankings against listed judgements.

    This is the protocol of landmark retrieval: a query has its own list of relevant gallery items, and junk, which is
    taken out of its ranking before anything is counted. Everything else is wrong. Among equal scores wrong items come
    first. A query that is itself in the gallery belongs among its ignored items.

    - Google Landmarks v2: ``metrics="mean_average_precision_at_100"``, whose mean is mAP@100.
    - Revisited Oxford and Paris: ``metrics=("revisited_average_precision", "revisited_precision_at_k")``, once for each
      of easy, medium and hard.

    Memory is a copy of the gallery and one block of queries times the gallery, twice.

    Args:
        query: (Q, D) embeddings.
        gallery: (N, D) embeddings.
        relevant: for each query the positions in the gallery of its relevant items: a sequence of integers or an
            integer tensor, each position once.
        ignored: likewise for the items to take out; None for none.
        metrics: names out of ``catalogue.JUDGED_METRICS``, or with a depth ("precision_at_10"); None for all.
        k: depths of the metrics at k.
        similarity: "cosine", "dot" or "euclidean".
        block_size: queries ranked at a time; None fits it to the gallery.
        progress: whether to show a progress bar.

    Returns:
        Metric by name ("mean_average_precision", "revisited_precision_at_5"), values per query. Queries without a
        relevant item are left out and counted.

    Raises:
        ValueError: an argument of a wrong form; positions outside the gallery or there twice; an item that is both
            relevant and ignored.

    Example:
        >>> query, gallery = torch.eye(2)[:1], torch.tensor([[4.0, 1.0], [3.0, 1.0], [2.0, 1.0]])
        >>> result = evaluate_judged(query, gallery, relevant=[[2]], ignored=[[0]])
        >>> result["mean_average_precision"].mean()  # rank 2 of 2
        0.5
    """
    query = checked_embeddings(query, "query")
    gallery = checked_embeddings(gallery, "gallery", query.shape[1])
    dtype = torch.promote_types(query.dtype, gallery.dtype)
    query, gallery = query.to(dtype), gallery.to(query.device, dtype)
    chosen = {choice.name: choice.metric() for choice in choose(metrics, k, None)}
    items = len(gallery)
    right = _checked(relevant, "relevant", len(query), items)
    ignored = [()] * len(query) if ignored is None else ignored
    junk = _checked(ignored, "ignored", len(query), items)
    for row, (one, other) in enumerate(zip(right, junk, strict=True)):
        both = one[torch.isin(one, other)]
        if len(both):
            raise ValueError(
                f"ignored: wanted items that are not relevant, got {both[:3].tolist()} of query {row} in both"
            )
    if block_size is None:
        block_size = max(1, PAIRS_PER_BLOCK // items)
    elif block_size < 1:
        raise ValueError(f"block_size: wanted at least 1, got {block_size}")
    ranking = _Ranking(query, gallery, similarity, right, junk)
    jobs = progress_bar(blocks(len(query), block_size), len(query), progress)
    with full_precision():
        return collect((ranking(block) for block in jobs), chosen)


class _Ranking:
    """Ranks the relevant items of a block of queries, in float64 where float32 does not tell."""

    def __init__(
        self,
        query: Tensor,
        gallery: Tensor,
        similarity: str,
        right: list[Tensor],
        junk: list[Tensor],
    ) -> None:
        self._query, self._gallery, self._similarity = query, gallery, similarity
        self._right, self._junk = right, junk
        in_float64 = query.dtype == torch.float64
        self._scorer = None if in_float64 else Scorer(gallery, similarity)

    @cached_property
    def _precise(self) -> PreciseScorer:
        return PreciseScorer(self._gallery, self._similarity)

    @cached_property
    def _is_exact(self) -> bool:
        return products_are_exact(self._query, self._gallery, self._similarity)

    def __call__(self, block: slice) -> RankedLists:
        query, right, junk = self._query[block], self._right[block], self._junk[block]
        if self._scorer is None:
            ranks, _ = _ranked(self._precise(query), right, junk)
        else:
            ranks, unresolved = _ranked(
                self._scorer(query), right, junk, self._scorer.resolution(query)
            )
            again = [row for row, unclear in enumerate(unresolved) if unclear]
            if again and not self._is_exact:
                self._refine(ranks, again, query, right, junk)
        return _lists(ranks, junk, len(self._gallery))

    def _refine(
        self,
        ranks: list[Tensor],
        rows: list[int],
        query: Tensor,
        right: list[Tensor],
        junk: list[Tensor],
    ) -> None:
        """Write the ranks of some queries anew; half a block at a time, as a number takes twice the memory."""
        half = max(1, len(query) // 2)
        for some in (rows[start : start + half] for start in range(0, len(rows), half)):
            scores = self._precise(query[some])
            found, _ = _ranked(scores, [right[row] for row in some], [junk[row] for row in some])
            for row, rank in zip(some, found, strict=True):
                ranks[row] = rank


def _ranked(
    scores: Tensor, right: list[Tensor], junk: list[Tensor], gap: Tensor | None = None
) -> tuple[list[Tensor], list[bool]]:
    """The ranks of the relevant items of each query, wrong items first among equal scores.

    Args:
        scores: (b, N), overwritten.
        right: positions of the relevant items of each query.
        junk: positions of the ignored ones.
        gap: (b,) the least difference of scores that their rounding leaves in order.

    Returns:
        Ranks of each query, and with ``gap`` whether more wrong items than one for eight ranks are as close to a
        relevant one.
    """
    count = scores.shape[1]
    found = [row[own.to(row.device)] for row, own in zip(scores, right, strict=True)]
    for row, own, out in zip(scores, right, junk, strict=True):
        row[own.to(row.device)] = -torch.inf
        row[out.to(row.device)] = -torch.inf
    wrong = _sorted(scores)
    ranks, unresolved = [], []
    for index, (row, own) in enumerate(zip(wrong, found, strict=True)):
        own = own.sort(descending=True).values
        ahead = count - torch.searchsorted(row, own)
        rank = ahead + torch.arange(1, len(own) + 1, device=row.device)
        ranks.append(rank.cpu())
        if gap is not None:
            near = gap[index].to(row)
            close = torch.searchsorted(row, own + near, right=True) - torch.searchsorted(
                row, own - near
            )
            unresolved.append(bool((close > rank // 8).any()))
    return ranks, unresolved


def _lists(ranks: list[Tensor], junk: list[Tensor], num_items: int) -> RankedLists:
    sizes = [
        [num_items - len(out) - len(own), len(own)] for own, out in zip(ranks, junk, strict=True)
    ]
    counts = torch.tensor(sizes, dtype=torch.long)
    rank = torch.cat(ranks)
    return RankedLists(Hits(rank, counts[:, 1]), torch.ones_like(rank), counts)


def _sorted(rows: Tensor) -> Tensor:
    """Rows in increasing order; NumPy sorts them many times faster on a CPU."""
    if rows.device.type != "cpu":
        return rows.sort(dim=1).values
    rows.numpy().sort(axis=1)
    return rows


def _checked(positions: Any, name: str, queries: int, items: int) -> list[Tensor]:
    """One int64 tensor for each query."""
    if isinstance(positions, (str, bytes)) or not hasattr(positions, "__len__"):
        raise ValueError(
            f"{name}: wanted positions for each of {queries} queries, got {type(positions).__name__}"
        )
    if len(positions) != queries:
        raise ValueError(f"{name}: wanted positions for {queries} queries, got {len(positions)}")
    found = []
    for row, own in enumerate(positions):
        what = f"{name}[{row}]"
        values = torch.zeros(0, dtype=torch.long) if not len(own) else index_tensor(own, what).cpu()
        if values.ndim != 1:
            raise ValueError(f"{what}: wanted 1-D positions, got shape {tuple(values.shape)}")
        if len(values) and not 0 <= int(values.min()) <= int(values.max()) < items:
            raise ValueError(
                f"{what}: wanted 0..{items - 1}, got {int(values.min())}..{int(values.max())}"
            )
        if len(values.unique()) < len(values):
            raise ValueError(f"{what}: wanted each position once, got some twice")
        found.append(values)
    return found

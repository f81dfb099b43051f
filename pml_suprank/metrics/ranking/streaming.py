"""Metrics of block after block of queries: memory bounded, in threads and processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pml_suprank.metrics.definitions import Metric, Values
from pml_suprank.metrics.ranked_lists import RankedLists
from pml_suprank.metrics.ranking import fused
from pml_suprank.metrics.ranking.levels import LevelFunction, TreeLevels, sorted_levels
from pml_suprank.metrics.ranking.packed import MOST_LEVELS, PackedRanker, Workspace
from pml_suprank.metrics.ranking.precise import PreciseScorer, products_are_exact
from pml_suprank.metrics.ranking.scores import Scorer, full_precision
from pml_suprank.metrics.ranking.sharing import Shard, announced, fingerprint, least
from pml_suprank.metrics.ranking.workers import Execution, blocks, largest_block, progress_bar, run
from pml_suprank.metrics.result import EvaluationResult, MetricResult

PAIRS_PER_BLOCK = 2**21
"""(query, item) pairs of an automatic block that is sorted together with its order."""

PAIRS_PER_BLOCK_ON_GPU = 2**26
"""The same on a GPU, where its free memory allows: 15 to 24 times faster than 2^21 there, measured on an H100."""

SHARE_OF_FREE_MEMORY = 2
"""An automatic block on a GPU takes at most one part in so many of the memory that is free."""

BYTES_PER_PAIR = 50
"""Memory of those at the peak, measured on a CPU; on an H100 it was 37."""

MOST_UNRESOLVED = 4
"""Where more than one query in so many needs float64, all get it: the rest is not far from needing it."""

PACKED_PAIRS_PER_BLOCK = 2**26
PACKED_QUERIES_PER_BLOCK = 128
"""Limits of an automatic block of packed keys. Smaller products are slower per pair."""


class Task(NamedTuple):
    """What to rank.

    ``query`` and ``gallery`` are checked embeddings of one dtype on one device; ``self_indices`` is the
    position of each query in the gallery, -1 for none, or None for none of all.
    """

    query: Tensor
    gallery: Tensor
    similarity: str
    levels: LevelFunction
    num_levels: int
    self_indices: Tensor | None

    @property
    def packable(self) -> bool:
        """Whether score and level fit the integers of :mod:`pml_suprank.metrics.ranking.packed`."""
        return (
            self.query.device.type == "cpu"
            and self.query.dtype == torch.float32
            and isinstance(self.levels, TreeLevels)
            and self.num_levels <= MOST_LEVELS
        )

    @property
    def fusable(self) -> bool:
        """Whether the kernels of :mod:`pml_suprank.metrics.ranking.fused` can rank and measure."""
        return (
            self.query.dtype == torch.float32
            and isinstance(self.levels, TreeLevels)
            and self.num_levels <= fused.MOST_LEVELS
            and fused.why_not(self.query.device) is None
        )


class _Plan(NamedTuple):
    rank: Callable[[slice, Any], Iterable[RankedLists]]
    block_size: int
    threads: int
    workspace: Callable[[], Any]
    order: Tensor
    """(q,) the queries, as numbers, in the order in which the blocks have them."""
    unresolved: Callable[[], Tensor] | None = None
    """Once all is ranked, (q,) bool in that order: which rankings float32 does not tell."""
    refined: Callable[[Tensor], _Plan] | None = None
    """The plan in float64 for some queries, by their places in the order."""


def measure(
    task: Task, metrics: dict[str, Metric], how: Execution, *options: str
) -> EvaluationResult:
    """Rank the gallery for one block of queries after the other, and measure the rankings.

    Queries whose scores lie closer than float32 tells are ranked again in float64. ``options`` are what else has to be
    the same in all processes that share the queries.

    Raises:
        ValueError: ``max_memory`` is not enough for one query; products overflow; processes that
            share the queries have different tasks.
    """
    with announced(how.distributed):
        if task.packable:
            plan = _packed_plan(task, how)
        else:
            plan = _sorted_plan(task, how, task.fusable)
        same = (*_fingerprint(task), plan.block_size, *metrics, *options) if how.distributed else ()
    shard = Shard(how.distributed, same)
    values = torch.zeros(len(metrics), len(task.query), dtype=torch.float64)
    valid = torch.zeros(len(metrics), len(task.query), dtype=torch.bool)
    with full_precision():
        values[:, plan.order], valid[:, plan.order] = _measured(plan, metrics, how, shard)
        if plan.unresolved is not None and plan.refined is not None:
            again = shard.merge(plan.unresolved())[0].nonzero().flatten()
            if len(again) * MOST_UNRESOLVED > len(plan.order):
                again = torch.arange(len(plan.order))
            if len(again) and not products_are_exact(task.query, task.gallery, task.similarity):
                plan = plan.refined(again)
                values[:, plan.order], valid[:, plan.order] = _measured(
                    plan, metrics, how, shard, "ranking in float64"
                )
    return EvaluationResult(
        {
            name: MetricResult(values[index].clone(), valid[index].clone())
            for index, name in enumerate(metrics)
        }
    )


def _measured(
    plan: _Plan, metrics: dict[str, Metric], how: Execution, shard: Shard, what: str = "ranking"
) -> tuple[Tensor, Tensor]:
    """(M, q) values and valid of all metrics, queries in the order of the plan."""
    values = torch.zeros(len(metrics), len(plan.order), dtype=torch.float64)
    valid = torch.zeros(len(metrics), len(plan.order), dtype=torch.bool)

    def work(block: slice, workspace: Any) -> None:
        row = block.start
        # Not inherited from the thread that called evaluate.
        with torch.no_grad():
            for lists in plan.rank(block, workspace):
                places = slice(row, row := row + lists.num_queries)
                found = [metric(lists) for metric in metrics.values()]
                if found:  # stacked first: one copy from a GPU, not one for each metric
                    values[:, places], valid[:, places] = map(torch.stack, zip(*found, strict=True))

    with shard.all_or_none():
        jobs = shard.part(blocks(len(plan.order), plan.block_size))
        done = run(work, jobs, plan.workspace, plan.threads)
        for _ in progress_bar(done, sum(job.stop - job.start for job in jobs), how.progress, what):
            pass
    values, valid = shard.merge(values, valid)
    return values, valid


def collect(lists: Iterator[RankedLists], metrics: dict[str, Metric]) -> EvaluationResult:
    """Values of all metrics on lists that were made elsewhere."""
    found: dict[str, list[Values]] = {name: [] for name in metrics}
    for block in lists:
        for name, metric in metrics.items():
            found[name].append(metric(block))
    return EvaluationResult(
        {
            name: MetricResult(*(torch.cat(part).cpu() for part in zip(*parts, strict=True)))
            for name, parts in found.items()
        }
    )


def auto_block_size(num_items: int, device: torch.device | None = None) -> int:
    """Number of queries whose pairs with the gallery fit the memory of one sorted block.

    Args:
        num_items: N.
        device: where they are ranked; None for the CPU.
    """
    pairs = PAIRS_PER_BLOCK
    if device is not None and device.type == "cuda":
        pairs = min(PAIRS_PER_BLOCK_ON_GPU, free_memory(device) // SHARE_OF_FREE_MEMORY // BYTES_PER_PAIR)  # fmt: skip
    return max(1, pairs // max(1, num_items))


def free_memory(device: torch.device) -> int:
    """Bytes of a GPU that are free, or that torch keeps for tensors to come."""
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0] + kept)


def _packed_plan(task: Task, how: Execution) -> _Plan:
    assert isinstance(task.levels, TreeLevels)
    order, gallery_order, intervals = task.levels.sorted_by_path()
    self_indices = task.self_indices
    if self_indices is not None:
        place = gallery_order.argsort()
        self_indices = self_indices[order]
        self_indices = torch.where(self_indices >= 0, place[self_indices.clamp(min=0)], -1)
    scorer = Scorer(task.gallery, task.similarity, gallery_order)
    rank = PackedRanker(task.query, order, scorer, intervals, self_indices)
    items, threads = len(task.gallery), torch.get_num_threads()
    size = min(PACKED_QUERIES_PER_BLOCK, max(1, PACKED_PAIRS_PER_BLOCK // items))
    threads, size = _block_size(
        how, scorer, min(size, len(order)), threads, lambda queries: Workspace.size(queries, items)
    )

    def workspace() -> Workspace:
        return Workspace(min(size, len(order)), items)

    def refined(queries: Tensor) -> _Plan:
        copies = scorer.copies, scorer.originals
        precise = PreciseScorer(task.gallery, task.similarity, gallery_order, copies)
        again = rank.refined(precise, queries)
        busy = min(threads, -(-len(queries) // size))
        return _Plan(again, size, busy, workspace, order[queries])

    busy = min(threads, -(-len(order) // size))
    return _Plan(rank, size, busy, workspace, order, lambda: rank.unresolved, refined)


def _sorted_plan(task: Task, how: Execution, in_kernels: bool = False) -> _Plan:
    """Blocks of one thread: keys in the kernels of a GPU, or a sort that keeps the order."""
    scorer: Scorer | PreciseScorer
    if task.query.dtype == torch.float64:
        scorer = PreciseScorer(task.gallery, task.similarity)
    else:
        scorer = Scorer(task.gallery, task.similarity)
    items = len(task.gallery)
    unresolved = torch.zeros(len(task.query), dtype=torch.bool)
    automatic = auto_block_size(items, task.query.device)
    if how.distributed and task.query.device.type == "cuda":
        automatic = least(automatic)  # One has less memory free than another.
    _, size = _block_size(
        how, scorer, automatic, 1, lambda queries: BYTES_PER_PAIR * queries * items
    )

    def ranked(queries: slice | Tensor, scorer: Scorer | PreciseScorer) -> Iterator[RankedLists]:
        query = task.query[queries]
        self_indices = None if task.self_indices is None else task.self_indices[queries]
        gap = scorer.resolution(query) if isinstance(scorer, Scorer) else None
        lists, unclear = sorted_levels(scorer(query), task.levels(queries), self_indices, gap)
        if unclear is not None:
            unresolved[queries] = unclear.to(unresolved.device)
        yield RankedLists.from_sorted(lists, task.num_levels)

    def refined(queries: Tensor) -> _Plan:
        precise = PreciseScorer(
            task.gallery, task.similarity, copies=(scorer.copies, scorer.originals)
        )
        there = queries.to(task.query.device)
        return _Plan(lambda block, _: ranked(there[block], precise), size, 1, lambda: None, queries)

    if in_kernels:
        assert isinstance(task.levels, TreeLevels)
        assert isinstance(scorer, Scorer)
        rank = fused.FusedRanker(task.query, scorer, task.levels, task.self_indices)
        order = torch.arange(len(task.query))
        return _Plan(rank, size, 1, lambda: None, order, lambda: rank.unresolved.cpu(), refined)
    return _Plan(
        lambda block, _: ranked(block, scorer),
        size,
        1,
        lambda: None,
        torch.arange(len(task.query)),
        (lambda: unresolved) if isinstance(scorer, Scorer) else None,
        refined,
    )


def _block_size(
    how: Execution,
    scorer: Scorer | PreciseScorer,
    most: int,
    threads: int,
    bytes_of: Callable[[int], int],
) -> tuple[int, int]:
    """Threads and queries of a block."""
    if how.block_size is not None:
        return threads, how.block_size
    if how.max_memory is None:
        return threads, most
    return largest_block(how.max_memory, scorer.nbytes, most, threads, bytes_of)


def _fingerprint(task: Task) -> tuple[Any, ...]:
    """What tells tasks apart: embeddings, labels, and where the queries stand. A function of labels is not compared."""
    tensors = [task.query, task.gallery]
    if task.self_indices is not None:
        tensors.append(task.self_indices)
    if isinstance(task.levels, TreeLevels):
        tensors += task.levels.numbered
    return task.similarity, task.num_levels, *fingerprint(*tensors)

"""Blocks, threads, memory limits and processes change the cost of an evaluation, never its result."""

import os
import socket

import numpy as np
import pytest
import torch
import torch.distributed as dist

from pml_suprank import metrics
from pml_suprank.accuracy_calculator import AccuracyCalculator
from pml_suprank.metrics.ranking import streaming, workers
from pml_suprank.metrics.ranking.levels import TreeLevels
from pml_suprank.metrics.ranking.packed import Workspace
from pml_suprank.metrics.ranking.workers import Execution
from pml_suprank.relevance import PopulationRelevance, WeightedRelevance
from tests.metrics.test_evaluate import assert_equal_results, tree_labels


def problem(count=300, dim=24):
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(count, dim, generator=generator)
    return points, torch.tensor(tree_labels(np.random.default_rng(0), count, 3, 4))


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


class TestThreads:
    def test_any_number_gives_the_same(self, threads):
        points, labels = problem()
        threads(1)
        one = metrics.evaluate(points, labels, block_size=16)
        threads(3)
        assert_equal_results(one, metrics.evaluate(points, labels, block_size=16), rtol=0)
        assert torch.get_num_threads() == 3

    def test_torch_has_one_thread_in_each(self, threads):
        points, labels = problem()
        threads(2)
        seen = set()

        def relevance(counts):
            seen.add(torch.get_num_threads())
            return PopulationRelevance()(counts)

        metrics.evaluate(points, labels, relevance=relevance, block_size=16)
        assert seen == {1}

    def test_an_error_in_a_thread_reaches_the_caller(self, threads):
        points, labels = problem()
        threads(2)

        def relevance(counts):
            raise ZeroDivisionError("of the caller")

        with pytest.raises(ZeroDivisionError, match="of the caller"):
            metrics.evaluate(points, labels, relevance=relevance, block_size=16)
        assert torch.get_num_threads() == 2

    def test_the_bar_counts_queries(self, threads, capsys):
        points, labels = problem()
        threads(2)
        metrics.evaluate(points, labels, block_size=64, progress=True)
        assert "300/300" in capsys.readouterr().err


class TestMemory:
    def test_a_limit_changes_nothing(self):
        points, labels = problem()
        whole = metrics.evaluate(points, labels, metrics="asi")
        small = metrics.evaluate(points, labels, metrics="asi", max_memory=2 * 2**20)
        assert_equal_results(whole, small)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_too_little_is_an_error_that_says_what_is_missing(self, dtype):
        points, labels = problem()
        points = points.to(dtype)
        with pytest.raises(ValueError, match=r"max_memory: wanted at least (\d+)") as error:
            metrics.evaluate(points, labels, max_memory=1000)
        least = int(error.value.args[0].split("at least ")[1].split()[0])
        metrics.evaluate(points, labels, max_memory=least)
        with pytest.raises(ValueError, match=f"at least {least} bytes"):
            metrics.evaluate(points, labels, max_memory=least - 1)

    def test_blocks_fit_the_limit(self):
        for memory in (10**6, 10**7, 10**8, 10**9):
            threads, size = workers.largest_block(
                memory, 0, 128, 4, lambda queries: Workspace.size(queries, 5000)
            )
            assert threads * Workspace.size(size, 5000) <= memory
            assert size == 128 or threads == 4 or threads * Workspace.size(size + 1, 5000) > memory

    def test_a_workspace_takes_what_it_says(self):
        space = Workspace(33, 4000)
        arrays = sum(each.nbytes for each in vars(space).values())
        assert arrays == Workspace.fixed_size(33, 4000)

    def test_no_block_exceeds_its_share(self, monkeypatch):
        """The automatic block shrinks as the gallery grows, to one query at least."""
        monkeypatch.setattr(streaming, "PAIRS_PER_BLOCK", 100)
        assert streaming.auto_block_size(30) == 3
        assert streaming.auto_block_size(1000) == 1
        seen = []
        original = streaming.sorted_levels

        def spy(scores, *rest):
            seen.append(tuple(scores.shape))
            return original(scores, *rest)

        monkeypatch.setattr(streaming, "sorted_levels", spy)
        metrics.evaluate(torch.randn(30, 4).double(), torch.arange(30) % 5)
        assert seen == [(3, 30)] * 10

    @pytest.mark.parametrize("name", ["block_size", "max_memory"])
    @pytest.mark.parametrize("value", [0, -1, 2.5, "4", True])
    def test_a_size_that_is_none(self, name, value):
        with pytest.raises(ValueError, match=f"{name}: wanted an integer >= 1 or None"):
            metrics.evaluate(*problem(), **{name: value})
        with pytest.raises(ValueError, match=f"{name}: wanted an integer >= 1 or None"):
            AccuracyCalculator(**{name: value})

    def test_both_sizes(self):
        with pytest.raises(ValueError, match="max_memory: wanted None beside block_size"):
            metrics.evaluate(*problem(), block_size=3, max_memory=10**9)


def _free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _process(rank, port, folder):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=2)
    points, labels = problem()
    result = metrics.evaluate(points, labels, block_size=32, distributed=True)
    calculator = AccuracyCalculator(
        exclude=("AMI", "NMI"), device="cpu", block_size=32, distributed=True
    )
    accuracy = calculator.get_accuracy(points, labels)
    with pytest.raises(ValueError, match="distributed: wanted the same .* got different"):
        metrics.evaluate(points + rank, labels, distributed=True)
    with pytest.raises(ValueError, match="distributed: wanted the same .* got different"):
        metrics.evaluate(points, labels, metrics=("asi", "ndcg")[rank], distributed=True)
    told = _disagreements(rank, points, labels)
    torch.save((dict(result), accuracy, told), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def _disagreements(rank, points, labels):
    """Return what each process is told where both do not ask for the same, or one fails alone."""
    others = labels.clone()
    others[-1, 0] += rank  # one label of one sample, away from the first rows
    moved = points.clone()
    moved[37] = moved[37] + rank
    swapped = points[[*range(10), 10 + rank, 11 - rank, *range(12, len(points))]]
    places = torch.arange(len(points))
    places[5] = -1 if rank else 5
    weights = WeightedRelevance(by_level=(1.0, 0.5 + rank / 10, 0.1))
    broken = points.clone()
    broken[0, 0] = float("nan") if rank else 0.0
    cases = {
        "labels": lambda: metrics.evaluate(points, others, distributed=True),
        "an embedding": lambda: metrics.evaluate(moved, labels, distributed=True),
        "their order": lambda: metrics.evaluate(swapped, labels, distributed=True),
        "self_indices": lambda: metrics.evaluate(
            points, labels, points, labels, self_indices=places, distributed=True
        ),
        "relevance": lambda: metrics.evaluate(points, labels, relevance=weights, distributed=True),
        "of the calculator": lambda: AccuracyCalculator(
            exclude=("AMI", "NMI"), device="cpu", distributed=True
        ).get_accuracy(points, others),
        "one is refused": lambda: metrics.evaluate(broken, labels, distributed=True),
        "one has no memory": lambda: metrics.evaluate(
            points, labels, max_memory=10 if rank else 10**9, distributed=True
        ),
        "one fails at work": lambda: _failing(rank, points, labels),
        "the calculator's": lambda: AccuracyCalculator(
            exclude=("AMI", "NMI"), device="cpu", distributed=True
        ).get_accuracy(broken, labels),
    }
    told = {}
    for name, case in cases.items():
        with pytest.raises(Exception, match=".") as caught:
            case()
        told[name] = f"{caught.type.__name__}: {caught.value}"
    return told


def _failing(rank, points, labels):
    def metric(lists):
        if rank:
            raise RuntimeError("no room left")
        zeros = torch.zeros(lists.num_queries)
        return zeros, zeros > 0

    task = streaming.Task(points, points, "cosine", TreeLevels(labels, labels), 3, None)
    return streaming.measure(task, {"x": metric}, Execution(distributed=True))


@pytest.mark.distributed
@pytest.mark.slow
def test_two_processes_are_one(tmp_path):
    torch.multiprocessing.spawn(_process, (_free_port(), tmp_path), nprocs=2)
    points, labels = problem()
    alone = metrics.evaluate(points, labels, block_size=32)
    calculator = AccuracyCalculator(exclude=("AMI", "NMI"), device="cpu", block_size=32)
    for rank in (0, 1):
        result, accuracy, told = torch.load(tmp_path / f"{rank}.pt", weights_only=False)
        assert_equal_results(alone, result, rtol=0)
        assert accuracy == calculator.get_accuracy(points, labels)
        for name in list(told)[:6]:
            assert "got different ones in processes 0 and 1" in told[name], name
        for name, error in {
            "one is refused": "query: wanted finite",
            "one has no memory": "max_memory: wanted at least",
            "one fails at work": "no room left",
            "the calculator's": "query: wanted finite",
        }.items():
            assert error in told[name], told[name]
            assert told[name].startswith("ValueError: process 1: ") == (rank == 0), told[name]


def test_sharing_without_a_process_group():
    with pytest.raises(ValueError, match="got True without a process group"):
        metrics.evaluate(*problem(), distributed=True)

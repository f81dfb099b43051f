"""The table of losses, each beside its reference by loops; and batches to try them on.

A line of the table puts a loss through ``checks.py``, and, by the name of its kind, through all tests of this folder
and of ``tests/functional`` that go over losses or objectives.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from pytorch_metric_learning.distances import CosineSimilarity

from pml_suprank import Hierarchy, losses
from pml_suprank import functional as F
from tests.reference import baselines, rank_losses
from tests.reference.retrieval import one_minus, weighted_sum

TREE = Hierarchy.from_paths(
    [
        "animal/dog/husky",
        "animal/dog/poodle",
        "animal/cat/tabby",
        "plant/tree/oak",
        "plant/tree/elm",
        "plant/rose",
    ]
)
DIM = 8
SURROGATE, RANK, PAIR, HIERARCHICAL, PROXY = KINDS = "surrogate", "rank", "pair", "tree", "proxy"
"""Of losses: those on a rank surrogate, with backends; others of every query by itself; and so on."""


class Objective(NamedTuple):
    """A function of scores and of what is relevant, with a rank surrogate."""

    function: Callable[..., torch.Tensor]
    loops: Callable[..., float]
    """The same of one query: ``loops(family, scores, positive or (levels, relevance), keep, **options)``."""
    relevance: Callable[..., Any] | None
    """What a loss takes for the relevance of items, by loops; None where an item is positive or not."""
    options: dict[str, Any]

    def __call__(self, problem, scores, **options):
        """Return the values (B,) of a problem of ``tests/functional/problems.py``, with other scores."""
        graded = (problem.levels, problem.relevance)
        items = (problem.levels > 0,) if self.relevance is None else graded
        return self.function(scores, *items, problem.mask, **self.options, **options)

    def by_loops(self, family, problem, query, keep, **step):
        """Return the value of one query."""
        scores, levels, relevance = (t[query].tolist() for t in problem[:3])
        items = ([c > 0 for c in levels],) if self.relevance is None else (levels, relevance)
        return self.loops(family, scores, *items, keep, **self.options, **step)


class Case(NamedTuple):
    """A line of the table."""

    name: str
    kind: str
    build: Callable[..., Any]
    """Makes the loss, with any of its options."""
    reference: Callable[..., float]
    """Of ``tests/reference/retrieval.py``."""
    objective: Objective | None = None
    slope: Callable[..., Any] | None = None
    """The derivative by the scores, (B, N), where it is not that of the value."""
    references: bool = True
    """Whether it takes references."""
    levels: bool = True
    """Whether it can be built for one level, with no other option."""

    def make(self, **options):
        """Build the loss; proxies are the same each time."""
        torch.manual_seed(7)
        return self.build(**options)


def rank_case(loss, function, loops, family, *, relevance=None, label="", hrank=None, **options):
    """Return the line of a loss on a rank surrogate.

    Args:
        loss: the class.
        function: the objective, of ``pml_suprank.functional``.
        loops: the same by loops, of one query, on a comparator ``family`` of ``tests/reference/rank_losses.py``.
        family: "sup" or "smooth".
        relevance: of items, by loops; None where an item is positive or not.
        label: tells lines of one class apart.
        hrank: of H-AP.
        **options: of the objective, and of the loss.
    """
    build_options = options if hrank is None else options | {"hrank": hrank}
    if relevance is not None:
        build_options = build_options | {"hierarchy": TREE}
    step = {} if hrank is None else {"hrank": hrank}
    return Case(
        loss.__name__ + label,
        SURROGATE,
        lambda **changed: loss(**(build_options | changed)),
        one_minus(_of_family(loops, family), relevance, **options, **step),
        Objective(function, loops, relevance, options),
    )


def _of_family(loops, family):
    return lambda *arguments, **options: loops(family, *arguments, **options)


def at_level(case, level):
    """Return the line of a case that is built for a level, of the hierarchy if the labels are of one column."""
    return case._replace(
        name=f"{case.name}[level={level}]",
        build=lambda **changed: case.build(**({"level": level, "hierarchy": TREE} | changed)),
        reference=lambda batch, _=None: case.reference(batch, level),
        levels=False,
    )


HRANK = {"beta": 25, "gamma": 0.5, "leak": 10}
AP = F.average_precision, rank_losses.ap
RECALL = F.recall_surrogate, rank_losses.recall
NDCG = F.ndcg, rank_losses.ndcg
HAP = F.hierarchical_average_precision, rank_losses.hap
GAIN, POPULATION = rank_losses.exponential_gain, rank_losses.population_relevance
SUP_AP = rank_case(losses.SupAPLoss, *AP, "sup")
SUP_NDCG = rank_case(losses.SupNDCGLoss, *NDCG, "sup", relevance=GAIN)
SUP_HAP = rank_case(losses.SupHAPLoss, *HAP, "sup", relevance=POPULATION)
CUTS = {"k": (1, 2, 4, 8, 16), "temperature": 1.0}
TRIPLET_MARGINS = (0.1, 0.2, 0.3)
CALIBRATION = baselines.calibration(0.9, 0.6)


def proxies(weight, level=0):
    return baselines.softmax_over_proxies(weight, 0.05, level)


TABLE = (
    SUP_AP,
    at_level(SUP_AP, 1),
    rank_case(losses.SmoothAPLoss, *AP, "smooth"),
    rank_case(losses.SupRecallLoss, *RECALL, "sup", k=(1, 2), temperature=0.7),
    rank_case(losses.SmoothRecallLoss, *RECALL, "smooth", **CUTS),
    SUP_NDCG,
    rank_case(losses.SmoothNDCGLoss, *NDCG, "smooth", relevance=GAIN),
    SUP_HAP,
    rank_case(losses.SupHAPLoss, *HAP, "sup", relevance=POPULATION, label="[hrank]", hrank=HRANK),
    rank_case(losses.SmoothHAPLoss, *HAP, "smooth", relevance=POPULATION),
    Case(
        "BlackBoxAPLoss",
        RANK,
        losses.BlackBoxAPLoss,
        baselines.blackbox_loss(4.0, 0.02),
        slope=baselines.blackbox_slope(4.0, 0.02),
    ),
    Case("SoftBinAPLoss", RANK, losses.SoftBinAPLoss, baselines.soft_bin_loss(20, -1.0, 1.0)),
    Case(
        "HMCELoss[unconstrained]",
        RANK,
        lambda **o: losses.HMCELoss(**{"hierarchy": TREE, "constrained": False} | o),
        baselines.hmce_loss(0.07, constrained=False),
    ),
    Case("CalibrationLoss", PAIR, losses.CalibrationLoss, CALIBRATION),
    Case(
        "ROADMAPLoss",
        PAIR,
        losses.ROADMAPLoss,
        weighted_sum(one_minus(_of_family(rank_losses.ap, "sup")), CALIBRATION, 0.1),
    ),
    Case(
        "HierarchicalTripletMarginLoss",
        HIERARCHICAL,
        lambda **o: losses.HierarchicalTripletMarginLoss(
            **{"margins": TRIPLET_MARGINS, "hierarchy": TREE} | o
        ),
        baselines.triplet_loss(TRIPLET_MARGINS),
        levels=False,  # whose margins are of one level, then
    ),
    Case(
        "HMCELoss",
        HIERARCHICAL,
        lambda **o: losses.HMCELoss(**{"hierarchy": TREE} | o),
        baselines.hmce_loss(0.07, constrained=True),
    ),
    Case(
        "ProxyClusterLoss",
        PROXY,
        lambda **o: losses.ProxyClusterLoss(6, DIM, **{"hierarchy": TREE} | o),
        proxies("W"),
        references=False,
    ),
    Case(
        "HAPPIERLoss",
        PROXY,
        lambda **o: losses.HAPPIERLoss(6, DIM, **{"hierarchy": TREE} | o),
        weighted_sum(
            SUP_HAP.reference, baselines.fixed_level(proxies("decomposability_loss.W")), 0.1
        ),
    ),
    Case(
        "DecomposableRankLoss",
        PROXY,
        lambda **o: losses.DecomposableRankLoss(
            losses.SupNDCGLoss(hierarchy=TREE, **o),
            losses.ProxyClusterLoss(4, DIM, level=1, hierarchy=TREE),
            weight=0.5,
        ),
        weighted_sum(
            SUP_NDCG.reference, baselines.fixed_level(proxies("decomposability_loss.W", 1)), 0.5
        ),
        levels=False,  # of its parts, each its own
    ),
    Case(
        "CSLLoss",
        PROXY,
        lambda **o: losses.CSLLoss(TREE, DIM, **o),
        baselines.cross_scale(TREE.table.tolist(), (0.25, 0.35, 0.45), 32.0),
        references=False,
        levels=False,
    ),
)
WITHOUT_A_LINE = {
    "CrossBatchMemory": "wraps a loss: test_cross_batch_memory.py, test_memories.py",
    "DistributedLossWrapper": "wraps a loss in several processes: test_distributed_wrapper.py",
    "DatasetMemory": "wraps a loss: test_dataset_memory.py, test_memories.py",
    "SimilarityMixup": "an option of the rank losses: test_similarity_mixup.py",
    "Objective": "what a rank loss has: every line on a surrogate",
    "QueryLoss": "a base class",
    "RankLoss": "a base class",
    "SmoothRankLoss": "a base class",
    "SupRankLoss": "a base class",
}
OBJECTIVES_WITHOUT_A_LINE = {
    "blackbox_average_precision": "under BlackBoxAPLoss, and in tests/functional/test_baselines.py",
    "hierarchical_contrastive": "under HMCELoss, and in tests/functional/test_baselines.py",
    "soft_bin_average_precision": "under SoftBinAPLoss, and in tests/functional/test_baselines.py",
    "triplet_hinge_sums": "in tests/functional/test_baselines.py",
    "recall_at_k": "the metric alone: tests/metrics, where each function is the metric of its name",
    "ranks": "no objective, but what they are made of: every test of this folder",
    "backend_names": "no objective",
}

ALL_CASES = {case.name: case for case in TABLE}
OBJECTIVES: dict[str, Objective] = {}
for case in TABLE:
    if case.objective is not None:  # of its first line
        OBJECTIVES.setdefault(case.objective.function.__name__, case.objective)


def _of_kind(*kinds):
    return {case.name: case.build for case in TABLE if case.kind in kinds}


SURROGATE_LOSSES = _of_kind(SURROGATE)
RANK_LOSSES = _of_kind(SURROGATE, RANK)  # every query by itself
PAIR_LOSSES = _of_kind(PAIR)
HIERARCHICAL_BASELINES = _of_kind(HIERARCHICAL)
PROXY_LOSSES = _of_kind(PROXY)
ALL_LOSSES = _of_kind(*KINDS)


def make(name, **options):
    """Build a loss; proxies are the same each time."""
    return ALL_CASES[name].make(**options)


def batch(size=24, seed=0, dtype=torch.float32, spread=0.6):
    """Uneven classes in no order; embeddings near their class, so that scores are neither 0 nor 1."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 6, (size,), generator=generator)
    centers = torch.randn(6, DIM, generator=generator, dtype=torch.float64)
    noise = torch.randn(size, DIM, generator=generator, dtype=torch.float64)
    return (centers[labels] + spread * noise).to(dtype), labels


def value_and_gradient(loss_fn, embeddings, *args, **kwargs):
    embeddings = embeddings.detach().clone().requires_grad_()
    loss = loss_fn(embeddings, *args, **kwargs)
    loss.backward()
    return loss.detach(), embeddings.grad


def similarity():
    return CosineSimilarity()

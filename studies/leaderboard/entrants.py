"""The losses of the leaderboard, each with three settings of its main hyper-parameters."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from pml_suprank import Hierarchy, losses, miners
from pml_suprank.pml import losses as pml_losses
from pml_suprank.pml import miners as pml_miners
from pml_suprank.relevance import PopulationRelevance

__all__ = ["ENTRANTS", "LEARNING_RATES", "Entrant", "LevelSum", "Problem"]

LEARNING_RATES = (1e-3, 3e-3)
"""Each entrant is tuned over these and its own three settings: six configurations."""

Options = Mapping[str, Any]


@dataclass(frozen=True)
class Problem:
    """What a loss may know of the training set.

    Attributes:
        hierarchy: of the training classes.
        embedding_size: D.
    """

    hierarchy: Hierarchy
    embedding_size: int

    @property
    def num_classes(self) -> int:
        """Classes of the finest level."""
        return self.hierarchy.num_classes


@dataclass(frozen=True)
class Entrant:
    """A loss, the labels that it sees, and how it is tuned.

    Attributes:
        title: in the tables.
        group: "rank, all levels", "rank, one level", "pairs", "proxies" or "several levels".
        build: from the problem and the options of a setting.
        settings: three settings of the main hyper-parameters.
        all_levels: whether it gets (B, L) labels, or the finest.
        miner: from the problem and the options; None for none.
        is_ours: whether it is a rank loss of this library, not a baseline.
    """

    title: str
    group: str
    build: Callable[[Problem, Options], nn.Module]
    settings: tuple[Options, ...]
    all_levels: bool = False
    miner: Callable[[Problem, Options], Any] | None = None
    is_ours: bool = False


class LevelSum(nn.Module):
    """The weighted sum of one loss over the levels of (B, L) labels; column c weighs decay^c.

    Args:
        loss: a loss on class labels, such as PML's.
        decay: in (0, 1].
    """

    def __init__(self, loss: nn.Module, decay: float):
        super().__init__()
        self.loss, self.decay = loss, decay

    def forward(self, embeddings: Tensor, labels: Tensor, indices_tuple: Any = None) -> Tensor:
        """Return the sum."""
        columns = range(labels.shape[1])
        return sum(self.decay**c * self.loss(embeddings, labels[:, c]) for c in columns)


def _options(name: str, *values: Any) -> tuple[Options, ...]:
    return tuple({name: value} for value in values)


def _pml(name: str) -> Callable[[Problem, Options], nn.Module]:
    return lambda problem, options: getattr(pml_losses, name)(**options)


def _proxies(name: str) -> Callable[[Problem, Options], nn.Module]:
    return lambda problem, options: getattr(pml_losses, name)(
        problem.num_classes, problem.embedding_size, **options
    )


def _ours(name: str) -> Callable[[Problem, Options], nn.Module]:
    return lambda problem, options: getattr(losses, name)(**options)


def _graded(name: str) -> Callable[[Problem, Options], nn.Module]:
    def build(problem: Problem, options: Options) -> nn.Module:
        step, alpha = _without_alpha(options)
        return getattr(losses, name)(relevance=PopulationRelevance(alpha), **step)

    return build


def _happier(problem: Problem, options: Options) -> nn.Module:
    step, alpha = _without_alpha(options)
    return losses.HAPPIERLoss(
        problem.num_classes,
        problem.embedding_size,
        relevance=PopulationRelevance(alpha),
        temperature=0.1,
        **step,
    )


def _without_alpha(options: Options) -> tuple[dict[str, Any], float]:
    return {name: value for name, value in options.items() if name != "alpha"}, options["alpha"]


def _triplet(problem: Problem, options: Options) -> nn.Module:
    return pml_losses.TripletMarginLoss(**options)


def _level_sum(name: str, **options: Any) -> Callable[[Problem, Options], nn.Module]:
    return lambda problem, setting: LevelSum(
        getattr(pml_losses, name)(**options), float(setting["decay"])
    )


_TAU = _options("tau", 0.01, 0.05, 0.1)
_GRADED = (
    {"tau": 0.05, "alpha": 1.0},
    {"tau": 0.1, "alpha": 1.0},
    {"tau": 0.1, "alpha": 2.0},
)
_TEMPERATURES = _options("temperature", 0.05, 0.1, 0.2)
_DECAYS = _options("decay", 1.0, 0.5, 0.25)
_RANK_ALL, _RANK_ONE = "rank, all levels", "rank, one level"
_PAIRS, _PROXIES, _LEVELS = "pairs", "proxies", "several levels"

ENTRANTS: dict[str, Entrant] = {
    "suphap": Entrant(
        "SupHAP", _RANK_ALL, _graded("SupHAPLoss"), _GRADED, all_levels=True, is_ours=True
    ),
    "happier": Entrant("HAPPIER", _RANK_ALL, _happier, _GRADED, all_levels=True, is_ours=True),
    "supndcg": Entrant(
        "SupNDCG", _RANK_ALL, _ours("SupNDCGLoss"), _TAU, all_levels=True, is_ours=True
    ),
    "smoothhap": Entrant(
        "SmoothHAP",
        _RANK_ALL,
        _ours("SmoothHAPLoss"),
        _TAU,
        all_levels=True,
        is_ours=True,
    ),
    "supap": Entrant("SupAP", _RANK_ONE, _ours("SupAPLoss"), _TAU, is_ours=True),
    "roadmap": Entrant("ROADMAP", _RANK_ONE, _ours("ROADMAPLoss"), _TAU, is_ours=True),
    "suprecall": Entrant("SupRecall", _RANK_ONE, _ours("SupRecallLoss"), _TAU, is_ours=True),
    "smoothap": Entrant(
        "SmoothAP (any batch)",
        _RANK_ONE,
        _ours("SmoothAPLoss"),
        _TAU,
        is_ours=True,
    ),
    "pml-smoothap": Entrant(
        "SmoothAP (PML)",
        _RANK_ONE,
        _pml("SmoothAPLoss"),
        _options("temperature", 0.01, 0.05, 0.1),
    ),
    "fastap": Entrant("FastAP", _RANK_ONE, _pml("FastAPLoss"), _options("num_bins", 5, 10, 20)),
    "softbinap": Entrant(
        "SoftBinAP", _RANK_ONE, _ours("SoftBinAPLoss"), _options("num_bins", 10, 20, 40)
    ),
    "blackboxap": Entrant(
        "BlackBoxAP", _RANK_ONE, _ours("BlackBoxAPLoss"), _options("lambda_val", 0.5, 4.0, 16.0)
    ),
    "contrastive": Entrant(
        "contrastive", _PAIRS, _pml("ContrastiveLoss"), _options("neg_margin", 0.5, 0.8, 1.1)
    ),
    "triplet": Entrant(
        "triplet, semihard miner",
        _PAIRS,
        _triplet,
        _options("margin", 0.05, 0.1, 0.2),
        miner=lambda problem, options: pml_miners.TripletMarginMiner(
            type_of_triplets="semihard", **options
        ),
    ),
    "multi-similarity": Entrant(
        "multi-similarity",
        _PAIRS,
        _pml("MultiSimilarityLoss"),
        _options("beta", 10.0, 25.0, 50.0),
    ),
    "multi-similarity-miner": Entrant(
        "multi-similarity, its miner",
        _PAIRS,
        _pml("MultiSimilarityLoss"),
        _options("beta", 10.0, 25.0, 50.0),
        miner=lambda problem, options: pml_miners.MultiSimilarityMiner(),
    ),
    "circle": Entrant(
        "circle",
        _PAIRS,
        _pml("CircleLoss"),
        ({"m": 0.4, "gamma": 80.0}, {"m": 0.25, "gamma": 80.0}, {"m": 0.25, "gamma": 30.0}),
    ),
    "ntxent": Entrant("NT-Xent", _PAIRS, _pml("NTXentLoss"), _TEMPERATURES),
    "supcon": Entrant("SupCon", _PAIRS, _pml("SupConLoss"), _TEMPERATURES),
    "proxy-anchor": Entrant(
        "proxy anchor", _PROXIES, _proxies("ProxyAnchorLoss"), _options("alpha", 8.0, 16.0, 32.0)
    ),
    "proxynca": Entrant(
        "ProxyNCA", _PROXIES, _proxies("ProxyNCALoss"), _options("softmax_scale", 1.0, 4.0, 16.0)
    ),
    "softtriple": Entrant(
        "SoftTriple",
        _PROXIES,
        lambda problem, options: pml_losses.SoftTripleLoss(
            problem.num_classes, problem.embedding_size, centers_per_class=2, **options
        ),
        _options("la", 5.0, 10.0, 20.0),
    ),
    "arcface": Entrant(
        "ArcFace", _PROXIES, _proxies("ArcFaceLoss"), _options("scale", 8.0, 16.0, 64.0)
    ),
    "softmax": Entrant(
        "normalised softmax", _PROXIES, _proxies("NormalizedSoftmaxLoss"), _TEMPERATURES
    ),
    "triplet-hierarchical": Entrant(
        "triplet, hierarchical miner",
        _LEVELS,
        _triplet,
        _options("margin", 0.05, 0.1, 0.2),
        all_levels=True,
        miner=lambda problem, options: miners.HierarchicalTripletMiner(
            margins=float(options["margin"]), type_of_triplets="semihard"
        ),
    ),
    "triplet-levels": Entrant(
        "triplets of all levels",
        _LEVELS,
        _ours("HierarchicalTripletMarginLoss"),
        _options("margins", 0.05, 0.1, 0.2),
        all_levels=True,
    ),
    "csl": Entrant(
        "CSL",
        _LEVELS,
        lambda problem, options: losses.CSLLoss(
            problem.hierarchy, problem.embedding_size, **options
        ),
        _options("scale", 8.0, 16.0, 32.0),
        all_levels=True,
    ),
    "hmce": Entrant("HMCE", _LEVELS, _ours("HMCELoss"), _TEMPERATURES, all_levels=True),
    "supcon-levels": Entrant(
        "SupCon, sum over levels",
        _LEVELS,
        _level_sum("SupConLoss", temperature=0.1),
        _DECAYS,
        all_levels=True,
    ),
    "multi-similarity-levels": Entrant(
        "multi-similarity, sum over levels",
        _LEVELS,
        _level_sum("MultiSimilarityLoss", beta=25.0),
        _DECAYS,
        all_levels=True,
    ),
}
"""Name to entrant."""

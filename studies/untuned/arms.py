"""The losses, each with one setting: the recommended one, or the defaults of the library that it is from."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from pml_suprank import losses
from pml_suprank.functional.ranking import target_ranks
from pml_suprank.relevance import LevelRelevance, PopulationRelevance
from studies.leaderboard.ablations import ABLATIONS
from studies.leaderboard.entrants import ENTRANTS, Entrant, Options, Problem

__all__ = ["ARMS", "COMPARED", "item_powers"]

_HAPPIER = {"tau": 0.1, "alpha": 1.0, "weight": 0.1, "temperature": 0.1}


def item_powers(power: float) -> Callable[..., Tensor]:
    r"""H-AP with :math:`(1 - p^q) / q` in place of :math:`1 - p`, p being what an item adds to it; 1 minus that.

    It is an upper bound of one minus H-AP for q in (0, 1), and its gradient is larger where an item stands far behind.

    Args:
        power: q, in (0, 1].
    """

    def metric(
        scores: Tensor, common_levels: Tensor, relevance: LevelRelevance, *, surrogate: Any, backend: str
    ) -> Tensor:  # fmt: skip
        found = target_ranks(
            scores, common_levels, relevance, None, surrogate=surrogate, backend=backend
        )
        assert found.hrank is not None
        own = relevance.table[found.query, common_levels[found.query, found.item].long()]
        own = own.to(found.rank.dtype)
        precision = (found.hrank / found.rank / own).clamp(min=1e-6, max=1.0)
        lost = own * (1 - precision**power) / power
        total = relevance.total.to(lost.dtype)
        sums = lost.new_zeros(len(scores)).index_add(0, found.query, lost)
        return 1 - sums / total.masked_fill(total == 0, 1.0)

    return metric


class LevelProxies(nn.Module):
    """The mean of proxy losses, one for each level.

    Args:
        problem: the training set.
        temperature: of all.
    """

    def __init__(self, problem: Problem, temperature: float):
        super().__init__()
        sizes = [int(column.max()) + 1 for column in problem.hierarchy.table.T]
        self.parts = nn.ModuleList(
            losses.ProxyClusterLoss(size, problem.embedding_size, temperature, level=level)
            for level, size in enumerate(sizes)
        )

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the mean."""
        return sum(part(embeddings, labels) for part in self.parts) / len(self.parts)


class _Sum(nn.Module):
    def __init__(self, rank_loss: nn.Module, proxies: nn.Module, weight: float):
        super().__init__()
        self.rank_loss, self.proxies, self.weight = rank_loss, proxies, weight

    def forward(self, embeddings: Tensor, labels: Tensor, indices_tuple: Any = None) -> Tensor:
        rank, proxies = self.rank_loss(embeddings, labels), self.proxies(embeddings, labels)
        return (1 - self.weight) * rank + self.weight * proxies


def _powers(problem: Problem, options: Options) -> nn.Module:
    objective = losses.Objective(
        item_powers(options["power"]), PopulationRelevance(options["alpha"])
    )
    proxies = losses.ProxyClusterLoss(
        problem.num_classes, problem.embedding_size, options["temperature"]
    )
    return _Sum(losses.SupRankLoss(objective, tau=options["tau"]), proxies, options["weight"])


def _level_proxies(problem: Problem, options: Options) -> nn.Module:
    rank_loss = losses.SupHAPLoss(
        tau=options["tau"], relevance=PopulationRelevance(options["alpha"])
    )
    return _Sum(rank_loss, LevelProxies(problem, options["temperature"]), options["weight"])


def _happier(**changes: Any) -> tuple[Entrant, Options]:
    return ABLATIONS["happier-ablation"], {**_HAPPIER, **changes}


def _tried(
    title: str, build: Callable[[Problem, Options], nn.Module], **more: Any
) -> tuple[Entrant, Options]:
    kind = "rank, all levels"
    return Entrant(title, kind, build, (), all_levels=True, is_ours=True), {**_HAPPIER, **more}


ARMS: dict[str, tuple[str, tuple[Entrant, Options]]] = {
    "happier": ("HAPPIER, recommended: alpha 1.5", _happier(alpha=1.5)),
    "happier-alpha-1": ("HAPPIER, alpha 1", _happier()),
    "happier-alpha-2": ("HAPPIER, alpha 2", _happier(alpha=2.0)),
    "happier-papers": ("HAPPIER, tau and temperature of the papers", _happier(tau=0.01, temperature=0.05)),
    "happier-weight-0.3": ("HAPPIER, proxies weigh .3", _happier(alpha=1.5, weight=0.3)),
    "happier-powers": ("HAPPIER, (1 - p^q) / q with q = .5", _tried("", _powers, alpha=1.5, power=0.5)),
    "happier-level-proxies": ("HAPPIER, proxies of all levels", _tried("", _level_proxies, alpha=1.5)),
    "suphap": ("SupHAP", (ENTRANTS["suphap"], {"tau": 0.1, "alpha": 1.0})),
    "supcon-levels": ("SupCon, summed over the levels", (ENTRANTS["supcon-levels"], {"decay": 1.0})),
    "supcon": ("SupCon", (ENTRANTS["supcon"], {"temperature": 0.1})),
    "multi-similarity": ("multi-similarity", (ENTRANTS["multi-similarity"], {"beta": 50.0})),
}  # fmt: skip
"""Key to title, loss and setting."""
COMPARED = ("suphap", "supcon-levels", "supcon", "multi-similarity")
"""What the recommended setting is compared with."""

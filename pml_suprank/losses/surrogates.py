"""The two families of rank losses: their hyper-parameters, recorded as PML records them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pml_suprank.functional.mixup import MixedPairs
from pml_suprank.functional.ranks import check_backend
from pml_suprank.functional.steps import PRESETS, HRankStep, SmoothRank, SupRank, Surrogate
from pml_suprank.losses.rank_loss import RankLoss
from pml_suprank.losses.retrieval_set import RetrievalSet
from pml_suprank.losses.similarity_mixup import SimilarityMixup, checked_mixup

_DEFAULTS = {"tau": 0.01, "rho": 100.0, "delta": 0.05, "start": 0.5, "offset": None}


class SurrogateRankLoss(RankLoss):
    """A rank loss on a surrogate of the rank.

    Args:
        surrogate: the rank surrogate.
        backend: execution of the ranks, see :func:`pml_suprank.functional.ranks`.
        mixup: a :class:`SimilarityMixup`, or True for the default one, adds virtual samples; False does not.
        **kwargs: see :class:`RankLoss`.

    Raises:
        ValueError: ``backend`` is unknown, or ``mixup`` is something else or of a level above the loss's own; when
            called, a miner's tuple, or labels missing, beside ``mixup``.
    """

    def __init__(
        self,
        *,
        surrogate: Surrogate,
        backend: str = "auto",
        mixup: SimilarityMixup | bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.surrogate = surrogate
        self.backend = check_backend(backend)
        self.mixup = checked_mixup(mixup, self.level)

    def extra_repr(self) -> str:
        """Show the rank surrogate."""
        mixup = "" if self.mixup is None else f", mixup={self.mixup}"
        return f"{self.surrogate}, level={self.level}, backend={self.backend!r}{mixup}"

    def retrieval(
        self,
        embeddings: Tensor,
        labels: Tensor | None,
        indices_tuple: Sequence[Tensor] | None,
        ref_emb: Tensor,
        ref_labels: Tensor | None,
        self_indices: Tensor | None,
    ) -> tuple[Tensor, RetrievalSet, Tensor]:
        """Return scores, retrieval sets and queries, with virtual ones if the loss mixes."""
        scores, items, query = super().retrieval(
            embeddings, labels, indices_tuple, ref_emb, ref_labels, self_indices
        )
        if self.mixup is None or not self.training:
            return scores, items, query
        if labels is None or ref_labels is None:
            raise ValueError("labels: wanted labels to mix the samples of a class, got None")
        if indices_tuple is not None:
            raise ValueError(
                "indices_tuple: wanted None with mixup, whose samples are in no miner's tuple"
            )
        queries = self.mixup.draw(labels, self.level)
        references: MixedPairs | None = None
        in_batch = ref_emb is embeddings
        if in_batch:
            references = queries
        elif self.mixup.references:
            references = self.mixup.draw(ref_labels, self.level)
        without_self = in_batch and not self.include_self
        scores, items = self.mixup.extend(
            scores, items, queries, references, without_self=without_self
        )
        return scores, items, torch.cat([query, queries.first])


class SupRankLoss(SurrogateRankLoss):
    """A rank loss on SupRank, the smooth upper bound of the rank.

    Args:
        tau: temperature of the sigmoid, > 0, in score units.
        rho: slope beyond ``delta``, >= 0; -1 keeps the sigmoid.
        delta: where the linear part begins, >= 0, or None (see :class:`pml_suprank.functional.SupRank`).
        start: jump at 0.
        offset: value at ``delta``; None makes the step continuous there, as in the papers. The attribute of this
            name is the value in use.
        preset: in place of the five above, "smooth": a step of ten times the temperature, which this library recommends
            (``docs/leaderboard.md``); or the step of the authors' configuration for a data set: "sop", "cub",
            "cars", "dyml", "gldv2" or "inat".
        hrank: HAPPIER's smooth numerator; only H-AP has one.
        **kwargs: see :class:`SurrogateRankLoss`.

    Raises:
        ValueError: a value outside its range, an unknown preset, or a preset beside a value that it sets.
    """

    def __init__(
        self,
        *,
        tau: float = 0.01,
        rho: float = 100.0,
        delta: float | None = 0.05,
        start: float = 0.5,
        offset: float | None = None,
        preset: str | None = None,
        hrank: HRankStep | None = None,
        **kwargs: Any,
    ) -> None:
        step: dict[str, Any] = {
            "tau": tau,
            "rho": rho,
            "delta": delta,
            "start": start,
            "offset": offset,
        }
        if preset is not None:
            step = _preset_step(preset, step)
        surrogate = SupRank(**step, hrank=hrank)
        super().__init__(surrogate=surrogate, **kwargs)
        self.tau, self.rho, self.start = surrogate.tau, surrogate.rho, surrogate.start
        self.delta, self.offset = surrogate.delta, surrogate.value_at_delta
        self.add_to_recordable_attributes(list_of_names=list(_DEFAULTS), is_stat=False)


class SmoothRankLoss(SurrogateRankLoss):
    """A rank loss on the sigmoid rank of SmoothAP.

    Args:
        tau: temperature of the sigmoid, > 0, in score units.
        **kwargs: see :class:`SurrogateRankLoss`.

    Raises:
        ValueError: ``tau`` is not a positive finite number.
    """

    def __init__(self, *, tau: float = 0.01, **kwargs: Any) -> None:
        super().__init__(surrogate=SmoothRank(tau), **kwargs)
        self.tau = tau
        self.add_to_recordable_attributes(name="tau", is_stat=False)


def _preset_step(preset: str, step: dict[str, Any]) -> dict[str, Any]:
    if preset not in PRESETS:
        raise ValueError(f"preset: wanted one of {', '.join(PRESETS)}, got {preset!r}")
    changed = [name for name, value in step.items() if value != _DEFAULTS[name]]
    if changed:
        raise ValueError(f"preset: {preset!r} sets {', '.join(changed)}; give one or the other")
    return dict(PRESETS[preset])

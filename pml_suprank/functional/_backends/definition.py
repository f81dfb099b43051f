"""The definition of the ranks: what a backend is asked, what it answers, and the plain way to the answer.

:func:`ranks` compares all (B, N, N) pairs of items in autograd, which is backend "dense": read it, test against it. Any
other backend is a subclass of :class:`RankOperation` and a module that wraps it::

    class MyRanks(RankOperation):
        def value(self, scores):
            ...  # self.request has the levels, self.query and self.item are the targets
            return self.results(rank, hrank)

        def gradient(self, inputs, outputs, grads, wanted):
            (scores,), (grad_rank, *grad_hrank) = inputs, grads
            return (grad_scores,)

    def why_not(request):
        return None  # or the reason why it cannot take the request

    def ranks(request):
        return MyRanks(request, targets_of(request.common_levels)).ranks()

Without targets ``value`` sets ``query`` and ``item``, in any order. ``value`` gets plain tensors, whatever transforms
are at work, and may launch kernels. Second derivatives are those of the definition; ``torch.func`` works;
``torch.compile`` does not look in. See :mod:`pml_suprank.functional.operation`.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from pml_suprank.functional.operation import Operation, apply, plain
from pml_suprank.functional.steps import Surrogate
from pml_suprank.relevance import LevelRelevance


class RankRequest(NamedTuple):
    """Checked input of a backend."""

    scores: Tensor
    """(B, N), float32 or float64, higher is closer."""
    common_levels: Tensor
    """(B, N), integers; items that share 0 levels are not ranked, those with -1 are outside the retrieval set."""
    num_levels: int
    """The most levels shared, at least 1."""
    masked: bool
    """Whether any item is outside the retrieval set."""
    num_targets: int
    """How many items share a level."""
    relevance: Tensor | LevelRelevance | None
    """Of items (B, N), in the dtype of scores, or of levels; None when no numerator is asked for."""
    surrogate: Surrogate

    def item_relevance(self) -> Tensor | None:
        """Return the relevance of every item, (B, N), 0 outside the retrieval set, or None."""
        if not isinstance(self.relevance, LevelRelevance):
            return self.relevance
        table = self.relevance.table.to(self.scores.dtype)
        return table.gather(1, self.common_levels.clamp(min=0).long())


class TargetRanks(NamedTuple):
    """Ranks of the items that share a level with their query ("targets"), in any order."""

    query: Tensor
    """(T,), int64."""
    item: Tensor
    """(T,), int64."""
    rank: Tensor
    """(T,)."""
    hrank: Tensor | None
    """(T,); None without a relevance."""


class Ranks(NamedTuple):
    """Ranks of the items that share a level with their query, in the place of the items."""

    rank: Tensor
    """(B, N), 1 where an item is not ranked."""
    hrank: Tensor | None
    """(B, N), 0 where an item is not ranked; None without a relevance."""


def targets_of(common_levels: Tensor, num_targets: int | None = None) -> tuple[Tensor, Tensor]:
    """Return query and item of all targets, (T,) each, in the order of the rows.

    With ``num_targets`` known, a GPU of the CUDA kind need not be waited for.
    """
    positive = common_levels > 0
    if num_targets is not None and positive.is_cuda and torch.version.cuda is not None:
        query, item = torch.nonzero_static(positive, size=num_targets).unbind(1)
        return query, item
    query, item = positive.nonzero(as_tuple=True)
    return query, item


def why_not(request: RankRequest) -> str | None:
    """Return None: the definition takes every request."""
    return None


def ranks(request: RankRequest, targets: tuple[Tensor, Tensor] | None = None) -> TargetRanks:
    """Rank every positive item, or the ``targets``; dimension 1 is the item i, dimension 2 its competitor j."""
    scores, levels, surrogate = request.scores, request.common_levels, request.surrogate
    num_items = scores.shape[1]
    competes = ~torch.eye(num_items, dtype=torch.bool, device=scores.device).unsqueeze(0)
    if request.masked:
        competes = competes & (levels >= 0).unsqueeze(1)
    t = scores.unsqueeze(1) - scores.unsqueeze(2)

    lower = levels.unsqueeze(1) < levels.unsqueeze(2)
    behind = surrogate.competitor(t, lower).masked_fill(~competes, 0.0).sum(dim=2)
    targets = targets_of(levels) if targets is None else targets
    rank = 1 + behind[targets]
    relevance = request.item_relevance()
    if relevance is None:
        return TargetRanks(*targets, rank, None)

    higher = levels.unsqueeze(1) > levels.unsqueeze(2)
    shared = torch.minimum(relevance.unsqueeze(1), relevance.unsqueeze(2))
    ahead = (surrogate.numerator(t, higher) * shared).masked_fill(~competes, 0.0).sum(dim=2)
    return TargetRanks(*targets, rank, (relevance + ahead)[targets])


class RankOperation(Operation):
    """Ranks of the targets of a request as a function of its scores, (B, N)."""

    query: Tensor
    """(T,), int64, as is ``item``: the targets."""
    item: Tensor

    def __init__(self, request: RankRequest, targets: tuple[Tensor, Tensor] | None = None) -> None:
        self.request = request
        self.hrank: Tensor | None = None
        if targets is not None:
            self.query, self.item = map(plain, targets)

    def ranks(self) -> TargetRanks:
        """Return the ranks, differentiable."""
        rank, *smooth = apply(self, self.request.scores)
        return TargetRanks(self.query, self.item, rank, smooth[0] if smooth else self.hrank)

    def results(self, rank: Tensor, hrank: Tensor | None) -> tuple[Tensor, ...]:
        """Return what has a gradient of ``rank`` and ``hrank``; a numerator counted by steps is set aside."""
        if hrank is not None and self.request.surrogate.hrank_has_gradient:
            return rank, hrank
        self.hrank = hrank
        return (rank,)

    def plain_request(self, scores: Tensor) -> RankRequest:
        """Return the request for these scores."""
        return self.request._replace(scores=scores.detach())

    def definition(self, scores: Tensor) -> tuple[Tensor, ...]:
        """Return the ranks of :func:`ranks`."""
        request = self.request._replace(scores=scores)
        found = ranks(request, (self.query, self.item))
        if found.hrank is None or not request.surrogate.hrank_has_gradient:
            return (found.rank,)
        return found.rank, found.hrank

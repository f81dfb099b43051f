"""The form of a rank backend that has a gradient of its own.

A backend is a subclass of :class:`RankOperation` and a module that wraps it::

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
        return MyRanks(request, targets_of(request.levels)).ranks()

Without targets ``value`` sets ``query`` and ``item``, in any order. ``value`` gets plain tensors, whatever transforms
are at work, and may launch kernels. Second derivatives are those of :mod:`.dense`; ``torch.func`` works;
``torch.compile`` does not look in. See :mod:`pml_suprank.functional.operation`.
"""

from torch import Tensor

from pml_suprank.functional._backends import dense
from pml_suprank.functional._backends.request import RankRequest, TargetRanks
from pml_suprank.functional.operation import Operation, apply, plain


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
        """Return the ranks of :mod:`.dense`."""
        request = self.request._replace(scores=scores)
        found = dense.ranks(request, (self.query, self.item))
        if found.hrank is None or not request.surrogate.hrank_has_gradient:
            return (found.rank,)
        return found.rank, found.hrank
